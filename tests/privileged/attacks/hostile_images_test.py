"""Hostile images: archives, documents and configurations that try to reach the host, or to exhaust it.

Each is loaded, unpacked and run as far as the daemon goes along. A canary beside the store must stay as it
is, and the daemon must answer afterwards, in bounded time and memory.
"""

import gzip
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import tarfile
import time

import pytest

from tests.testing import images
from tests.testing.daemon import Daemon
from tests.testing.images import OCI, Layout, directory, file, hard_link, symlink, tar

MAX_LAYER = 32 << 20


@pytest.fixture(name="daemon", scope="module")
def small_daemon():
    instance = Daemon("--image-max-layer", f"{MAX_LAYER // 1024}KiB")
    yield instance
    instance.close()


class Canary:
    """A folder on the host that images try to reach, under the name that they know."""

    def __init__(self, path):
        self.path = path
        (path / "below").mkdir(parents=True)
        (path / "file").write_text("untouched")
        os.chmod(path / "file", 0o640)
        self.before = images.census(path)

    def check(self):
        assert images.census(self.path) == self.before


@pytest.fixture(name="canary")
def watched_canary(tmp_path):
    watched = Canary(tmp_path / "canary")
    yield watched
    watched.check()


class Attempt:
    """What became of an image: what the daemon refused, and with which words."""

    def __init__(self, daemon, layout, tmp_path):
        name = f"hostile-{time.monotonic_ns()}"
        self.load = daemon.ctl("image", "load", "--name", name, layout.path, check=False)
        self.unpack = self.run = None
        if self.load.returncode == 0:
            bundle = tmp_path / name
            self.unpack = daemon.ctl("image", "unpack", name, bundle, check=False)
            self.config = json.loads((bundle / "config.json").read_text()) if bundle.exists() else None
            shutil.rmtree(bundle, ignore_errors=True)
            self.run = daemon.ctl("run", "--rm", "--image", name, name, "--", "/bin/sh", "-c",
                                  "cat /etc/hosts; id", check=False)
            daemon.ctl("image", "delete", name)
        daemon.ctl("version")

    @property
    def refused(self):
        return self.load.returncode != 0


@pytest.fixture(name="attempt")
def attempts(daemon, tmp_path):
    def make(*layers, config=None, **documents):
        layout = Layout(tmp_path / f"layout-{time.monotonic_ns()}")
        layout.image(list(layers), config, **documents)
        return Attempt(daemon, layout, tmp_path)
    return make


def ways_to(path):
    return [str(path), "../" * 30 + str(path).lstrip("/"), "/.." + str(path), "x/../../../.." + str(path)]


def base():
    return images.busybox_layer("cat", "id")


@pytest.mark.parametrize("way", range(4))
def test_names_that_lead_out(attempt, canary, way):
    # CVE-2021-32760, CVE-2025-47290. An absolute name means the root of the image.
    target = ways_to(canary.path)[way]
    attempt(base(), tar(file(target + "/file", b"overwritten")))
    attempt(base(), tar(directory(target, 0o777)))
    attempt(base(), tar(file(target + "/.wh.file")), tar(file(target + "/.wh..wh..opq")))


@pytest.mark.parametrize("way", range(4))
def test_links_that_lead_out(attempt, canary, way):
    target = ways_to(canary.path)[way]
    later = [[file("out/file", b"overwritten", 0o777)], [directory("out", 0o777)], [file("out/new", b"new")],
             [file("out/.wh.file")], [file("out/.wh..wh..opq")], [hard_link("in", "out/file"), file("in", b"overwritten")],
             [directory("out/below", 0o777), file("out/below/new")]]
    for entries in later:
        attempt(base(), tar(symlink("out", target), *entries))
        attempt(base(), tar(symlink("out", target)), tar(*entries))
    attempt(base(), tar(hard_link("in", target + "/file"), file("in", b"overwritten", 0o777)))
    # A parent that another layer, or the next entry, replaces by a link.
    attempt(base(), tar(directory("a"), file("a/x"), symlink("a", target), file("a/file", b"overwritten")))
    attempt(base(), tar(directory("a"), file("a/x")), tar(symlink("a", target)), tar(file("a/.wh.file")))


