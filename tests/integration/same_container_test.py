"""One bundle through `ocirun` and through `ocid` is one container: what /proc says of both is the same."""

import json
import os
import pathlib
import re
import subprocess
import tempfile

import pytest

from tests.testing import bundle as bundles
from tests.testing.engines import Background, Ocid, Ocirun

NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")
IDLE = ["sh", "-c", "trap 'exit 0' TERM; echo up; while :; do sleep 0.1; done"]
STATUS = ("Umask", "Uid", "Gid", "Groups", "SigBlk", "SigIgn", "SigCgt", "CapInh", "CapPrm", "CapEff", "CapBnd",
          "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters", "Cpus_allowed", "Mems_allowed", "NSpid")
# Rules for devices are enforced by a program on cgroup2 (ocid) or by the v1 controller (ocirun) where a
# host has both: ARCHITECTURE.md says why.
V1_DEVICES = "devices"
# What a process in the container sees of its kernel.
INSIDE = ("hostname; cat /proc/sys/kernel/msgmax /proc/sys/kernel/domainname; ls -ln /dev /dev/pts | "
          "sed 's/  *[A-Z][a-z][a-z]  *[0-9]*  *[0-9:]* / /'; ulimit -n")


def usual(spec):
    return spec


def rich(spec):
    docker = json.loads(pathlib.Path("tests/testing/data/moby-51705-docker-spec.json").read_text())
    process = spec["process"]
    process.update(oomScoreAdj=77, noNewPrivileges=False, cwd="/tmp",
                   user={"uid": 1000, "gid": 1001, "additionalGids": [5, 6], "umask": 0o27},
                   rlimits=[{"type": "RLIMIT_NOFILE", "hard": 200, "soft": 100},
                            {"type": "RLIMIT_CORE", "hard": 0, "soft": 0}])
    process["env"] += ["A=b", "EMPTY="]
    process["capabilities"] = {kind: ["CAP_KILL", "CAP_CHOWN"] for kind in (
        "bounding", "effective", "inheritable", "permitted", "ambient")}
    spec.update(domainname="example")
    spec["root"]["readonly"] = True
    spec["mounts"] += [
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro", "nosuid"]},
        {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["size=1m", "noexec"]}]
    spec["linux"].update(seccomp=docker["linux"]["seccomp"], sysctl={"kernel.msgmax": "4321"},
                         resources={"pids": {"limit": 33}, "devices": docker["linux"]["resources"]["devices"]},
                         devices=[{"path": "/dev/full2", "type": "c", "major": 1, "minor": 7, "fileMode": 0o640}],
                         rootfsPropagation="slave")
    spec["linux"]["namespaces"].append({"type": "cgroup"})
    return spec


def mapped(spec):
    spec["linux"]["namespaces"] += [{"type": "user"}, {"type": "cgroup"}]
    for kind in ("uidMappings", "gidMappings"):
        spec["linux"][kind] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    return spec


def mounts(pid, words):
    """mountinfo without the numbers that every mount namespace has of its own."""
    found = []
    for line in pathlib.Path(f"/proc/{pid}/mountinfo").read_text().splitlines():
        for word in words:
            line = line.replace(word, "CONTAINER")
        before, after = line.split(" - ")
        _, _, device, root, point, options, *optional = before.split()
        kind = after.split()[0]
        # A file system of the container's own has a device number of its own.
        device = device if kind in ("ext4", "overlay", "btrfs", "xfs", "devtmpfs") else ""
        if point == f"/sys/fs/cgroup/{V1_DEVICES}":
            continue
        propagation = sorted(re.sub(r"\d+", "N", tag) for tag in optional)
        found.append((point, root, device, options, propagation, after))
    return found


def cgroups(pid):
    """By hierarchy: whether it has a cgroup of the container's own there, and the limit that was set."""
    found = {}
    ours = pathlib.Path("/proc/self/cgroup").read_text().splitlines()
    for line in pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == V1_DEVICES:
            continue
        found[controllers] = f":{controllers}:{path}" in [own.lstrip("0123456789") for own in ours]
        for base in pathlib.Path("/sys/fs/cgroup"), *pathlib.Path("/sys/fs/cgroup").iterdir():
            limit = base / path.lstrip("/") / "pids.max"
            if path != "/" and limit.exists() and base.name in (controllers, "cgroup", "unified"):
                found["pids.max"] = limit.read_text()
    return found


def facts(engine, name):
    """Everything that /proc tells of a container's init."""
    pid = engine.pid(name)
    proc = pathlib.Path(f"/proc/{pid}")
    status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
    stat = (proc / "stat").read_text().rsplit(") ", 1)[1].split()
    inside = subprocess.run(["nsenter", "-t", str(pid), "-a", "/bin/busybox", "sh", "-c", INSIDE],
                            stdout=subprocess.PIPE, text=True, check=True).stdout
    words = [str(engine.folder), name]
    if isinstance(engine, Ocid):
        words += [engine.daemon.cgroup_parent]
    else:
        words += ["ocirun"]
    numbers = {str(pid)}
    return {
        "namespaces": {kind: os.readlink(proc / "ns" / kind) == os.readlink(f"/proc/self/ns/{kind}")
                       for kind in NAMESPACES},
        "mounts": mounts(pid, words),
        "status": {key: ["PID" if word in numbers else word for word in status[key].split()]
                   for key in STATUS if key in status},
        "limits": (proc / "limits").read_text(),
        "environment": (proc / "environ").read_bytes().split(b"\0"),
        "arguments": (proc / "cmdline").read_bytes(),
        "descriptors": sorted(os.listdir(proc / "fd")),
        "directory": os.readlink(proc / "cwd"),
        "oom score": (proc / "oom_score_adj").read_text(),
        "personality": (proc / "personality").read_text(),
        "id maps": (proc / "uid_map").read_text() + (proc / "gid_map").read_text() + (proc / "setgroups").read_text(),
        "session": stat[3] == str(pid),
        "scheduling": (stat[15], stat[16], stat[37], stat[38]),  # priority, nice, realtime priority, policy
        "cgroups": cgroups(pid),
        "inside": inside,
    }


@pytest.mark.parametrize("change", [usual, rich, mapped])
def test_ocid_and_ocirun_make_the_same_container(change):
    seen = []
    for kind in (Ocirun, Ocid):
        with tempfile.TemporaryDirectory(prefix="ocid-same-") as folder:
            os.chmod(folder, 0o755)  # the mapped root must reach its root file system
            engine = kind(folder)
            try:
                rootfs = engine.rootfs()
                with Background(engine, change(bundles.config(*IDLE)), rootfs) as container:
                    seen.append(facts(engine, container.name))
            finally:
                engine.close()
    ours, daemons = seen
    assert ours["descriptors"] == ["0", "1", "2"]
    for fact, value in ours.items():
        assert daemons[fact] == value, fact
