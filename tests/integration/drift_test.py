"""Where the kernel disagrees with the spec: nothing for what was just started, and everything that
somebody changes from outside."""

import json
import os
import pathlib
import re
import subprocess

import pytest

from tests.testing import bundle as bundles
from tests.testing.daemon import CGROUP_MANAGER, wait_until
from tests.testing.fixtures import shared_daemon  # pylint: disable=unused-import

SECCOMP = {"defaultAction": "SCMP_ACT_ALLOW",
           "syscalls": [{"names": ["reboot"], "action": "SCMP_ACT_ERRNO"}]}


def drift(daemon, container, *flags):
    """The differences, by pointer; with the exit code checked."""
    done = daemon.ctl("spec", "drift", container, "--format", "json", *flags, check=False)
    report = json.loads(done.stdout)
    assert done.returncode == (1 if report["drifts"] else 0), done.stderr
    return {entry["pointer"]: entry for entry in report["drifts"]}, report


def config(**process):
    result = bundles.config("sleep", "1000")
    result["process"].update(process)
    return result


def usual():
    return config()


def everything():
    """All that a spec says of a process, its names and its limits."""
    result = config(user={"uid": 1000, "gid": 1001, "additionalGids": [10, 20]}, oomScoreAdj=321,
                    noNewPrivileges=False)
    result["process"]["capabilities"]["inheritable"] = ["CAP_KILL"]
    result["process"]["capabilities"]["ambient"] = ["CAP_KILL"]
    result["root"]["readonly"] = True
    result["hostname"] = "drifting"
    result["domainname"] = "example.org"
    result["linux"]["seccomp"] = SECCOMP
    result["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1", "kernel.msgmax": "8200",
                                 "net.ipv4.ping_group_range": "0 10"}
    result["linux"]["devices"] = [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229,
                                   "fileMode": 0o640, "uid": 5, "gid": 6}]
    result["linux"]["resources"] = {
        "memory": {"limit": 100_000_000}, "pids": {"limit": 50},
        "cpu": {"shares": 512, "quota": 50000, "period": 100000},
        "devices": [{"allow": False, "access": "rwm"},
                    {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"}]}
    result["mounts"] += [
        {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "noexec"]},
        {"destination": "/host", "type": "bind", "source": "/tmp", "options": ["rbind", "ro"]},
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"]}]
    result["linux"]["namespaces"].append({"type": "cgroup"})
    return result


def with_user_namespace():
    result = config()
    result["linux"]["namespaces"].append({"type": "user"})
    for kind in ("uidMappings", "gidMappings"):
        result["linux"][kind] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    return result


def with_terminal():
    return config(terminal=True)


def with_the_hosts_network():
    result = config()
    result["linux"]["namespaces"] = [{"type": name} for name in ("pid", "mount", "ipc", "uts")]
    result["mounts"] = [mount for mount in result["mounts"] if mount["type"] != "sysfs"]
    result["mounts"].append({"destination": "/sys", "type": "bind", "source": "/sys",
                             "options": ["rbind", "ro", "nosuid"]})
    return result


def with_a_shell():
    """That executes its last command and hands its own variables on."""
    return bundles.config("sh", "-c", "export A=1; exec sleep 1000")


@pytest.mark.parametrize("make", [usual, everything, with_user_namespace, with_terminal,
                                  with_the_hosts_network, with_a_shell], ids=lambda f: f.__name__)
def test_what_was_just_started_shows_none(daemon, make):
    name = "fresh-" + make.__name__.replace("_", "-")
    rootfs = daemon.rootfs
    if make is with_user_namespace:
        rootfs = bundles.make_rootfs(daemon.folder / "mapped-rootfs")
        subprocess.run(["chown", "-hR", "100000:100000", rootfs], check=True)
        os.chmod(daemon.folder, 0o711)
    bundle = bundles.write(daemon.folder / f"bundle-{name}", make(), rootfs=rootfs)
    try:
        daemon.ctl("create", "--bundle", bundle, name)
        assert drift(daemon, name)[0] == {}, "created"
        daemon.ctl("start", name)
        differences, report = drift(daemon, name)
        assert differences == {}
        assert "/process/capabilities/bounding" in report["checked"]
        assert "/mounts/0" in report["checked"]
        # What systemd enforces by a program of its own is its business.
        assert [f for f in report["unchecked"] if f["reason"] != "systemd keeps the rules"] == []
        daemon.ctl("pause", name)
        assert drift(daemon, name)[0] == {}, "paused"
        daemon.ctl("resume", name)
    finally:
        daemon.ctl("delete", "-f", name, check=False)


@pytest.fixture(name="container")
def running_container(daemon, request):
    """Runs `everything` but as root, so that changes from outside are all that differs."""
    name = "d-" + re.sub("[^a-z0-9]+", "-", request.node.name)[:60].strip("-")
    spec = everything()
    spec["process"]["user"] = {"uid": 0, "gid": 0}
    daemon.ctl("create", "--bundle", daemon.bundle(spec=spec), name)
    daemon.ctl("start", name)
    yield name
    daemon.ctl("delete", "-f", name, check=False)


def inside(daemon, container, *command):
    """Runs a program of the host in the container's mount namespace."""
    pid = str(daemon.inspect(container)["pid"])
    subprocess.run(["nsenter", "-m", "-t", pid, *command], check=True)


def test_a_mount_from_outside_shows(daemon, container):
    inside(daemon, container, "/bin/busybox", "mount", "-t", "tmpfs", "none", "/etc")
    differences, _ = drift(daemon, container)
    entry = differences["/mounts (/etc)"]
    assert entry["expected"] == "no mount" and entry["observed"].startswith("tmpfs on /etc")
    assert re.fullmatch(r"/proc/\d+/mountinfo", entry["read_from"])
    assert len(differences) == 1


def test_a_mount_over_one_of_the_specs_and_one_that_is_gone_show(daemon, container):
    inside(daemon, container, "/bin/busybox", "mount", "-t", "ramfs", "none", "/tmp")
    inside(daemon, container, "/bin/busybox", "umount", "/dev/mqueue")
    inside(daemon, container, "/bin/busybox", "mount", "-n", "-o", "remount,bind,rw", "none", "/")
    differences, _ = drift(daemon, container)
    texts = " ".join(f"{d['pointer']} {d['expected']} {d['observed']}" for d in differences.values())
    assert "/root/readonly" in differences
    assert "ramfs" in texts and "mqueue on /dev/mqueue" in texts


def test_a_mask_that_is_lifted_shows(daemon, container):
    inside(daemon, container, "/bin/busybox", "umount", "/proc/sys")
    differences, _ = drift(daemon, container)
    spec = json.loads(daemon.ctl("spec", container).stdout)
    index = spec["linux"]["readonlyPaths"].index("/proc/sys")
    assert f"/linux/readonlyPaths/{index}" in differences


def cgroup_file(daemon, container, *names):
    """The first of the files that any of the container's cgroups has, whichever hierarchy it is in."""
    table = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
    mounts = [pathlib.Path(line.split()[4]) for line in table if " - cgroup" in line]
    directory = pathlib.Path(daemon.inspect(container)["cgroup_path"])
    below = next(directory.relative_to(m) for m in mounts if directory.is_relative_to(m))
    for mount in mounts:
        for name in names:
            if (mount / below / name).exists():
                return mount / below / name
    raise AssertionError(f"none of {names}")


@pytest.mark.skipif(CGROUP_MANAGER != "systemd", reason="the cgroup manager is not systemd")
def test_a_property_set_by_systemctl_shows(daemon, container):
    unit = pathlib.Path(daemon.inspect(container)["cgroup_path"]).name
    subprocess.run(["systemctl", "set-property", "--runtime", unit, "TasksMax=7"], check=True)
    differences, _ = drift(daemon, container)
    assert differences["/linux/resources/pids/limit"]["observed"] == "7"


def test_limits_written_from_outside_show(daemon, container):
    cgroup_file(daemon, container, "pids.max", "pids.max").write_text("7")
    cgroup_file(daemon, container, "memory.max", "memory.limit_in_bytes").write_text("50000000")
    cgroup_file(daemon, container, "cpu.weight", "cpu.shares").write_text("300")
    differences, _ = drift(daemon, container)
    assert differences["/linux/resources/pids/limit"]["expected"] == "50"
    assert differences["/linux/resources/pids/limit"]["observed"] == "7"
    assert differences["/linux/resources/pids/limit"]["read_from"].endswith("pids.max")
    assert set(differences) == {"/linux/resources/pids/limit", "/linux/resources/memory/limit",
                                "/linux/resources/cpu/shares"}


def test_an_update_is_no_drift_and_what_undoes_it_is(daemon, container):
    daemon.ctl("update", "--pids-limit", "60", container)
    assert drift(daemon, container)[0] == {}
    cgroup_file(daemon, container, "pids.max", "pids.max").write_text("50")
    assert drift(daemon, container)[0]["/linux/resources/pids/limit"]["expected"] == "60"


def test_names_sysctls_scores_and_nodes_show(daemon, container):
    pid = daemon.inspect(container)["pid"]
    subprocess.run(["nsenter", "-u", "-t", str(pid), "hostname", "other"], check=True)
    subprocess.run(["nsenter", "-n", "-i", "-t", str(pid), "sh", "-c",
                    "echo 0 > /proc/sys/net/ipv4/ip_forward; echo 8300 > /proc/sys/kernel/msgmax"],
                   check=True)
    pathlib.Path(f"/proc/{pid}/oom_score_adj").write_text("100")
    node = pathlib.Path(f"/proc/{pid}/root/dev/fuse")
    node.unlink()
    os.mknod(node, 0o20600, os.makedev(1, 1))
    subprocess.run(["prlimit", "--pid", str(pid), "--nofile=100:1024"], check=True)
    differences, _ = drift(daemon, container)
    assert differences["/hostname"]["observed"] == "other"
    assert differences["/linux/sysctl/net.ipv4.ip_forward"]["observed"] == "0"
    assert differences["/linux/sysctl/kernel.msgmax"]["observed"] == "8300"
    assert differences["/process/oomScoreAdj"]["expected"] == "321"
    assert differences["/linux/devices/0"]["observed"] == "c 1:1"
    assert differences["/process/rlimits/0"]["observed"] == "soft 100, hard 1024"
    assert {p.split("/")[1] for p in differences} <= {"hostname", "linux", "process"}


def test_a_process_that_gives_up_its_rights_shows(daemon):
    (daemon.rootfs / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\nother:x:7:8::/:/bin/sh\n")
    spec = bundles.config("busybox", "su", "-s", "/bin/sh", "other", "-c", "exec sleep 1000")
    spec["process"]["capabilities"] = {name: ["CAP_SETUID", "CAP_SETGID"]
                                       for name in ("bounding", "effective", "permitted")}
    daemon.ctl("create", "--bundle", daemon.bundle(spec=spec), "dropped")
    daemon.ctl("start", "dropped")
    pid = daemon.inspect("dropped")["pid"]
    wait_until(lambda: "Uid:\t7" in pathlib.Path(f"/proc/{pid}/status").read_text(), what="su")
    differences, _ = drift(daemon, "dropped")
    assert differences["/process/user/uid"]["expected"] == "0 0 0 0"
    assert differences["/process/user/uid"]["observed"] == "7 7 7 7"
    assert differences["/process/user/gid"]["observed"] == "8 8 8 8"
    assert differences["/process/capabilities/effective"]["observed"] == "none"
    daemon.ctl("delete", "-f", "dropped")


def test_a_renumbered_device_shows_in_file_and_on_the_host(daemon):
    folder = daemon.folder / "cdi"
    folder.mkdir(exist_ok=True)
    host_node = daemon.folder / "node"
    os.mknod(host_node, 0o20666, os.makedev(1, 7))
    text = ("cdiVersion: 0.6.0\nkind: renumbered.com/d\ndevices:\n"
            "- {name: file, containerEdits: {deviceNodes: [{path: /dev/a, type: c, major: 1, minor: 3}]}}\n"
            f"- {{name: host, containerEdits: {{deviceNodes: [{{path: /dev/b, hostPath: {host_node}}}]}}}}\n")
    (folder / "renumbered.yaml").write_text(text)
    daemon.ctl("create", "--bundle", daemon.bundle("sleep", "1000"), "--device",
               "renumbered.com/d=file", "--device", "renumbered.com/d=host", "renumbered")
    daemon.ctl("start", "renumbered")
    assert drift(daemon, "renumbered")[0] == {}
    (folder / "renumbered.yaml").write_text(text.replace("minor: 3", "minor: 5"))
    host_node.unlink()
    os.mknod(host_node, 0o20666, os.makedev(1, 8))
    differences, _ = drift(daemon, "renumbered")
    assert differences["/linux/devices/0"]["observed"] == "c 1:5"
    assert differences["/linux/devices/0"]["read_from"].endswith("renumbered.yaml")
    assert differences["/linux/devices/1"]["observed"] == "c 1:8"
    assert differences["/linux/devices/1"]["read_from"] == str(host_node)
    (folder / "renumbered.yaml").unlink()
    assert "unknown vendor" in drift(daemon, "renumbered")[0]["/linux/devices/0"]["observed"]
    daemon.ctl("delete", "-f", "renumbered")


def test_drift_is_an_event_once_and_only_for_what_runs(daemon, container):
    cgroup_file(daemon, container, "pids.max", "pids.max").write_text("9")
    for _ in range(3):
        drift(daemon, container)
    events = [json.loads(line) for line in daemon.ctl(
        "events", "--from", "1", "--no-follow", "--format", "json").stdout.splitlines()]
    found = [e for e in events if e["type"] == "drift_detected" and e["container_id"] == container]
    assert len(found) == 1 and "/linux/resources/pids/limit" in found[0]["detail"]
    text = daemon.ctl("spec", "drift", container, check=False).stdout
    assert "/linux/resources/pids/limit" in text and "POINTER" in text
    daemon.ctl("stop", "--time", "0", container)
    stopped = daemon.ctl("spec", "drift", container, check=False)
    assert stopped.returncode != 0 and "INVALID_STATE" in stopped.stderr


def test_redaction_hides_values_of_the_environment(daemon):
    spec = bundles.config("sh", "-c", "exec busybox env -i SECRET=other sleep 1000")
    spec["process"]["env"].append("SECRET=sesame")
    daemon.ctl("create", "--bundle", daemon.bundle(spec=spec), "secret")
    daemon.ctl("start", "secret")
    differences, report = drift(daemon, "secret", "--redact")
    assert "sesame" not in json.dumps(report)
    assert any(d["expected"] == "SECRET=<redacted>" for d in differences.values())
    assert any(d["expected"] == "SECRET=sesame" for d in drift(daemon, "secret")[0].values())
    assert "sesame" not in daemon.ctl("inspect", "--redact", "secret").stdout
    daemon.ctl("delete", "-f", "secret")
