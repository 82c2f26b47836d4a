"""Makes what vm_test.py looks for after a reboot. Argument: a folder that outlasts it."""

import pathlib
import sys

from tests.privileged.systemd import service
from tests.testing import bundle as bundles

FOLDER = pathlib.Path(sys.argv[1])
rootfs = bundles.make_rootfs("/tmp/rootfs")
service.install(FOLDER / "root")
api = service.Api()
api.run("ended", bundles.write(FOLDER / "ended", bundles.config("sh", "-c", "exit 7"), rootfs=rootfs))
assert api.wait("ended").code == 7
api.run("ran", bundles.write(FOLDER / "ran", bundles.config("sleep", "10000"), rootfs=rootfs))
for name in ("ended", "ran"):
    (FOLDER / f"{name}.json").write_text(api.final_spec(name))
(FOLDER / "boot_id").write_text(pathlib.Path("/proc/sys/kernel/random/boot_id").read_text())
