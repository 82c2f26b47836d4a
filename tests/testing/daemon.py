"""A daemon of the test's own, its client, and a census of what the host has of it."""

import contextlib
import itertools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

from tests.testing import bundle as bundles

OCID = "daemon/ocid"
OCICTL = "client/cli/ocictl"
SUPERVISOR = "runtime/supervisor/ocid-supervisor"

# The cgroup manager of every daemon here: a suite is run once with each.
CGROUP_MANAGER = os.environ.get("OCID_TEST_CGROUP_MANAGER", "auto")

# What the daemon keeps open to systemd: runtime/cgroup/systemd_client.cc.
KEPT_BUS_CONNECTIONS = 8


class CommandFailed(AssertionError):
    """An ocictl that was expected to succeed did not."""


def pids():
    """Every process there is, zombies included."""
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def descendants(cgroup_parent):
    """Cgroup folders below any folder of this name, in every hierarchy."""
    found = []
    # os.walk passes over what goes away meanwhile.
    for folder, names, _ in os.walk("/sys/fs/cgroup"):
        if cgroup_parent in pathlib.PurePath(folder).parts:
            found += [os.path.join(folder, name) for name in names]
    return found


def mounts_below(folder):
    """Where something is mounted in a folder, outer places first."""
    places = [line.split()[4] for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()]
    return [place for place in places if place.startswith(f"{folder}/")]


