"""What plugins on the official Go stub ask for, as it is inside the container and in the journal."""

import ctypes
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import pytest

from tests.interop.nri import go_programs
from tests.testing import bundle as bundles
from tests.testing.daemon import Daemon, wait_until

IOPRIO_GET = 252  # x86_64


class Plugins:
    """A daemon with a socket for plugins, and the scripted plugins that are connected to it."""

    def __init__(self, *flags):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="ocid-nri-"))
        self.socket = self.folder / "nri.sock"
        self.running = {}
        self.daemon = Daemon("--nri-socket", self.socket, *flags)

    def connect(self, name, **script):
        """Starts a scripted plugin, NN-name, and waits until it takes part."""
        index, bare = name.split("-", 1)
        path = self.folder / f"{name}.json"
        self.write(name, **script)
        program = go_programs.program("scripted")
        with open(self.folder / f"{name}.log", "ab") as log:
            self.running[name] = subprocess.Popen(
                [program, "-idx", index, "-name", bare, "-socket", self.socket, "-script", path],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.await_plugin(name)

    def await_plugin(self, name):
        def active():
            assert self.running[name].poll() is None, (self.folder / f"{name}.log").read_text()
            shown = self.daemon.ctl("plugin", "inspect", name, check=False)
            return shown.returncode == 0 and json.loads(shown.stdout)["connected"]
        wait_until(active, what=f"{name} is connected")

    def write(self, name, **script):
        """What the plugin is to do from now on."""
        script.setdefault("record", str(self.folder / f"{name}.requests"))
        new = self.folder / f"{name}.new"
        new.write_text(json.dumps(script))
        new.rename(self.folder / f"{name}.json")

    def requests(self, name, kind=None):
        path = self.folder / f"{name}.requests"
        lines = path.read_text().splitlines() if path.exists() else []
        found = [json.loads(line) for line in lines]
        return [line for line in found if kind in (None, line["request"])]

    def disconnect_all(self):
        for process in self.running.values():
            process.kill()
            process.wait()
        self.running.clear()
        for path in self.folder.glob("*.requests"):
            path.unlink()

    def close(self):
        try:
            self.disconnect_all()
            self.daemon.close()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture(name="shared", scope="module")
def one_daemon():
    go_programs.program("scripted")
    plugins = Plugins()
    yield plugins
    plugins.close()


@pytest.fixture(name="plugins")
def without_leftovers(shared):
    yield shared
    ids = shared.daemon.ctl("list", "-q").stdout.split()
    if ids:
        shared.daemon.ctl("delete", "-f", *ids)
    shared.disconnect_all()


def steps_of(daemon, container, *args):
    history = json.loads(
        daemon.ctl("spec", container, "--view", "full", "--format", "json", *args).stdout)
    return [s for s in history["steps"] if s["actor_kind"] == "nri" or s.get("on_behalf_of")]


def refused(daemon, *args):
    done = daemon.ctl(*args, check=False)
    assert done.returncode != 0
    return done.stderr


def cgroup_file(pid, v1_controller, v1_file, v2_file):
    """A file of the process's cgroup, wherever this host has the controller."""
    v2 = None
    for line in pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if v1_controller in controllers.split(","):
            return pathlib.Path("/sys/fs/cgroup", v1_controller, path[1:], v1_file).read_text().strip()
        if not controllers:
            v2 = path[1:]
    base = pathlib.Path("/sys/fs/cgroup/unified")
    base = base if base.is_dir() else base.parent
    return (base / v2 / v2_file).read_text().strip()


def everything(folder, cgroups_path):
    """A ContainerAdjustment with every field."""
    look = "; ".join([
        "env", "cat /injected/note", "touch /injected/x || echo injected is read-only",
        "grep -c mqueue /proc/mounts", "stat -c '%t:%T %a %u:%g' /dev/fancy",
        "echo x > /dev/fancy && echo fancy was written", "cat /proc/self/oom_score_adj",
        "cat /proc/sys/net/ipv4/ip_default_ttl", "ulimit -n", "grep Seccomp: /proc/self/status",
        "mkdir /tmp/made 2>&1", "readlink /proc/self/ns/cgroup", "echo looked", "sleep 1000"])
    return {
        "annotations": {"plugin.example/added": "1", "-bundle.example/gone": ""},
        "mounts": [{"destination": "/injected", "source": str(folder), "type": "bind",
                    "options": ["rbind", "ro"]},
                   {"destination": "-/dev/mqueue"}],
        "env": [{"key": "ADDED", "value": "yes"}, {"key": "TERM", "value": "replaced"},
                {"key": "-SECRET"}],
        "args": ["", "sh", "-c", look],
        "hooks": {"createRuntime": [
            {"path": "/bin/sh", "args": ["sh", "-c", f"cat > {folder}/hook-state; env > {folder}/hook-env"],
             "env": ["HOOK=1"], "timeout": {"value": "5"}}]},
        "rlimits": [{"type": "RLIMIT_NOFILE", "hard": "321", "soft": "123"}],
        "CDIDevices": [{"name": "vendor.com/gpu=0"}],
        "linux": {
            "devices": [{"path": "/dev/fancy", "type": "c", "major": "1", "minor": "3",
                         "fileMode": {"value": 0o640}, "uid": {"value": 0}, "gid": {"value": 5}}],
            "resources": {
                "memory": {"limit": {"value": str(96 << 20)}, "reservation": {"value": str(32 << 20)}},
                "cpu": {"shares": {"value": "512"}, "quota": {"value": "50000"},
                        "period": {"value": "100000"}},
                "pids": {"limit": "77"},
                "blockioClass": {"value": "fast"},
            },
            "cgroupsPath": cgroups_path,
            "oomScoreAdj": {"value": "321"},
            "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 6},
            "seccompPolicy": {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
                              "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO",
                                            "errnoRet": {"value": 95}}]},
            "namespaces": [{"type": "cgroup"}],
            "sysctl": {"net.ipv4.ip_default_ttl": "77"},
            "scheduler": {"policy": "SCHED_BATCH", "nice": 4},
            "memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0"},
            "rdt": {"closId": {"value": "gold"}},
        },
    }


