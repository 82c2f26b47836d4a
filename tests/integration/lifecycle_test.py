"""A container's life through ocictl, as a person or a script lives it."""

import json
import os
import pathlib
import signal
import subprocess

import pytest

from tests.testing import bundle as bundles
from tests.testing.daemon import Daemon, wait_until
from tests.testing.fixtures import shared_daemon  # pylint: disable=unused-import


@pytest.fixture(name="container")
def one_container(daemon, request):
    """An id for this test, whose container is deleted with it."""
    name = "c-" + request.node.name.replace("_", "-").replace("[", "-").replace("]", "")[:60]
    yield name
    daemon.ctl("delete", "-f", name, check=False)


def test_create_start_wait_delete_gives_the_exit_code(daemon, container):
    daemon.run_detached(container, "sh", "-c", "exit 7")
    assert daemon.ctl("wait", container, check=False).returncode == 7
    daemon.ctl("delete", container)
    assert container not in daemon.ctl("list", "-q").stdout.split()


def test_a_created_container_runs_nothing_of_the_users(daemon, container):
    daemon.ctl("create", "--bundle", daemon.bundle("touch", "/tmp/ran-early"), container)
    assert daemon.inspect(container)["state"] == "created"
    assert not (daemon.rootfs / "tmp" / "ran-early").exists()


def test_inspect_has_the_pid_of_the_main_process(daemon, container):
    daemon.run_detached(container, "sleep", "1000")
    pid = daemon.inspect(container)["pid"]
    assert pathlib.Path(f"/proc/{pid}/cmdline").read_bytes() == b"sleep\x001000\x00"


def test_a_signal_that_ends_it_shows_as_128_plus_its_number(daemon, container):
    daemon.run_detached(container, "sleep", "1000")
    daemon.ctl("kill", container, "KILL")
    assert daemon.ctl("wait", container, check=False).returncode == 128 + signal.SIGKILL


def test_stop_kills_after_the_grace_what_ignores_the_signal(daemon, container):
    daemon.run_detached(container, "sh", "-c", "trap '' TERM; while :; do usleep 10000; done")
    daemon.ctl("stop", "--time", "1", container)
    assert daemon.inspect(container)["state"] == "stopped"
    assert daemon.ctl("wait", container, check=False).returncode == 137


def test_exec_runs_inside_and_gives_its_exit_code(daemon, container):
    daemon.run_detached(container, "sleep", "1000")
    done = daemon.ctl("exec", container, "--", "sh", "-c", "hostname; echo oops >&2; exit 3", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, "bundle\n", "oops\n")


def test_exec_sees_the_containers_processes_only(daemon, container):
    daemon.run_detached(container, "sleep", "1000")
    listing = daemon.ctl("exec", container, "--", "ps").stdout
    assert "sleep 1000" in listing and "ocid" not in listing


def test_exec_passes_standard_input(daemon, container):
    daemon.run_detached(container, "sleep", "1000")
    process = daemon.spawn("exec", "-i", container, "--", "cat", stdin=subprocess.PIPE)
    out, err = process.communicate("through and back\n", timeout=20)
    assert (process.returncode, out, err) == (0, "through and back\n", "")


def test_logs_keep_both_streams_apart_and_in_order(daemon, container):
    daemon.run_detached(container, "sh", "-c", "for i in 1 2 3; do echo out $i; echo err $i >&2; done")
    daemon.ctl("wait", container, check=False)
    logs = daemon.ctl("logs", container)
    assert logs.stdout == "out 1\nout 2\nout 3\n"
    assert logs.stderr == "err 1\nerr 2\nerr 3\n"


def test_logs_follow_until_the_container_stops(daemon, container):
    daemon.ctl("create", "--bundle", daemon.bundle("sh", "-c", "for i in 1 2 3; do echo $i; usleep 50000; done"),
               container)
    follower = daemon.spawn("logs", "-f", container)
    daemon.ctl("start", container)
    out, _ = follower.communicate(timeout=20)
    assert out == "1\n2\n3\n"


def test_logs_tail_gives_the_newest_lines(daemon, container):
    daemon.run_detached(container, "seq", "1", "5000")
    daemon.ctl("wait", container)
    assert daemon.ctl("logs", "--tail", "3", container).stdout == "4998\n4999\n5000\n"


