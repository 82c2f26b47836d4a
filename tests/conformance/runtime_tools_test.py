"""runtime-tools' validation programs against ocirun, compared with runtime_tools.expected.

The programs are fetched and built through Go modules into a cache folder (OCID_TEST_CACHE, or
~/.cache/ocid-tests), which takes some minutes the first time. Without Go, or without a network and a
filled cache, everything is skipped with the reason.
"""

import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

MODULE = "github.com/opencontainers/runtime-tools"
VERSION = "v0.9.1-0.20250523060157-0ea5ed0382a2"
PROGRAMS = 58
LANES = 4
HERE = pathlib.Path(__file__).resolve().parent
OCIRUN = pathlib.Path(os.environ.get("OCIRUN") or "runtime/cli/ocirun").resolve()


def go_command():
    go = shutil.which("go") or "/usr/local/go/bin/go"
    if not os.access(go, os.X_OK):
        pytest.skip("Go is not installed")
    return go


def build_suite(folder):
    go = go_command()
    environment = dict(os.environ, PATH=f"{os.path.dirname(go)}:{os.environ.get('PATH', '')}")
    environment.setdefault("HOME", os.path.expanduser("~"))
    fetched = subprocess.run([go, "mod", "download", "-json", f"{MODULE}@{VERSION}"], cwd="/",
                             env=environment, capture_output=True, text=True, check=False)
    if fetched.returncode != 0:
        pytest.skip(f"cannot fetch {MODULE}: {fetched.stdout.strip()[-300:]}")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(json.loads(fetched.stdout)["Dir"], folder)
    subprocess.run(["chmod", "-R", "u+w", folder], check=True)
    build = [go, "build", "-mod=mod"]
    for source in sorted(folder.glob("validation/*/*.go")):
        if source.parent.name == source.stem:
            subprocess.run(build + ["-o", source.with_suffix(".t"), f"./{source.parent.relative_to(folder)}"],
                           cwd=folder, env=environment, check=True)
    subprocess.run(build + ["-o", "runtimetest", "./cmd/runtimetest"], cwd=folder,
                   env=dict(environment, CGO_ENABLED="0"), check=True)
    (folder / "built").touch()


@pytest.fixture(name="suite", scope="module")
def built_suite():
    home = os.environ.get("HOME") or os.path.expanduser("~")
    cache = pathlib.Path(os.environ.get("OCID_TEST_CACHE", f"{home}/.cache/ocid-tests"))
    folder = cache / f"runtime-tools-{VERSION}"
    if not (folder / "built").exists():
        build_suite(folder)
    return folder


def read_expectations():
    expected = {}
    for line in (HERE / "runtime_tools.expected").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            name, reason = line.split(None, 1)
            expected[name] = reason
    return expected


def run_program(program, suite, runtime):
    """What is wrong with a program's result; empty if it is clean."""
    try:
        result = subprocess.run([program], cwd=suite, env=dict(os.environ, RUNTIME=str(runtime)),
                                stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                timeout=120, check=False)
    except subprocess.TimeoutExpired:
        return "no end after 120 s"
    failed = re.findall(r"^not ok .*", result.stdout, re.MULTILINE)
    if failed:
        return "; ".join(failed)
    if result.returncode != 0:
        return f"exit code {result.returncode}: {result.stderr.strip()[-300:]}"
    return ""


def share_names(program):
    """Programs that use cgroups of fixed names run one after the other, the rest beside each other."""
    return any(word in program.stem for word in ("cgroups", "resources", "config_updates"))


def run_all(programs, suite):
    """{program: what is wrong}. Nearly all their time the programs sleep."""
    def run_lane(lane):
        return [(program, run_program(program, suite, OCIRUN)) for program in lane]
    lanes = [[program for program in programs if share_names(program)]]
    lanes += [[program] for program in programs if not share_names(program)]
    # What is not clean is tried again alone: some wait a second for what takes longer on a busy machine.
    with concurrent.futures.ThreadPoolExecutor(LANES) as pool:
        results = {program: wrong for lane in pool.map(run_lane, lanes) for program, wrong in lane}
    return {program: wrong and run_program(program, suite, OCIRUN) for program, wrong in results.items()}


def test_every_program_is_clean_or_expected_not_to_be(suite):
    expected = read_expectations()
    programs = sorted(suite.glob("validation/*/*.t"))
    assert len(programs) == PROGRAMS
    clean, new, outdated = 0, [], []
    for program, wrong in run_all(programs, suite).items():
        reason = expected.pop(program.stem, None)
        if not wrong:
            clean += 1
            if reason is not None and not reason.startswith("?"):
                outdated.append(f"{program.stem}: is clean, and expected not to be: {reason}")
        elif reason is None:
            new.append(f"{program.stem}: {wrong}")
    print(f"{clean} of {len(programs)} programs are clean")
    assert not new
    assert not outdated
    assert not expected, "no such program"
    assert clean >= 44