def test_every_field_is_inside_the_container_and_in_the_journal(plugins, tmp_path):
    daemon = plugins.daemon
    (tmp_path / "note").write_text("a note\n")
    cdi = daemon.folder / "cdi"
    cdi.mkdir(exist_ok=True)
    (cdi / "gpu.json").write_text(json.dumps({
        "cdiVersion": "0.6.0", "kind": "vendor.com/gpu",
        "devices": [{"name": "0", "containerEdits": {"env": ["GPU=zero"]}}]}))
    cgroups_path = f"/{daemon.cgroup_parent}/by-plugin"
    plugins.connect("10-adjuster", adjust=everything(tmp_path, cgroups_path))
    spec = bundles.config("false", annotations={"bundle.example/gone": "1"})
    spec["process"]["env"].append("SECRET=1")
    daemon.ctl("create", "--bundle", daemon.bundle(spec=spec), "all")
    daemon.ctl("start", "all")
    wait_until(lambda: "looked" in daemon.ctl("logs", "all").stdout, what="the container has looked")

    said = daemon.ctl("logs", "all").stdout
    lines = said.splitlines()
    for expected in ("ADDED=yes", "TERM=replaced", "GPU=zero", "a note", "injected is read-only", "0",
                     "1:3 640 0:5", "fancy was written", "321", "77", "123", "Seccomp:\t2"):
        assert expected in lines, f"{expected!r} not in:\n{said}"
    assert "SECRET" not in said
    assert "can't create directory" in said  # ENOTSUP of the seccomp policy
    assert re.search(r"cgroup:\[\d+\]", said).group() != os.readlink("/proc/self/ns/cgroup")

    pid = daemon.inspect("all")["pid"]
    assert os.sched_getscheduler(pid) == os.SCHED_BATCH
    assert os.getpriority(os.PRIO_PROCESS, pid) == 4
    assert ctypes.CDLL(None, use_errno=True).syscall(IOPRIO_GET, 1, pid) == 2 << 13 | 6
    assert "bind:0" in pathlib.Path(f"/proc/{pid}/numa_maps").read_text().splitlines()[0]
    assert "/by-plugin" in pathlib.Path(f"/proc/{pid}/cgroup").read_text()
    assert cgroup_file(pid, "memory", "memory.limit_in_bytes", "memory.max") == str(96 << 20)
    assert cgroup_file(pid, "memory", "memory.soft_limit_in_bytes", "memory.low") == str(32 << 20)
    assert cgroup_file(pid, "pids", "pids.max", "pids.max") == "77"
    assert json.loads((tmp_path / "hook-state").read_text())["id"] == "all"
    assert "HOOK=1" in (tmp_path / "hook-env").read_text().splitlines()
    annotations = json.loads(daemon.ctl("spec", "all").stdout)["annotations"]
    assert annotations == {"plugin.example/added": "1"}

    plugin, device = steps_of(daemon, "all")
    assert (plugin["actor"], plugin["actor_kind"]) == ("10-adjuster", "nri")
    assert plugin["requested"]["adjust"]["env"][0] == {"key": "ADDED", "value": "yes"}
    assert plugin["duration_ms"] > 0
    ignored = {edit["pointer"]: edit["reason"] for edit in plugin["ignored"]}
    assert "fast" in ignored["/linux/resources/blockIO"]
    if not os.path.exists("/sys/fs/resctrl/schemata"):
        assert "resctrl" in ignored.pop("/linux/intelRdt/closID")
    assert set(ignored) <= {"/linux/resources/blockIO", "/linux/resources/memory/reservation"}
    assert {c["previous_actor"] for c in plugin["conflicts"]} >= {"bundle"}
    assert (device["actor"], device["on_behalf_of"]) == ("vendor.com/gpu=0", "10-adjuster")
    assert daemon.ctl("spec", "verify", "all", check=False).returncode == 0


