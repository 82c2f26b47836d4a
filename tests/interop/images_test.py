"""Images made, served and unpacked by Debian's own tools, against ours.

umoci makes and unpacks them, skopeo carries them, docker-registry serves them on loopback.
"""

import hashlib
import json
import os
import pathlib
import shutil
import socket
import stat
import subprocess
import time

import pytest

from tests.testing.daemon import CommandFailed, wait_until
from tests.testing.fixtures import own_daemon, shared_daemon  # noqa: F401 (fixtures)

pytestmark = pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in ("umoci", "skopeo", "docker-registry")),
    reason="needs umoci, skopeo and docker-registry")


def run(*args, **kwargs):
    return subprocess.run([str(arg) for arg in args], check=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=300, **kwargs).stdout


def add_layer(image, tag, folder, change):
    """Unpacks with umoci, lets `change` work on the root file system, and packs a layer."""
    bundle = folder / f"edit-{time.monotonic_ns()}"
    run("umoci", "unpack", "--image", f"{image}:{tag}", bundle)
    change(bundle / "rootfs")
    run("umoci", "repack", "--image", f"{image}:{tag}", bundle)
    shutil.rmtree(bundle)


def first_layer(root):
    for name in ("bin", "etc", "data/deep", "opaque", "tmp"):
        (root / name).mkdir(parents=True, exist_ok=True)
    shutil.copy("/bin/busybox", root / "bin/busybox")
    for name in ("sh", "id", "cat", "env", "ls", "true", "sleep", "pwd"):
        os.link(root / "bin/busybox", root / "bin" / name)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\nweb:x:34:\naudio:x:29:web\n")
    (root / "etc/setuid").write_text("x")
    os.chmod(root / "etc/setuid", 0o4755)
    os.chown(root / "etc/setuid", 12, 13)
    os.chmod(root / "etc/setuid", 0o4755)
    # cap_net_raw=ep, VFS_CAP_REVISION_2
    (root / "bin/ping").write_text("x")
    os.setxattr(root / "bin/ping", "security.capability",
                bytes.fromhex("0100000200200000000000000000000000000000"))
    os.setxattr(root / "etc/group", "user.note", b"kept")
    os.symlink("/etc/passwd", root / "etc/absolute-link")
    os.symlink("../data", root / "etc/relative-link")
    os.mkfifo(root / "data/fifo")
    os.mknod(root / "data/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    with open(root / "data/sparse", "wb") as sparse:
        sparse.write(b"head")
        sparse.truncate(8 << 20)
    long_name = root / "data" / ("n" * 200)
    long_name.mkdir()
    (long_name / ("m" * 200)).write_text("long")
    (root / "data/ümlaut-€").write_text("utf8")
    (root / "data/deep/old").write_text("old")
    (root / "opaque/lower").write_text("lower")
    os.chmod(root / "tmp", 0o1777)
    for path in [root, *root.rglob("*")]:
        os.utime(path, ns=(10**18, 10**18 + 123456789), follow_symlinks=False)


def second_layer(root):
    (root / "data/deep/old").unlink()
    (root / "data/deep/new").write_text("new")
    shutil.rmtree(root / "opaque")
    (root / "opaque").mkdir()
    (root / "opaque/upper").write_text("upper")
    (root / "etc/relative-link").unlink()
    (root / "etc/relative-link").write_text("a file now")
    os.link(root / "bin/sh", root / "bin/ash")


@pytest.fixture(name="layout", scope="module")
def made_layout(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    image = folder / "layout"
    run("umoci", "init", "--layout", image)
    run("umoci", "new", "--image", f"{image}:v1")
    add_layer(image, "v1", folder, first_layer)
    add_layer(image, "v1", folder, second_layer)
    run("umoci", "config", "--image", f"{image}:v1", "--config.user", "web",
        "--config.entrypoint", "/bin/sh", "--config.entrypoint", "-c",
        "--config.cmd", "id; pwd", "--config.workingdir", "/data",
        "--config.env", "GREETING=hello", "--config.env", "PATH=/bin",
        "--config.label", "maintainer=Ann", "--config.exposedports", "80/tcp",
        "--config.stopsignal", "SIGQUIT", "--author", "Ann", "--created", "2024-01-02T03:04:05Z")
    return image


@pytest.fixture(name="loaded", scope="module")
def loaded_image(daemon, layout):
    daemon.ctl("image", "load", "--name", "demo:v1", layout)
    return "demo:v1"


def census(root):
    """Every path with type, mode, owner, time, extended attributes and content."""
    entries = {}
    inodes = {}
    for path in sorted([root, *root.rglob("*")]):
        info = path.lstat()
        name = str(path.relative_to(root))
        entry = {"mode": oct(info.st_mode), "owner": (info.st_uid, info.st_gid),
                 "mtime": info.st_mtime_ns, "device": info.st_rdev,
                 "xattrs": {key: os.getxattr(path, key, follow_symlinks=False)
                            for key in os.listxattr(path, follow_symlinks=False)}}
        if stat.S_ISREG(info.st_mode):
            entry["content"] = hashlib.sha256(path.read_bytes()).hexdigest()
            if info.st_nlink > 1:
                entry["same as"] = inodes.setdefault(info.st_ino, name)
        if stat.S_ISLNK(info.st_mode):
            entry["target"] = os.readlink(path)
        entries[name] = entry
    return entries


def differences(ours, theirs):
    return {name: (ours.get(name), theirs.get(name))
            for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)}


@pytest.fixture(name="bundles", scope="module")
def unpacked_bundles(daemon, loaded, layout, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles")
    run("umoci", "unpack", "--image", f"{layout}:v1", folder / "umoci")
    daemon.ctl("image", "unpack", loaded, folder / "ours")
    return folder


def test_unpacked_root_file_system_equals_umocis(bundles):
    assert differences(census(bundles / "ours/rootfs"), census(bundles / "umoci/rootfs")) == {}


def test_config_equals_umocis(bundles):
    ours = json.loads((bundles / "ours/config.json").read_text())
    umoci = json.loads((bundles / "umoci/config.json").read_text())
    assert ours["process"]["args"] == umoci["process"]["args"]
    assert ours["process"]["cwd"] == umoci["process"]["cwd"]
    assert ours["process"]["user"] == {"uid": 33, "gid": 34, "additionalGids": [29]}
    assert ours["process"]["user"] == umoci["process"]["user"]
    # umoci sets TERM, because its bundles have a terminal; ours have none unless they are asked for.
    assert sorted(ours["process"]["env"]) == sorted(
        entry for entry in umoci["process"]["env"] if not entry.startswith("TERM="))
    # umoci writes annotations for what the image does not say, as empty strings.
    assert ours["annotations"] == {k: v for k, v in umoci["annotations"].items() if v}


def test_a_container_runs_from_the_image(daemon, loaded):
    done = daemon.ctl("run", "--rm", "--image", loaded, "from-image")
    assert done.stdout.splitlines() == ["uid=33(web) gid=34(web) groups=29(audio)", "/data"]


def test_containers_of_one_image_share_layers_and_not_changes(daemon, loaded):
    write = daemon.ctl("run", "--rm", "--image", loaded, "writer", "--", "/bin/sh", "-c",
                       "echo mine >/tmp/file; cat /tmp/file")
    assert write.stdout == "mine\n"
    read = daemon.ctl("run", "--rm", "--image", loaded, "reader", "--", "/bin/sh", "-c",
                      "cat /tmp/file", check=False)
    assert read.returncode != 0
    mounts = pathlib.Path("/proc/self/mounts").read_text()
    assert str(daemon.root) not in mounts


def test_an_image_in_use_stays_and_a_container_keeps_it(daemon, layout):
    daemon.ctl("image", "load", "--name", "kept:v1", layout)
    daemon.ctl("create", "--image", "kept:v1", "keeper", "--", "/bin/sh", "-c", "exit 3")
    info = json.loads(daemon.ctl("image", "list", "--format", "json").stdout)
    assert [image["container_ids"] for image in info if image["name"] == "kept:v1"] == [["keeper"]]
    daemon.ctl("image", "delete", "kept:v1")
    daemon.kill()
    daemon.start()
    daemon.ctl("image", "prune")
    daemon.ctl("start", "keeper")
    assert daemon.ctl("wait", "keeper", check=False).returncode == 3
    daemon.ctl("start", "keeper")
    assert daemon.ctl("wait", "keeper", check=False).returncode == 3
    daemon.ctl("delete", "keeper")
    daemon.ctl("image", "load", "--name", "demo:v1", layout)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(name="registry", scope="module")
def running_registry(tmp_path_factory):
    folder = tmp_path_factory.mktemp("registry")
    port = free_port()
    (folder / "config.yml").write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n"
        "compatibility: {schema1: {enabled: true}}\n")
    with open(folder / "log", "wb") as log:
        server = subprocess.Popen(["docker-registry", "serve", folder / "config.yml"], stdout=log,
                                  stderr=log)
    wait_until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, what="registry")
    yield f"127.0.0.1:{port}"
    server.kill()
    server.wait()


