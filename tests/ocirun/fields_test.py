"""Fields of the specification as a program in the container sees them: what was asked for is there."""

import json
import os
import subprocess

import pytest

from tests.testing import bundle
from tests.testing.ocirun import own_runtime  # noqa: F401 (a fixture)

CAPABILITIES = ["CAP_KILL", "CAP_CHOWN", "CAP_SYS_ADMIN"]


def spec_of(script, process=None, linux=None, **changes):
    spec = bundle.config("sh", "-c", script, **changes)
    spec["process"].update(process or {})
    spec["linux"].update(linux or {})
    return spec


def with_namespace(kind, **linux):
    return dict(linux, namespaces=bundle.config()["linux"]["namespaces"] + [{"type": kind}])


# What is asked for, what the container runs, what it must print.
SEEN_INSIDE = {
    "domainname": (dict(domainname="example.org"), "cat /proc/sys/kernel/domainname", "example.org"),
    "hostname": (dict(hostname="other"), "hostname", "other"),
    "umask": (dict(process=dict(user=dict(uid=0, gid=0, umask=0o27))), "umask", "0027"),
    "oomScoreAdj": (dict(process=dict(oomScoreAdj=17)), "cat /proc/self/oom_score_adj", "17"),
    "additionalGids": (dict(process=dict(user=dict(uid=3, gid=4, additionalGids=[5, 6]))), "id",
                       "uid=3 gid=4 groups=5,6"),
    "scheduler": (dict(process=dict(scheduler=dict(policy="SCHED_BATCH", nice=7))),
                  "cut -d' ' -f19,41 /proc/self/stat", "7 3"),
    "ioPriority": (dict(process=dict(ioPriority={"class": "IOPRIO_CLASS_BE", "priority": 3})),
                   "busybox ionice -p $$", "best-effort: prio 3"),
    "personality": (dict(linux=dict(personality=dict(domain="LINUX32"))), "busybox uname -m", "i686"),
    "memoryPolicy": (dict(linux=dict(memoryPolicy=dict(mode="MPOL_BIND", nodes="0",
                                                       flags=["MPOL_F_STATIC_NODES"]))),
                     "head -n 1 /proc/self/numa_maps | cut -d' ' -f2", "bind=static:0"),
    "noNewPrivileges": (dict(process=dict(noNewPrivileges=False)),
                        "grep NoNewPrivs /proc/self/status | tr -d '\\t'", "NoNewPrivs:0"),
    "rlimits": (dict(process=dict(rlimits=[dict(type="RLIMIT_CORE", soft=4096, hard=8192)])),
                "ulimit -Sc; ulimit -Hc", "8\n16"),
    "timeOffsets": (dict(linux=with_namespace("time", timeOffsets=dict(
        boottime=dict(secs=1000000000, nanosecs=5)))), "cut -c1-2 /proc/uptime", "10"),
    "sysctl": (dict(linux=dict(sysctl={"net.ipv4.ip_forward": "1", "kernel.shmmax": "4096"})),
               "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmax", "1\n4096"),
    "devices": (dict(linux=dict(devices=[dict(path="/dev/mine", type="c", major=1, minor=7,
                                              fileMode=0o640, uid=8, gid=9)])),
                "stat -c '%F %a %u %g %t:%T' /dev/mine", "character special file 640 8 9 1:7"),
    "maskedPaths": (dict(linux=dict(maskedPaths=["/proc/version", "/etc"])),
                    "wc -c < /proc/version; ls /etc | wc -l", "0\n0"),
    "readonlyPaths": (dict(linux=dict(readonlyPaths=["/tmp"])),
                      "touch /tmp/x 2>/dev/null || echo no", "no"),
    "capabilities": (dict(process=dict(
        user=dict(uid=7, gid=0), capabilities=dict(
            bounding=CAPABILITIES, permitted=CAPABILITIES, inheritable=["CAP_KILL", "CAP_CHOWN"],
            ambient=["CAP_KILL"], effective=["CAP_KILL"]))),
                     "grep Cap /proc/self/status | tr -d '\\t'",
                     "CapInh:0000000000000021\nCapPrm:0000000000000020\nCapEff:0000000000000020\n"
                     "CapBnd:0000000000200021\nCapAmb:0000000000000020"),
    "default devices": ({}, "ls /dev; readlink /dev/fd; readlink /dev/ptmx",
                        "core\nfd\nfull\nmqueue\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\n"
                        "tty\nurandom\nzero\n/proc/self/fd\npts/ptmx"),
}