def test_plugins_see_what_they_expect_of_a_pod(plugins):
    daemon = plugins.daemon
    plugins.connect("10-looker")
    spec = bundles.config("sleep", "1000", annotations={"devices.noderesource.dev/container.seen": "[]"})
    daemon.ctl("create", "--bundle", daemon.bundle(spec=spec), "--label", "app=shop", "seen")
    request, = plugins.requests("10-looker", "CreateContainer")
    pod, container = request["pod"], request["container"]
    assert pod["annotations"] == {"devices.noderesource.dev/container.seen": "[]"}
    assert (pod["id"], pod["uid"], pod["name"]) == ("seen", "seen", "seen")
    assert pod["labels"]["app"] == container["labels"]["app"] == "shop"
    assert (container["id"], container["pod_sandbox_id"], container["name"]) == ("seen",) * 3
    assert "state" not in container  # 0, CONTAINER_UNKNOWN
    assert container["args"] == ["sleep", "1000"]
    assert {n["type"] for n in container["linux"]["namespaces"]} == {"pid", "network", "ipc", "uts", "mount"}
    assert [m["destination"] for m in container["mounts"]][:2] == ["/proc", "/dev"]
    assert container["rlimits"] == [{"type": "RLIMIT_NOFILE", "hard": "1024", "soft": "1024"}]
    for part in ("memory", "cpu"):
        assert container["linux"]["resources"][part] == {}
    assert container["hooks"] == {}


def test_a_conflict_names_both_plugins_and_the_field_and_undoes_the_create(plugins):
    daemon = plugins.daemon
    plugins.connect("10-first", adjust={"env": [{"key": "MINE", "value": "1"}]})
    plugins.connect("20-conflicter", adjust={"env": [{"key": "MINE", "value": "2"}]})
    error = refused(daemon, "create", "--bundle", daemon.bundle("true"), "torn")
    assert '"20-conflicter" and "10-first" both tried to set Env MINE' in error, error
    assert "torn" not in daemon.ctl("list", "-q").stdout.split()

    # Removing it first is no conflict.
    plugins.write("20-conflicter", adjust={"env": [{"key": "-MINE"}, {"key": "MINE", "value": "2"}]})
    daemon.ctl("create", "--bundle", daemon.bundle("env"), "torn")
    first, second = steps_of(daemon, "torn")
    assert second["conflicts"][0]["previous_actor"] == "10-first"
    assert "environment variable MINE" in json.dumps(second["conflicts"])
    assert first["json_patch"] and second["json_patch"]


def test_a_plugin_may_not_override_the_request(plugins):
    daemon = plugins.daemon
    plugins.connect("10-bold", adjust={"env": [{"key": "ASKED", "value": "no"}]})
    error = refused(daemon, "create", "--bundle", daemon.bundle("true"), "--env", "ASKED=yes", "mine")
    assert "10-bold" in error and "ASKED" in error and "which the request set" in error


def test_an_error_of_a_plugin_fails_the_create_with_its_words(plugins):
    daemon = plugins.daemon
    plugins.connect("10-strict", fail={"CreateContainer": "no devices today"})
    error = refused(daemon, "create", "--bundle", daemon.bundle("true"), "failed")
    assert "10-strict" in error and "no devices today" in error


