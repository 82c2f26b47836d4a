"""The cgroup manager as a user of no rights, whose own systemd (`systemd --user`) makes the scopes."""

import os
import pathlib
import shutil
import subprocess

import pytest

from tests.privileged.systemd import service

UID = 1000
PROGRAM = pathlib.Path("/tmp/systemd_privileged_test")
RUNTIME_DIR = "/run/bed-user"
BUS = f"unix:path={RUNTIME_DIR}/bus"
# What logind does where it runs: a bus and a manager for the user, below a cgroup that is the user's.
START = (f"dbus-daemon --session --address={BUS} --nofork --nopidfile & "
         f"while ! test -S {RUNTIME_DIR}/bus; do sleep 0.05; done; exec /lib/systemd/systemd --user --unit=basic.target")


@pytest.fixture(name="user", scope="module")
def user_manager():
    """Runs a program as the user, below the user's manager, and gives what it wrote.

    The kernel lets a user put processes from one cgroup into another only below what the user owns:
    cgroup-v2.rst, "Delegation".
    """
    os.makedirs(RUNTIME_DIR, mode=0o700, exist_ok=True)
    os.chown(RUNTIME_DIR, UID, UID)
    shutil.copy("runtime/cgroup/systemd_privileged_test", PROGRAM)
    environment = [f"XDG_RUNTIME_DIR={RUNTIME_DIR}", f"DBUS_SESSION_BUS_ADDRESS={BUS}"]
    subprocess.run(["systemd-run", "--quiet", "--unit=bed-user", f"--uid={UID}", f"--gid={UID}", "-p", "Delegate=yes",
                    "-p", "Type=notify", *[f"--setenv={entry}" for entry in environment], "sh", "-c", START], check=True)

    def run(*args):
        done = subprocess.run(
            ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "env", "-u", "XML_OUTPUT_FILE",
             *environment, "systemd-run", "--user", "--scope", "--quiet", "--collect", "--", *args],
            check=False, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=120)
        assert done.returncode == 0, done.stdout
        return done.stdout
    yield run
    service.systemctl("stop", "bed-user.service")


@pytest.mark.parametrize("case", [
    "AutoIsSystemdWhereItRuns", "AContainerIsAScopeThatEndsWithIt", "ANameIsFreeAtOnceAfterARemoval",
    "SliceAndNameComeFromThePathAndPropertiesFromTheRequest", "AnErrorLeavesNoUnit", "ManyScopesComeAndGoAtOnce"])
def test_scopes_are_made_by_the_users_own_systemd(user, case):
    assert "[  PASSED  ] 1 test" in user(str(PROGRAM), f"--gtest_filter=SystemdTest.{case}")
