"""config.json files that other programs wrote run as they are, but for what this host lacks.

Each adaptation is one line below, with its reason.
"""

import json
import os
import pathlib
import subprocess

import pytest

from tests.testing.engines import Ocid, guarded_engine, _module_engine  # pylint: disable=unused-import

DATA = pathlib.Path("tests/testing/data")


def load(name):
    return json.loads((DATA / name).read_text())


@pytest.fixture(name="rootfs", scope="module")
def shared_rootfs(module_engine):
    return module_engine.rootfs()


def test_the_spec_of_a_docker_container(engine, rootfs):
    spec = load("moby-51705-docker-spec.json")
    for mount in spec["mounts"]:
        if mount["type"] == "bind":  # files that Docker made for that container
            mount["source"] = str(engine.folder / os.path.basename(mount["source"]))
            pathlib.Path(mount["source"]).write_text(f"docker's {mount['destination']}\n")
    if not os.path.exists("/sys/module/apparmor"):  # not in every kernel
        del spec["process"]["apparmorProfile"]
    spec["hooks"]["prestart"][0]["path"] = "/bin/true"  # /proc/30416/exe was Docker's network helper
    spec["process"]["args"] = ["sh", "-c", "cat /etc/hosts /etc/hostname /etc/resolv.conf; id -G; "
                               "grep -E 'Seccomp:|CapEff' /proc/self/status; "
                               "cat /proc/sys/net/ipv4/ip_unprivileged_port_start; "
                               "ls /sys/fs/cgroup > /dev/null && echo cgroups; "
                               "head -c 1 /proc/kcore | wc -c"]  # the image had a program of the reporter's
    spec["linux"]["cgroupsPath"] = f"/{engine.folder.name}/docker"  # two runs of this test would meet in /docker
    result = engine.run(spec, rootfs)
    assert result.ok, result
    lines = result.out.splitlines()
    assert lines[:3] == ["docker's /etc/hosts", "docker's /etc/hostname", "docker's /etc/resolv.conf"]
    assert set(lines[3].split()) == {str(gid) for gid in spec["process"]["user"]["additionalGids"]}
    assert "Seccomp:\t2" in lines and "CapEff:\t00000000a80425fb" in lines
    assert lines[-3:] == ["0", "cgroups", "0"]
    for base in pathlib.Path("/sys/fs/cgroup").glob(f"**/{engine.folder.name}"):
        base.rmdir()  # the parent is ours, and no runtime's to remove


def test_the_spec_of_a_rootless_image_by_umoci(engine):
    spec = load("umoci-rootless-httpd-config.json")
    rootfs = engine.rootfs("rootfs-of-user-1000")
    subprocess.run(["chown", "-R", "1000:1000", rootfs], check=True)  # as umoci unpacks it for user 1000
    (rootfs / "etc" / "resolv.conf").touch()
    if not os.path.exists("/etc/resolv.conf"):  # the host's, which it binds
        spec["mounts"] = [m for m in spec["mounts"] if m["destination"] != "/etc/resolv.conf"]
    # The image is not here: a shell in place of httpd-foreground.
    spec["process"]["args"] = ["/bin/sh", "-c", "cat /proc/self/uid_map; pwd; id -u; tty -s && echo terminal; exit 9"]
    result = engine.run(spec, rootfs)
    assert result.code == 9, result
    assert result.out.split() == ["0", "1000", "1", "/usr/local/apache2", "0", "terminal"]


def test_the_example_of_runtime_spec_0_4(engine, rootfs):
    spec = load("runtime-spec-0.4.0-example-config.json")
    hook = spec["hooks"]["prestart"][0]
    if not os.path.exists(hook["path"]):  # uptime is not everywhere
        hook["path"] = "/bin/true"
    result = engine.run(spec, rootfs, typed="id -u; id -G; grep CapBnd /proc/self/status; exit 7\n")
    assert result.code == 7, result
    assert "\n1\r\n1 5 6\r\n" in result.out and "CapBnd:\t0000000020000420" in result.out


def test_the_upgrade_of_an_old_spec_is_a_step_of_the_journal(engine, rootfs):
    if not isinstance(engine, Ocid):
        pytest.skip("ocirun keeps no journal")
    spec = load("runtime-spec-0.4.0-example-config.json")
    spec["hooks"]["prestart"][0]["path"] = "/bin/true"  # uptime is not everywhere
    engine.daemon.ctl("create", "--bundle", engine.bundle(spec, rootfs), "old")
    try:
        full = json.loads(engine.daemon.ctl("spec", "old", "--view", "full", "--format", "json").stdout)
    finally:
        engine.daemon.ctl("delete", "-f", "old")
    touched = {operation["path"] for step in full["steps"] if step["actor_kind"] == "upgrade"
               for operation in step["json_patch"]}
    assert "/platform" in touched and any(path.startswith("/process/capabilities") for path in touched)
