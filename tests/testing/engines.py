"""The two ways to a container: `ocirun`, and `ocictl` with a daemon; with what tests of both share."""

import functools
import hashlib
import itertools
import json
import os
import pathlib
import pty
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass

import pytest

from tests.testing import bundle as bundles
from tests.testing.daemon import Daemon, OCICTL

OCIRUN = "runtime/cli/ocirun"
ATTACKER = "tests/child_programs/attacker"


@dataclass
class Result:
    code: int
    out: str
    err: str

    @property
    def ok(self):
        return self.code == 0


def _call(command, timeout=30, **options):
    options.setdefault("stdin", subprocess.DEVNULL)
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=timeout, check=False, **options)
    return Result(done.returncode, done.stdout.decode(errors="replace"),
                  done.stderr.decode(errors="replace"))


def _call_on_terminal(command, timeout=30, typed=""):
    """The same with a pseudo-terminal, on which `typed` is typed; what it prints is in `out`."""
    master, terminal = pty.openpty()
    with subprocess.Popen([str(word) for word in command], stdin=terminal, stdout=terminal, stderr=terminal,
                          start_new_session=True) as process:
        os.close(terminal)
        text = b""
        try:
            os.write(master, typed.encode())
            while chunk := os.read(master, 65536):
                text += chunk
        except OSError:
            pass  # EIO: everyone has closed the other side
        os.close(master)
        return Result(process.wait(timeout), text.decode(errors="replace"), "")


class Engine:
    """A folder of its own with a root file system, a canary beside it, and bundles."""

    name = ""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.canary = self.folder / "canary"
        self.canary.mkdir()
        (self.canary / "secret").write_text("untouched")
        self._ids = (f"{self.name}-{n}" for n in itertools.count())

    def rootfs(self, name="rootfs"):
        """A root file system of the test's own, with the attacker in it where the test has one."""
        path = bundles.make_rootfs(self.folder / name)
        if os.path.exists(ATTACKER) and not (path / "bin" / "attacker").exists():
            shutil.copy(ATTACKER, path / "bin" / "attacker")
        return path

    def bundle(self, spec, rootfs):
        return bundles.write(pathlib.Path(tempfile.mkdtemp(prefix="bundle-", dir=self.folder)), spec,
                             rootfs)

    def new_id(self):
        return next(self._ids)

    def canary_state(self):
        """Everything about the canary that an attack could change."""
        found = {}
        for path in [self.canary, *self.canary.rglob("*")]:
            info = path.lstat()
            text = path.read_text() if path.is_file() else os.listdir(path) if path.is_dir() else ""
            found[str(path)] = (info.st_mode, info.st_uid, info.st_gid, info.st_nlink, text)
        return found

    def run(self, spec, rootfs, typed=""):
        """Creates, starts, waits and deletes; the result is the program's, or why it never ran."""
        call = _call
        if spec["process"].get("terminal"):
            call = functools.partial(_call_on_terminal, typed=typed)
        return call(self.run_command(self.bundle(spec, rootfs), spec["process"].get("terminal")))

    def run_command(self, bundle, terminal):
        raise NotImplementedError


