"""Containers as units of a systemd that owns all of cgroup v2, on a kernel of its own (see in_vm.sh)."""

import json
import os
import pathlib
import subprocess
import time

import pytest

from tests.privileged.systemd import service
from tests.privileged.systemd.service import show, systemctl
from tests.testing import bundle as bundles
from tests.testing.daemon import wait_until

FOLDER = pathlib.Path(os.environ["XML_OUTPUT_FILE"]).parent
MIB = 1 << 20


@pytest.fixture(name="rootfs", scope="module")
def shared_rootfs():
    return bundles.make_rootfs("/tmp/rootfs")


@pytest.fixture(name="api", scope="module")
def running_service(rootfs):
    service.install(FOLDER / "root")
    yield service.Api()
    systemctl("stop", "ocid.service", "ocid.socket", check=False)


@pytest.fixture(name="disk", scope="module")
def empty_disk():
    """Its number, which the limits on input and output are for."""
    numbers = os.stat("/dev/vda").st_rdev
    return os.major(numbers), os.minor(numbers)


def make(rootfs, name, *args, resources=None, change=None):
    spec = bundles.config(*args)
    spec["linux"]["resources"] = resources or {}
    if change:
        change(spec)
    return bundles.write(f"/tmp/bundles/{name}", spec, rootfs=rootfs)


@pytest.fixture(name="limits", scope="module")
def all_limits(disk):
    device = {"major": disk[0], "minor": disk[1], "rate": MIB}
    return {
        "memory": {"limit": 64 * MIB, "swap": 64 * MIB, "reservation": 16 * MIB},
        "cpu": {"shares": 512, "quota": 50000, "period": 100000, "cpus": "0", "mems": "0"},
        "pids": {"limit": 30},
        "blockIO": {"weight": 100, "throttleReadBpsDevice": [device], "throttleWriteBpsDevice": [device]},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 4 * MIB}],
        "unified": {"memory.high": str(60 * MIB)},
        "devices": [{"allow": False, "access": "rwm"},
                    {"allow": True, "type": "b", "major": disk[0], "minor": disk[1], "access": "r"}],
    }


def read_back(cgroup, disk):
    """What the kernel enforces of `limits`."""
    files = {name: (cgroup / name).read_text().strip() for name in (
        "memory.max", "memory.high", "memory.low", "memory.swap.max", "cpu.max", "cpu.weight", "cpuset.cpus",
        "cpuset.mems", "pids.max", "hugetlb.2MB.max")}
    io = [line for line in (cgroup / "io.max").read_text().splitlines() if line.startswith(f"{disk[0]}:{disk[1]} ")]
    files["io.max"] = " ".join(io)
    return files


def test_a_reboot_brings_back_stopped_containers_with_their_specs(api):
    assert (FOLDER / "boot_id").read_text() != pathlib.Path("/proc/sys/kernel/random/boot_id").read_text()
    assert api.ids() == ["ended", "ran"]
    for name in ("ended", "ran"):
        assert api.state(name) == "STOPPED"
        assert json.loads(api.final_spec(name)) == json.loads((FOLDER / f"{name}.json").read_text())
    assert api.get("ended").exit_status.code == 7
    # Of one that ran nobody knows how it ended; it can be started again.
    assert not api.get("ran").exit_status.known and "restarted" in api.get("ran").exit_status.reason
    assert api.start("ran").pid > 0
    api.delete("ran")
    api.delete("ended")


