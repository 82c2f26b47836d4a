"""Debian's checker of packages has nothing to say about ours."""

import pathlib
import shutil
import subprocess

import pytest


@pytest.mark.skipif(not shutil.which("lintian"), reason="needs lintian")
def test_packages_have_no_fault():
    packages = sorted(pathlib.Path("deploy/debian/packages").glob("*.deb"))
    assert [package.stem for package in packages] == ["ocictl", "ocid", "ocirun"]
    command = ["lintian", "--fail-on", "error,warning", *[package.resolve() for package in packages]]
    done = subprocess.run(command, check=False, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL)
    assert done.returncode == 0 and done.stdout == "", done.stdout