def test_run_gives_output_and_exit_code_and_rm_removes_it(daemon, container):
    bundle = daemon.bundle("sh", "-c", "echo out; echo err >&2; exit 5")
    done = daemon.ctl("run", "--rm", "--bundle", bundle, container, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (5, "out\n", "err\n")
    wait_until(lambda: container not in daemon.ctl("list", "-q").stdout.split(), what="removed")


def test_a_stopped_container_starts_again_as_the_next_generation(daemon, container):
    daemon.run_detached(container, "sh", "-c", "exit 4")
    daemon.ctl("wait", container, check=False)
    daemon.ctl("start", container)
    assert daemon.ctl("wait", container, check=False).returncode == 4
    assert daemon.inspect(container)["generation"] == 2


def test_pause_stops_the_processes_and_resume_lets_them_go_on(daemon, container):
    daemon.run_detached(container, "sh", "-c", "while :; do echo tick; usleep 10000; done")
    wait_until(lambda: "tick" in daemon.ctl("logs", container).stdout, what="first output")
    daemon.ctl("pause", container)
    assert daemon.inspect(container)["state"] == "paused"
    before = daemon.ctl("logs", container).stdout
    assert daemon.ctl("logs", container).stdout == before
    daemon.ctl("resume", container)
    wait_until(lambda: len(daemon.ctl("logs", container).stdout) > len(before), what="more output")


def test_events_tell_every_change_of_state_in_order(daemon, container):
    daemon.run_detached(container, "true")
    daemon.ctl("wait", container)
    daemon.ctl("delete", container)
    lines = daemon.ctl("--format", "json", "events", "--from", "1", "--no-follow").stdout.splitlines()
    events = [json.loads(line) for line in lines]
    numbers = [int(event["sequence"]) for event in events]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    states = [event["state"] for event in events if event.get("container_id") == container]
    assert [state for state in states if state in ("created", "running", "stopped")] == \
        ["created", "running", "stopped"]


def test_inside_are_only_the_standard_descriptors(daemon, container):
    bundle = daemon.bundle("sh", "-c", "exec ls /proc/self/fd")
    # The fourth is the folder that ls itself reads.
    assert daemon.ctl("run", "--rm", "--bundle", bundle, container).stdout.split() == ["0", "1", "2", "3"]


def test_inside_are_the_namespaces_user_limits_and_capabilities_of_the_spec(daemon, container):
    spec = bundles.config("sh", "-c", "hostname; id -u; id -g; ulimit -n; "
                          "grep -E 'CapEff|CapInh|NoNewPrivs' /proc/self/status; pwd; echo $ANSWER")
    spec["process"].update(user={"uid": 1000, "gid": 1001}, cwd="/tmp",
                           env=spec["process"]["env"] + ["ANSWER=42"])
    spec["process"]["capabilities"] = {name: ["CAP_KILL"] for name in ("bounding", "effective", "permitted")}
    out = daemon.ctl("run", "--rm", "--bundle", daemon.bundle(spec=spec), container).stdout
    assert out.split("\n")[:4] == ["bundle", "1000", "1001", "1024"]
    # execve(2) by another user than root clears what is not ambient.
    assert "CapInh:\t0000000000000000\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\n/tmp\n42\n" in out


def test_inside_masked_paths_are_empty_and_read_only_paths_refuse(daemon, container):
    bundle = daemon.bundle("sh", "-c", "wc -c < /proc/keys; ls /sys/firmware | wc -l; "
                           "echo 1 > /proc/sys/kernel/domainname || echo refused")
    out = daemon.ctl("run", "--rm", "--bundle", bundle, container, check=False).stdout
    assert out.split() == ["0", "0", "refused"]


def test_a_seccomp_profile_holds(daemon, container):
    spec = bundles.config("sh", "-c", "mkdir /tmp/denied-by-seccomp || echo denied")
    spec["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat", "no_such_call"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13}]}
    out = daemon.ctl("run", "--rm", "--bundle", daemon.bundle(spec=spec), container).stdout
    assert out == "denied\n"


def test_a_terminal_is_one_inside(daemon, container):
    spec = bundles.config("sh", "-c", "tty; test -t 0 && test -t 1 && echo terminal")
    spec["process"]["terminal"] = True
    daemon.ctl("create", "--bundle", daemon.bundle(spec=spec), container)
    daemon.ctl("start", container)
    daemon.ctl("wait", container)
    assert daemon.ctl("logs", container).stdout.replace("\r", "") == "/dev/pts/0\nterminal\n"


def test_overrides_of_the_request_win_over_the_bundle(daemon, container):
    bundle = daemon.bundle("false")
    out = daemon.ctl("run", "--rm", "--bundle", bundle, "--hostname", "other", "-e", "COLOUR=green", "--cwd", "/tmp",
                     container, "--", "sh", "-c", "hostname; echo $COLOUR; pwd").stdout
    assert out == "other\ngreen\n/tmp\n"


def test_list_filters_by_state_and_label(daemon, container):
    daemon.ctl("create", "--label", "tier=web", "--bundle", daemon.bundle("true"), container)
    assert daemon.ctl("list", "-q", "--filter", "label.tier=web state=created").stdout.split() == [container]
    assert daemon.ctl("list", "-q", "--filter", "label.tier=db").stdout == ""


