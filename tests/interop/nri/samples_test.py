"""Official sample plugins, unmodified and started as their own pages say: by annotations of a container alone.

They know one socket, /var/run/nri/nri.sock, and folders below /etc: each runs in a root folder of its own, in
which the daemon's socket has that place.
"""

import ctypes
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

from tests.interop.nri import go_programs
from tests.interop.nri.plugin_bed import PluginBed
from tests.testing import bundle as bundles
from tests.testing.daemon import wait_until

IOPRIO_GET = 252  # x86_64

WHOLE_LIFE = ("RunPodSandbox", "CreateContainer", "PostCreateContainer", "StartContainer",
              "PostStartContainer", "StopContainer", "StopPodSandbox", "RemoveContainer", "RemovePodSandbox")


class SampleBed(PluginBed):
    """A daemon whose socket is /var/run/nri/nri.sock for the plugins that it starts."""

    def __init__(self, *flags):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="ocid-nri-root-", dir="/tmp"))
        (self.root / "var/run/nri").mkdir(parents=True)
        super().__init__(*flags, socket=self.root / "var/run/nri/nri.sock")

    def run(self, plugin, name, *args, enter=("/usr/sbin/chroot",)):
        """Starts an official plugin, whose name is `plugin` once it is connected."""
        shutil.copy(go_programs.sample(name), self.root / name)
        self.connect(plugin, *enter, self.root, f"/{name}", *args)
        return plugin

    def sample(self, name, index, *args, **kwargs):
        """Starts one as its page says, `NAME -idx NN`; its name among the plugins."""
        return self.run(f"{index}-{name}", name, "-idx", index, *args, **kwargs)

    def create(self, container, *args, **changes):
        spec = bundles.config(*args, **changes)
        self.daemon.ctl("create", "--bundle", self.daemon.bundle(spec=spec), container)

    def output(self, container, *args, **changes):
        """What a container says in its whole life."""
        self.create(container, *args, **changes)
        self.daemon.ctl("start", container)
        self.daemon.ctl("wait", container)
        return self.daemon.ctl("logs", container).stdout

    def differences(self, container):
        return self.daemon.ctl("spec", "diff", container).stdout

    def log_of(self, plugin):
        return (self.folder / f"{plugin}.log").read_text()

    def close(self):
        try:
            super().close()
        finally:
            shutil.rmtree(self.root, ignore_errors=True)


@pytest.fixture(name="bed")
def own_bed():
    go_programs.need_samples()
    instance = SampleBed()
    yield instance
    instance.close()


def in_order(text, *parts):
    places = [text.find(part) for part in parts]
    return -1 not in places and places == sorted(places)


def char_device(path, minor):
    return f"- path: {path}\n  type: c\n  major: 1\n  minor: {minor}\n"


@pytest.mark.parametrize("key", ["devices.noderesource.dev", "devices.nri.io"])
def test_device_injector_takes_the_narrowest_annotation(bed, key):
    plugin = bed.sample("device-injector", "10")
    wide = {key: char_device("/dev/bare", 3), f"{key}/pod": char_device("/dev/of-pod", 5),
            f"{key}/container.c0": char_device("/dev/of-c0", 7)}
    look = ("sh", "-c", "cd /dev; stat -c '%n %t:%T' bare of-pod of-c0 2>/dev/null || true")
    assert bed.output("c0", *look, annotations=wide) == "of-c0 1:7\n"
    assert bed.output("c1", *look, annotations=wide) == "of-pod 1:5\n"
    del wide[f"{key}/pod"]
    assert bed.output("c2", *look, annotations=wide) == "bare 1:3\n"
    assert plugin in bed.differences("c0")


