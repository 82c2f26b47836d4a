"""ocirun below other people's engines: Podman, and containerd through ctr.

Each runs, execs, stops, gives a terminal and a memory limit; what it said is printed (pytest -s). An
engine that is not installed is skipped with the reason.
"""

import os
import pathlib
import pty
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

from tests.testing import bundle as bundles

OCIRUN = pathlib.Path("runtime/cli/ocirun").resolve()
LIMIT_BYTES = 64 << 20


def need(*programs):
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")


def say(command, text):
    print(f"$ {' '.join(map(str, command))}\n{text}", end="")


def call(command, check=True, timeout=60):
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=timeout, check=False)
    say(command, done.stdout)
    if check:
        assert done.returncode == 0, done.stdout
    return done


def on_terminal(command, typed, seconds=30):
    """Runs it on a pseudo-terminal, types, and returns what it printed."""
    pid, master = pty.fork()
    if pid == 0:
        os.execvp(str(command[0]), [str(word) for word in command])
    text = b""
    deadline = time.monotonic() + seconds
    try:
        while select.select([master], [], [], max(0, deadline - time.monotonic()))[0]:
            chunk = os.read(master, 4096)
            if not chunk:
                break
            text += chunk
            if typed and b"#" in text:  # the shell's prompt: what comes before it may be lost
                os.write(master, typed.encode())
                typed = ""
    except OSError:
        pass  # EIO: everyone has closed the other side
    ended, _ = os.waitpid(pid, os.WNOHANG)
    if ended == 0 and time.monotonic() >= deadline:
        os.kill(pid, signal.SIGKILL)
    os.close(master)
    if ended == 0:
        os.waitpid(pid, 0)
    say(command, text.decode(errors="replace"))
    return text.decode(errors="replace")


def remove_cgroups(parent):
    """What an engine leaves of the parent that it was given, in every hierarchy."""
    for folder in pathlib.Path("/sys/fs/cgroup").glob(f"**/{parent}"):
        for path in sorted(folder.rglob("*"), reverse=True):
            if path.is_dir():
                path.rmdir()
        folder.rmdir()


class Podman:
    """Podman with storage of its own."""

    def __init__(self, folder):
        need("podman")
        self.rootfs = bundles.make_rootfs(folder / "rootfs")
        self.command = ["podman", "--root", folder / "storage", "--runroot", folder / "run",
                        "--tmpdir", folder / "tmp", "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs",
                        "--events-backend", "file", "--runtime", OCIRUN]
        # Its own default for open files may be more than this host lets anyone have.
        self.parent = folder.name
        self.usual = ["--network", "none", "--cgroup-parent", f"/{self.parent}",
                      "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"]

    def run(self, name, *args, flags=()):
        return [*self.command, "run", "--rm", "--name", name, *self.usual, *flags, "--rootfs", self.rootfs, *args]

    def start(self, name, *args):
        call([*self.command, "run", "-d", "--name", name, *self.usual, "--rootfs", self.rootfs, *args])

    def execute(self, name, *args, terminal=False):
        return [*self.command, "exec", *(["-it"] if terminal else []), name, *args]

    def stop(self, name):
        call([*self.command, "stop", "-t", "5", name])
        state = call([*self.command, "inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", name])
        call([*self.command, "rm", "-f", name])
        return state.stdout.split()

    terminal_flags = ["-it"]
    limit_flags = ["--memory", str(LIMIT_BYTES)]

    def close(self):
        call([*self.command, "rm", "-af"], check=False)
        call([*self.command, "system", "prune", "-af"], check=False)
        remove_cgroups(self.parent)