def test_ps_lists_the_processes_of_the_container(daemon, container):
    daemon.run_detached(container, "sleep", "1000")
    pid = daemon.inspect(container)["pid"]
    assert str(pid) in daemon.ctl("ps", container).stdout


def test_a_limit_on_processes_holds(daemon, container):
    spec = bundles.config("sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 5 & done; echo forked all")
    spec["linux"]["resources"] = {"pids": {"limit": 5}}
    done = daemon.ctl("run", "--rm", "--bundle", daemon.bundle(spec=spec), container, check=False)
    assert "forked all" not in done.stdout


def test_the_final_spec_and_who_wrote_what_can_be_read(daemon, container):
    daemon.ctl("create", "--bundle", daemon.bundle("true"), "--hostname", "asked", container)
    final = json.loads(daemon.ctl("spec", container).stdout)
    assert final["hostname"] == "asked"
    assert "request" in daemon.ctl("spec", "blame", container, "/hostname").stdout
    daemon.ctl("spec", "verify", container)


def test_version_and_info_answer(daemon):
    assert "ocid" in daemon.ctl("version").stdout
    info = json.loads(daemon.ctl("--format", "json", "info").stdout)
    assert info["root_dir"] == str(daemon.root)
    assert os.path.isdir(info["state_dir"])


def test_a_cdi_device_is_usable_inside_and_so_are_the_default_devices(daemon, container):
    folder = daemon.folder / "cdi"
    folder.mkdir(exist_ok=True)
    (folder / "sample.json").write_text(json.dumps({
        "cdiVersion": "0.6.0", "kind": "test.example/sample",
        "devices": [{"name": "log", "containerEdits": {
            "env": ["SAMPLE=yes"],
            "deviceNodes": [{"path": "/dev/sample", "hostPath": "/dev/fuse", "permissions": "r"}]}}]}))
    bundle = daemon.bundle("sh", "-c", "echo $SAMPLE; test -c /dev/sample && (exec 3< /dev/sample) && echo opened; "
                           "echo x > /dev/null && head -c 1 /dev/urandom | wc -c; (exec 3> /dev/sample) || echo refused")
    out = daemon.ctl("run", "--rm", "--bundle", bundle, "--device", "test.example/sample=log", container).stdout
    assert out.split() == ["yes", "opened", "1", "refused"]
    (folder / "sample.json").unlink()


def test_a_limit_that_nothing_can_enforce_is_an_error_that_names_the_controller(daemon, container):
    spec = bundles.config("true")
    spec["linux"]["resources"] = {"unified": {"nosuch.max": "1"}}
    done = daemon.ctl("create", "--bundle", daemon.bundle(spec=spec), container, check=False)
    assert done.returncode != 0 and "CONTROLLER_MISSING" in done.stderr and "nosuch" in done.stderr


def test_a_limit_that_nothing_can_enforce_is_a_warning_where_that_is_allowed():
    daemon = Daemon("--allow-missing-controllers")
    try:
        spec = bundles.config("sleep", "1000")
        spec["linux"]["resources"] = {"unified": {"nosuch.max": "1"}}
        daemon.ctl("create", "--bundle", daemon.bundle(spec=spec), "c1")
        daemon.ctl("start", "c1")
        assert any("nosuch" in warning for warning in daemon.inspect("c1")["warnings"])
    finally:
        daemon.close()


def test_properties_of_units_that_are_not_listed_are_stripped_and_that_is_recorded(daemon, container):
    daemon.ctl("create", "--annotation", "org.systemd.property.SuccessAction='poweroff-force'",
               "--bundle", daemon.bundle("true"), container)
    assert any("SuccessAction" in warning for warning in daemon.inspect(container)["warnings"])


def test_a_kill_for_lack_of_memory_is_an_event_while_the_container_runs(daemon, container):
    spec = bundles.config("sh", "-c", "dd if=/dev/zero of=/dev/null bs=64M count=1; exec sleep 1000")
    spec["linux"]["resources"] = {"memory": {"limit": 16 << 20}}
    done = daemon.ctl("create", "--bundle", daemon.bundle(spec=spec), container, check=False)
    if "CONTROLLER_MISSING" in done.stderr:
        pytest.skip("no memory controller here")
    daemon.ctl("start", container)

    def told():
        lines = daemon.ctl("--format", "json", "events", "--from", "1", "--no-follow").stdout.splitlines()
        return [event for event in map(json.loads, lines)
                if event.get("container_id") == container and "oom" in event["type"].lower()]
    wait_until(told, what="an event")
    assert daemon.inspect(container)["state"] == "running"
    daemon.ctl("kill", container, "KILL")
    daemon.ctl("wait", container, check=False)
    assert daemon.inspect(container)["exit_status"]["oom_killed"] and len(told()) == 1