def test_device_injector_gives_devices_mounts_cdi_devices_and_an_io_priority(bed, tmp_path):
    bed.sample("device-injector", "10")
    (tmp_path / "note").write_text("a note\n")
    cdi = bed.daemon.folder / "cdi"
    cdi.mkdir(exist_ok=True)
    (cdi / "vendor.yaml").write_text(
        "cdiVersion: 0.6.0\nkind: vendor0.com/device\ndevices:\n"
        "- {name: zero, containerEdits: {env: [CDI=zero], deviceNodes: [{path: /dev/cdi, hostPath: /dev/zero}]}}\n")
    bed.create("bbdev0", "sh", "-c", "stat -c '%n %t:%T %a %u:%g' /dev/nri /dev/cdi; echo $CDI; cat /host/note; "
               "touch /host/x || echo read-only; echo looked; sleep 1000", annotations={
                   "devices.noderesource.dev/container.bbdev0":
                       char_device("/dev/nri", 5) + "  file_mode: 416\n  uid: 11\n  gid: 12\n",
                   "mounts.noderesource.dev/pod": f"- source: {tmp_path}\n  destination: /host\n  type: bind\n"
                                                  "  options: [bind, ro]\n",
                   "cdi-devices.noderesource.dev": "- vendor0.com/device=zero\n",
                   "io-priority.noderesource.dev/container.bbdev0": "class: IOPRIO_CLASS_BE\npriority: 7\n"})
    bed.daemon.ctl("start", "bbdev0")
    wait_until(lambda: "looked" in bed.daemon.ctl("logs", "bbdev0").stdout, what="it has looked")
    lines = bed.daemon.ctl("logs", "bbdev0").stdout.splitlines()
    assert lines[0] == "/dev/nri 1:5 640 11:12"
    assert lines[1].startswith("/dev/cdi 1:5")
    assert lines[2:4] == ["zero", "a note"]
    assert lines[-2:] == ["read-only", "looked"]
    pid = bed.daemon.inspect("bbdev0")["pid"]
    assert ctypes.CDLL(None, use_errno=True).syscall(IOPRIO_GET, 1, pid) == 2 << 13 | 7
    shown = bed.differences("bbdev0")
    for part in ("10-device-injector", "vendor0.com/device=zero", "/dev/nri", "/dev/cdi", "/host", "IOPRIO_CLASS_BE"):
        assert part in shown, shown


@pytest.mark.parametrize("key", ["ulimits.noderesource.dev", "ulimits.nri.containerd.io"])
def test_ulimit_adjuster_sets_the_limits_of_its_container(bed, key):
    bed.sample("ulimit-adjuster", "20")
    wanted = {f"{key}/container.u": "- {type: RLIMIT_NOFILE, hard: 222, soft: 111}\n- {type: core, soft: 7, hard: 9}\n"}
    look = ("sh", "-c", "ulimit -Sn; ulimit -Hn; grep core /proc/self/limits")
    soft, hard, core = bed.output("u", *look, annotations=wanted).splitlines()
    assert (soft, hard) == ("111", "222")
    assert core.split()[4:6] == ["7", "9"]
    assert "RLIMIT_CORE" in bed.differences("u")
    assert bed.output("other", *look, annotations=wanted).splitlines()[0] == "1024"


def test_ulimit_adjuster_refuses_in_its_own_words(bed):
    bed.sample("ulimit-adjuster", "20")
    spec = bundles.config("true", annotations={
        "ulimits.noderesource.dev/container.u": "- {type: nofile, hard: 1, soft: 2}"})
    done = bed.daemon.ctl("create", "--bundle", bed.daemon.bundle(spec=spec), "u", check=False)
    assert done.returncode != 0
    assert "20-ulimit-adjuster" in done.stderr and "must have hard limit >= soft limit" in done.stderr
    assert bed.daemon.ctl("list", "-q").stdout == ""


def test_logger_sees_the_whole_life(bed):
    plugin = bed.sample("logger", "30", "-add-env", "LOGGED", "-set-annotation", "logged")
    assert "LOGGED=logger-pid-" in bed.output("l", "env")
    assert "logger-pid-" in json.loads(bed.daemon.ctl("spec", "l").stdout)["annotations"]["logged"]
    bed.daemon.ctl("delete", "l")
    assert in_order(bed.log_of(plugin), *(f"{event}: pod:" for event in WHOLE_LIFE))


def test_a_launched_logger_sees_the_whole_life(tmp_path):
    go_programs.need_samples()
    shutil.copy(go_programs.sample("logger"), tmp_path / "05-logger")
    bed = PluginBed("--nri-plugin-dir", tmp_path)
    try:
        bed.daemon.run_detached("web", "true")
        bed.daemon.ctl("wait", "web")
        bed.daemon.ctl("delete", "web")
        assert in_order(bed.daemon.log.read_text(), *(f"{event}: pod:" for event in WHOLE_LIFE))
    finally:
        bed.close()