@pytest.mark.parametrize("field", SEEN_INSIDE)
def test_a_field_is_seen_inside(runtime, field):
    changes, script, expected = SEEN_INSIDE[field]
    output = runtime.output(spec_of(script, **changes)).strip()
    if field == "default devices":
        output = output.replace("core\n", "")
        expected = expected.replace("core\n", "")
    assert output == expected


def mount_flags(text, destination):
    """(options of the mount, propagation, options of the file system) from mountinfo."""
    for line in text.splitlines():
        fields = line.split()
        if fields[4] == destination:
            dash = fields.index("-")
            return set(fields[5].split(",")), " ".join(fields[6:dash]), set(fields[-1].split(","))
    raise AssertionError(f"no mount at {destination} in\n{text}")


# Options of a tmpfs, what must be among its options, what must not.
OPTIONS = [
    ("ro", {"ro"}, {"rw"}), ("rw", {"rw"}, {"ro"}), ("ro rw", {"rw"}, {"ro"}),
    ("nosuid", {"nosuid"}, set()), ("nosuid suid", set(), {"nosuid"}),
    ("nodev", {"nodev"}, set()), ("nodev dev", set(), {"nodev"}),
    ("noexec", {"noexec"}, set()), ("noexec exec", set(), {"noexec"}),
    ("noatime", {"noatime"}, {"relatime"}), ("noatime atime", {"relatime"}, {"noatime"}),
    ("relatime", {"relatime"}, set()), ("norelatime", {"relatime"}, set()),
    ("strictatime", set(), {"relatime", "noatime"}), ("strictatime nostrictatime", {"relatime"}, set()),
    ("nodiratime", {"nodiratime"}, set()), ("nodiratime diratime", set(), {"nodiratime"}),
    ("nosymfollow", {"nosymfollow"}, set()), ("nosymfollow symfollow", set(), {"nosymfollow"}),
    ("defaults", {"rw", "relatime"}, set()),
    ("sync", {"sync"}, set()), ("dirsync", {"dirsync"}, set()), ("sync async", set(), {"sync"}),
    ("lazytime", {"lazytime"}, set()), ("lazytime nolazytime", set(), {"lazytime"}),
    ("silent loud mand nomand iversion noiversion", {"rw"}, set()),
    ("size=8k mode=0710", {"size=8k", "mode=710"}, set()),
]


def test_every_spelling_of_a_mount_option(runtime):
    mounts = bundle.config()["mounts"]
    for index, (options, _, _) in enumerate(OPTIONS):
        mounts.append({"destination": f"/tmp/m{index}", "type": "tmpfs", "source": "tmpfs",
                       "options": options.split()})
    text = runtime.output(spec_of("cat /proc/self/mountinfo", mounts=mounts))
    for index, (options, there, absent) in enumerate(OPTIONS):
        own, _, superblock = mount_flags(text, f"/tmp/m{index}")
        assert there <= own | superblock, options
        assert not absent & (own if "ro" in absent or "rw" in absent else own | superblock), options


RECURSIVE = [
    ("rro", {"ro"}, set()), ("rro rrw", set(), {"ro"}), ("rnosuid", {"nosuid"}, set()),
    ("rnosuid rsuid", set(), {"nosuid"}), ("rnodev", {"nodev"}, set()), ("rnodev rdev", set(), {"nodev"}),
    ("rnoexec", {"noexec"}, set()), ("rnoexec rexec", set(), {"noexec"}),
    ("rnoatime", {"noatime"}, set()), ("rnoatime rrelatime", {"relatime"}, {"noatime"}),
    ("rnoatime ratime", {"relatime"}, {"noatime"}), ("rnorelatime", {"relatime"}, set()),
    ("rnodiratime", {"nodiratime"}, set()), ("rnodiratime rdiratime", set(), {"nodiratime"}),
    ("rstrictatime", set(), {"relatime", "noatime"}), ("rstrictatime rnostrictatime", {"relatime"}, set()),
    ("rnosymfollow", {"nosymfollow"}, set()), ("rnosymfollow rsymfollow", set(), {"nosymfollow"}),
]


