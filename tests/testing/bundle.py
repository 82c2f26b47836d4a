"""OCI bundles for tests: a root file system of Debian's static busybox and a usual config.json."""

import copy
import json
import os
import pathlib
import shutil

BUSYBOX = "/bin/busybox"
APPLETS = ("sh", "true", "false", "echo", "cat", "sleep", "id", "hostname", "ls", "env", "yes", "ps",
           "mount", "stat", "test", "kill", "head", "dd", "wc", "pwd", "seq", "touch", "mknod",
           "readlink", "stty", "tty", "printf", "grep", "usleep", "tr", "mkdir", "date")

CAPABILITIES = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]

_CONFIG = {
    "ociVersion": "1.2.0",
    "process": {
        "terminal": False,
        "user": {"uid": 0, "gid": 0},
        "args": ["sh"],
        "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
        "cwd": "/",
        "capabilities": {name: CAPABILITIES for name in ("bounding", "effective", "permitted")},
        "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
        "noNewPrivileges": True,
    },
    "root": {"path": "rootfs", "readonly": False},
    "hostname": "bundle",
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
         "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
         "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
         "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
         "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs",
         "options": ["nosuid", "noexec", "nodev", "ro"]},
    ],
    "linux": {
        "namespaces": [{"type": name} for name in ("pid", "network", "ipc", "uts", "mount")],
        "maskedPaths": ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
        "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    },
}


def config(*args, **changes):
    """A config.json that runs `args`; `changes` replace top-level members."""
    result = copy.deepcopy(_CONFIG)
    if args:
        result["process"]["args"] = list(args)
    result.update(changes)
    return result


def make_rootfs(path):
    """A root file system with busybox and links for its usual applets."""
    path = pathlib.Path(path)
    for folder in ("bin", "dev", "etc", "proc", "sys", "tmp", "root"):
        (path / folder).mkdir(parents=True, exist_ok=True)
    shutil.copy(BUSYBOX, path / "bin" / "busybox")
    for applet in APPLETS:
        link = path / "bin" / applet
        if not link.exists():
            os.symlink("busybox", link)
    (path / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (path / "etc" / "group").write_text("root:x:0:\n")
    return path


def write(folder, spec, rootfs=None):
    """Makes `folder` a bundle with this spec. With `rootfs`, a shared one is linked to by path."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if rootfs is None:
        make_rootfs(folder / "rootfs")
    elif isinstance(spec, dict):
        spec = copy.deepcopy(spec)
        spec["root"]["path"] = str(rootfs)
    text = spec if isinstance(spec, str) else json.dumps(spec, indent=1)
    (folder / "config.json").write_text(text)
    return folder
