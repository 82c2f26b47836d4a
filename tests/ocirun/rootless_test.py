"""ocirun as an ordinary user: with the one id that everybody may map, and with newuidmap and newgidmap."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

from tests.testing import bundle
from tests.testing.ocirun import OCIRUN

UID = 54321
GID = 54322


@pytest.fixture(name="user")
def ordinary_user():
    """Runs ocirun as a user who exists for the length of a test, in a mount namespace with an
    /etc/passwd and /etc/subuid of its own."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ocirun-rootless-"))
    folder.chmod(0o755)
    binary = folder / "ocirun"  # the runfiles may be where only root looks
    shutil.copy(OCIRUN, binary)
    home = folder / "home"
    rootfs = bundle.make_rootfs(home / "rootfs")
    for name, text in (("passwd", f"root:x:0:0::/:/bin/sh\ntester:x:{UID}:{GID}::/:/bin/sh\n"),
                       ("group", f"root:x:0:\ntester:x:{GID}:\n"),
                       ("subuid", "tester:700000:65536\n"), ("subgid", "tester:800000:65536\n")):
        (folder / name).write_text(text)
    subprocess.run(["chown", "-hR", f"{UID}:{GID}", home], check=True)
    binds = " && ".join(f"mount --bind {folder}/{name} /etc/{name}"
                        for name in ("passwd", "group", "subuid", "subgid") if os.path.exists(f"/etc/{name}"))

    class User:
        """The user, with a home."""

        def __call__(self, *args, check=True, stream=subprocess.PIPE):
            command = ["unshare", "--mount", "sh", "-c",
                       binds + f' && exec setpriv --reuid {UID} --regid {GID} --clear-groups'
                       ' --inh-caps=-all "$@"', "sh", binary, "--root", home / "state", *args]
            result = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, text=True,
                                    stdout=stream, stderr=stream, check=False, timeout=60)
            if check:
                assert result.returncode == 0, result.stderr
            return result

        def bundle(self, name, spec):
            path = bundle.write(home / name, spec, rootfs)
            subprocess.run(["chown", "-hR", f"{UID}:{GID}", path], check=True)
            return path

        def spec(self, *args):
            path = home / "template"
            path.mkdir()
            os.chown(path, UID, GID)
            self("spec", "--rootless", "-b", path)
            spec = json.loads((path / "config.json").read_text())
            spec["process"].update(args=list(args), terminal=False)
            # Raising a limit takes a privilege.
            spec["process"].pop("rlimits", None)
            shutil.rmtree(path)
            return spec

    yield User()
    shutil.rmtree(folder)


def test_one_mapped_id_is_enough_for_a_whole_life(user):
    spec = user.spec("sh", "-c", "id -u; id -g; cat /proc/self/uid_map | tr -s ' '; hostname; echo $$;"
                     "touch /tmp/mine; test -c /dev/null && echo ok; cat /proc/self/setgroups")
    folder = user.bundle("b", spec)
    assert user("run", "-b", folder, "c1").stdout.splitlines() == [
        "0", "0", f" 0 {UID} 1", spec["hostname"], "1", "ok", "deny"]
    spec["process"]["args"] = ["sleep", "100"]
    folder = user.bundle("b", spec)
    # The container keeps the streams: pipes would wait for it.
    user("run", "-d", "-b", folder, "c1", stream=subprocess.DEVNULL)
    try:
        state = json.loads(user("state", "c1").stdout)
        assert state["status"] == "running" and state["owner"] == "tester"
        assert os.stat(f"/proc/{state['pid']}").st_uid == UID
        result = user("exec", "c1", "sh", "-c", "id -u; ps | grep -c 'sleep 100'; exit 4", check=False)
        assert (result.returncode, result.stdout.split()[0]) == (4, "0"), result.stderr
        user("kill", "c1", "KILL")
    finally:
        user("delete", "-f", "c1")
    assert user("list", "-q").stdout == ""


def test_newuidmap_gives_more_ids(user):
    if shutil.which("newuidmap") is None:
        pytest.skip("newuidmap is not installed (Debian: uidmap)")
    spec = user.spec("sh", "-c", "cat /proc/self/uid_map /proc/self/gid_map | tr -s ' '; id")
    for kind, own, more in (("uid", UID, 700000), ("gid", GID, 800000)):
        spec["linux"][f"{kind}Mappings"] = [
            {"containerID": 0, "hostID": own, "size": 1}, {"containerID": 1, "hostID": more, "size": 65535}]
    spec["process"]["user"] = {"uid": 5, "gid": 6, "additionalGids": [7]}
    folder = user.bundle("b", spec)
    assert user("run", "-b", folder, "c1").stdout.splitlines() == [
        f" 0 {UID} 1", " 1 700000 65535", f" 0 {GID} 1", " 1 800000 65535", "uid=5 gid=6 groups=7"]
    spec["linux"]["uidMappings"][1]["hostID"] = 900000
    folder = user.bundle("b", spec)
    result = user("run", "-b", folder, "c1", check=False)
    assert result.returncode == 1 and "/linux/uidMappings" in result.stderr


def test_limits_that_need_a_cgroup_are_refused_and_not_dropped(user):
    spec = user.spec("true")
    spec["linux"]["resources"] = {"memory": {"limit": 100000000}}
    result = user("run", "-b", user.bundle("b", spec), "c1", check=False)
    assert result.returncode == 1 and "/linux/resources" in result.stderr
    assert user("list", "-q").stdout == ""


def test_what_an_ordinary_user_may_not_do_is_named(user):
    spec = user.spec("true")
    spec["process"]["user"]["additionalGids"] = [5]
    result = user("run", "-b", user.bundle("b", spec), "c1", check=False)
    assert result.returncode == 1 and "/process/user/additionalGids" in result.stderr
