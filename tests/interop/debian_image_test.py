"""A whole Debian as an image: thousands of files, hard links, setuid programs, file capabilities.

debootstrap makes it once: images.debian.
"""

import json
import pathlib
import shutil

import pytest

from tests.testing import images
from tests.testing.fixtures import shared_daemon  # noqa: F401 (fixture)
from tests.testing.images import census, differences, run

pytestmark = images.needs_tools

@pytest.fixture(name="layout", scope="module")
def debian_layout():
    try:
        return images.debian()
    except images.NoDebian as reason:
        pytest.skip(str(reason))


@pytest.fixture(name="bundles", scope="module")
def unpacked_bundles(daemon, layout, tmp_path_factory):
    folder = tmp_path_factory.mktemp("debian")
    daemon.ctl("image", "load", "--name", "debian:12", layout)
    daemon.ctl("image", "unpack", "debian:12", folder / "ours")
    run("umoci", "unpack", "--image", f"{layout}:v1", folder / "umoci")
    yield folder
    shutil.rmtree(folder)


def test_the_root_file_system_equals_umocis(bundles):
    ours = census(bundles / "ours/rootfs")
    assert len(ours) > 5000
    assert sum("same as" in entry for entry in ours.values()) > 2
    assert sum(bool(int(entry["mode"], 8) & 0o4000) for entry in ours.values()) > 5
    assert sum("security.capability" in entry["xattrs"] for entry in ours.values()) >= 1
    assert differences(ours, census(bundles / "umoci/rootfs")) == {}


def test_process_user_and_annotations_equal_umocis(bundles):
    ours = json.loads((bundles / "ours/config.json").read_text())
    umoci = json.loads((bundles / "umoci/config.json").read_text())
    for member in ("args", "cwd", "user"):
        assert ours["process"][member] == umoci["process"][member], member
    # umoci's bundles have a terminal, and so TERM.
    assert sorted(ours["process"]["env"]) == sorted(
        entry for entry in umoci["process"]["env"] if not entry.startswith("TERM="))
    # umoci writes annotations for what the image does not say, as empty strings.
    assert ours["annotations"] == {key: value for key, value in umoci["annotations"].items() if value}
    volumes = {name: [mount["type"] for mount in spec["mounts"] if mount["destination"] == "/var/www"]
               for name, spec in (("ours", ours), ("umoci", umoci))}
    assert volumes["ours"] == volumes["umoci"] == ["tmpfs"]


def test_it_verifies_and_runs(daemon, bundles):
    verify = daemon.ctl("bundle", "verify", bundles / "ours")
    assert "as it was unpacked" in verify.stdout
    assert daemon.ctl("bundle", "digest", bundles / "umoci").stdout == daemon.ctl(
        "bundle", "digest", bundles / "ours").stdout
    done = daemon.ctl("run", "--rm", "--image", "debian:12", "debian")
    user, groups, size = done.stdout.strip().split(":")
    assert user == "33" and groups.split()[0] == "33" and int(size) > 2


def test_the_overlay_of_a_container_is_what_a_bundle_holds(daemon, bundles):
    daemon.ctl("create", "--image", "debian:12", "overlay", "--", "/bin/true")
    mounted = json.loads(daemon.ctl("spec", "overlay").stdout)["root"]["path"]
    # In the daemon's mount namespace, which is this one.
    overlay = census(pathlib.Path(mounted))
    ours = census(bundles / "ours/rootfs")
    # The mount points that the container needs are made in the overlay at its creation.
    assert set(overlay) >= set(ours)
    assert {name: pair for name, pair in differences(overlay, ours).items()
            if pair[0] and pair[1] and pair[0].get("content") != pair[1].get("content")} == {}
    daemon.ctl("delete", "overlay")
