"""A terminal session, driven as a person drives it: keys in, a screen out."""

import os
import pty
import re
import signal
import subprocess
import termios
import time

import pexpect
import pytest

from tests.testing import bundle as bundles
from tests.testing.daemon import OCICTL, wait_until
from tests.testing.fixtures import own_daemon, shared_daemon  # pylint: disable=unused-import

PROMPT = rb"# "


@pytest.fixture(name="container")
def container_of_the_test(daemon, request):
    """A container that sleeps, named after the test."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:60].strip("-")
    daemon.run_detached(name, "sleep", "1000")
    yield name
    daemon.ctl("delete", "-f", name)


def session(daemon, *args, size=(24, 80)):
    """An ocictl on a terminal of its own."""
    return pexpect.spawn(OCICTL, ["--address", f"unix://{daemon.socket}", *args], timeout=20, dimensions=size)


def shell(daemon, container, *flags, **kwargs):
    """A shell inside, at its prompt."""
    child = session(daemon, "exec", "-it", *flags, container, "--", "sh", **kwargs)
    child.expect(PROMPT)
    return child


def line(child, command, answer):
    """Types a command and waits for its answer and the next prompt; the answer's match."""
    child.send(command + "\r")
    child.expect(answer)
    match = child.match
    child.expect(PROMPT)
    return match


def ended(child):
    """The exit code of a session whose output has ended."""
    child.expect(pexpect.EOF)
    child.close()
    return child.exitstatus


