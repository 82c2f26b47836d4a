"""Races: a process on the host swaps what the runtime resolves, a hundred rounds each (fewer through ocid).

The mutator stands for another container that shares a volume with this one (CVE-2021-30465). A round
may fail or succeed; what it must never do is to touch the host, and what runs must be confined.
"""

import os
import stat

import pytest

from tests.testing.engines import Mutator, guarded_engine, _module_engine  # pylint: disable=unused-import
from tests.privileged.attacks.exchange import exchanger
from tests.testing import bundle as bundles

@pytest.fixture(name="rootfs", scope="module")
def shared_rootfs(module_engine):
    return module_engine.rootfs()


@pytest.fixture(name="volume")
def swapping_volume(engine, request):
    """A volume whose folder `target` is a symlink to the host's canary half of the time."""
    folder = engine.folder / f"volume-{abs(hash(request.node.name))}"
    (folder / "target" / "sub").mkdir(parents=True)
    os.symlink("../../../../../../../../../.." + str(engine.canary), folder / "link")
    return folder


def config(volume, *args):
    spec = bundles.config(*args)
    spec["mounts"].append({"destination": "/vol", "type": "bind", "source": str(volume), "options": ["rbind"]})
    return spec


def race(engine, spec, rootfs, change, check=lambda result: None):
    """The results of the rounds in which the program ran; `check` looks at each."""
    ran = []
    with Mutator(change):
        for _ in range(engine.race_rounds):
            result = engine.run(spec, rootfs)
            if result.ok:
                check(result)
                ran.append(result)
    return ran


def foreign_mounts(engine, mountinfo):
    """Mounts of the host's disk that come from outside the test's folder."""
    device = os.stat(engine.folder).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    fields = [line.split() for line in mountinfo.splitlines() if line[:1].isdigit()]
    return [field for field in fields
            if len(field) > 4 and field[2] == number and not field[3].startswith(str(engine.folder))]


@pytest.mark.parametrize("kind", ["tmpfs", "bind", "missing file"])
def test_the_destination_of_a_mount_is_swapped_for_a_symlink(engine, rootfs, volume, kind):
    # CVE-2021-30465, CVE-2024-45310
    spec = config(volume, "cat", "/proc/self/mountinfo")
    source = engine.folder / "source"
    source.write_text("x")
    spec["mounts"].append({
        "tmpfs": {"destination": "/vol/target/sub", "type": "tmpfs", "source": "tmpfs"},
        "bind": {"destination": "/vol/target/sub", "type": "bind", "source": str(volume), "options": ["bind"]},
        "missing file": {"destination": "/vol/target/new/file", "type": "bind", "source": str(source),
                         "options": ["bind"]},
    }[kind])

    def check(result):
        assert not foreign_mounts(engine, result.out), result.out
    ran = race(engine, spec, rootfs, exchanger(volume / "target", volume / "link"), check)
    assert ran, "no round came through"


def test_the_working_directory_is_swapped_for_a_symlink(engine, rootfs, volume):
    spec = config(volume, "sh", "-c", "touch made; pwd; cat secret")
    spec["process"]["cwd"] = "/vol/target/work"

    def check(result):
        assert "untouched" not in result.out, result
    race(engine, spec, rootfs, exchanger(volume / "target", volume / "link"), check)


def test_the_place_of_a_device_is_swapped_for_a_symlink(engine, rootfs, volume):
    spec = config(volume, "true")
    spec["linux"]["devices"] = [{"path": "/vol/target/device", "type": "c", "major": 1, "minor": 3}]
    race(engine, spec, rootfs, exchanger(volume / "target", volume / "link"))


@pytest.fixture(name="devices")
def shared_devices(engine, request):
    """A /dev that two containers share: a bind mount with real nodes."""
    folder = engine.folder / f"dev-{abs(hash(request.node.name))}"
    folder.mkdir()
    for name, minor in (("null", 3), ("zero", 5), ("full", 7), ("random", 8), ("urandom", 9)):
        os.mknod(folder / name, stat.S_IFCHR | 0o666, os.makedev(1, minor))
    os.mknod(folder / "tty", stat.S_IFCHR | 0o666, os.makedev(5, 0))
    for name in ("pts", "shm", "mqueue"):
        (folder / name).mkdir()
    return folder


def on_devices(spec, devices):
    for mount in spec["mounts"]:
        if mount["destination"] == "/dev":
            mount.update(type="bind", source=str(devices), options=["rbind"])
    return spec


def test_the_null_device_is_swapped_while_paths_are_masked(engine, rootfs, devices):
    # CVE-2025-31133: what covers a masked file must be the null device, and nothing else.
    os.symlink("/proc/sys/kernel/core_pattern", devices / "evil")
    spec = on_devices(bundles.config("sh", "-c", "for f in keys kcore timer_list; do stat -c %t:%T /proc/$f; "
                                     "echo pwned > /proc/$f; cat /proc/$f; done"), devices)

    def check(result):
        assert set(result.out.split()) == {"1:3"}, result
    race(engine, spec, rootfs, exchanger(devices / "null", devices / "evil"), check)
    # Without the race it must come through, or the test is of nothing.
    os.unlink(devices / "evil")
    if (devices / "null").is_symlink() or not (devices / "null").exists():
        (devices / "null").unlink(missing_ok=True)
        os.mknod(devices / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    result = engine.run(spec, rootfs)
    assert result.ok and set(result.out.split()) == {"1:3"}, result


@pytest.mark.parametrize("name", ["console", "ptmx", "pts"])
def test_the_terminal_is_swapped_while_it_is_bound(engine, rootfs, devices, name):
    # CVE-2025-52565: the console must not land on procfs, nor come from anything but devpts.
    if name == "console":
        (devices / name).touch()
    if name == "ptmx":
        os.symlink("pts/ptmx", devices / name)
    os.symlink("/proc/sys/kernel" if name == "pts" else "/proc/sys/kernel/core_pattern", devices / "evil")
    spec = on_devices(bundles.config("sh", "-c", "test -t 0 && echo TERMINAL; cat /proc/self/mountinfo"), devices)
    spec["process"]["terminal"] = True

    def check(result):
        assert "TERMINAL" in result.out, result
        points = [line.split()[4] for line in result.out.splitlines() if line.count(" ") > 8]
        on_procfs = [point for point in points if point.startswith("/proc/sys/")]
        assert not on_procfs, result.out
    race(engine, spec, rootfs, exchanger(devices / name, devices / "evil"), check)


def test_proc_is_swapped_while_settings_are_written(engine):
    # CVE-2025-52881: either the value is really set, or nothing runs.
    own = engine.rootfs("rootfs-swapped-proc")
    (own / "fake" / "sys" / "kernel").mkdir(parents=True)
    (own / "fake" / "sys" / "kernel" / "msgmax").write_text("")
    os.symlink("fake", own / "evil")
    # /proc is swapped for the program, too: it looks until it sees the real one.
    look = ("for f in /proc/sys/kernel/msgmax /proc/self/oom_score_adj; do v=; "
            "until [ -n \"$v\" ]; do v=$(cat $f 2>/dev/null); done; echo $v; done")
    spec = bundles.config("sh", "-c", look)
    spec["linux"]["sysctl"] = {"kernel.msgmax": "12345"}
    spec["process"]["oomScoreAdj"] = 321

    def check(result):
        assert result.out.split() == ["12345", "321"], result
    race(engine, spec, own, exchanger(own / "proc", own / "evil"), check)
    assert (own / "fake" / "sys" / "kernel" / "msgmax").read_text() == ""
