"""deploy/docs/api.md, run with grpcurl as it says. Skipped where there is no Go, or its modules cannot be had."""

import os
import pathlib
import subprocess

import pytest

from tests.interop.nri import go_programs
from tests.packaging import guide
from tests.testing.fixtures import own_daemon  # noqa: F401 (a fixture)


@pytest.fixture(name="grpcurl", scope="module")
def built_grpcurl(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grpcurl")
    return go_programs.build_tool(pathlib.Path(__file__).parent / "grpcurl",
                                  "github.com/fullstorydev/grpcurl/cmd/grpcurl", folder)


def test_the_api_guide_is_true(fresh_daemon, grpcurl, tmp_path):
    bundle = fresh_daemon.bundle("sh", "-c", "echo hello; exec sleep 1000")
    environment = {**os.environ, "PATH": f"{grpcurl.parent}:{os.environ['PATH']}"}
    session = guide.Session(tmp_path, environment)
    try:
        wrong = list(guide.check(pathlib.Path("deploy/docs/api.md").read_text(), session,
                                 {"/run/ocid/ocid.sock": str(fresh_daemon.socket), "/srv/web": str(bundle)}))
    finally:
        session.close()
    assert not wrong, "\n\n".join(wrong)


def test_health_is_asked_by_reflection(fresh_daemon, grpcurl):
    said = subprocess.run([grpcurl, "-plaintext", "-unix", fresh_daemon.socket, "grpc.health.v1.Health/Check"], check=True,
                          text=True, stdout=subprocess.PIPE).stdout
    assert '"SERVING"' in said