def test_a_validator_rejects_with_its_reason(plugins):
    daemon = plugins.daemon
    plugins.connect("10-adjuster", adjust={"linux": {"sysctl": {"net.ipv4.ip_default_ttl": "77"}}})
    plugins.connect("20-judge", events="ValidateContainerAdjustment",
                    fail={"ValidateContainerAdjustment": "not today"})
    error = refused(daemon, "create", "--bundle", daemon.bundle("true"), "judged")
    assert 'validator "20-judge" rejected container adjustment, reason:' in error, error
    assert "not today" in error

    plugins.write("20-judge")
    daemon.ctl("create", "--bundle", daemon.bundle("true"), "judged")
    request = plugins.requests("20-judge", "ValidateContainerAdjustment")[-1]["validate"]
    assert request["adjust"]["linux"]["sysctl"] == {"net.ipv4.ip_default_ttl": "77"}
    assert "sysctl" not in request["container"]["linux"]
    owners = request["owners"]["owners"]["judged"]["compound"]["34"]["owners"]
    assert owners == {"net.ipv4.ip_default_ttl": "10-adjuster"}
    assert [(p["index"], p["name"]) for p in request["plugins"]] == [("10", "adjuster"), ("20", "judge")]


def pids_update(container, limit, **more):
    return {"containerId": container, "linux": {"resources": {"pids": {"limit": str(limit)}}}, **more}


def test_other_containers_are_updated_by_replies(plugins):
    daemon = plugins.daemon
    daemon.run_detached("other", "sleep", "1000")
    plugins.connect("10-updater", container="new",
                    update={"CreateContainer": [pids_update("other", 41), pids_update("unknown", 1)]})
    daemon.ctl("create", "--bundle", daemon.bundle("true"), "new")
    pid = daemon.inspect("other")["pid"]
    assert cgroup_file(pid, "pids", "pids.max", "pids.max") == "41"

    plugins.write("10-updater", container="self", update={"CreateContainer": [pids_update("self", 1)]})
    error = refused(daemon, "create", "--bundle", daemon.bundle("true"), "self")
    assert 'asked update of "self" during creation' in error


def test_a_plugin_may_update_from_inside_its_own_handler(plugins):
    daemon = plugins.daemon
    daemon.run_detached("other", "sleep", "1000")
    plugins.connect("10-nested", container="new", unsolicited={"CreateContainer": [pids_update("other", 43)]})
    daemon.ctl("create", "--bundle", daemon.bundle("true"), "new", timeout=10)
    pid = daemon.inspect("other")["pid"]
    wait_until(lambda: cgroup_file(pid, "pids", "pids.max", "pids.max") == "43", what="the update")


def test_a_container_that_starts_again_is_adjusted_as_it_was_created(plugins):
    daemon = plugins.daemon
    plugins.connect("10-adjuster", adjust={"env": [{"key": "ADDED", "value": "yes"}]})
    daemon.run_detached("again", "env")
    daemon.ctl("wait", "again")
    plugins.write("10-adjuster", adjust={"env": [{"key": "ADDED", "value": "no"}]})
    daemon.ctl("start", "again")
    daemon.ctl("wait", "again")
    assert [line for line in daemon.ctl("logs", "again").stdout.splitlines() if "ADDED" in line] == \
        ["ADDED=yes"] * 2
    assert len(plugins.requests("10-adjuster", "CreateContainer")) == 1
    step, = steps_of(daemon, "again", "--generation", "2")
    assert step["actor"] == "10-adjuster"


def test_the_default_validator_and_policies(tmp_path):
    go_programs.program("scripted")
    plugins = Plugins("--nri-validator", "reject_sysctl_adjustment",
                      "--nri-validator", "required_plugins=topology",
                      "--nri-validator", "tolerate_missing_plugins_annotation=tolerate",
                      "--nri-policy", "limited,fields=Env")
    try:
        daemon = plugins.daemon
        assert 'required plugin "topology" not present' in refused(
            daemon, "create", "--bundle", daemon.bundle("true"), "x")
        spec = bundles.config("true", annotations={"tolerate": "true"})
        plugins.connect("10-limited", adjust={"args": ["false"], "env": [{"key": "OK"}]})
        daemon.ctl("create", "--bundle", daemon.bundle(spec=spec), "limited")
        step, = steps_of(daemon, "limited")
        assert [e["pointer"] for e in step["ignored"]] == ["/process/args"]
        assert "policy" in step["ignored"][0]["reason"]
        plugins.connect("20-topology", adjust={"linux": {"sysctl": {"net.ipv4.ip_default_ttl": "9"}}})
        error = refused(daemon, "create", "--bundle", daemon.bundle("true"), "y")
        assert "00-default-validator" in error and "20-topology" in error, error
        plugins.write("20-topology")
        daemon.ctl("create", "--bundle", daemon.bundle("true"), "y")
    finally:
        plugins.close()
