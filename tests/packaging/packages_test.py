"""The Debian packages on a systemd of their own, on a Debian that never had them: from install to purge.

In this order, each test where the one before it left the machine. OCID_TEST_INSTALLER is how they are installed:
apt, or dpkg alone, which is faster where CPUs are emulated.
"""

import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import threading

import pytest

from tests.testing import bundle as bundles
from tests.testing.daemon import wait_until

PACKAGES = pathlib.Path("deploy/debian/packages").resolve()
INSTALLER = os.environ.get("OCID_TEST_INSTALLER", "apt")
SOCKET = "/run/ocid/ocid.sock"
DATA = pathlib.Path("/var/lib/ocid")
NAMES = ["ocid", "ocictl", "ocirun"]
LIVE = [f"live{number}" for number in range(10)]
# What the daemon, the scripts and systemd write into; but not what dpkg, apt and systemd keep for themselves.
WRITTEN = ("/etc", "/run", "/var/lib", "/var/log", "/var/spool", "/opt", "/srv")
APART = ("/run/bed", "/run/systemd", "/run/log", "/run/dbus", "/run/lock", "/run/udev", "/var/lib/apt",
         "/var/lib/dpkg", "/var/log/apt", "/var/log/dpkg.log", "/var/lib/systemd/linger", "/var/lib/PackageKit")

# What an emulated machine takes long for, and tells nothing new about.
ONCE = pytest.mark.skipif(INSTALLER != "apt", reason="packages_test runs it, with apt")


