"""The Go programs of this folder, and official sample plugins, built once for a test process.

Go's own caches of modules and builds make the second time cheap. The sample plugins are modules of their
own that no module proxy has: they are built from a checkout of github.com/containerd/nri that
OCID_NRI_SOURCE names.
"""

import functools
import os
import pathlib
import pwd
import re
import shutil
import subprocess
import tempfile
import atexit

import pytest

FOLDER = pathlib.Path(__file__).parent
MINIMUM = (1, 24)  # of go.mod


def _go():
    return shutil.which("go") or shutil.which("go", path="/usr/local/go/bin:/usr/lib/go/bin")


def _environment():
    # Bazel's tests have no home, which Go's caches are in.
    home = os.environ.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir
    return {**os.environ, "HOME": home, "GOFLAGS": "-mod=readonly -buildvcs=false", "CGO_ENABLED": "0",
            "GOTOOLCHAIN": "local"}


def _run(folder, *args):
    return subprocess.run([_go(), *map(str, args)], cwd=folder, env=_environment(), text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600, check=False)


def _need_go():
    if _go() is None:
        pytest.skip("there is no Go here")
    version = re.search(r"go(\d+)\.(\d+)", _run("/", "version").stdout)
    if version is None or tuple(map(int, version.groups())) < MINIMUM:
        pytest.skip(f"needs Go {'.'.join(map(str, MINIMUM))} or newer")


@functools.cache
def _output_folder():
    folder = tempfile.mkdtemp(prefix="ocid-nri-programs-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return pathlib.Path(folder)


@functools.cache
def _own_programs():
    """Builds all of this folder's; what is wrong as text, or an empty one."""
    source = _output_folder() / "source"
    # Copied: Go does not follow the links that runfiles are.
    shutil.copytree(FOLDER, source, symlinks=False)
    downloaded = _run(source, "mod", "download")
    if downloaded.returncode != 0:
        return "Go modules cannot be had: " + downloaded.stdout.strip().splitlines()[-1]
    built = _run(source, "build", "-o", f"{_output_folder()}/", "./...")
    assert built.returncode == 0, built.stdout
    return ""


def program(name):
    """The path of one of this folder's programs."""
    _need_go()
    problem = _own_programs()
    if problem:
        pytest.skip(problem)
    return _output_folder() / name


@functools.cache
def _old_module():
    """The same for old/, a module of its own: release 0.8 of the stub."""
    source = _output_folder() / "old-source"
    shutil.copytree(FOLDER / "old", source, symlinks=False)
    downloaded = _run(source, "mod", "download")
    if downloaded.returncode != 0:
        return "Go modules cannot be had: " + downloaded.stdout.strip().splitlines()[-1]
    built = _run(source, "build", "-o", _output_folder() / "old", ".")
    assert built.returncode == 0, built.stdout
    return ""


def old_program():
    """The path of the plugin on the stub of release 0.8."""
    _need_go()
    problem = _old_module()
    if problem:
        pytest.skip(problem)
    return _output_folder() / "old"


def build_tool(folder, package, output):
    """Builds a tool that the module in `folder` names, into the folder `output`; its path."""
    _need_go()
    source = output / "source"
    shutil.copytree(folder, source, symlinks=False)
    downloaded = _run(source, "mod", "download")
    if downloaded.returncode != 0:
        pytest.skip("Go modules cannot be had: " + downloaded.stdout.strip().splitlines()[-1])
    built = _run(source, "build", "-o", f"{output}/", package)
    assert built.returncode == 0, built.stdout
    return output / package.rsplit("/", 1)[-1]


def need_samples():
    """Skips a test where there are no official sample plugins; the folder of their checkout."""
    _need_go()
    source = os.environ.get("OCID_NRI_SOURCE")
    if not source:
        pytest.skip("needs OCID_NRI_SOURCE, a checkout of github.com/containerd/nri")
    return pathlib.Path(source)


@functools.cache
def sample(name):
    """The path of an official sample plugin, unmodified."""
    output = _output_folder() / f"sample-{name}"
    built = _run(need_samples() / "plugins" / name, "build", "-o", output, ".")
    assert built.returncode == 0, built.stdout
    return output
