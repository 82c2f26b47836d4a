"""A create or start that hangs can be killed and deleted: nobody waits behind it."""

import os
import subprocess
import time

import pytest

from tests.testing import bundle as bundles
from tests.testing.daemon import wait_until
from tests.testing.fixtures import own_daemon  # pylint: disable=unused-import


# So long that no other process sleeps just as long.
HOOK_SECONDS = f"45.{os.getpid()}"


def hanging(phase):
    spec = bundles.config("sleep", "1000")
    spec["hooks"] = {phase: [{"path": "/bin/sleep", "args": ["sleep", HOOK_SECONDS]}]}
    return spec


@pytest.mark.parametrize("phase,command,state", [
    ("createRuntime", "create", "creating"), ("prestart", "create", "creating"), ("poststart", "run", "starting")])
@pytest.mark.parametrize("how", [("delete", "-f"), ("kill",)])
def test_what_hangs_in_a_hook_ends_at_once(fresh_daemon, phase, command, state, how):
    daemon = fresh_daemon
    clean = daemon.steady_census()
    bundle = daemon.bundle(spec=hanging(phase))
    flags = ["-d"] if command == "run" else []
    client = daemon.spawn(command, *flags, "--bundle", bundle, "stuck")

    def under_way():
        found = daemon.ctl("inspect", "stuck", check=False)
        return found.returncode == 0 and f'"{state}"' in found.stdout
    wait_until(under_way, what=state)
    time.sleep(0.3)  # into the hook
    begin = time.monotonic()
    args = [how[0], *how[1:], "stuck"] + (["KILL"] if how[0] == "kill" else [])
    daemon.ctl(*args)
    client.communicate(timeout=20)
    assert client.returncode != 0
    assert time.monotonic() - begin < 10
    if how[0] == "kill":
        daemon.ctl("delete", "-f", "stuck", check=False)
    del clean["descriptors"]
    daemon.must_return_to(clean)
    left = subprocess.run(["pgrep", "-f", f"sleep {HOOK_SECONDS}"], check=False, capture_output=True, text=True).stdout
    assert left == "", "the hook runs on"


def test_a_stop_gives_a_start_that_hangs_its_grace(fresh_daemon):
    daemon = fresh_daemon
    clean = daemon.steady_census()
    client = daemon.spawn("run", "-d", "--bundle", daemon.bundle(spec=hanging("poststart")), "stuck")
    wait_until(lambda: '"starting"' in daemon.ctl("inspect", "stuck", check=False).stdout, what="starting")
    begin = time.monotonic()
    daemon.ctl("stop", "--time", "1", "stuck")
    assert 1 <= time.monotonic() - begin < 10
    client.communicate(timeout=20)
    assert client.returncode != 0
    assert daemon.inspect("stuck")["state"] == "stopped"
    daemon.ctl("delete", "stuck")
    del clean["descriptors"]
    daemon.must_return_to(clean)
