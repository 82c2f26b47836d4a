"""What an operator sees: metrics, the audit log, traces, and the debug dump."""

import hashlib
import json
import os
import re
import signal
import socket
import stat
import subprocess
import urllib.request

import pytest

from tests.testing import grpc_api
from tests.testing.daemon import Daemon, wait_until

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(name="api", scope="module")
def loaded_api():
    return grpc_api.load()


@pytest.fixture(name="port", scope="module")
def metrics_port():
    return free_port()


@pytest.fixture(name="daemon", scope="module")
def observed_daemon(port):
    daemon = Daemon("--metrics-listen", f"127.0.0.1:{port}", "--audit-log-size", "65536",
                    "--audit-log-files", "3")
    yield daemon
    daemon.close()


@pytest.fixture(name="web")
def running_container(daemon):
    daemon.run_detached("web", "sleep", "60")
    yield "web"
    daemon.ctl("delete", "-f", "web")


def scrape(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return answer.read().decode()


def value(text, name, **labels):
    """The value of one series; None where there is none."""
    for line in text.splitlines():
        match = re.match(r"(\w+)(?:\{(.*)\})? (\S+)", line)
        if match is None or match[1] != name:
            continue
        found = dict(re.findall(r'(\w+)="([^"]*)"', match[2] or ""))
        if labels.items() <= found.items():
            return float(match[3])
    return None


def audit(daemon):
    lines = []
    for suffix in (".2", ".1", ""):
        path = daemon.root / "audit" / f"audit.log{suffix}"
        if path.exists():
            lines += map(json.loads, path.read_text().splitlines())
    return lines


def test_metrics_count_calls_containers_phases_and_memory(daemon, port, web):
    daemon.ctl("inspect", web)
    daemon.ctl("inspect", "nobody", check=False)
    daemon.ctl("device", "list")
    assert value(scrape(port), "ocid_containers", state="running") == 1
    daemon.ctl("kill", "--signal", "KILL", web)
    daemon.ctl("wait", web, check=False)
    text = scrape(port)
    get = "ocid.v1.ContainerService/Get"
    assert value(text, "ocid_rpc_duration_seconds_count", method=get, code="OK") >= 1
    assert value(text, "ocid_rpc_duration_seconds_count", method=get, code="NOT_FOUND") >= 1
    assert value(text, "ocid_containers", state="stopped") == 1
    assert value(text, "ocid_containers", state="running") in (None, 0)
    for phase in ("spec", "cgroup", "plan", "launch", "start"):
        assert value(text, "ocid_container_phase_duration_seconds_count", phase=phase) >= 1, phase
    assert value(text, "process_resident_memory_bytes") > 1 << 20
    assert value(text, "process_open_fds") > 5
    assert value(text, "process_threads") > 3
    assert value(text, "ocid_event_log_last_sequence") >= 3
    assert value(text, "ocid_event_log_size_bytes") > 0
    assert value(text, "ocid_cdi_refresh_duration_seconds_count") >= 1
    assert value(text, "ocid_connections") is not None
    assert value(text, "ocid_audit_lines_total") >= 2
    assert value(text, "ocid_supervisors_pss_bytes") is not None
    assert value(text, "ocid_build_info") == 1


def test_metrics_are_what_prometheus_wants(port):
    text = scrape(port)
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, timeout=30, check=False)
    assert checked.returncode == 0, checked.stdout
    assert checked.stdout == ""
    for line in text.splitlines():
        if line.startswith("# HELP"):
            assert len(line.split(" ", 3)) == 4 and line.split(" ", 3)[3], line


def test_watchers_that_lag_are_seen(daemon, port, api):
    with api.channel(daemon.socket) as channel:
        watch = api.event_grpc.EventServiceStub(channel).Watch(api.event.WatchEventsRequest())
        wait_until(lambda: value(scrape(port), "ocid_event_watchers") == 1, what="seen")
        assert value(scrape(port), "ocid_event_watcher_lag_max_events") == 0
        watch.cancel()
    wait_until(lambda: value(scrape(port), "ocid_event_watchers") == 0, what="gone")