class Containerd:
    """A containerd of its own, driven by ctr."""

    def __init__(self, folder):
        need("containerd", "ctr", "containerd-shim-runc-v2")
        self.rootfs = bundles.make_rootfs(folder / "rootfs")
        socket = folder / "containerd.sock"
        config = folder / "config.toml"
        config.write_text('version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri", '
                          '"io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper"]\n'
                          f'[plugins."io.containerd.internal.v1.opt"]\n  path = "{folder}/opt"\n')
        with open(folder / "log", "wb") as log:
            self.daemon = subprocess.Popen(
                ["containerd", "--config", config, "--root", folder / "root", "--state", folder / "state",
                 "--address", socket], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        # A namespace of its own: it is the parent of the cgroups. containerd wants letters and digits.
        self.namespace = f"ocid-engines-{os.getpid()}"
        self.command = ["ctr", "--address", socket, "--namespace", self.namespace]
        self.runtime = ["--runc-binary", OCIRUN, "--runc-root", folder / "runc"]
        deadline = time.monotonic() + 20
        while call([*self.command, "version"], check=False).returncode != 0:
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.1)

    def run(self, name, *args, flags=()):
        return [*self.command, "run", "--rm", *self.runtime, *flags, "--rootfs", self.rootfs, name, *args]

    def start(self, name, *args):
        # --null-io: a detached container would keep our pipe.
        call([*self.command, "run", "-d", "--null-io", *self.runtime, "--rootfs", self.rootfs, name, *args])

    def execute(self, name, *args, terminal=False):
        return [*self.command, "task", "exec", *(["-t"] if terminal else []), "--exec-id",
                f"e{time.monotonic_ns()}", name, *args]

    def stop(self, name):
        call([*self.command, "task", "kill", "-s", "SIGTERM", name])
        deadline = time.monotonic() + 20
        while "STOPPED" not in call([*self.command, "task", "list"]).stdout:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        deleted = call([*self.command, "task", "delete", name]).stdout
        call([*self.command, "container", "delete", name])
        return ["exited", re.search(r"exit code (\d+)", deleted).group(1)]

    terminal_flags = ["-t"]
    limit_flags = ["--memory-limit", str(LIMIT_BYTES)]

    def close(self):
        for name in call([*self.command, "task", "list", "-q"], check=False).stdout.split():
            call([*self.command, "task", "delete", "-f", name], check=False)
        self.daemon.terminate()
        self.daemon.wait(20)
        remove_cgroups(self.namespace)


@pytest.fixture(name="engine", scope="module", params=[Podman, Containerd], ids=["podman", "containerd"])
def own_engine(request):
    with tempfile.TemporaryDirectory(prefix="ocid-engines-") as folder:
        engine = request.param(pathlib.Path(folder))
        try:
            yield engine
        finally:
            engine.close()


def test_run_gives_the_output_and_the_exit_code(engine):
    done = call(engine.run("ran", "sh", "-c", "echo hello from $(hostname); exit 7"), check=False)
    assert done.returncode == 7 and "hello from" in done.stdout


def test_exec_runs_beside_and_stop_ends_it(engine):
    engine.start("kept", "sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.1; done")
    done = call(engine.execute("kept", "sh", "-c", "echo in $(cat /proc/1/comm); exit 5"), check=False)
    assert done.returncode == 5 and "in sh" in done.stdout
    assert "of a terminal" in on_terminal(engine.execute("kept", "sh", "-c", "tty -s && echo of a terminal",
                                                         terminal=True), "")
    assert engine.stop("kept") == ["exited", "3"]


def test_a_terminal_session_takes_what_is_typed(engine):
    text = on_terminal(engine.run("typed", "sh", flags=engine.terminal_flags), "echo $((6 * 7)) on $(tty)\nexit\n")
    assert re.search(r"42 on /dev/(pts/\d+|console)", text)


def test_a_memory_limit_holds(engine):
    hungry = "head -c 150m /dev/zero | tail > /dev/null; echo code $?"
    limited = call(engine.run("limited", "sh", "-c", hungry, flags=engine.limit_flags), check=False)
    # A kernel that waits too long for the memory of the first whom it kills goes on to the shell.
    assert limited.returncode == 137 or "code 137" in limited.stdout
    assert "code 0" in call(engine.run("free", "sh", "-c", hungry)).stdout