def test_hook_injector_injects_what_its_folder_says(bed, tmp_path):
    log = tmp_path / "demo-hook.log"
    hook = tmp_path / "demo-hook.sh"
    hook.write_text(f'#!/bin/sh\n(echo "command: $0 $*"; env; cat) >> {log}\n')
    hook.chmod(0o755)
    seen_by_plugin = bed.root / str(hook)[1:]  # which refuses hooks that are not there
    seen_by_plugin.parent.mkdir(parents=True)
    shutil.copy(hook, seen_by_plugin)
    folder = bed.root / "etc/containers/oci/hooks.d"
    folder.mkdir(parents=True)
    for name, when, env in (("always", {"always": True}, "DEMO_HOOK_ALWAYS_INJECTED=true"),
                            ("busybox", {"commands": ["busybox"]}, "DEMO_HOOK_BUSYBOX_INJECTED=true")):
        (folder / f"{name}-inject.json").write_text(json.dumps({
            "version": "1.0.0", "hook": {"path": str(hook), "args": ["this", "hook", "is", name], "env": [env]},
            "when": when, "stages": ["prestart", "poststop"]}))
    bed.sample("hook-injector", "10")
    bed.create("shell", "sh", "-c", "true")
    shown = bed.differences("shell")
    assert "10-hook-injector" in shown and str(hook) in shown and "prestart" in shown and "poststop" in shown
    assert "DEMO_HOOK_BUSYBOX" not in shown
    bed.daemon.ctl("start", "shell")
    bed.daemon.ctl("wait", "shell")
    bed.daemon.ctl("delete", "shell")
    said = log.read_text()
    assert said.count(f"command: {hook} hook is always") == 2  # prestart and poststop; args[0] is the program's name
    assert said.count("DEMO_HOOK_ALWAYS_INJECTED=true") == 2
    assert '"id":"shell"' in said.replace(" ", "")
    log.unlink()
    bed.output("box", "busybox", "true")
    bed.daemon.ctl("delete", "box")
    assert log.read_text().count("DEMO_HOOK_BUSYBOX_INJECTED=true") == 2


def test_differ_shows_what_the_plugins_between_changed(bed):
    bed.sample("ulimit-adjuster", "20")
    bed.run("99-differ", "differ", "-indices", "10,99", "-yaml")
    wait_until(lambda: bed.connected("10-differ"), what="both are connected")
    bed.output("d", "true", annotations={
        "ulimits.noderesource.dev/container.d": "- {type: nproc, hard: 99, soft: 98}"})
    said = bed.log_of("99-differ")
    assert "CreateContainer: container:" in said and "RLIMIT_NPROC" in said and "99" in said, said
    assert in_order(said, "PostCreateContainer: container:", "PostStartContainer: container:", "StopContainer: container:")


def test_template_is_told_of_everything_and_asks_for_nothing(bed):
    plugin = bed.sample("template", "40")
    bed.output("t", "true")
    bed.daemon.ctl("delete", "t")
    assert in_order(bed.log_of(plugin), "Connected to ocid/", "Synchronized state with the runtime (0 pods, 0 containers)",
                    "Started pod ocid/t", "Creating container ocid/t/t", "Created container ocid/t/t",
                    "Starting container ocid/t/t", "Started container ocid/t/t", "Stopped container ocid/t/t",
                    "Stopped pod ocid/t", "Removed container ocid/t/t", "Removed pod ocid/t")
    assert bed.plugin(plugin)["connected"]


def test_rdt_asks_for_a_class_that_the_host_has_or_the_journal_says_why_not(bed):
    plugin = bed.sample("rdt", "50", "-allowed-fields", "all")
    bed.output("r", "true", annotations={
        "closid.rdt.noderesource.dev/container.r": "gold",
        "schemata.rdt.noderesource.dev/container.r": "L3:0=f,MB:0=50"})
    assert plugin in bed.differences("r")
    if not os.path.exists("/sys/fs/resctrl/schemata"):
        assert "resctrl" in bed.daemon.ctl("spec", "r", "--view", "full", "--format", "json").stdout