def test_metrics_listen_nowhere_by_default(fresh_port_daemon):
    listening = subprocess.run(["ss", "-Hltnp"], stdout=subprocess.PIPE, text=True, timeout=10,
                               check=True).stdout
    assert f"pid={fresh_port_daemon.process.pid}," not in listening


@pytest.fixture(name="fresh_port_daemon")
def daemon_without_flags():
    daemon = Daemon()
    yield daemon
    daemon.close()


def test_the_audit_log_has_each_change_once_and_no_read(daemon, web):
    before = len(audit(daemon))
    daemon.ctl("inspect", web)
    daemon.ctl("list")
    assert len(audit(daemon)) == before
    daemon.ctl("kill", web)
    (line,) = audit(daemon)[before:]
    assert line["who"] == "uid:0" and line["role"] == "admin"
    assert line["method"] == "ocid.v1.ContainerService/Kill" and line["container"] == web
    assert line["peer"].startswith("unix:pid=") and line["code"] == "OK"
    assert re.fullmatch("[0-9a-f]{64}", line["request_sha256"])
    assert line["duration_us"] >= 0


def test_an_execs_arguments_are_a_digest(daemon, api, web):
    with api.channel(daemon.socket) as channel:
        api.exec_grpc.ExecServiceStub(channel).Create(api.exec.CreateExecRequest(
            container_id=web, exec_id="secret",
            config=api.exec.ExecConfig(args=["sh", "-c", "echo hunter2"])))
    text = (daemon.root / "audit" / "audit.log").read_text()
    assert "hunter2" not in text
    digest = hashlib.sha256(b"sh\0-c\0echo hunter2\0").hexdigest()
    assert audit(daemon)[-1]["argv_sha256"] == digest
    assert audit(daemon)[-1]["exec"] == "secret"


def test_the_audit_log_is_rotated_by_size(daemon, api):
    with api.channel(daemon.socket) as channel:
        kill = api.container_grpc.ContainerServiceStub(channel).Kill
        for number in range(600):
            with pytest.raises(Exception, match="NOT_FOUND"):
                kill(api.container.KillContainerRequest(container_id=f"none-{number}", signal="KILL"))
    folder = daemon.root / "audit"
    assert sorted(os.listdir(folder)) == ["audit.log", "audit.log.1", "audit.log.2"]
    assert all(path.stat().st_size <= 65536 for path in folder.iterdir())
    assert stat.S_IMODE((folder / "audit.log").stat().st_mode) == 0o600
    assert audit(daemon)[-1]["container"] == "none-599"


def test_a_trace_is_in_the_audit_log_and_in_events(daemon, api, web):
    with api.channel(daemon.socket) as channel:
        containers = api.container_grpc.ContainerServiceStub(channel)
        containers.Pause(api.container.PauseContainerRequest(container_id=web),
                         metadata=(("traceparent", TRACEPARENT), ("tracestate", "a=b")))
        assert audit(daemon)[-1]["trace_id"] == TRACE
        events = list(api.event_grpc.EventServiceStub(channel).Watch(
            api.event.WatchEventsRequest(from_sequence=1, no_follow=True)))
        assert [event.trace_id for event in events if event.container_id == web][-1] == TRACE
        containers.Resume(api.container.ResumeContainerRequest(container_id=web),
                          metadata=(("traceparent", "00-zz-malformed"),))
        assert "trace_id" not in audit(daemon)[-1]


def test_sigusr1_writes_what_the_daemon_is_doing(daemon, web):
    daemon.process.send_signal(signal.SIGUSR1)
    dumps = lambda: list(daemon.state.glob("debug-*.json"))
    wait_until(lambda: dumps() and dumps()[0].read_text().endswith("}"), what="dump")
    assert stat.S_IMODE(dumps()[0].stat().st_mode) == 0o600
    dump = json.loads(dumps()[0].read_text())
    (container,) = [c for c in dump["containers"] if c["id"] == web]
    assert container["state"] == "CONTAINER_STATE_RUNNING" and container["supervisor_pid"] > 0
    assert dump["process"]["threads"] and dump["process"]["descriptors"]["socket"] > 0
    assert "metrics-listen" in dump["config"]
    assert dump["events"]["last_sequence"] > 0
    assert json.loads(daemon.ctl("debug", "dump").stdout)["process"]["pid"] == daemon.process.pid
