"""ocirun as tests drive it: a state directory of its own, bundles on a shared root file system."""

import json
import os
import pathlib
import subprocess
import time

import pytest

from tests.testing import bundle

OCIRUN = os.environ.get("OCIRUN") or str(pathlib.Path("runtime/cli/ocirun").resolve())


class Runtime:
    """ocirun with a state directory of its own."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.root = self.folder / "state"
        self.rootfs = bundle.make_rootfs(self.folder / "rootfs")

    def __call__(self, *args, check=True, globals_=(), **options):
        options.setdefault("stdin", subprocess.DEVNULL)
        result = subprocess.run([OCIRUN, "--root", self.root, *globals_, *args], text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60,
                                check=False, **options)
        if check:
            assert result.returncode == 0, result.stderr
        return result

    def bundle(self, name, *args, **changes):
        return bundle.write(self.folder / name, bundle.config(*args, **changes), self.rootfs)

    def output(self, spec, *flags, name="c1", check=True, **options):
        """What a container with this spec prints."""
        folder = bundle.write(self.folder / name, spec, self.rootfs)
        return self("run", *flags, "-b", folder, name, check=check, **options).stdout

    def state(self, name):
        return json.loads(self("state", name).stdout)

    def create(self, name, folder, *flags, **options):
        # The container keeps the streams: pipes would wait for it.
        subprocess.run(
            [OCIRUN, "--root", self.root, "create", *flags, "--bundle", folder, name],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            timeout=60, check=True, **options)

    def running(self, name, spec=None):
        """A container that sleeps."""
        folder = bundle.write(self.folder / name, spec or bundle.config("sleep", "100"), self.rootfs)
        self.create(name, folder)
        self("start", name)

    def wait_for(self, name, status, seconds=10):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.state(name)["status"] == status:
                return
            time.sleep(0.02)
        raise AssertionError(f"{name} is {self.state(name)['status']} and not {status}")


@pytest.fixture(name="runtime")
def own_runtime(tmp_path):
    runtime = Runtime(tmp_path)
    yield runtime
    for name in runtime("list", "-q", check=False).stdout.split():
        runtime("delete", "--force", name, check=False)