class Ocirun(Engine):
    name = "ocirun"
    program = OCIRUN
    race_rounds = 100

    def __init__(self, folder):
        super().__init__(folder)
        self.state = self.folder / "state"
        self.command = [OCIRUN, "--root", self.state]

    def run_command(self, bundle, terminal):
        return [*self.command, "run", "-b", bundle, self.new_id()]

    def start(self, spec, rootfs):
        """A container that runs on; returns its id and a process whose stdout is the container's."""
        name = self.new_id()
        process = subprocess.Popen(
            [*map(str, self.command), "run", "-b", str(self.bundle(spec, rootfs)), name],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return name, process

    def execute(self, name, *args, cwd=None, user=None):
        flags = ["--cwd", cwd] if cwd is not None else []
        flags += ["--user", user] if user is not None else []
        return _call([*self.command, "exec", *flags, name, *args])

    def stop(self, name):
        _call([*self.command, "kill", name, "TERM"])

    def delete(self, name):
        _call([*self.command, "delete", "--force", name])

    def processes(self, name):
        return _call([*self.command, "ps", name])

    def pid(self, name):
        return json.loads(_call([*self.command, "state", name]).out)["pid"]

    def private_folders(self):
        return [self.state]

    def close(self):
        for name in _call([*self.command, "list", "-q"]).out.split():
            self.delete(name)


class Ocid(Engine):
    name = "ocid"
    program = "daemon/ocid"
    race_rounds = 30  # it starts containers by the same code

    def __init__(self, folder):
        super().__init__(folder)
        self.daemon = Daemon()
        self.command = [OCICTL, "--address", f"unix://{self.daemon.socket}"]

    def run_command(self, bundle, terminal):
        return [*self.command, "run", "--rm", *(["-it"] if terminal else []), "--bundle", bundle,
                self.new_id()]

    def start(self, spec, rootfs):
        name = self.new_id()
        process = subprocess.Popen(
            [*map(str, self.command), "run", "--bundle", str(self.bundle(spec, rootfs)), name],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return name, process

    def execute(self, name, *args, cwd=None, user=None):
        flags = ["--cwd", cwd] if cwd is not None else []
        flags += ["--user", user] if user is not None else []
        return _call([*self.command, "exec", *flags, name, "--", *args])

    def stop(self, name):
        _call([*self.command, "kill", name])

    def delete(self, name):
        _call([*self.command, "delete", "-f", name])

    def processes(self, name):
        return _call([*self.command, "ps", name])

    def pid(self, name):
        return self.daemon.inspect(name)["pid"]

    def private_folders(self):
        return [self.daemon.root, self.daemon.state]

    def close(self):
        self.daemon.close()


class Mutator:
    """A process that calls `change` without a pause while the block runs."""

    def __init__(self, change):
        self._change = change
        self._pid = None

    def __enter__(self):
        self._pid = os.fork()
        if self._pid == 0:
            try:
                while True:
                    self._change()
            finally:
                os._exit(1)
        return self

    def __exit__(self, *error):
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)


class Background:
    """A container that runs while the block does; `lines` has what it printed since."""

    def __init__(self, engine, spec, rootfs):
        self._engine = engine
        self._spec = spec
        self._rootfs = rootfs
        self._process = None
        self.name = None
        self.lines = []

    def __enter__(self):
        self.name, self._process = self._engine.start(self._spec, self._rootfs)
        first = self._process.stdout.readline()
        if not first:
            raise AssertionError(f"the container ended: {self._process.communicate()[1]}")
        self.lines.append(first.strip())
        return self

    def stop(self):
        """Ends it by SIGTERM and returns everything that it printed."""
        self._engine.stop(self.name)
        text, _ = self._process.communicate(timeout=20)
        self.lines += text.split("\n")
        return [line for line in self.lines if line]

    def __exit__(self, *error):
        self._engine.delete(self.name)
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()


def _host_state(engine):
    """What no attack may change: the canary, the host's mounts, its most wanted sysctls, the program."""
    wanted = ("core_pattern", "hostname", "sysrq", "modprobe", "poweroff_cmd")
    files = [pathlib.Path("/proc/sys/kernel") / name for name in wanted]
    text = {str(file): file.read_text() for file in files if file.exists()}
    mounts = sorted(line for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
                    if str(engine.folder) in line)
    with open(engine.program, "rb") as program:
        digest = hashlib.sha256(program.read()).hexdigest()
    return {"canary": engine.canary_state(), "sysctl": text, "mounts": mounts, "program": digest}


@pytest.fixture(name="module_engine", scope="module", params=[Ocirun, Ocid], ids=["ocirun", "ocid"])
def _module_engine(request):
    with tempfile.TemporaryDirectory(prefix="ocid-attacks-") as folder:
        engine = request.param(folder)
        yield engine
        engine.close()


@pytest.fixture(name="engine")
def guarded_engine(module_engine):
    """An engine; the host must be after the test what it was before."""
    before = _host_state(module_engine)
    yield module_engine
    assert _host_state(module_engine) == before
