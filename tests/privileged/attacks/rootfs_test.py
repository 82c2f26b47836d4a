"""Images whose root file system is the attack: symlinks where the runtime mounts and makes files."""

import os
import shutil

import pytest

from tests.testing.engines import Background, guarded_engine, _module_engine  # pylint: disable=unused-import
from tests.testing import bundle as bundles


def link(path, target):
    """Puts a symlink where a file or a folder was."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    os.symlink(target, path)


@pytest.fixture(name="rootfs")
def own_rootfs(engine, request):
    return engine.rootfs(f"rootfs-{abs(hash(request.node.name))}")


def ways_to(target):
    """Symlink targets that lead to a host path, if they are resolved on the host."""
    return [str(target), "../../../../../../../../../.." + str(target), "/../../.." + str(target)]


def without_mount(spec, destination):
    spec["mounts"] = [mount for mount in spec["mounts"]
                      if not (mount["destination"] + "/").startswith(destination + "/")]
    return spec


@pytest.mark.parametrize("way", range(3))
@pytest.mark.parametrize("mounted", [True, False], ids=["tmpfs on dev", "nothing on dev"])
def test_dev_that_is_a_symlink_to_the_host(engine, rootfs, way, mounted):
    # CVE-2026-41579, CVE-2026-47766: ptmx is removed there, and device links are made there.
    link(rootfs / "dev", ways_to(engine.canary)[way])
    spec = bundles.config("true")
    engine.run(spec if mounted else without_mount(spec, "/dev"), rootfs)


@pytest.mark.parametrize("name", ["proc", "sys"])
@pytest.mark.parametrize("target", ["/x", "x", "/tmp"])
def test_proc_and_sys_that_are_symlinks_are_refused(engine, rootfs, name, target):
    # CVE-2019-16884, CVE-2019-19921, CVE-2023-27561, CVE-2023-28642
    (rootfs / "x").mkdir()
    link(rootfs / name, target)
    result = engine.run(bundles.config("true"), rootfs)
    assert not result.ok and f"/{name}" in result.err


@pytest.mark.parametrize("destination", ["/proc", "/proc/self/attr", "/proc/sys/kernel", "/proc/self/fd",
                                         "/proc/sysrq-trigger"])
def test_volumes_on_procfs_are_refused(engine, rootfs, destination):
    # What limits and labels are written through must be the kernel's (CVE-2025-52881).
    (engine.folder / "fake").mkdir(exist_ok=True)
    spec = bundles.config("true")
    spec["mounts"].append({"destination": destination, "type": "bind", "source": str(engine.folder / "fake"),
                           "options": ["rbind"]})
    assert not engine.run(spec, rootfs).ok


@pytest.mark.parametrize("way", range(3))
def test_mount_destinations_that_are_symlinks_to_the_host(engine, rootfs, way):
    # CVE-2019-18837, CVE-2024-5154: every mount lands in the container.
    target = ways_to(engine.canary)[way]
    for name in ("data", "deep", "etc/resolv.conf", "etc/hosts", "etc/mtab", "etc/hostname"):
        link(rootfs / name, target + "/secret" if name.startswith("etc") else target)
    hosts = engine.folder / "hosts"
    hosts.write_text("from the engine")
    spec = bundles.config("sh", "-c", "cat /etc/hosts; touch /data/inside; mount")
    spec["mounts"] += [
        {"destination": "/data", "type": "tmpfs", "source": "tmpfs"},
        {"destination": "/deep/new/folder", "type": "tmpfs", "source": "tmpfs"},
        {"destination": "/etc/hosts", "type": "bind", "source": str(hosts), "options": ["bind", "ro"]},
        {"destination": "/deep/new/file", "type": "bind", "source": str(hosts), "options": ["bind"]},
    ]
    result = engine.run(spec, rootfs)
    assert result.ok and result.out.startswith("from the engine"), result


def test_a_working_directory_that_is_a_symlink_to_the_host(engine, rootfs):
    link(rootfs / "work", str(engine.canary))
    spec = bundles.config("sh", "-c", "touch made; ls")
    spec["process"]["cwd"] = "/work/new"
    result = engine.run(spec, rootfs)
    assert not result.ok or result.out == "made\n", result


def test_devices_and_hidden_paths_behind_symlinks_to_the_host(engine, rootfs):
    link(rootfs / "out", str(engine.canary))
    spec = bundles.config("true")
    spec["linux"]["devices"] = [{"path": "/out/device", "type": "c", "major": 1, "minor": 3}]
    spec["linux"]["maskedPaths"] += ["/out/secret", "/out"]
    spec["linux"]["readonlyPaths"] += ["/out"]
    engine.run(spec, rootfs)


@pytest.mark.parametrize("script", ["#!/proc/self/exe\n", "#!/proc/self/fd/3\n", "#!/proc/1/exe\n"])
def test_a_program_that_is_whatever_runs_it(engine, rootfs, script):
    # CVE-2019-5736. The fixture compares the runtime's digest.
    (rootfs / "evil").write_text(script)
    (rootfs / "evil").chmod(0o755)
    link(rootfs / "bin" / "loop", "/proc/self/exe")
    assert not engine.run(bundles.config("/evil"), rootfs).ok or script.endswith("1/exe\n")
    assert not engine.run(bundles.config("/bin/loop"), rootfs).ok
    spec = bundles.config("attacker", "watch", str(engine.canary / "secret"))
    with Background(engine, spec, rootfs) as container:
        for program in ("/evil", "/bin/loop") * 5:
            engine.execute(container.name, program)
        assert container.stop() == ["watching"]


def test_hooks_get_their_own_environment_and_nothing_of_the_container(engine, rootfs):
    # CVE-2025-23266: LD_PRELOAD of the image in a process of the host.
    seen = engine.folder / "hook-saw"
    hook = engine.folder / "hook"
    hook.write_text(f"#!/bin/busybox sh\n/bin/busybox tr '\\0' '\\n' < /proc/$$/environ > {seen}\npwd >> {seen}\n")
    hook.chmod(0o755)
    spec = bundles.config("true")
    spec["process"]["env"] += ["LD_PRELOAD=/evil.so", "BASH_ENV=/evil"]
    spec["hooks"] = {"createRuntime": [{"path": str(hook), "args": ["hook"], "env": ["ONLY=this"]}]}
    result = engine.run(spec, rootfs)
    assert result.ok, result
    environment, folder = seen.read_text().split("\n")[:2]
    assert environment == "ONLY=this"
    assert os.path.exists(os.path.join(folder, "config.json")), folder


def test_names_with_line_breaks_change_no_file(engine, rootfs):
    # CVE-2022-4318
    before = (rootfs / "etc" / "passwd").read_text()
    spec = bundles.config("true", hostname="a\nevil::0:0::/:/bin/sh")
    spec["process"]["env"].append("HOME=/root\nevil::0:0::/:/bin/sh\n")
    engine.run(spec, rootfs)
    assert (rootfs / "etc" / "passwd").read_text() == before


def test_no_tool_of_the_host_comes_from_the_image(engine, rootfs):
    # CVE-2022-1227
    for name in ("ps", "nsenter"):
        link(rootfs / "bin" / name, "evil")
    (rootfs / "bin" / "evil").write_text("#!/bin/sh\ntouch /pwned\n")
    (rootfs / "bin" / "evil").chmod(0o755)
    spec = bundles.config("sh", "-c", "echo up; trap 'exit 0' TERM; while :; do sleep 0.1; done")
    with Background(engine, spec, rootfs) as container:
        assert engine.processes(container.name).ok
    assert not (rootfs / "pwned").exists()
