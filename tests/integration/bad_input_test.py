"""Bad input gets a clear error with a stable reason, and changes nothing."""

import json
import os

import pytest

from tests.testing import bundle as bundles
from tests.testing.fixtures import shared_daemon  # pylint: disable=unused-import


@pytest.fixture(name="refused")
def refuse(daemon):
    """Runs ocictl, which must fail, and checks that nothing is different after it."""
    def run(*args, **kwargs):
        before = daemon.census()
        done = daemon.ctl(*args, check=False, **kwargs)
        assert done.returncode != 0, f"{args} succeeded:\n{done.stdout}"
        daemon.must_return_to(before)
        return done.stderr
    daemon.ctl("list")  # so that the census before the first has the descriptors of a connection
    return run


def test_a_bundle_without_config_json(daemon, refused):
    folder = daemon.folder / "no-config"
    folder.mkdir()
    error = refused("create", "--bundle", folder, "x")
    assert "config.json" in error and "BUNDLE_INVALID" in error


def test_a_bundle_that_is_not_there(refused):
    assert "BUNDLE_INVALID" in refused("create", "--bundle", "/nowhere/at/all", "x")


def test_malformed_json(daemon, refused):
    error = refused("create", "--bundle", daemon.bundle(spec='{"ociVersion": "1.2.0", '), "x")
    assert "SPEC_MALFORMED" in error


def test_each_violation_of_the_schema_is_named_by_json_pointer(daemon, refused):
    spec = bundles.config("true")
    spec["process"]["cwd"] = "relative"
    spec["process"]["user"]["uid"] = -5
    spec["mounts"][0]["destination"] = 17
    spec["linux"]["namespaces"].append({"type": "pid"})
    error = refused("create", "--bundle", daemon.bundle(spec=json.dumps(spec)), "x")
    for pointer in ("/process/cwd", "/process/user/uid", "/mounts/0/destination", "/linux/namespaces"):
        assert pointer in error
    assert "SPEC_INVALID" in error


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", "a" * 300, "sp ace", "new\nline", "ünicode", ""])
def test_an_id_that_is_not_one(daemon, refused, name):
    assert "INVALID_CONTAINER_ID" in refused("create", "--bundle", daemon.bundle("true"), "--", name)


def test_a_missing_executable_is_named_when_the_start_fails(daemon):
    daemon.ctl("create", "--bundle", daemon.bundle("no-such-program"), "missing")
    try:
        done = daemon.ctl("start", "missing", check=False)
        assert done.returncode != 0
        assert "no-such-program" in done.stderr and "EXECUTABLE_NOT_FOUND" in done.stderr
    finally:
        daemon.ctl("delete", "-f", "missing")


def test_a_second_create_of_the_same_id(daemon, refused):
    daemon.ctl("create", "--bundle", daemon.bundle("sleep", "100"), "twice")
    try:
        assert "CONTAINER_EXISTS" in refused("create", "--bundle", daemon.bundle("true"), "twice")
    finally:
        daemon.ctl("delete", "-f", "twice")


def test_start_and_delete_of_a_running_container(daemon, refused):
    daemon.run_detached("busy", "sleep", "100")
    try:
        assert "INVALID_STATE" in refused("start", "busy")
        assert "INVALID_STATE" in refused("delete", "busy")
        assert daemon.inspect("busy")["state"] == "running"
    finally:
        daemon.ctl("delete", "-f", "busy")


def test_a_hundred_megabytes_of_config_json_are_refused_by_their_size(daemon, refused):
    folder = daemon.folder / "huge"
    folder.mkdir()
    with open(folder / "config.json", "wb") as config:
        config.truncate(100 * 1000 * 1000)
    assert "SPEC_TOO_LARGE" in refused("create", "--bundle", folder, "x")


def test_a_fifo_as_config_json_does_not_block(daemon, refused):
    folder = daemon.folder / "fifo"
    folder.mkdir()
    os.mkfifo(folder / "config.json")
    assert "BUNDLE_INVALID" in refused("create", "--bundle", folder, "x", timeout=10)


def test_a_missing_rootfs(daemon, refused):
    spec = bundles.config("true", root={"path": "not-there"})
    folder = daemon.folder / "no-rootfs"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(spec))
    assert "not-there" in refused("create", "--bundle", folder, "x")


def test_a_device_that_nobody_defines(daemon, refused):
    error = refused("create", "--bundle", daemon.bundle("true"), "--device", "nobody.example/thing=0", "x")
    assert "nobody.example/thing=0" in error and "DEVICE_UNRESOLVABLE" in error


def test_a_container_that_is_not_there(refused):
    for command in ("start", "stop", "delete", "inspect", "wait", "logs", "spec", "pause"):
        assert "CONTAINER_NOT_FOUND" in refused(command, "nobody")


def test_an_unknown_cgroup_path_escape(daemon, refused):
    spec = bundles.config("true")
    spec["linux"]["cgroupsPath"] = "/../../escape"
    assert "/linux/cgroupsPath" in refused("create", "--bundle", daemon.bundle(spec=spec), "x")


def test_a_mount_of_a_source_that_is_not_there_names_it(daemon, refused):
    spec = bundles.config("true")
    spec["mounts"].append({"destination": "/data", "type": "bind", "source": "/nowhere/data",
                           "options": ["rbind", "ro"]})
    error = refused("create", "--bundle", daemon.bundle(spec=spec), "x")
    assert "/data" in error and "LAUNCH_FAILED" in error
