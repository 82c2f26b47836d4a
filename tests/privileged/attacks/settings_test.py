"""Specs whose values are the attack: sysctls, cgroup paths, ids, mappings, annotations."""

import pathlib
import time

import pytest

from tests.testing.engines import Background, guarded_engine, _module_engine  # pylint: disable=unused-import
from tests.testing import bundle as bundles

IDLE = "echo up; trap 'exit 0' TERM; while :; do sleep 0.1; done"


@pytest.fixture(name="rootfs", scope="module")
def shared_rootfs(module_engine):
    return module_engine.rootfs()


def without_namespace(spec, kind):
    spec["linux"]["namespaces"] = [n for n in spec["linux"]["namespaces"] if n["type"] != kind]
    return spec


@pytest.mark.parametrize("name", [
    "kernel.core_pattern", "kernel/core_pattern", "kernel.msgmax+/../core_pattern", "kernel.modprobe",
    "net.ipv4.conf.all.../../../kernel.core_pattern", "net/../kernel/core_pattern", "../kernel/core_pattern",
    "kernel.msgmax=1\nkernel.core_pattern", "net.ipv4+kernel.core_pattern", "", ".", "vm.swappiness"])
def test_sysctls_that_are_not_of_a_namespace_are_refused(engine, rootfs, name):
    # CVE-2022-0811
    spec = bundles.config("true")
    spec["linux"]["sysctl"] = {name: "|/evil"}
    assert not engine.run(spec, rootfs).ok


@pytest.mark.parametrize("name, namespace", [("net.ipv4.ip_forward", "network"), ("kernel.msgmax", "ipc"),
                                             ("fs.mqueue.msg_max", "ipc")])
def test_sysctls_of_a_namespace_that_is_the_hosts_are_refused(engine, rootfs, name, namespace):
    path = pathlib.Path("/proc/sys") / name.replace(".", "/")
    before = path.read_text()
    spec = without_namespace(bundles.config("true"), namespace)
    spec["linux"]["sysctl"] = {name: "1"}
    assert not engine.run(spec, rootfs).ok
    assert path.read_text() == before


@pytest.mark.parametrize("path", ["/../../escape", "../escape", "a/../../escape", "/escape/..", "a//../../escape",
                                  "escape\n0", "x:y:../../escape"])
def test_cgroup_paths_do_not_leave_their_parent(engine, rootfs, path):
    spec = bundles.config("true")
    spec["linux"]["cgroupsPath"] = path
    engine.run(spec, rootfs)
    bases = [pathlib.Path("/sys/fs/cgroup"), *pathlib.Path("/sys/fs/cgroup").iterdir()]
    assert not [base for base in bases if (base / "escape").exists()]


@pytest.mark.parametrize("name", ["..", ".", "a/b", "../x", pytest.param("x" * 300, id="long"), "ünicode",
                                  "a b", "-x", ""])
def test_ids_that_are_paths_are_refused(engine, rootfs, name):
    engine.new_id = lambda: name
    try:
        assert not engine.run(bundles.config("true"), rootfs).ok
    finally:
        del engine.new_id


def test_more_than_64_kib_of_mappings_and_paths_are_refused_cleanly(engine, rootfs):
    # CVE-2021-43784
    many = bundles.config("true")
    many["linux"]["namespaces"].append({"type": "user"})
    many["linux"]["uidMappings"] = [{"containerID": n, "hostID": 100000 + n, "size": 1} for n in range(6000)]
    many["linux"]["gidMappings"] = many["linux"]["uidMappings"]
    long = bundles.config("true")
    long["linux"]["namespaces"] = [{"type": "network", "path": "/proc/" + "1/../" * 16000 + "1/ns/net"},
                                   {"type": "mount"}, {"type": "uts"}]
    for spec in (many, long):
        begin = time.monotonic()
        result = engine.run(spec, rootfs)
        assert not result.ok and ("/linux/" in result.err or "namespace" in result.err), result
        assert time.monotonic() - begin < 5


def test_annotations_do_not_lift_limits(engine, rootfs):
    # CVE-2023-6476, CVE-2024-3154
    spec = bundles.config("sh", "-c", IDLE)
    spec["linux"]["resources"] = {"pids": {"limit": 17}}
    spec["annotations"] = {
        "org.systemd.property.TasksMax": "uint64 1000", "org.systemd.property.SuccessAction": "'poweroff-force'",
        "io.kubernetes.cri-o.cgroup2-mount-hierarchy-rw": "true", "io.kubernetes.cri-o.UnifiedCgroup": "pids.max=max",
        "cpu-quota.crio.io": "disable", "run.oci.hooks.stdout": str(engine.canary / "secret"),
        "run.oci.systemd.subgroup": "../..", "run.oci.delegate-cgroup": "..",
    }
    with Background(engine, spec, rootfs) as container:
        pid = engine.pid(container.name)
        lines = pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines()
        limits = []
        for line in lines:
            _, controllers, path = line.split(":", 2)
            for base in pathlib.Path("/sys/fs/cgroup"), *pathlib.Path("/sys/fs/cgroup").iterdir():
                mounted = base.name in (controllers, "unified") or base == pathlib.Path("/sys/fs/cgroup")
                limit = base / path.lstrip("/") / "pids.max"
                if mounted and limit.exists():
                    limits.append(limit.read_text().strip())
        assert "17" in limits, lines


def test_a_mapped_root_writes_to_no_cgroup_outside_its_own(engine, rootfs):
    # CVE-2023-25809: no cgroup namespace, a cgroup mount, and files that belong to the mapped root.
    script = ("find /sys/fs/cgroup -type d | while read d; do "
              "{ echo 0 > $d/cgroup.procs && echo moved $d; mkdir $d/new && echo made $d; } 2>/dev/null; done; echo end")
    spec = bundles.config("sh", "-c", script)
    spec["linux"]["namespaces"].append({"type": "user"})
    spec["linux"]["uidMappings"] = [{"containerID": 0, "hostID": 0, "size": 1000}]
    spec["linux"]["gidMappings"] = spec["linux"]["uidMappings"]
    spec["mounts"].append({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
                           "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]})
    result = engine.run(spec, rootfs)
    assert result.ok and result.out == "end\n", result