def test_systemctl_shows_the_limits_that_were_asked_for_and_they_survive_reloads_under_load(api, rootfs, limits, disk):
    def with_disk(spec):
        spec["linux"]["devices"] = [{"path": "/dev/disk", "type": "b", "major": disk[0], "minor": disk[1]}]
    script = "while :; do head -c 1 /dev/disk > /dev/null || touch /tmp/refused; done"
    container = api.run("limited", make(rootfs, "limited", "sh", "-c", script, resources=limits, change=with_disk))
    cgroup = service.cgroup_of(container.pid)
    assert cgroup.name == "ocid-limited.scope"
    try:
        shown = show(cgroup.name, "MemoryMax", "MemoryLow", "MemoryHigh", "MemorySwapMax", "CPUQuotaPerSecUSec",
                     "CPUWeight", "AllowedCPUs", "AllowedMemoryNodes", "TasksMax", "IOReadBandwidthMax",
                     "IOWriteBandwidthMax", "DevicePolicy", "DeviceAllow", "Delegate", "Slice", "IOWeight")
        assert shown["MemoryMax"] == str(64 * MIB)
        assert shown["MemoryLow"] == str(16 * MIB)
        assert shown["MemoryHigh"] == str(60 * MIB)
        assert shown["MemorySwapMax"] == "0"
        assert shown["CPUQuotaPerSecUSec"] == "500ms"
        assert (shown["AllowedCPUs"], shown["AllowedMemoryNodes"]) == ("0", "0")
        assert shown["TasksMax"] == "30"
        assert shown["IOReadBandwidthMax"] == f"/dev/block/{disk[0]}:{disk[1]} {MIB}"
        assert shown["IOWriteBandwidthMax"] == f"/dev/block/{disk[0]}:{disk[1]} {MIB}"
        assert (shown["DevicePolicy"], shown["Delegate"], shown["Slice"]) == ("strict", "yes", "system.slice")
        assert f"/dev/block/{disk[0]}:{disk[1]} r" in shown["DeviceAllow"]

        before = read_back(cgroup, disk)
        assert before["memory.max"] == str(64 * MIB) and before["memory.swap.max"] == "0"
        assert before["cpu.max"] == "50000 100000" and before["pids.max"] == "30"
        assert before["cpuset.cpus"] == "0" and before["hugetlb.2MB.max"] == str(4 * MIB)
        assert f"rbps={MIB} wbps={MIB}" in before["io.max"]
        for command in ("daemon-reload", "daemon-reexec", "daemon-reload"):
            systemctl(command)
            assert read_back(cgroup, disk) == before, f"after {command}"
            assert api.exec("limited", "sh", "-c", "head -c 1 /dev/disk && : > /dev/null") == 0, f"after {command}"
            assert api.exec("limited", "sh", "-c", ": > /dev/disk") != 0, f"after {command}"
            assert api.exec("limited", "test", "-e", "/tmp/refused") != 0, f"during {command}"

        resources = api.m.types.Resources()
        resources.memory.limit_bytes = 80 * MIB
        resources.memory.swap_bytes = 80 * MIB
        resources.pids.limit = 40
        api.update("limited", resources, "memory.limit_bytes", "memory.swap_bytes", "pids.limit")
        systemctl("daemon-reload")
        after = read_back(cgroup, disk)
        assert (after["memory.max"], after["pids.max"]) == (str(80 * MIB), "40")
        assert {**after, "memory.max": 0, "pids.max": 0} == {**before, "memory.max": 0, "pids.max": 0}

        stats = api.stats("limited")
        assert stats.memory.limit_bytes == 80 * MIB and stats.pids.limit == 40 and stats.pids.current >= 1
        assert stats.cpu.usage_ns > 0 and stats.cpu.periods > 0
        assert stats.memory.HasField("pressure") and stats.cpu.HasField("pressure") and stats.io.HasField("pressure")
        assert [h.limit_bytes for h in stats.hugetlb if h.page_size == "2MB"] == [4 * MIB]
    finally:
        api.delete("limited")
    wait_until(lambda: show(cgroup.name, "LoadState")["LoadState"] == "not-found", what="the unit is gone")


def test_a_process_over_the_memory_limit_is_killed_and_reported_as_such(api, rootfs):
    limit = {"memory": {"limit": 16 * MIB, "swap": 16 * MIB}}
    greedy = ("dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1")
    api.run("greedy", make(rootfs, "greedy", *greedy, resources=limit))
    exit_status = api.wait("greedy")
    assert (exit_status.code, exit_status.oom_killed) == (137, True)
    assert api.events_of("greedy", "OOM") == 1
    api.delete("greedy")

    # Not the first process: the container lives on and the event comes while it does.
    api.run("parent", make(rootfs, "parent", "sh", "-c", "dd if=/dev/zero of=/dev/null bs=64M count=1; exec sleep 1000",
                           resources=limit))
    wait_until(lambda: api.events_of("parent", "OOM") == 1, seconds=30, what="event")
    assert api.state("parent") == "RUNNING" and api.stats("parent").memory.oom_kills == 1
    api.delete("parent")