def test_writable_cgroups_makes_the_mount_writable(bed):
    (bed.root / "mountinfo").write_text(
        "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n")
    bed.sample("writable-cgroups", "60", "-host-mount-file", "/mountinfo", "-verbose")
    spec = bundles.config("sh", "-c", "grep ' /sys/fs/cgroup ' /proc/mounts")
    spec["mounts"].append({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
                           "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]})
    for name, annotations in (("plain", {}), ("by-pod", {"cgroups.noderesource.dev/writable": "true"}),
                              ("by-name", {"cgroups.noderesource.dev/writable.container.by-name": "true"})):
        said = bed.output(name, *spec["process"]["args"], mounts=spec["mounts"], annotations=annotations)
        mode = said.split()[3].split(",")[0]
        assert mode == ("ro" if name == "plain" else "rw"), said


def test_network_logger_is_told_of_networks_without_a_name_once_they_are_there(bed):
    for name, linux in (("own", {}), ("of-host", {"namespaces": [{"type": "pid"}, {"type": "mount"}]})):
        spec = bundles.config("sleep", "1000")
        spec["linux"].update(linux)
        if linux:
            del spec["hostname"]
            spec["mounts"] = [mount for mount in spec["mounts"] if mount["type"] not in ("mqueue", "sysfs")]
        bed.daemon.ctl("create", "--bundle", bed.daemon.bundle(spec=spec), name)
        bed.daemon.ctl("start", name)
    said = bed.log_of(bed.sample("network-logger", "20"))
    pid = bed.daemon.inspect("own")["pid"]
    assert f"pod ocid/own: namespace=/proc/{pid}/ns/net" in said
    assert "pod ocid/of-host: namespace=<host-network>" in said


@pytest.fixture(name="network")
def network_with_a_device():
    """A network namespace with a name, and a device outside it."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ocid-nri-net-", dir="/tmp"))
    namespace = folder / "namespace"
    namespace.touch()
    device = f"ocv{os.getpid()}"
    subprocess.run(["ip", "link", "add", device, "type", "veth", "peer", "name", f"{device}p"], check=True)
    subprocess.run(["unshare", f"--net={namespace}", "true"], check=True)
    yield namespace, device
    subprocess.run(["umount", namespace], check=True)
    subprocess.run(["ip", "link", "delete", f"{device}p"], check=True)
    shutil.rmtree(folder)


def links():
    return subprocess.run(["ip", "-brief", "link"], check=True, text=True, stdout=subprocess.PIPE).stdout


def test_network_device_injector_lends_a_device_to_a_network_with_a_name(bed, network):
    namespace, device = network
    # It looks at namespaces by their paths.
    for folder in ("proc", str(namespace.parent)[1:]):
        (bed.root / folder).mkdir(parents=True)
    enter = ("unshare", "--mount", "sh", "-c", f"mount --rbind /proc $1/proc; mount --rbind {namespace.parent} "
             f"$1{namespace.parent}; exec /usr/sbin/chroot \"$@\"", "sh")
    bed.sample("network-device-injector", "10", enter=enter)
    logger = bed.sample("network-logger", "20")
    spec = bundles.config("cat", "/proc/net/dev", annotations={
        "netdevice.noderesource.dev/pod": f"- {{name: {device}, new_name: eth33}}"})
    next(n for n in spec["linux"]["namespaces"] if n["type"] == "network")["path"] = str(namespace)
    assert "eth33:" in bed.output("n", *spec["process"]["args"], annotations=spec["annotations"], linux=spec["linux"])
    bed.daemon.ctl("delete", "n")
    assert f"{device}@" in links()
    assert in_order(bed.log_of(logger), f"Started pod ocid/n: namespace={namespace}", "Stopped pod ocid/n",
                    "Removed pod ocid/n")


def test_network_device_injector_lends_a_device_to_the_network_that_a_container_gets(tmp_path, network):
    _, device = network
    go_programs.need_samples()
    shutil.copy(go_programs.sample("network-device-injector"), tmp_path / "10-network-device-injector")
    bed = PluginBed("--nri-plugin-dir", tmp_path)
    try:
        spec = bundles.config("cat", "/proc/net/dev", annotations={
            "netdevice.noderesource.dev/pod": f"- {{name: {device}, new_name: eth33}}"})
        bed.daemon.run_detached("n", spec=spec)
        bed.daemon.ctl("wait", "n")
        bed.daemon.ctl("start", "n")
        bed.daemon.ctl("wait", "n")
        assert bed.daemon.ctl("logs", "n").stdout.count("eth33:") == 2
        assert f"{device}@" not in links()
        bed.daemon.ctl("delete", "n")
        assert f"{device}@" in links()
    finally:
        bed.close()