def run(*args, check=True):
    done = subprocess.run([str(arg) for arg in args], check=False, text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300,
                          env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"})
    if check:
        assert done.returncode == 0, f"{args}: exit {done.returncode}\n{done.stdout}\n{journal()}"
    return done.stdout.rstrip("\n")


def journal():
    return run("journalctl", "--no-pager", "-n", 40, "-u", "ocid.service", "-u", "ocid.socket", check=False)


def install(*paths):
    if INSTALLER == "apt":
        run("apt-get", "install", "-y", "--no-install-recommends", "-o", "APT::Sandbox::User=root", *paths)
    else:
        run("dpkg", "--install", *paths)


def state(unit):
    return run("systemctl", "is-active", unit, check=False)


def main_pid():
    return int(run("systemctl", "show", "--property=MainPID", "--value", "ocid.service"))


def listed(key):
    """A member of what ocictl says of each container, by id."""
    return {entry["id"]: entry.get(key) for entry in json.loads(run("ocictl", "list", "--format", "json"))}


def alive(pid):
    return pathlib.Path(f"/proc/{pid}").exists()


def written_files():
    found = set()
    for top in WRITTEN:
        for folder, folders, files in os.walk(top):
            folders[:] = [name for name in folders if os.path.join(folder, name) not in APART]
            found |= {os.path.join(folder, name) for name in folders + files}
    return {path for path in found if path not in APART}


def cgroups():
    return {os.path.join(folder, name) for folder, names, _ in os.walk("/sys/fs/cgroup") for name in names
            if "ocid" in name}


def census():
    """All that a package that was here once could have left."""
    units = run("systemctl", "list-units", "--all", "--plain", "--no-legend", "*ocid*")
    unit_files = run("systemctl", "list-unit-files", "--no-legend", "*ocid*", check=False)
    processes = {}
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and "ocid" in (entry / "comm").read_text():
                processes[entry.name] = (entry / "comm").read_text().strip()
        except OSError:
            pass  # it has ended
    return {"units": units, "unit files": unit_files, "cgroups": cgroups(), "processes": processes,
            "mounts": {line.split()[1] for line in pathlib.Path("/proc/mounts").read_text().splitlines()},
            "groups": pathlib.Path("/etc/group").read_text(), "files": written_files()}


def forget_packages():
    """Leaves dpkg the essential packages, and those that ours depend on. It reads a file of each that there is, which
    an emulated machine with a build machine's thousand packages takes a minute for each time.
    """
    status = pathlib.Path("/var/lib/dpkg/status")
    packages, needed, essential = {}, {}, []
    for entry in status.read_text().split("\n\n"):
        fields = dict(re.findall(r"^([A-Z][A-Za-z-]*): (.*)$", entry, re.MULTILINE))
        for name in [fields.get("Package", ""), *re.findall(r"[^ ,]+(?= \(|,|$)", fields.get("Provides", ""))]:
            packages.setdefault(name, entry)
            depends = fields.get("Depends", "") + ", " + fields.get("Pre-Depends", "")
            needed.setdefault(name, set()).update(re.findall(r"[a-z0-9][a-z0-9+.-]+(?=[ :,|]|$)", depends))
        if fields.get("Essential") == "yes":
            essential.append(fields["Package"])
    wanted = [*essential, "systemd"]
    for name in NAMES:
        depends = run("dpkg-deb", "--field", PACKAGES / f"{name}.deb", "Depends")
        wanted += re.findall(r"[a-z0-9][a-z0-9+.-]+(?=[ :,|]|$)", depends)
    kept = {}
    while wanted:
        name = wanted.pop()
        if name in packages and name not in kept:
            kept[name] = packages[name]
            wanted += needed[name]
    status.write_text("\n\n".join(dict.fromkeys(entry.strip("\n") for entry in kept.values())) + "\n\n")


@pytest.fixture(name="rootfs", scope="module")
def shared_rootfs():
    return bundles.make_rootfs("/tmp/rootfs")


@pytest.fixture(name="before", scope="module", autouse=True)
def untouched_machine():
    """A census before the first package. What makes the build machine unlike an installed Debian goes."""
    for path in ("/usr/sbin/policy-rc.d", "/var/lib/man-db/auto-update"):
        pathlib.Path(path).unlink(missing_ok=True)
    for path in pathlib.Path("/etc/dpkg/dpkg.cfg.d").glob("*exclude*"):
        path.unlink()
    assert not shutil.which("ocid"), "the machine has ocid already"
    if INSTALLER != "apt":
        forget_packages()
    return census()


def bundle(rootfs, name, *args):
    return bundles.write(f"/tmp/bundles/{name}", bundles.config(*args), rootfs=rootfs)


def test_an_installation_gives_a_running_daemon(rootfs):
    install(*(PACKAGES / f"{name}.deb" for name in NAMES))
    assert [state(unit) for unit in ("ocid.service", "ocid.socket")] == ["active", "active"], journal()
    for unit in ("ocid.service", "ocid.socket"):
        assert run("systemctl", "is-enabled", unit) == "enabled"
    info = os.stat(SOCKET)
    assert (info.st_mode & 0o777, info.st_uid, run("stat", "-c", "%G", SOCKET)) == (0o660, 0, "ocid")
    assert "version" in run("ocictl", "info").lower()
    made = bundle(rootfs, "hello", "echo", "hello from a package")
    assert run("ocictl", "run", "--rm", "--bundle", made, "hello") == "hello from a package"
    assert run("ocid", "--check-config").startswith("root: /var/lib/ocid\n")


@ONCE
def test_what_is_documented_is_installed():
    for name, section in (("ocid", "8"), ("ocid.yaml", "5"), ("ocictl", "1"), ("ocirun", "8")):
        assert run("man", "--where", section, name).startswith("/usr/share/man/")
    for path in ("/usr/share/bash-completion/completions/ocictl", "/usr/share/zsh/vendor-completions/_ocictl",
                 "/usr/share/ocid/seccomp/default.json", "/usr/share/ocid/proto/ocid/v1/container.proto",
                 "/usr/share/doc/ocid/getting-started.md", "/usr/share/doc/ocid/CHANGELOG.md"):
        assert pathlib.Path(path).is_file(), path
    assert "/etc/ocid/ocid.yaml" in run("dpkg-query", "--show", "--showformat=${Conffiles}", "ocid")


class Knocks(threading.Thread):
    """Connects to the socket again and again, and counts how often nobody was there."""

    def __init__(self):
        super().__init__()
        self.refused, self.done = [], threading.Event()
        self.start()

    def run(self):
        while not self.done.wait(0.1):
            try:
                with socket.socket(socket.AF_UNIX) as client:
                    client.connect(SOCKET)
            except OSError as error:
                self.refused.append(str(error))

    def stop(self):
        self.done.set()
        self.join()
        return self.refused


def logged(container):
    """What `ocictl logs` prints, read from the file: without a process, which the emulated machine is slow at."""
    lines = (DATA / "containers" / container / "log").read_text().splitlines()
    return [int(json.loads(line)["log"]) for line in lines]


def test_an_upgrade_disturbs_none_of_ten_containers(rootfs):
    script = "i=0; while ! test -e /tmp/go; do echo $i; i=$((i+1)); sleep 0.5; done; echo $i; exit $CODE"
    for number, name in enumerate(LIVE):
        made = bundle(rootfs, "live", "sh", "-c", script)
        run("ocictl", "run", "-d", "--env", f"CODE={number}", "--bundle", made, name)
    pids = listed("pid")
    assert sorted(pids) == LIVE and all(map(alive, pids.values()))
    opened = run("systemctl", "show", "--property=ActiveEnterTimestampMonotonic", "ocid.socket")
    old, knocks = main_pid(), Knocks()
    install(PACKAGES / "next/ocid.deb", PACKAGES / "next/ocictl.deb")
    assert knocks.stop() == [], "the socket stays open"
    assert run("systemctl", "show", "--property=ActiveEnterTimestampMonotonic", "ocid.socket") == opened
    status = pathlib.Path("/var/lib/dpkg/status").read_text()
    assert re.search(r"^Package: ocid\n(.+\n)*Version: .*\+next$", status, re.MULTILINE)
    assert main_pid() not in (0, old), "the new daemon runs"
    assert listed("pid") == pids
    assert set(listed("state").values()) == {"running"}
    at_upgrade = {name: len(logged(name)) for name in LIVE}
    (rootfs / "tmp/go").touch()
    wait_until(lambda: not any(map(alive, pids.values())), seconds=60, what="their ends")
    assert set(listed("state").values()) == {"stopped"}
    assert [status["code"] for status in listed("exit_status").values()] == list(range(len(LIVE)))
    assert run("ocictl", "logs", LIVE[0]).split() == [str(number) for number in logged(LIVE[0])]
    for name in LIVE:
        numbers = logged(name)
        assert numbers == list(range(len(numbers))), "no line is lost or said twice"
        assert len(numbers) > at_upgrade[name], "the log goes on"
    run("ocictl", "delete", *LIVE)
    (rootfs / "tmp/go").unlink()


@ONCE
def test_a_removal_leaves_containers_alone_and_an_installation_finds_them_again(rootfs):
    run("ocictl", "run", "-d", "--bundle", bundle(rootfs, "kept", "sleep", "10000"), "kept")
    pid = listed("pid")["kept"]
    run("dpkg", "--remove", "ocid", "ocictl")
    assert state("ocid.service") != "active" and not pathlib.Path(SOCKET).exists()
    assert alive(pid)
    assert (DATA / "containers/kept/record").exists() and pathlib.Path("/etc/ocid/ocid.yaml").exists()
    install(PACKAGES / "next/ocid.deb", PACKAGES / "next/ocictl.deb")
    assert listed("pid")["kept"] == pid and state("ocid.service") == "active"
    run("ocictl", "delete", "-f", "kept")


@ONCE
@pytest.mark.skipif(not shutil.which("umoci"), reason="needs umoci")
def test_a_purge_ends_containers_of_images_on_a_disk_of_their_own(rootfs):
    run("systemctl", "stop", "ocid.socket", "ocid.service")
    # Also because overlayfs has no place on the overlay that this machine runs from.
    run("mount", "-t", "tmpfs", "disk", DATA)
    run("systemctl", "start", "ocid.socket", "ocid.service")
    layout = "/tmp/layout"
    run("umoci", "init", "--layout", layout)
    run("umoci", "new", "--image", f"{layout}:v1")
    run("umoci", "insert", "--image", f"{layout}:v1", rootfs / "bin", "/bin")
    run("ocictl", "image", "load", "--name", "demo:v1", layout)
    run("ocictl", "run", "-d", "--image", "demo:v1", "imaged", "--", "/bin/sleep", "10000")
    pid = listed("pid")["imaged"]
    run("dpkg", "--purge", "ocid")
    wait_until(lambda: not alive(pid), what="its end")
    assert list(DATA.iterdir()) == [], "the disk stays mounted, and is empty"
    run("umount", DATA)
    shutil.rmtree(DATA)
    install(PACKAGES / "next/ocid.deb")


@ONCE
def test_a_purge_ends_containers_that_systemd_does_not_know(rootfs):
    with open("/etc/ocid/ocid.yaml", "a", encoding="utf-8") as configuration:
        configuration.write("cgroup-manager: cgroupfs\n")
    run("systemctl", "restart", "ocid.service")
    run("ocictl", "run", "-d", "--bundle", bundle(rootfs, "live", "sleep", "10000"), "unknown")
    pid = listed("pid")["unknown"]
    assert "/ocid/unknown\n" in pathlib.Path(f"/proc/{pid}/cgroup").read_text()
    run("dpkg", "--purge", "ocid")
    assert not alive(pid) and not DATA.exists() and not pathlib.Path("/etc/ocid").exists()
    wait_until(lambda: not cgroups(), what="cgroups go")
    install(PACKAGES / "next/ocid.deb")


def test_a_purge_leaves_nothing(rootfs, before):
    names = ["one", "two", "three"]
    for name in names:
        run("ocictl", "run", "-d", "--restart", "always", "--bundle", bundle(rootfs, "live", "sleep", "10000"), name)
    pids = listed("pid").values()
    pathlib.Path("/etc/ocid/auth.json").write_text("{}")
    lists = [pathlib.Path(f"/var/lib/dpkg/info/{name}.list").read_text().splitlines() for name in NAMES]
    installed = {path for paths in lists for path in paths if not os.path.isdir(path) or "ocid" in path}
    assert "/etc/ocid/ocid.yaml" in installed and "/usr/bin/ocirun" in installed
    run("dpkg", "--purge", *NAMES)
    wait_until(lambda: not any(map(alive, pids)), what="containers end")
    wait_until(lambda: not cgroups(), what="cgroups go")
    assert {path for path in installed if os.path.exists(path)} == set()
    after = census()
    for kind, was in before.items():
        left = after[kind] - was if isinstance(was, set) else after[kind]
        assert left == (set() if isinstance(was, set) else was), kind
    assert not list(pathlib.Path("/var/lib/dpkg/info").glob("oci*"))