@pytest.mark.parametrize("form", ["oci", "v2s2", "v2s1"])
def test_pull_of_every_manifest_kind(daemon, layout, registry, form):
    push = ("skopeo", "--insecure-policy", "copy", "--dest-tls-verify=false", "--src-tls-verify=false")
    first = "v2s2" if form == "v2s1" else form  # skopeo makes schema 1 of schema 2 alone
    run(*push, "--format", first, f"oci:{layout}:v1", f"docker://{registry}/team/{form}:v1")
    if form == "v2s1":
        run(*push, "--format", form, f"docker://{registry}/team/{form}:v1",
            f"docker://{registry}/team/{form}:v1")
    reference = f"{registry}/team/{form}:v1"
    daemon.ctl("image", "pull", "--plain-http", reference)
    inspected = json.loads(daemon.ctl("image", "inspect", reference).stdout)
    for config in ("oci_config", "docker_config"):
        assert inspected[config]["config"]["Entrypoint"] == ["/bin/sh", "-c"]
    remote = json.loads(run("skopeo", "inspect", "--tls-verify=false", f"docker://{reference}"))
    assert inspected["image"]["digest"] == remote["Digest"]
    done = daemon.ctl("run", "--rm", "--image", reference, f"pulled-{form}")
    assert done.stdout.startswith("uid=33(web)")