def test_limits_on_processes_cpu_and_disk_hold(api, rootfs, disk):
    def with_disk(spec):
        spec["linux"]["devices"] = [{"path": "/dev/disk", "type": "b", "major": disk[0], "minor": disk[1]}]
    device = {"major": disk[0], "minor": disk[1], "rate": MIB}
    resources = {
        "pids": {"limit": 5}, "cpu": {"quota": 20000, "period": 100000},
        "blockIO": {"throttleReadBpsDevice": [device]},
        "devices": [{"allow": True, "type": "b", "major": disk[0], "minor": disk[1], "access": "r"}]}
    api.run("held", make(rootfs, "held", "sh", "-c", "while :; do :; done", resources=resources, change=with_disk))
    begin, used = time.monotonic(), api.stats("held").cpu.usage_ns
    time.sleep(2)
    used, taken = (api.stats("held").cpu.usage_ns - used) / 1e9, time.monotonic() - begin
    assert 0.05 * taken < used < 0.3 * taken, f"{used} of {taken} s"
    assert api.exec("held", "sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 1 & done; exit 0") != 0
    api.delete("held")

    # Without the limit on the CPU, which would hide what the disk takes.
    del resources["cpu"]
    api.run("reader", make(rootfs, "reader", "dd", "if=/dev/disk", "of=/dev/null", "bs=256k", "count=16", "iflag=direct",
                           resources=resources, change=with_disk))
    begin = time.monotonic()
    assert api.wait("reader").code == 0
    assert time.monotonic() - begin > 2.5, "4 MiB at 1 MiB a second"
    api.delete("reader")


def test_a_stop_of_the_scope_is_seen_as_an_exit(api, rootfs):
    api.run("stopped", make(rootfs, "stopped", "sh", "-c", "trap 'exit 5' TERM; while :; do sleep 0.1; done"))
    systemctl("stop", "ocid-stopped.scope")
    exit_status = api.wait("stopped")
    assert exit_status.known and exit_status.code == 5
    assert api.state("stopped") == "STOPPED"
    api.start("stopped")
    assert show("ocid-stopped.scope", "ActiveState")["ActiveState"] == "active"
    api.delete("stopped")


def test_a_restart_of_the_service_loses_none_of_twenty_containers(api, rootfs):
    bundle = make(rootfs, "live", "sh", "-c", "while ! test -e /tmp/go; do sleep 1; done; exit 3")
    pids = {f"live{i}": api.run(f"live{i}", bundle).pid for i in range(20)}
    before = service.main_pid()
    assert service.cgroup_of(api.get("live0").supervisor_pid).name == service.SUPERVISORS
    systemctl("restart", "ocid.service")
    assert service.main_pid() != before
    assert {name: api.get(name).pid for name in pids} == pids
    assert all(api.state(name) == "RUNNING" for name in pids)

    systemctl("stop", "ocid.service", "ocid.socket")
    assert all(pathlib.Path(f"/proc/{pid}").exists() for pid in pids.values())
    (rootfs / "tmp" / "go").touch()  # they end while nobody looks
    wait_until(lambda: not any(pathlib.Path(f"/proc/{pid}").exists() for pid in pids.values()), seconds=60, what="ends")
    systemctl("start", "ocid.socket", "ocid.service")
    assert [api.wait(name).code for name in pids] == [3] * 20
    for name in pids:
        api.delete(name)


def test_a_user_namespace_owns_its_delegated_cgroup_and_not_its_limits(api, rootfs):
    def mapped(spec):
        spec["linux"]["namespaces"] += [{"type": "user"}, {"type": "cgroup"}]
        for kind in ("uidMappings", "gidMappings"):
            spec["linux"][kind] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
        spec["mounts"] = [m for m in spec["mounts"] if m["destination"] != "/sys"] + [
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "noexec"]}]
    script = ("mkdir /sys/fs/cgroup/inner && echo $$ > /sys/fs/cgroup/inner/cgroup.procs && "
              "! (echo max > /sys/fs/cgroup/pids.max) && exec sleep 1000")
    subprocess.run(["chown", "-R", "100000:100000", str(rootfs)], check=True)
    try:
        container = api.run("mapped", make(rootfs, "mapped", "sh", "-c", script, resources={"pids": {"limit": 20}},
                                           change=mapped))
        wait_until(lambda: service.cgroup_of(container.pid).name == "inner", seconds=30, what="it moved itself")
        scope = service.cgroup_of(container.pid).parent
        assert os.stat(scope).st_uid == os.stat(scope / "cgroup.procs").st_uid == 100000
        assert os.stat(scope / "pids.max").st_uid == 0
        assert (scope / "pids.max").read_text().strip() == "20"
        api.delete("mapped")
    finally:
        subprocess.run(["chown", "-R", "0:0", str(rootfs)], check=True)