@pytest.mark.parametrize("name", ["/.", "./", ".", "/", "./.", "bin/.."])
def test_a_link_in_the_place_of_the_root_is_refused(attempt, canary, name):
    # CVE-2021-29136
    assert attempt(base(), tar(symlink(name, canary.path), file("file", b"overwritten"))).refused


@pytest.mark.parametrize("name", [".wh.", "etc/.wh.", ".wh..", ".wh...", "etc/.wh.."])
def test_whiteouts_that_name_nothing_are_refused(attempt, canary, name):  # pylint: disable=unused-argument
    assert "names nothing" in attempt(base(), tar(file(name))).load.stderr


@pytest.mark.parametrize("name", ["etc/mtab", "etc/resolv.conf", "etc/hosts", "etc/hostname"])
def test_account_and_host_files_that_are_links_to_the_host(attempt, canary, name):
    # CVE-2024-5154
    attempt(base(), tar(symlink(name, canary.path / "file")))


@pytest.mark.parametrize("entry", [
    ("etc/passwd", {"type": tarfile.FIFOTYPE}), ("etc/passwd", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 5}),
    symlink("etc/passwd", "/etc/passwd"), symlink("etc/passwd", "../../../../../../etc/passwd"),
    ("etc/passwd", {"type": tarfile.DIRTYPE})], ids=["fifo", "zero", "own link", "host link", "directory"])
def test_an_account_file_that_is_none(attempt, canary, entry):  # pylint: disable=unused-argument
    # CVE-2024-9676: must not block, and a name that is not known is never root.
    begin = time.monotonic()
    result = attempt(base(), tar(directory("etc"), entry), config={"User": "root"})
    assert result.run.returncode != 0 and "root" in result.run.stderr
    assert time.monotonic() - begin < 10


def test_an_account_file_of_a_gigabyte(daemon, tmp_path):
    path = tmp_path / "sparse"
    (path / "etc").mkdir(parents=True)
    with open(path / "etc/passwd", "wb") as passwd:
        passwd.truncate(1 << 30)
    archive = subprocess.run(["tar", "-C", path, "--sparse", "-c", "etc"], check=True, stdout=subprocess.PIPE).stdout
    layout = Layout(tmp_path / "layout")
    layout.image([base(), archive], {"User": "root"})
    before = resident_bytes(daemon)
    begin = time.monotonic()
    result = Attempt(daemon, layout, tmp_path)
    assert result.refused or result.run.returncode != 0
    assert time.monotonic() - begin < 15
    assert resident_bytes(daemon) - before < 200 << 20


