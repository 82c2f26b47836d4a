#!/usr/bin/python3
"""Unpacking a Debian image beside umoci and skopeo, and a container from an image beside one from a bundle.

Everything in one run, each several times in turn; medians, and ratios of them, because the machine's speed changes.
"""

import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.getcwd())

from tests.testing import images  # noqa: E402
from tests.testing.daemon import Daemon  # noqa: E402

ROUNDS = 3
CREATES = 15


def timed(function, *args):
    begin = time.monotonic()
    function(*args)
    return (time.monotonic() - begin) * 1000


def decompress(layout):
    """The floor: all layers decompressed and hashed, on one core each, nothing written."""
    for blob in (layout / "blobs/sha256").iterdir():
        if blob.read_bytes()[:2] == b"\x1f\x8b":
            subprocess.run(f"gzip -dc {blob} | sha256sum", shell=True, check=True, stdout=subprocess.DEVNULL)


def measure_unpack(daemon, layout, folder):
    times = {name: [] for name in ("decompress and hash", "image load", "image unpack", "umoci unpack", "skopeo copy")}
    for _ in range(ROUNDS):
        # Load verifies, unpacks for containers and syncs; what is there must be away first.
        daemon.ctl("image", "prune")
        times["image load"].append(timed(daemon.ctl, "image", "load", "--name", "debian:12", layout))
        steps = {
            "decompress and hash": lambda: decompress(layout),
            "image unpack": lambda: daemon.ctl("image", "unpack", "debian:12", folder / "ours"),
            "umoci unpack": lambda: images.run("umoci", "unpack", "--image", f"{layout}:v1", folder / "umoci"),
            "skopeo copy": lambda: images.skopeo("copy", f"oci:{layout}:v1", f"dir:{folder / 'skopeo'}"),
        }
        for name, step in steps.items():
            times[name].append(timed(step))
        for path in folder.iterdir():
            shutil.rmtree(path)
    return times


def measure_create(daemon, folder):
    """create and delete through ocictl, in turns: the difference is what an image costs more."""
    daemon.ctl("image", "unpack", "debian:12", folder / "bundle")
    times = {"from a bundle": [], "from an image": []}
    for i in range(CREATES):
        for name, flags in (("from a bundle", ("--bundle", folder / "bundle")), ("from an image", ("--image", "debian:12"))):
            times[name].append(timed(daemon.ctl, "create", *flags, f"c{i}", "--", "/bin/true"))
            daemon.ctl("delete", f"c{i}")
    return times


def show(title, times, against):
    print(f"\n{title}\n")
    base = statistics.median(times[against])
    print(f"{'':22} {'median ms':>10} {'min':>9} {'max':>9}   of {against}")
    for name, values in times.items():
        median = statistics.median(values)
        print(f"{name:22} {median:10.1f} {min(values):9.1f} {max(values):9.1f}   {median / base:.2f}")


def main():
    try:
        layout = images.debian()
    except images.NoDebian as reason:
        print(f"not measured: {reason}")
        return 0
    daemon = Daemon()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ocid-benchmark-"))
    try:
        show("A Debian image (minbase)", measure_unpack(daemon, layout, folder), "umoci unpack")
        creates = measure_create(daemon, folder)
        show("ocictl create", creates, "from a bundle")
        more = statistics.median(creates["from an image"]) - statistics.median(creates["from a bundle"])
        print(f"\nA container from an image costs {more:.2f} ms more than one from a bundle.")
    finally:
        daemon.close()
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