def size_becomes(child, size):
    """A resize passes through ocictl and the daemon: asked until it is there."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if line(child, "stty size", rb"\r\n(\d+ \d+)\r\n").group(1).decode() == size:
            return
    raise AssertionError(f"stty size is not {size}")


def running_execs(daemon, container):
    return [row.split()[0] for row in daemon.ctl("execs", "list", container).stdout.splitlines()[1:]
            if row.split()[1] == "running"]


def test_lines_are_edited_and_the_exit_code_is_the_shells(daemon, container):
    child = shell(daemon, container)
    line(child, "echo one twx\x7fo", rb"\r\none two\r\n")
    line(child, "echo \x1b[D\x1b[Cend", rb"\r\nend\r\n")
    child.send("exit 7\r")
    assert ended(child) == 7


def test_the_size_is_that_of_the_terminal_and_follows_it(daemon, container):
    child = shell(daemon, container, size=(31, 97))
    size_becomes(child, "31 97")
    child.setwinsize(40, 120)
    size_becomes(child, "40 120")
    child.send("exit\r")
    assert ended(child) == 0


def test_jobs_are_interrupted_stopped_and_continued(daemon, container):
    child = shell(daemon, container)
    child.send("sleep 1000\r")
    child.expect(rb"sleep 1000\r\n")
    time.sleep(0.2)  # until it is in the foreground
    child.sendcontrol("c")
    child.expect(PROMPT)
    line(child, "echo $?", rb"\r\n130\r\n")
    child.send("sleep 1001\r")
    child.expect(rb"sleep 1001\r\n")
    time.sleep(0.2)
    child.sendcontrol("z")
    child.expect(rb"Stopped")
    child.expect(PROMPT)
    line(child, "jobs", rb"Stopped.*sleep 1001")
    child.send("fg\r")
    child.expect(rb"sleep 1001\r\n")
    time.sleep(0.2)
    child.sendcontrol("c")
    child.expect(PROMPT)
    child.sendcontrol("d")
    assert ended(child) == 130


@pytest.mark.parametrize("flags,keys", [((), "\x10\x11"), (("--detach-keys", "ctrl-]"), "\x1d"),
                                        (("--detach-keys", "ctrl-a,d"), "\x01d")])
def test_the_detach_keys_leave_the_shell_running_and_it_can_be_joined_again(daemon, container, flags, keys):
    child = shell(daemon, container, *flags)
    line(child, "SECRET=kept", rb"\n")
    child.send(keys)
    child.expect(rb"it runs on as exec (\S+)\r\n")
    exec_id = child.match.group(1).decode()
    assert ended(child) == 0
    assert running_execs(daemon, container) == [exec_id]
    child = session(daemon, "attach", "--exec", exec_id, container)
    line(child, "echo $SECRET", rb"\r\nkept\r\n")
    child.send("exit 3\r")
    assert ended(child) == 3


def test_run_on_a_terminal_is_a_session_too(daemon):
    bundle = daemon.bundle("sh")
    child = session(daemon, "run", "-it", "--rm", "--bundle", str(bundle), "shell")
    child.expect(PROMPT)
    size_becomes(child, "24 80")
    child.send("\x10\x11")
    assert ended(child) == 0
    assert daemon.inspect("shell")["state"] == "running"
    child = session(daemon, "attach", "shell")
    line(child, "echo again", rb"\r\nagain\r\n")
    child.send("exit 4\r")
    assert ended(child) == 4
    wait_until(lambda: "shell" not in daemon.ctl("list", "-q").stdout.split(), what="deleted")


def test_what_was_on_the_screen_is_there_byte_for_byte_when_it_is_joined_again(daemon):
    spec = bundles.config("sh", "-c", "seq 1 5000; exec sleep 1000")
    spec["process"]["terminal"] = True
    daemon.ctl("run", "-d", "--bundle", daemon.bundle(spec=spec), "screen")
    wait_until(lambda: "5000" in daemon.ctl("logs", "--tail", "1", "screen").stdout, what="all was written")
    expected = b"".join(b"%d\r\n" % i for i in range(1, 5001))
    for _ in range(2):
        child = session(daemon, "attach", "screen")
        child.expect_exact(b"5000\r\n")
        assert child.before + child.after == expected
        child.send("\x10\x11")
        assert ended(child) == 0
    daemon.ctl("delete", "-f", "screen")


def test_the_daemon_is_killed_in_the_middle_and_the_session_goes_on_without_a_byte_lost_or_doubled(fresh_daemon):
    daemon = fresh_daemon
    daemon.run_detached("c1", "sleep", "1000")
    child = shell(daemon, "c1")
    count = 30000
    child.send(f"stty -echo; seq 1 {count}; echo fin\r")
    child.expect_exact(b"\r\n1\r\n")
    got = b"1\r\n"
    for restart_at in (500, 9000):
        child.expect_exact(b"\r\n%d\r\n" % restart_at)
        got += child.before + child.after
        daemon.kill()
        daemon.start()
    child.expect_exact(b"fin\r\n")
    assert got + child.before == b"".join(b"%d\r\n" % i for i in range(1, count + 1))
    line(child, "echo alive", rb"alive\r\n")
    daemon.kill()
    child.send("echo typed while it was away\r")
    daemon.start()
    child.expect_exact(b"typed while it was away\r\n")
    child.send("exit 9\r")
    assert ended(child) == 9


class Terminal:
    """A terminal that is looked at from outside, with an ocictl on it."""

    def __init__(self, daemon, *args):
        self.leader, self.follower = pty.openpty()
        self.before = termios.tcgetattr(self.follower)
        self.process = subprocess.Popen([OCICTL, "--address", f"unix://{daemon.socket}", *args],
                                        stdin=self.follower, stdout=self.follower, stderr=self.follower,
                                        start_new_session=True)
        wait_until(lambda: not self.echoes(), what="raw mode")

    def echoes(self):
        return bool(termios.tcgetattr(self.follower)[3] & termios.ECHO)

    def restored(self):
        return termios.tcgetattr(self.follower) == self.before

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.leader)
        os.close(self.follower)


@pytest.mark.parametrize("how", ["exit", "detach", "SIGTERM", "SIGHUP", "killed exec"])
def test_the_terminal_is_as_before_whatever_ends_the_session(daemon, container, how):
    terminal = Terminal(daemon, "exec", "-it", container, "--", "sh")
    try:
        if how == "exit":
            os.write(terminal.leader, b"exit\r")
        elif how == "detach":
            os.write(terminal.leader, b"\x10\x11")
        elif how == "killed exec":
            wait_until(lambda: running_execs(daemon, container), what="the exec runs")
            daemon.ctl("execs", "kill", container, running_execs(daemon, container)[0], "KILL")
        else:
            terminal.process.send_signal(getattr(signal, how))
        code = terminal.process.wait(timeout=20)
        assert terminal.restored()
        assert code == {"exit": 0, "detach": 0, "SIGTERM": 143, "SIGHUP": 129, "killed exec": 137}[how]
        # A session that was ended from outside leaves what runs inside alone.
        assert len(running_execs(daemon, container)) == (0 if how in ("exit", "killed exec") else 1)
    finally:
        terminal.close()


def test_the_terminal_is_as_before_when_the_daemon_does_not_come_back(fresh_daemon):
    daemon = fresh_daemon
    daemon.run_detached("c1", "sleep", "1000")
    terminal = Terminal(daemon, "exec", "-it", "c1", "--", "sh")
    try:
        daemon.kill()
        wait_until(terminal.echoes, what="Ctrl-C works again while the daemon is waited for")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.process.wait(timeout=20) == 125
        assert terminal.restored()
    finally:
        terminal.close()
        daemon.start()
