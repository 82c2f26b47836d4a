"""Restart policies, over restarts of the daemon too."""

import json
import os
import signal
import time

from tests.testing.daemon import wait_until
from tests.testing.fixtures import own_daemon  # pylint: disable=unused-import


def starts(daemon, container):
    lines = daemon.ctl("--format", "json", "events", "--from", "1", "--no-follow").stdout.splitlines()
    return len([event for event in map(json.loads, lines)
                if event.get("container_id") == container and event.get("state") == "running"])


def run(daemon, container, policy, *args):
    daemon.ctl("run", "-d", "--restart", policy, "--bundle", daemon.bundle(*args), container)


def test_always_starts_again_also_what_ended_while_the_daemon_was_away(fresh_daemon):
    daemon = fresh_daemon
    run(daemon, "c1", "always", "sleep", "1000")
    pid = daemon.inspect("c1")["pid"]
    daemon.kill()
    os.kill(pid, signal.SIGKILL)
    wait_until((daemon.root / "containers" / "c1" / "exit").exists, what="the exit record")
    daemon.start()
    wait_until(lambda: daemon.inspect("c1")["state"] == "running" and daemon.inspect("c1")["pid"] != pid,
               what="started again")


def test_on_failure_gives_up_at_its_limit_and_a_new_daemon_does_not_begin_anew(fresh_daemon):
    daemon = fresh_daemon
    run(daemon, "c1", "on-failure:2", "sh", "-c", "exit 3")
    wait_until(lambda: starts(daemon, "c1") == 3 and daemon.inspect("c1")["state"] == "stopped", what="given up")
    daemon.kill()
    daemon.start()
    time.sleep(1)
    assert starts(daemon, "c1") == 3
    assert daemon.inspect("c1")["exit_status"]["code"] == 3


def test_on_failure_leaves_success_alone(fresh_daemon):
    daemon = fresh_daemon
    run(daemon, "c1", "on-failure", "true")
    wait_until(lambda: daemon.inspect("c1")["state"] == "stopped", what="stopped")
    time.sleep(0.5)
    assert starts(daemon, "c1") == 1


def test_unless_stopped_remembers_that_somebody_stopped_it(fresh_daemon):
    daemon = fresh_daemon
    for name in ("stopped", "ended"):
        run(daemon, name, "unless-stopped", "sleep", "1000")
    daemon.ctl("stop", "--time", "0", "stopped")
    pid = daemon.inspect("ended")["pid"]
    daemon.kill()
    os.kill(pid, signal.SIGKILL)
    wait_until((daemon.root / "containers" / "ended" / "exit").exists, what="the exit record")
    daemon.start()
    wait_until(lambda: daemon.inspect("ended")["state"] == "running", what="ended runs again")
    time.sleep(0.5)
    assert daemon.inspect("stopped")["state"] == "stopped"
    daemon.ctl("stop", "--time", "0", "ended")


def test_a_crash_loop_waits_longer_and_longer_and_costs_little(fresh_daemon):
    daemon = fresh_daemon

    def cpu_seconds():
        fields = open(f"/proc/{daemon.process.pid}/stat", encoding="ascii").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / 100
    run(daemon, "c1", "always", "false")
    before = cpu_seconds()
    time.sleep(4)
    # 0.1 + 0.2 + 0.4 + 0.8 + 1.6 s: the sixth start is past three seconds.
    assert 3 <= starts(daemon, "c1") <= 6
    assert cpu_seconds() - before < 1
    daemon.ctl("stop", "c1")
    time.sleep(2)
    assert daemon.inspect("c1")["state"] == "stopped"