def test_recursive_attributes_reach_the_mounts_below_and_others_do_not(runtime, tmp_path):
    source = tmp_path / "source"
    (source / "below").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", source / "below"], check=True)
    try:
        mounts = bundle.config()["mounts"]
        for index, (options, _, _) in enumerate(RECURSIVE):
            mounts.append({"destination": f"/tmp/m{index}", "type": "bind", "source": str(source),
                           "options": ["rbind", *options.split()]})
        mounts.append({"destination": "/tmp/plain", "type": "bind", "source": str(source),
                       "options": ["rbind", "ro"]})
        text = runtime.output(spec_of("cat /proc/self/mountinfo", mounts=mounts))
    finally:
        subprocess.run(["umount", source / "below"], check=True)
    for index, (options, there, absent) in enumerate(RECURSIVE):
        for place in (f"/tmp/m{index}", f"/tmp/m{index}/below"):
            own, _, _ = mount_flags(text, place)
            assert there <= own and not absent & own, (place, options)
    assert "ro" in mount_flags(text, "/tmp/plain")[0]
    assert "rw" in mount_flags(text, "/tmp/plain/below")[0]


def test_propagation_of_mounts_and_of_the_root(runtime, tmp_path):
    mounts = bundle.config()["mounts"]
    for name in ("shared", "rshared", "private", "rprivate", "slave", "rslave", "unbindable", "runbindable"):
        mounts.append({"destination": f"/tmp/{name}", "type": "bind", "source": str(tmp_path),
                       "options": ["bind", name]})
    text = runtime.output(spec_of("cat /proc/self/mountinfo", mounts=mounts))
    for name in ("shared", "rshared"):
        assert "shared:" in mount_flags(text, f"/tmp/{name}")[1]
    for name in ("unbindable", "runbindable"):
        assert mount_flags(text, f"/tmp/{name}")[1] == "unbindable"
    for name in ("private", "rprivate"):
        assert mount_flags(text, f"/tmp/{name}")[1] == ""
    text = runtime.output(spec_of("cat /proc/self/mountinfo", linux=dict(rootfsPropagation="shared")))
    assert "shared:" in mount_flags(text, "/")[1]


def test_exec_runs_on_the_cpus_that_it_shall(runtime):
    runtime.running("c1", spec_of("sleep 100", process=dict(execCPUAffinity=dict(final="0"))))
    output = runtime("exec", "c1", "grep", "Cpus_allowed_list", "/proc/self/status").stdout
    assert output.split() == ["Cpus_allowed_list:", "0"]
    folder = bundle.write(runtime.folder / "b", spec_of("grep Cpus_allowed_list /proc/self/status",
                                                        process=dict(execCPUAffinity=dict(final="0"))),
                          runtime.rootfs)
    result = runtime("run", "-b", folder, "c2")
    if os.cpu_count() > 1:
        assert result.stdout.split()[1] != "0"
    assert "/process/execCPUAffinity" in result.stderr


# ---- what cannot be honoured

REFUSED = {
    "/process/apparmorProfile": dict(process=dict(apparmorProfile="docker-default")),
    "/process/selinuxLabel": dict(process=dict(selinuxLabel="a:b:c:s0")),
    "/linux/intelRdt": dict(linux=dict(intelRdt=dict(closID="x"))),
    "/linux/resources/unified": dict(linux=dict(resources=dict(unified={"memory.nosuch": "1"}))),
    "/linux/resources/rdma": dict(linux=dict(resources=dict(rdma={"mlx5_0": dict(hcaHandles=1)}))),
    "/linux/netDevices": dict(linux=dict(netDevices={"nosuchdev0": {}})),
    "/mounts/6": dict(mounts=bundle.config()["mounts"] + [
        {"destination": "/x", "type": "tmpfs", "source": "x", "options": ["idmap"]}]),
}