def test_a_pull_that_was_killed_goes_on(fresh_daemon, layout, registry):
    run("skopeo", "--insecure-policy", "copy", "--dest-tls-verify=false",
        f"oci:{layout}:v1", f"docker://{registry}/team/killed:v1")
    for delay in (0.0, 0.01, 0.03, 0.06, 0.1, 0.2):
        pull = fresh_daemon.spawn("image", "pull", "--plain-http", f"{registry}/team/killed:v1")
        time.sleep(delay)
        fresh_daemon.kill()
        pull.wait()
        fresh_daemon.start()
    fresh_daemon.ctl("image", "pull", "--plain-http", f"{registry}/team/killed:v1")
    blobs = fresh_daemon.root / "images/blobs/sha256"
    for blob in blobs.iterdir():
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name
    assert not list((fresh_daemon.root / "images/layers/.staging").iterdir())
    fresh_daemon.ctl("run", "--rm", "--image", f"{registry}/team/killed:v1", "after")


def test_a_docker_save_archive(daemon, layout, tmp_path):
    archive = tmp_path / "saved.tar"
    run("skopeo", "--insecure-policy", "copy", f"oci:{layout}:v1",
        f"docker-archive:{archive}:saved:v1")
    daemon.ctl("image", "load", "--name", "saved:v1", archive)
    done = daemon.ctl("run", "--rm", "--image", "saved:v1", "from-archive")
    assert done.stdout.startswith("uid=33(web)")


def test_hostile_sources_are_refused(daemon, tmp_path):
    for name, make in {"missing": lambda p: None, "empty": lambda p: p.mkdir(),
                       "fifo": os.mkfifo, "text": lambda p: p.write_text("no image")}.items():
        path = tmp_path / name
        make(path)
        with pytest.raises(CommandFailed):
            daemon.ctl("image", "load", "--name", "x:1", path)
