"""kill -9 of the daemon: no container notices, and nothing that was promised is lost."""

import json
import os
import signal
import time

import pytest

from tests.testing import bundle as bundles
from tests.testing.daemon import CGROUP_MANAGER, wait_until
from tests.testing.fixtures import own_daemon  # pylint: disable=unused-import


def test_running_and_exited_containers_are_right_after_a_restart(fresh_daemon):
    daemon = fresh_daemon
    clean = daemon.census()
    daemon.run_detached("runs", "sh", "-c", "i=0; while :; do echo line $i; i=$((i+1)); usleep 1000; done")
    daemon.run_detached("ends", "sh", "-c", "while ! test -e /tmp/end-now; do usleep 1000; done; exit 42")
    pid = daemon.inspect("runs")["pid"]

    daemon.kill()
    (daemon.rootfs / "tmp" / "end-now").touch()
    ends_record = daemon.root / "containers" / "ends" / "exit"
    wait_until(ends_record.exists, what="the supervisor's exit record")
    daemon.start()

    running = daemon.inspect("runs")
    assert (running["state"], running["pid"]) == ("running", pid)
    assert daemon.inspect("ends")["state"] == "stopped"
    assert daemon.ctl("wait", "ends", check=False).returncode == 42

    before = len(daemon.ctl("logs", "runs").stdout.splitlines())
    wait_until(lambda: len(daemon.ctl("logs", "runs").stdout.splitlines()) > before, what="more output")
    daemon.ctl("stop", "--time", "0", "runs")
    lines = daemon.ctl("logs", "runs").stdout.splitlines()
    assert lines == [f"line {i}" for i in range(len(lines))]

    daemon.ctl("delete", "runs", "ends")
    del clean["descriptors"]  # of another daemon process
    daemon.must_return_to(clean)


def test_a_wait_after_the_restart_sees_an_exit_that_comes_later(fresh_daemon):
    daemon = fresh_daemon
    daemon.run_detached("later", "sh", "-c", "while ! test -e /tmp/go; do usleep 1000; done; exit 9")
    daemon.kill()
    daemon.start()
    waiter = daemon.spawn("wait", "later")
    (daemon.rootfs / "tmp" / "go").touch()
    waiter.communicate(timeout=20)
    assert waiter.returncode == 9


def test_a_created_container_can_be_started_by_the_next_daemon(fresh_daemon):
    daemon = fresh_daemon
    daemon.ctl("create", "--bundle", daemon.bundle("sh", "-c", "exit 3"), "made")
    daemon.kill()
    daemon.start()
    daemon.ctl("start", "made")
    assert daemon.ctl("wait", "made", check=False).returncode == 3


def test_exec_works_in_a_container_of_the_daemon_before(fresh_daemon):
    daemon = fresh_daemon
    daemon.run_detached("old", "sleep", "1000")
    daemon.kill()
    daemon.start()
    assert daemon.ctl("exec", "old", "--", "echo", "still here").stdout == "still here\n"


def test_sigterm_leaves_containers_alone(fresh_daemon):
    daemon = fresh_daemon
    daemon.run_detached("stays", "sleep", "1000")
    pid = daemon.inspect("stays")["pid"]
    assert daemon.terminate() == 0
    daemon.start()
    assert daemon.inspect("stays")["pid"] == pid


def test_a_killed_supervisor_stops_its_container(fresh_daemon):
    daemon = fresh_daemon
    daemon.run_detached("orphan", "sleep", "1000")
    supervisor = daemon.inspect("orphan")["supervisor_pid"]
    os.kill(supervisor, signal.SIGKILL)
    wait_until(lambda: daemon.inspect("orphan")["state"] == "stopped", what="stopped")
    assert daemon.ctl("wait", "orphan", check=False).returncode == 255
    daemon.ctl("delete", "orphan")


@pytest.mark.parametrize("round_number", range(8))
def test_killed_in_the_middle_of_creates_it_keeps_or_undoes_each_as_a_whole(fresh_daemon, round_number):
    daemon = fresh_daemon
    clean = daemon.steady_census()
    bundle = daemon.bundle("sleep", "1000")
    clients = [daemon.spawn("create", "--bundle", bundle, f"c{i}") for i in range(6)]
    # The rounds spread the kill over the phases of a create.
    wait_until(lambda: len(list((daemon.state / "containers").iterdir())) > round_number % 6, what="some began")
    daemon.kill()
    acknowledged = set()
    for i, client in enumerate(clients):
        client.communicate(timeout=30)
        if client.returncode == 0:
            acknowledged.add(f"c{i}")
    daemon.start()
    present = set(daemon.ctl("list", "-q").stdout.split())
    assert acknowledged <= present
    for name in present:
        assert daemon.inspect(name)["state"] in ("created", "stopped")
    if present:
        daemon.ctl("delete", "-f", *sorted(present))
    del clean["descriptors"]  # of another daemon process
    daemon.must_return_to(clean)


def test_an_unreadable_record_is_set_aside_and_the_rest_load(fresh_daemon):
    daemon = fresh_daemon
    for name in ("good", "bad"):
        daemon.ctl("create", "--bundle", daemon.bundle("true"), name)
        daemon.ctl("start", name)
        daemon.ctl("wait", name)
    daemon.terminate()
    record = daemon.root / "containers" / "bad" / "record"
    content = bytearray(record.read_bytes())
    content[len(content) // 2] ^= 0xFF
    record.write_bytes(content)
    daemon.start()
    assert daemon.ctl("list", "-q").stdout.split() == ["good"]
    assert any(path.name.startswith("bad") for path in (daemon.root / "quarantine").iterdir())


def test_kills_for_lack_of_memory_are_told_by_the_next_daemon(fresh_daemon):
    daemon = fresh_daemon
    spec = bundles.config("sh", "-c", "while ! test -e /tmp/go; do usleep 1000; done; "
                                      "exec dd if=/dev/zero of=/dev/null bs=64M count=1")
    spec["linux"]["resources"] = {"memory": {"limit": 16 << 20}}
    names = [f"greedy-{number}" for number in range(8)]
    for name in names:
        daemon.run_detached(name, spec=spec)
    daemon.kill()
    (daemon.rootfs / "tmp" / "go").touch()
    for name in names:
        wait_until((daemon.root / "containers" / name / "exit").exists, what="the supervisor's exit record")
    time.sleep(0.2)  # for systemd, which removes the cgroups of units that are over, and the kernel's count with them
    daemon.start()
    statuses = {name: daemon.inspect(name)["exit_status"] for name in names}
    assert {status["signal"] for status in statuses.values()} == {signal.SIGKILL}
    seen = [name for name in names if statuses[name]["oom_killed"]]
    lines = daemon.ctl("--format", "json", "events", "--from", "1", "--no-follow").stdout.splitlines()
    events = [json.loads(line) for line in lines]
    assert sorted(event["container_id"] for event in events if event["type"] == "oom") == seen
    # Where nobody but us removes cgroups, all of them; systemd may be faster than a supervisor on a busy machine.
    assert len(seen) == len(names) or (CGROUP_MANAGER == "systemd" and seen)
