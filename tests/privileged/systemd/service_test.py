"""ocid as a service, from deploy/systemd: readiness, socket activation, watchdog, restarts."""

import os
import pathlib
import signal
import subprocess
import time

import pytest

from tests.privileged.systemd import service
from tests.privileged.systemd.service import show, systemctl
from tests.testing import bundle as bundles
from tests.testing.daemon import wait_until


@pytest.fixture(name="api")
def running_service():
    service.install("/tmp/ocid-root", "WatchdogSec=3s")
    api = service.Api(modules())
    yield api
    systemctl("start", "ocid.service")
    for name in api.ids():
        api.delete(name)
    systemctl("stop", "ocid.service", "ocid.socket")


def modules(loaded=[]):  # pylint: disable=dangerous-default-value
    if not loaded:
        loaded.append(service.grpc_api.load())
    return loaded[0]


@pytest.fixture(name="bundle")
def sleeper(name="sleeper"):
    rootfs = bundles.make_rootfs("/tmp/rootfs")
    return bundles.write(f"/tmp/bundles/{name}", bundles.config("sleep", "10000"), rootfs=rootfs)


def stat(path):
    return os.stat(path).st_mode & 0o777


def test_the_service_is_ready_when_it_serves_and_has_its_folders(api):
    assert show("ocid.service", "ActiveState", "Type", "KillMode", "Delegate") == {
        "ActiveState": "active", "Type": "notify", "KillMode": "process", "Delegate": "yes"}
    assert api.ids() == []
    assert (stat("/run/ocid"), stat("/run/ocid/ocid.sock"), stat("/var/lib/ocid")) == (0o711, 0o660, 0o700)
    assert (stat("/run/ocid/containers"), stat("/tmp/ocid-root")) == (0o700, 0o700)


def test_a_connection_starts_the_service(api):
    systemctl("stop", "ocid.service")
    assert show("ocid.service", "ActiveState")["ActiveState"] == "inactive"
    assert service.SOCKET.exists(), "it is systemd's"
    assert api.ids() == []
    assert show("ocid.service", "ActiveState")["ActiveState"] == "active"


def test_a_restart_of_the_socket_restarts_the_service(api, bundle):
    first, daemon = api.run("web", bundle), service.main_pid()
    systemctl("restart", "ocid.socket")
    wait_until(lambda: service.main_pid() not in (0, daemon), what="another daemon")
    assert api.get("web").pid == first.pid


def test_restarts_stops_and_kills_of_the_service_leave_containers_alone(api, bundle):
    first = api.run("web", bundle)
    assert service.cgroup_of(first.pid).name == "ocid-web.scope"
    assert service.cgroup_of(first.supervisor_pid).name == service.SUPERVISORS
    assert service.cgroup_of(first.supervisor_pid).parent.name == "system.slice"

    def is_the_same():
        again = api.get("web")
        assert (again.pid, again.supervisor_pid, api.state("web")) == (first.pid, first.supervisor_pid, "RUNNING")

    systemctl("restart", "ocid.service")
    is_the_same()
    systemctl("stop", "ocid.service")
    assert show(service.SUPERVISORS, "ActiveState")["ActiveState"] == "active"
    os.kill(first.pid, 0)
    systemctl("start", "ocid.service")
    is_the_same()
    systemctl("kill", "--signal=KILL", "--kill-who=main", "ocid.service")
    wait_until(lambda: show("ocid.service", "NRestarts")["NRestarts"] != "0", what="systemd starts it again")
    is_the_same()
    # The old supervisors' scope is the new ones', too.
    second = api.run("db", bundle)
    assert service.cgroup_of(second.supervisor_pid) == service.cgroup_of(first.supervisor_pid)
    assert api.exec("web", "true") == 0


def test_a_daemon_that_hangs_is_restarted_by_the_watchdog(api, bundle):
    container = api.run("web", bundle)
    hung = service.main_pid()
    time.sleep(4)
    assert service.main_pid() == hung, "alive, it is fed"
    os.kill(hung, signal.SIGSTOP)
    wait_until(lambda: service.main_pid() not in (0, hung), seconds=30, what="another daemon")
    assert api.get("web").pid == container.pid


def test_supervisors_that_are_killed_with_their_scope_take_their_containers_and_new_ones_get_a_new_scope(api, bundle):
    api.run("web", bundle)
    systemctl("kill", "--signal=KILL", service.SUPERVISORS)
    api.wait_for("web", "STOPPED")
    again = api.start("web")
    assert service.cgroup_of(again.supervisor_pid).name == service.SUPERVISORS
    assert show(service.SUPERVISORS, "ActiveState")["ActiveState"] == "active"


def test_containers_are_killed_for_memory_before_the_daemon_and_its_supervisors(api, bundle):
    container = api.run("web", bundle)
    score = {pid: int(pathlib.Path(f"/proc/{pid}/oom_score_adj").read_text())
             for pid in (service.main_pid(), container.supervisor_pid, container.pid)}
    if score[service.main_pid()] == 0:
        pytest.skip("scores cannot be lowered here: no CAP_SYS_RESOURCE")
    assert score[service.main_pid()] < 0 and score[container.supervisor_pid] < 0 and score[container.pid] == 0


def test_the_bus_is_restarted_while_containers_come_and_go(api, bundle):
    api.run("before", bundle)
    systemctl("restart", "dbus.service")
    wait_until(lambda: subprocess.run(["busctl", "status"], check=False, stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL).returncode == 0, what="the bus is back")
    api.run("after", bundle)
    api.stop("before")
    assert (api.state("before"), api.state("after")) == ("STOPPED", "RUNNING")


def test_a_systemd_that_is_slow_is_waited_for(api, bundle):
    # Nothing gets through the bus for two seconds.
    bus = int(show("dbus.service", "MainPID")["MainPID"])
    os.kill(bus, signal.SIGSTOP)
    thaw = subprocess.Popen(["sh", "-c", f"sleep 2; kill -CONT {bus}"])
    try:
        begin = time.monotonic()
        api.run("slow", bundle)
        assert time.monotonic() - begin > 1.5
        assert api.state("slow") == "RUNNING"
    finally:
        thaw.wait()


def test_a_failed_unit_of_the_same_name_is_no_obstacle(api, bundle):
    subprocess.run(["systemd-run", "--scope", "--quiet", "--unit=ocid-taken.scope", "-p", "RuntimeMaxSec=0.1",
                    "sleep", "100"], check=False)
    wait_until(lambda: show("ocid-taken.scope", "ActiveState")["ActiveState"] == "failed", what="it failed")
    api.run("taken", bundle)
    assert show("ocid-taken.scope", "ActiveState")["ActiveState"] == "active"