def wait_until(condition, seconds=10.0, what="condition"):
    """Polls: for facts of the host that nothing announces."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.005)


class Daemon:
    """An ocid with folders, socket and cgroup parent of its own, all removed by close()."""

    def __init__(self, *flags):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="ocid-test-", dir="/tmp"))
        self.root = self.folder / "root"
        self.state = self.folder / "state"
        self.socket = self.folder / "ocid.sock"
        # A dash in the name of a slice is a level of the tree.
        self.cgroup_parent = self.folder.name
        if CGROUP_MANAGER == "systemd":
            self.cgroup_parent = self.folder.name.replace("-", ".") + ".slice"
        self.flags = list(flags)
        self._bundles = itertools.count()
        self.log = self.folder / "ocid.log"
        self.process = None
        self.rootfs = bundles.make_rootfs(self.folder / "rootfs")
        try:
            self.start()
        except BaseException:
            self._remove_everything()
            raise

    def start(self):
        """Starts the daemon and returns when it serves."""
        assert self.process is None
        with open(self.log, "ab") as log:
            # A session of its own: a signal to the test's group must not reach it.
            self.process = subprocess.Popen(
                [OCID, "--root", self.root, "--state", self.state,
                 "--listen", f"unix://{self.socket}", "--supervisor", os.path.realpath(SUPERVISOR),
                 "--cgroup-manager", CGROUP_MANAGER, "--cgroup-parent", self.cgroup_parent,
                 "--cdi-spec-dir", self.folder / "cdi", "--log-format", "json", *self.flags],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        wait_until(self._serves, what=f"{OCID} serves")

    def _serves(self):
        if self.process.poll() is not None:
            raise AssertionError(f"ocid ended with {self.process.returncode}:\n{self.log.read_text()}")
        return self.socket.exists() and self.ctl("version", check=False).returncode == 0

    def kill(self):
        """kill -9: what the daemon had in memory is gone."""
        self.process.kill()
        self.process.wait()
        self.process = None

    def terminate(self):
        """SIGTERM, as an init system would; returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=30)
        self.process = None
        return code

    def ctl(self, *args, check=True, timeout=60, stdin=subprocess.DEVNULL):
        """Runs ocictl; with `check` its exit code must be 0."""
        command = [OCICTL, "--address", f"unix://{self.socket}", *map(str, args)]
        done = subprocess.run(command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, timeout=timeout, check=False)
        if check and done.returncode != 0:
            raise CommandFailed(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}"
                                f"{done.stderr}\nocid says:\n{self.tail()}")
        return done

    def spawn(self, *args, **kwargs):
        """Starts ocictl and returns the running process."""
        command = [OCICTL, "--address", f"unix://{self.socket}", *map(str, args)]
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                **kwargs)

    def inspect(self, container):
        return json.loads(self.ctl("inspect", container).stdout)

    def bundle(self, *args, name=None, spec=None):
        """A bundle that runs `args` on the shared root file system. Any thread may ask for one."""
        name = name or f"bundle-{next(self._bundles)}"
        return bundles.write(self.folder / name, spec or bundles.config(*args), rootfs=self.rootfs)

    def run_detached(self, container, *args, **kwargs):
        """Creates and starts a container that runs `args`."""
        self.ctl("create", "--bundle", self.bundle(*args, **kwargs), container)
        self.ctl("start", container)

    @staticmethod
    def pss_kib(pid):
        """Its share of memory: what would be free if it ended."""
        rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        return int(rollup.split("\nPss:", 1)[1].split()[0])

    @staticmethod
    def descriptors(pid):
        return len(os.listdir(f"/proc/{pid}/fd"))

    @staticmethod
    def threads(pid):
        return len(os.listdir(f"/proc/{pid}/task"))

    def tail(self, lines=30):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def census(self):
        """Counts of everything a container may leave behind."""
        pid = self.process.pid
        return {
            "container processes": len([p for p in pids() if self._runs_our_busybox(p)]),
            "supervisors": len([p for p in pids() if self._is_our_supervisor(p)]),
            "children of the daemon": len(_children(pid)),
            "mounts": len(pathlib.Path("/proc/self/mountinfo").read_text().splitlines()),
            "daemon mounts": len(pathlib.Path(f"/proc/{pid}/mountinfo").read_text().splitlines()),
            "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
            # Each once: systemd decides in which hierarchies of a hybrid host a unit is.
            "cgroups": sorted({path.split(self.cgroup_parent, 1)[1] for path in descendants(self.cgroup_parent)}),
            "container folders": sorted(os.listdir(self.root / "containers")),
            "state folders": sorted(os.listdir(self.state / "containers")),
        }

    def steady_census(self):
        """A census once nothing comes or goes any more: systemd makes and removes cgroups on its own time."""
        census = None
        while self.census() != census:
            census = self.census()
            time.sleep(0.2)
        return census

    def changes(self, before):
        """What differs from a census of before, in what that one still holds. Fewer descriptors are no change: the daemon closes a
        client's connection a moment after the client has ended, and the first census may have seen it.
        Nor are a few more with systemd: idle connections to it are kept."""
        now = self.census()
        more = KEPT_BUS_CONNECTIONS if CGROUP_MANAGER == "systemd" else 0
        return {name: f"{value} -> {now[name]}" for name, value in before.items()
                if now[name] != value
                and not (name == "descriptors" and now[name] <= value + more)}

    def must_return_to(self, before, seconds=15.0):
        """Fails with what differs from that census. What goes on its own time, such as a supervisor's last
        mount or a cgroup that systemd removes, is given that time."""
        deadline = time.monotonic() + seconds
        while (changes := self.changes(before)) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not changes, f"not as before, after {seconds} s: {changes}"

    def _runs_our_busybox(self, pid):
        try:
            return os.path.samefile(f"/proc/{pid}/exe", self.rootfs / "bin" / "busybox")
        except OSError:
            return False

    def _is_our_supervisor(self, pid):
        """It runs from a memfd, so it is known by the folders of ours that it holds open."""
        try:
            if "ocid-supervisor" not in os.readlink(f"/proc/{pid}/exe"):
                return False
            links = [os.readlink(entry.path) for entry in os.scandir(f"/proc/{pid}/fd")]
        except OSError:
            return False
        return any(link.startswith(str(self.folder)) for link in links)

    def close(self):
        """Removes every container, the daemon and its folders, whatever the test left."""
        try:
            if self.process is None or self.process.poll() is not None:
                self.process = None
                self.start()
            ids = self.ctl("list", "-q").stdout.split()
            if ids:
                self.ctl("delete", "-f", *ids)
        finally:
            self._remove_everything()

    def _remove_everything(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for path in sorted(descendants(self.cgroup_parent), key=len, reverse=True):
            with contextlib.suppress(OSError):  # there is none on v1, or it is gone
                with open(os.path.join(path, "cgroup.kill"), "w", encoding="ascii") as kill:
                    kill.write("1")
            if CGROUP_MANAGER != "systemd":  # which removes what is empty, and its own
                _remove_cgroup(path)
        if CGROUP_MANAGER != "systemd":
            for folder, names, _ in os.walk("/sys/fs/cgroup", topdown=False):
                if self.cgroup_parent in names:
                    _remove_cgroup(os.path.join(folder, self.cgroup_parent))
        # Only where a test failed: roots of images, networks of pods.
        for place in reversed(mounts_below(self.folder)):
            subprocess.run(["umount", "--lazy", place], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


def _children(pid):
    """Its children, zombies included: what it forgot to reap shows here."""
    found = []
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        found += (task / "children").read_text().split()
    return found


def _remove_cgroup(path):
    def gone():
        try:
            os.rmdir(path)
        except FileNotFoundError:
            pass
        except OSError:
            return False
        return True
    wait_until(gone, what=f"rmdir {path}")
