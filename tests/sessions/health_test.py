"""Health checks: probes inside, on the way that costs next to nothing."""

import json
import time

from tests.testing.daemon import wait_until
from tests.testing.fixtures import own_daemon, shared_daemon  # pylint: disable=unused-import


def health(daemon, container):
    return daemon.inspect(container).get("health", {})


def becomes(daemon, container, status):
    wait_until(lambda: health(daemon, container).get("status") == status, seconds=20, what=f"{container} is {status}")


def events(daemon, container):
    lines = daemon.ctl("--format", "json", "events", "--from", "1", "--no-follow").stdout.splitlines()
    return [event for event in map(json.loads, lines) if event.get("container_id") == container]


def changes(daemon, container):
    return [event["health"] for event in events(daemon, container) if event["type"] == "health_changed"]


def run(daemon, container, command, *flags):
    daemon.ctl("run", "-d", "--bundle", daemon.bundle("sleep", "1000"), "--health-cmd", command,
               "--health-interval", "0.05", *flags, container)


def test_the_status_follows_the_probes_and_each_change_is_one_event(daemon):
    flag = daemon.rootfs / "tmp" / "well"
    run(daemon, "c1", "test -e /tmp/well && echo I am well", "--health-retries", "2", "--health-start-period", "60")
    assert health(daemon, "c1")["status"] == "starting"
    flag.touch()
    becomes(daemon, "c1", "healthy")
    assert "running (healthy)" in daemon.ctl("list").stdout
    flag.unlink()
    becomes(daemon, "c1", "unhealthy")
    flag.touch()
    becomes(daemon, "c1", "healthy")
    time.sleep(0.5)  # many more probes, none of them news
    assert changes(daemon, "c1") == ["healthy", "unhealthy", "healthy"]
    probes = health(daemon, "c1")["probes"]
    assert 1 <= len(probes) <= 5 and probes[-1]["exit_code"] == 0
    # A probe is no exec: neither in the table nor in the events.
    assert daemon.ctl("execs", "list", "-q", "c1").stdout == ""
    assert not [event for event in events(daemon, "c1") if event["type"].startswith("exec")]
    daemon.ctl("stop", "--time", "0", "c1")
    assert "health" not in daemon.inspect("c1")
    flag.unlink()
    daemon.ctl("delete", "c1")


def test_a_probe_that_hangs_is_killed_and_counts_as_failed(daemon):
    run(daemon, "c2", "sleep 1000", "--health-timeout", "0.2", "--health-retries", "2")
    becomes(daemon, "c2", "unhealthy")
    assert "longer than" in health(daemon, "c2")["probes"][-1]["error"]
    daemon.ctl("stop", "--time", "0", "c2")
    daemon.ctl("delete", "c2")


def test_what_a_probe_writes_is_kept_in_bounds(daemon):
    run(daemon, "c3", "yes | head -c 1000000; echo the end")
    becomes(daemon, "c3", "healthy")
    done = daemon.ctl("inspect", "c3").stdout
    assert "the end" in json.loads(done)["health"]["probes"][0]["output"] and len(done) < 50000
    daemon.ctl("delete", "-f", "c3")


def test_a_restart_of_the_daemon_keeps_the_status_and_is_no_news(fresh_daemon):
    daemon = fresh_daemon
    run(daemon, "c1", "true")
    becomes(daemon, "c1", "healthy")
    for stop in (daemon.kill, daemon.terminate):
        stop()
        daemon.start()
        assert health(daemon, "c1")["status"] == "healthy"
        wait_until(lambda: health(daemon, "c1").get("probes"), what="probes go on")
    assert changes(daemon, "c1") == ["healthy"]


def test_probes_leave_nothing_behind(fresh_daemon):
    daemon = fresh_daemon
    run(daemon, "c1", "true")
    becomes(daemon, "c1", "healthy")
    supervisor = daemon.inspect("c1")["supervisor_pid"]
    before = (daemon.pss_kib(supervisor), daemon.descriptors(supervisor), daemon.descriptors(daemon.process.pid))
    time.sleep(3)
    assert daemon.pss_kib(supervisor) < before[0] + 64
    wait_until(lambda: daemon.descriptors(supervisor) <= before[1] + 4, what="descriptors of the supervisor")
    wait_until(lambda: daemon.descriptors(daemon.process.pid) <= before[2] + 4, what="descriptors of the daemon")
    assert len(list((daemon.state / "containers" / "c1").iterdir())) <= 4
