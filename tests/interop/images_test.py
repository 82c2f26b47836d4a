"""Images made, served and unpacked by Debian's own tools, against ours.

umoci makes and unpacks them, skopeo carries them, docker-registry serves them on loopback.
"""

import json
import os
import pathlib
import shutil
import stat
import time

import pytest

from tests.testing import images
from tests.testing.daemon import CommandFailed
from tests.testing.fixtures import shared_daemon  # noqa: F401 (fixture)
from tests.testing.images import census, differences, run, skopeo

pytestmark = images.needs_tools


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


@pytest.fixture(name="bundles", scope="module")
def unpacked_bundles(daemon, loaded, layout, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles")
    run("umoci", "unpack", "--image", f"{layout}:v1", folder / "umoci")
    daemon.ctl("image", "unpack", loaded, folder / "ours")
    return folder


def test_unpacked_root_file_system_equals_umocis(bundles):
    assert differences(census(bundles / "ours/rootfs"), census(bundles / "umoci/rootfs")) == {}


def test_a_bundle_is_verified_and_every_kind_of_change_is_listed(daemon, loaded, tmp_path):
    bundle = tmp_path / "bundle"
    unpacked = json.loads(daemon.ctl("image", "unpack", "--format", "json", loaded, bundle).stdout)
    digest = unpacked["content_digest"]
    assert daemon.ctl("bundle", "verify", bundle).stdout == f"{bundle}: as it was unpacked, {digest}\n"
    assert daemon.ctl("bundle", "digest", bundle).stdout == digest + "\n"
    # The same content elsewhere, with other times, is the same content.
    run("cp", "-a", bundle, tmp_path / "copy")
    os.utime(tmp_path / "copy/rootfs/etc/passwd", (1, 1))
    assert daemon.ctl("bundle", "digest", tmp_path / "copy").stdout == digest + "\n"

    root = bundle / "rootfs"
    os.chmod(root / "etc/setuid", 0o755)
    os.chown(root / "etc/group", 5, 6)
    (root / "etc/passwd").write_text("root:x:0:0:ROOT:/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\n")
    with open(root / "data/sparse", "ab") as sparse:
        sparse.write(b"x")
    (root / "data/fifo").unlink()
    (root / "data/fifo").write_text("")
    (root / "data/null").unlink()
    (root / "data/new").mkdir()
    (root / "etc/absolute-link").unlink()
    os.symlink("/etc/shadow", root / "etc/absolute-link")
    os.removexattr(root / "bin/ping", "security.capability")
    (root / "bin/ash").unlink()
    shutil.copy(root / "bin/sh", root / "bin/ash")
    for name in ("etc/setuid", "etc/group"):  # chown and chmod may change their capabilities
        assert not [key for key in os.listxattr(root / name) if key.startswith("security.")]

    verify = daemon.ctl("bundle", "verify", bundle, check=False)
    assert verify.returncode == 1
    found = {tuple(line.split(": ", 1)) for line in verify.stdout.splitlines()}
    texts = dict(found)
    assert texts["etc/setuid"] == "mode 0755, not 4755"
    assert texts["etc/group"] == "owner 5:6, not 0:0"
    assert texts["etc/passwd"].startswith("digest ")
    assert ("data/sparse", "size 8388609, not 8388608") in found
    assert texts["data/fifo"] == "type file, not fifo"
    assert texts["data/null"] == "missing, was a char"
    assert texts["data/new"] == "added, is a directory"
    assert texts["etc/absolute-link"] == "target /etc/shadow, not /etc/passwd"
    assert texts["bin/ping"].startswith("xattr security.capability none, not 0x")
    # The first name is the file; the second one was a link to it.
    assert texts["bin/busybox"] == "type file, not hardlink"
    document = json.loads(daemon.ctl("bundle", "verify", "--format", "json", bundle, check=False).stdout)
    assert len(document["differences"]) == len(found)
    assert document["content_digest"] != digest
    assert daemon.ctl("bundle", "digest", bundle).stdout == document["content_digest"] + "\n"


def test_a_bundle_of_somebody_else_has_a_digest_and_nothing_to_be_compared_with(daemon, bundles):
    ours = daemon.ctl("bundle", "digest", bundles / "ours").stdout
    assert daemon.ctl("bundle", "digest", bundles / "umoci").stdout == ours
    verify = daemon.ctl("bundle", "verify", bundles / "umoci", check=False)
    assert verify.returncode == 1 and "was not unpacked by ocid" in verify.stderr


@pytest.mark.parametrize("form", ["oci", "v2s2", "v2s1"])
def test_what_is_saved_goes_through_skopeo_and_back_with_its_digest(daemon, layout, registry, tmp_path, form):
    reference = f"{registry}/saved/{form}:v1"
    skopeo("copy", "--dest-tls-verify=false", "--format", "v2s2" if form == "v2s1" else form,
           f"oci:{layout}:v1", f"docker://{reference}")
    if form == "v2s1":
        skopeo("copy", "--dest-tls-verify=false", "--src-tls-verify=false", "--format", form,
               f"docker://{reference}", f"docker://{reference}")
    daemon.ctl("image", "pull", "--plain-http", reference)
    digest = json.loads(daemon.ctl("image", "inspect", reference).stdout)["image"]["digest"]
    for path, transport in ((tmp_path / "saved", "oci"), (tmp_path / "saved.tar", "oci-archive")):
        saved = json.loads(daemon.ctl("image", "save", "--format", "json", reference, path).stdout)
        # A layout has no place for a schema 1 manifest: that one is converted.
        assert (saved["digest"] == digest) == (form != "v2s1")
        back = f"{registry}/back/{form}-{transport}:v1"
        skopeo("copy", "--dest-tls-verify=false", "--preserve-digests", f"{transport}:{path}", f"docker://{back}")
        daemon.ctl("image", "pull", "--plain-http", back)
        pulled = json.loads(daemon.ctl("image", "inspect", back).stdout)["image"]
        assert pulled["digest"] == saved["digest"]
        # And without a registry: its name goes along.
        loaded = json.loads(daemon.ctl("image", "load", "--format", "json", path).stdout)
        assert (loaded["name"], loaded["digest"]) == (reference, saved["digest"])
    refused = daemon.ctl("image", "save", reference, tmp_path / "saved", check=False)
    assert refused.returncode == 1 and "exists" in refused.stderr


def test_volumes_have_what_the_image_has_there(daemon, tmp_path):
    made = images.Layout(tmp_path / "layout")
    made.image([images.busybox_layer("ls", "cat", "stat"),
                images.tar(images.directory("srv", 0o1777), images.file("srv/seed", b"from the image\n", 0o640),
                           images.directory("srv/below"), images.symlink("srv/link", "seed"))],
               {"Volumes": {"/srv": {}, "/var/new": {}}, "Entrypoint": ["/bin/sh", "-c"]}, name="volumes:1")
    daemon.ctl("image", "load", made.path)
    done = daemon.ctl("run", "--rm", "--image", "volumes:1", "volumes", "--", "/bin/sh", "-c",
                      "cat /srv/link; stat -c %a /srv /srv/seed; echo mine >/srv/new; ls /srv /var/new; "
                      "cat /proc/mounts")
    lines = done.stdout.splitlines()
    assert lines[:3] == ["from the image", "1777", "640"]
    assert {"below", "link", "new", "seed"} <= set(lines)
    assert [line for line in lines if line.startswith("tmpfs /srv ")]
    assert [line for line in lines if line.startswith("tmpfs /var/new ")]


def test_usage_says_what_prune_would_free(daemon, loaded):
    before = json.loads(daemon.ctl("image", "usage", "--format", "json").stdout)
    assert int(before["layers"]["count"]) >= 2
    assert int(before["blobs"]["size_bytes"]) > 0
    table = daemon.ctl("image", "usage").stdout
    assert [line.split("  ")[0] for line in table.splitlines()] == [
        "CONTENT", "images", "blobs", "unpacked layers", "partial downloads"]
    daemon.ctl("create", "--image", loaded, "user")
    held = json.loads(daemon.ctl("image", "usage", "--format", "json").stdout)
    assert int(held["layers"]["reclaimable_bytes"]) < int(before["layers"]["reclaimable_bytes"])
    inspected = daemon.inspect("user")
    assert loaded in json.dumps(inspected["requested"])
    daemon.ctl("delete", "user")


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


@pytest.fixture(name="registry", scope="module")
def running_registry(tmp_path_factory):
    with images.registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


@pytest.mark.parametrize("form", ["oci", "v2s2", "v2s1"])
def test_pull_of_every_manifest_kind(daemon, layout, registry, form):
    push = ("copy", "--dest-tls-verify=false", "--src-tls-verify=false")
    first = "v2s2" if form == "v2s1" else form  # skopeo makes schema 1 of schema 2 alone
    skopeo(*push, "--format", first, f"oci:{layout}:v1", f"docker://{registry}/team/{form}:v1")
    if form == "v2s1":
        skopeo(*push, "--format", form, f"docker://{registry}/team/{form}:v1",
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


def test_a_docker_save_archive(daemon, layout, tmp_path):
    archive = tmp_path / "saved.tar"
    skopeo("copy", f"oci:{layout}:v1",
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