@pytest.mark.parametrize("pointer", REFUSED)
def test_what_this_host_cannot_honour_is_an_error_that_names_it(runtime, pointer):
    for lsm, field in (("/sys/module/apparmor", "apparmor"), ("/sys/fs/selinux", "selinux"),
                       ("/sys/fs/resctrl/schemata", "intelRdt")):
        if field in pointer and os.path.exists(lsm):
            pytest.skip(f"this host has {lsm}")
    folder = bundle.write(runtime.folder / "b", spec_of("true", **REFUSED[pointer]), runtime.rootfs)
    result = runtime("run", "-b", folder, "c1", check=False)
    assert result.returncode == 1
    assert pointer in result.stderr
    assert runtime("list", "-q").stdout == ""


def test_unknown_system_calls_and_capabilities_are_left_out_and_said(runtime):
    process = dict(capabilities=dict(bounding=["CAP_KILL", "CAP_NO_SUCH"]))
    seccomp = {"defaultAction": "SCMP_ACT_ALLOW",
               "syscalls": [{"names": ["no_such_call", "mkdir"], "action": "SCMP_ACT_ERRNO"}]}
    folder = bundle.write(runtime.folder / "b",
                          spec_of("mkdir /tmp/x || echo no", process=process, linux=dict(seccomp=seccomp)),
                          runtime.rootfs)
    result = runtime("run", "-b", folder, "c1")
    assert result.stdout == "no\n"
    assert "no_such_call" in result.stderr and "CAP_NO_SUCH" in result.stderr


# ---- old documents

def test_a_document_of_version_0_4_is_upgraded_and_runs(runtime, tmp_path):
    spec = spec_of("grep CapBnd /proc/self/status | tr -d '\\t'; mkdir /tmp/x || echo no")
    spec.update(ociVersion="0.4.0", platform={"os": "linux", "arch": "amd64"})
    spec["process"]["capabilities"] = ["CAP_KILL"]
    rlimits = spec["process"].pop("rlimits")
    spec["linux"].update(rlimits=rlimits, resources={"oomScoreAdj": 3}, seccomp={
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"name": "mkdir", "action": "SCMP_ACT_ERRNO"}]})
    folder = bundle.write(runtime.folder / "b", spec, runtime.rootfs)
    result = runtime("run", "-b", folder, "c1",
                     globals_=("--log", tmp_path / "log", "--log-format", "json"))
    assert result.stdout == "CapBnd:0000000000000020\nno\n"
    messages = [json.loads(line)["msg"] for line in (tmp_path / "log").read_text().splitlines()]
    assert any("one list became the five sets" in message for message in messages)


def test_a_document_of_version_1_0_runs(runtime):
    assert runtime.output(spec_of("echo fine", ociVersion="1.0.0")) == "fine\n"
    folder = bundle.write(runtime.folder / "b", spec_of("true", ociVersion="2.0.0"), runtime.rootfs)
    assert "/ociVersion" in runtime("run", "-b", folder, "c1", check=False).stderr


# ---- hooks

def test_a_hook_that_fails_ends_the_container_and_says_which(runtime):
    for name in ("prestart", "createRuntime", "createContainer", "startContainer", "poststart"):
        path = "/bin/false" if name != "startContainer" else "/bin/false"
        folder = bundle.write(runtime.folder / name,
                              spec_of("echo ran", hooks={name: [{"path": path}]}), runtime.rootfs)
        result = runtime("run", "-b", folder, name, check=False)
        assert result.returncode != 0
        assert f"error running {name} hook" in result.stderr
        assert runtime("list", "-q").stdout == ""


def test_poststop_hooks_all_run_and_their_failures_are_warnings(runtime, tmp_path):
    log = tmp_path / "ran"
    hooks = {"poststop": [{"path": "/bin/false"},
                          {"path": "/bin/sh", "args": ["sh", "-c", f"echo ran > {log}"]}]}
    folder = bundle.write(runtime.folder / "b", spec_of("true", hooks=hooks), runtime.rootfs)
    result = runtime("run", "-b", folder, "c1")
    assert "level=warning" in result.stderr and "poststop" in result.stderr
    assert log.read_text() == "ran\n"


def test_a_hook_that_takes_longer_than_its_timeout_is_killed(runtime):
    hooks = {"createRuntime": [{"path": "/bin/sleep", "args": ["sleep", "100"], "timeout": 1}]}
    folder = bundle.write(runtime.folder / "b", spec_of("true", hooks=hooks), runtime.rootfs)
    assert "longer than its timeout" in runtime("run", "-b", folder, "c1", check=False).stderr