def resident_bytes(daemon):
    status = pathlib.Path(f"/proc/{daemon.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


@pytest.mark.parametrize("user", ["2147483648", "4294967296", "4294967295", "99999999999", "18446744073709551616", "-1",
                                  "0:4294967296"])
def test_numbers_that_are_no_ids_are_not_root(attempt, user):
    # CVE-2024-40635, CVE-2026-46680
    passwd = "".join(f"{name}:x:0:0::/:/bin/sh\n" for name in ("root", user.split(":")[0]))
    result = attempt(base(), tar(directory("etc"), file("etc/passwd", passwd.encode())), config={"User": user})
    assert result.run.returncode != 0 and "uid=" not in result.run.stdout
    assert result.unpack.returncode != 0


def test_images_of_no_layer_of_one_twice_and_of_no_configuration(daemon, tmp_path, attempt):
    # CVE-2026-24054
    empty = attempt()
    assert not empty.refused and empty.run.returncode == 127
    twice = attempt(base(), base(), config={"Cmd": ["/bin/true"]})
    assert "uid=0" in twice.run.stdout
    layout = Layout(tmp_path / "layout")
    layer = layout.blob(base(), OCI + "layer.v1.tar")
    layout.manifest({"schemaVersion": 2, "config": layout.blob(b"{}", OCI + "config.v1+json"), "layers": [layer]})
    refused = Attempt(daemon, layout, tmp_path)
    assert refused.refused and "rootfs: missing" in refused.load.stderr


@pytest.mark.parametrize("change", [
    {"manifests": []}, {"mediaType": OCI + "index.v1+json"}, {"schemaVersion": 1}, {"schemaVersion": 3},
    {"mediaType": "application/vnd.docker.distribution.manifest.v2+json", "fsLayers": []}], ids=str)
def test_ambiguous_manifests_are_refused(attempt, change):
    # CVE-2021-41190
    assert attempt(base(), manifest=change).refused


def test_a_manifest_that_says_a_thing_twice_is_refused(daemon, tmp_path):
    layout = Layout(tmp_path / "layout")
    layout.image([base()])
    digest = layout.manifests[0]["digest"].split(":")[1]
    text = (layout.path / "blobs/sha256" / digest).read_text()
    doubled = text[:-1] + ', "layers": []}'
    layout.manifests = [layout.blob(doubled.encode(), OCI + "manifest.v1+json")]
    layout.write_index()
    assert Attempt(daemon, layout, tmp_path).refused


CONTROL = {"org.systemd.property.SuccessAction": "'poweroff-force'", "org.systemd.property.ExecStopPost": "'/bin/touch'",
           "org.systemd.property.Slice": "'-.slice'", "run.oci.hooks.stdout": "/canary", "run.oci.delegate-cgroup": "..",
           "run.oci.keep_original_groups": "1", "io.kubernetes.cri-o.Devices": "/dev/mem", "cdi.k8s.io/x": "vendor.com/x=all",
           "reserved.logger": "binary:///bin/sh"}


def test_labels_and_annotations_of_an_image_control_nothing(daemon, tmp_path):
    # CVE-2026-53488, CVE-2024-3154
    layout = Layout(tmp_path / "layout")
    layout.image([base()], {"Labels": {**CONTROL, "fine": "yes"}, "Cmd": ["/bin/true"]},
                 manifest={"annotations": {**CONTROL, "of.the.manifest": "not copied"}})
    daemon.ctl("image", "load", "--name", "labels:1", layout.path)
    daemon.ctl("create", "--image", "labels:1", "labels")
    spec = json.loads(daemon.ctl("spec", "labels").stdout)
    assert {name for name in spec["annotations"] if not name.startswith("org.opencontainers.image.")} == {"fine"}
    steps = json.loads(daemon.ctl("spec", "labels", "--view", "full", "--format", "json").stdout)["steps"]
    labels, = (step for step in steps if step["actor"] == "image:labels" or "image:labels" in json.dumps(step["actor"]))
    for name in CONTROL:
        assert name in json.dumps(labels["ignored"]), name
    daemon.ctl("delete", "labels")


@pytest.mark.parametrize("link", [False, True])
def test_volumes_that_lead_out_show_nothing_of_the_host(daemon, tmp_path, canary, link):
    # CVE-2022-23648
    layout = Layout(tmp_path / "layout")
    extra = [symlink("vol", str(canary.path)), symlink("deep", "../../../.." + str(canary.path))] if link else []
    layout.image([base(), tar(*extra)],
                 {"Volumes": {"/../.." + str(canary.path): {}, "/vol": {}, "/deep/below": {}, "/../../etc": {},
                              "relative/../../..": {}}})
    daemon.ctl("image", "load", "--name", "volumes:1", layout.path)
    done = daemon.ctl("run", "--rm", "--image", "volumes:1", "volumes", "--", "/bin/sh", "-c",
                      f"cat {canary.path}/file /vol/file /deep/file /etc/shadow; echo in >/vol/in", check=False)
    assert "untouched" not in done.stdout and "root:" not in done.stdout


def test_bombs_end_at_the_limit(attempt, daemon):
    before = resident_bytes(daemon)
    begin = time.monotonic()
    bomb = attempt(tar(file("bomb", bytes(4 * MAX_LAYER))))
    assert bomb.refused and f"larger than {MAX_LAYER} bytes" in bomb.load.stderr
    assert time.monotonic() - begin < 20
    assert resident_bytes(daemon) - before < 100 << 20
    assert not list((daemon.root / "images/layers/.staging").iterdir())


@pytest.mark.parametrize("size", ["7" * 11, "1" * 10])
def test_sizes_that_are_not_so_are_refused(attempt, size):
    entry = bytearray(tar(file("huge", b"x")))
    entry[124:136] = size.encode().rjust(11, b"0") + b"\0"
    entry[148:156] = b" " * 8
    entry[148:156] = b"%06o\0 " % sum(entry[:512])
    begin = time.monotonic()
    assert attempt(bytes(entry)).refused
    assert time.monotonic() - begin < 10


def test_documents_without_end_are_refused(daemon, tmp_path):
    # CVE-2023-25153, CVE-2022-31030
    before = resident_bytes(daemon)
    layout = Layout(tmp_path / "layout")
    with open(layout.path / "index.json", "wb") as index:
        index.truncate(1 << 30)
    assert Attempt(daemon, layout, tmp_path).refused
    (layout.path / "index.json").write_text("[" * 100_000)
    assert Attempt(daemon, layout, tmp_path).refused
    layout.image([base()], top={"history": [{"created_by": "x" * 100}] * 200_000})
    assert Attempt(daemon, layout, tmp_path).refused
    assert resident_bytes(daemon) - before < 200 << 20


def wrong(layout, kind):
    """Changes content behind a digest, or the digest that is named for it."""
    manifest_path = layout.path / "blobs/sha256" / layout.manifests[0]["digest"].split(":")[1]
    manifest = json.loads(manifest_path.read_text())
    blobs = {"manifest": layout.manifests[0], "config": manifest["config"], "layer": manifest["layers"][0]}
    if kind in blobs:
        path = layout.path / "blobs/sha256" / blobs[kind]["digest"].split(":")[1]
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    elif kind == "diff id":
        layout.manifests.clear()
        layout.image([base()], top={"rootfs": {"type": "layers", "diff_ids": ["sha256:" + "0" * 64]}})
    elif kind == "size":
        manifest["layers"][0]["size"] += 1
        layout.manifests.clear()
        layout.manifest(manifest)
    else:
        manifest["layers"][0]["digest"] = "sha256:../../../../../etc/passwd"
        layout.manifests.clear()
        layout.manifest(manifest)


@pytest.mark.parametrize("kind", ["manifest", "config", "layer", "diff id", "size", "path"])
def test_content_that_is_not_what_its_digest_says_is_refused(daemon, tmp_path, kind):
    layout = Layout(tmp_path / "layout")
    layout.image([base()])
    wrong(layout, kind)
    begin = len(list((daemon.root / "images/layers").iterdir()))
    assert Attempt(daemon, layout, tmp_path).refused
    assert len(list((daemon.root / "images/layers").iterdir())) == begin
    for blob in (daemon.root / "images/blobs/sha256").iterdir():
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name


def test_an_archive_of_a_layout_is_as_hostile(daemon, tmp_path, canary):
    target = str(canary.path / "file")
    for entries in ([file("../" * 30 + target.lstrip("/"), b"overwritten")],
                    [symlink("index.json", target)], [hard_link("index.json", target)],
                    [symlink("blobs", str(canary.path)), file("blobs/file", b"overwritten")]):
        path = tmp_path / "archive.tar"
        path.write_bytes(gzip.compress(tar(file("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'), *entries)))
        assert daemon.ctl("image", "load", "--name", "x:1", path, check=False).returncode == 1


def test_the_store_is_closed_to_other_users(daemon):
    # CVE-2021-41103, CVE-2024-25621: setuid programs in layers are nobody's to run.
    daemon.folder.chmod(0o755)
    for path in (daemon.root, daemon.root / "images/layers", daemon.root / "images/rootfs"):
        listed = subprocess.run(["setpriv", "--reuid", "65534", "--clear-groups", "ls", path], check=False,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        assert listed.returncode != 0 and "Permission denied" in listed.stderr
