"""Runs Bazel's test targets and counts test cases: the work behind tests/run."""

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.parse
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field

BAZEL = os.environ.get("BAZEL", "bazel")
BENCHMARK = "//tests/benchmark:lifecycle_benchmark"
SPEC_BENCHMARK = "//tests/benchmark:spec_benchmark"
IMAGE_BENCHMARK = "//tests/benchmark:image_benchmark"
NRI_BENCHMARK = "//tests/benchmark:nri_benchmark"
STREAMS_BENCHMARK = "//tests/benchmark:streams_benchmark"

# What users run and deploy/quickstart builds: so that one build serves both.
DEFAULT_CONFIG = "opt"

# In this order: what is fast and small first.
QUICK = ("unit tests", ["--build_tests_only", "--test_tag_filters=-requires-root"])
PRIVILEGED = ("suites that need root", ["--build_tests_only", "--test_tag_filters=requires-root"])
# Not of the chosen kind of build: Clang's, in .bazelrc with the time that each target gets.
FUZZ = ("fuzz targets", ["--config=fuzz"])
FUZZ_TARGETS = ["//tests/fuzz:fuzz"]
FUZZ_COMPILER = "clang-14"


@dataclass
class Counts:
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    # (test, reason) of each skipped case.
    reasons: list = field(default_factory=list)

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.reasons += other.reasons


def skip_reason(case):
    """The reason of a skipped case, or None for one that ran."""
    skipped = case.find("skipped")
    if skipped is not None:
        return skipped.get("message") or (skipped.text or "").strip() or "no reason given"
    if case.get("result") in ("skipped", "suppressed") or case.get("status") == "notrun":
        return "no reason given"
    return None


def count_cases(xml_path):
    """The cases in one test.xml. An unreadable file, or one without cases, counts nothing."""
    counts = Counts()
    try:
        root = ElementTree.parse(xml_path).getroot()
    except (OSError, ElementTree.ParseError):
        return counts
    for case in root.iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            counts.failed += 1
            continue
        reason = skip_reason(case)
        if reason is None:
            counts.passed += 1
            continue
        counts.skipped += 1
        # GoogleTest puts the place before the reason: keep the reason.
        text = reason.strip().splitlines()[-1] if reason.strip() else "no reason given"
        counts.reasons.append((f"{case.get('classname')}.{case.get('name')}", text))
    return counts


def count_events(path):
    """Counts what the build event file of one `bazel test` says was run."""
    totals = Counts()
    if not os.path.exists(path):
        return totals
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            event = json.loads(line)
            if "testResult" in event:
                result = event["testResult"]
                files = {f["name"]: f.get("uri", "") for f in result.get("testActionOutput", [])}
                uri = files.get("test.xml", "")
                counts = count_cases(urllib.parse.unquote(re.sub("^file://", "", uri)))
                passed = result.get("status") in ("PASSED", "FLAKY")
                if not passed and counts.failed == 0:
                    counts.failed = 1  # it died, or timed out, before it could say
                elif passed and counts.passed + counts.skipped == 0:
                    counts.passed = 1  # a program that reports no cases
                totals.add(counts)
            elif event.get("testSummary", {}).get("overallStatus") == "NO_STATUS":
                totals.failed += 1  # it did not build
    return totals


def run_tests(title, flags, targets):
    """One `bazel test`; its output goes to ours. Bazel's status 4 means that nothing matched."""
    print(f"==== {title}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        events = os.path.join(folder, "events.json")
        command = [BAZEL, "test", *flags, "--build_event_json_file=" + events, "--", *targets]
        status = subprocess.run(command, check=False).returncode
        counts = count_events(events)
    if status not in (0, 3, 4) and counts.failed == 0:
        counts.failed = 1  # the build failed before any test could
    print(f"---- {title}: {counts.passed} passed, {counts.failed} failed, "
          f"{counts.skipped} skipped", flush=True)
    return counts


def run_fuzz(flags, seconds):
    """Every fuzz target from its corpus, as many at once as there are CPUs: one case each."""
    if shutil.which(FUZZ_COMPILER) is None:
        reason = f"no {FUZZ_COMPILER}: root installs it with deploy/install-dependencies --tests"
        return Counts(skipped=1, reasons=[("fuzz targets", reason)])
    title, suite_flags = FUZZ
    if seconds is not None:
        suite_flags = [*suite_flags, f"--test_env=FUZZ_SECONDS={seconds}"]
    return run_tests(title, suite_flags + flags, FUZZ_TARGETS)


def run_quickstart():
    """deploy/quickstart, as a new user would run it: one case."""
    print("==== quickstart", flush=True)
    done = subprocess.run(["deploy/quickstart"], check=False, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    passed = done.returncode == 0 and "All of that took" in done.stdout
    if not passed:
        print(done.stdout)
    print(f"---- quickstart: {'passed' if passed else 'FAILED'}", flush=True)
    return Counts(passed=int(passed), failed=int(not passed))


def run_benchmark(flags):
    """The benchmarks on this machine, and that of a life under a systemd too, where one can be had."""
    status = max(subprocess.run([BAZEL, "run", *flags, target], check=False).returncode
                 for target in (SPEC_BENCHMARK, IMAGE_BENCHMARK, NRI_BENCHMARK, BENCHMARK))
    # Python suites, whose output is wanted: rates of streams, and ten thousand execs that leave nothing.
    shown = ["--test_output=streamed", "--nocache_test_results", "--test_env=PYTEST_ADDOPTS=-s"]
    for command in ([STREAMS_BENCHMARK],
                    ["--test_env=OCID_TEST_EXECS=10000", "--test_filter=short_execs", "//tests/sessions:streams_test"]):
        status = max(status, subprocess.run([BAZEL, "test", *flags, *shown, *command], check=False).returncode)
    bed = os.path.abspath("tests/testing/with-systemd-ns")
    reason = subprocess.run([bed, "--check"], check=False, text=True, stdout=subprocess.PIPE)
    if reason.returncode != 0:
        print(f"not measured under systemd: {reason.stdout.strip()}")
        return status
    print("\n==== under systemd", flush=True)
    folder = subprocess.run([BAZEL, "info", *flags, "bazel-bin"], check=True, text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL).stdout.strip()
    program = os.path.join(folder, *BENCHMARK.strip("/").split(":"))
    under_systemd = subprocess.run([bed, "--unified", "--", program], check=False, cwd=program + ".runfiles/ocid")
    return status or under_systemd.returncode


def main():
    parser = argparse.ArgumentParser(prog="tests/run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="unit tests only")
    parser.add_argument("--benchmark", action="store_true", help="benchmarks instead of tests")
    parser.add_argument("--fuzz", nargs="?", type=int, const=0, metavar="SECONDS",
                        help="the fuzz targets alone, each for so many seconds")
    parser.add_argument("--config", action="append", default=[],
                        help=f"kind of build, see .bazelrc; default: {DEFAULT_CONFIG}")
    parser.add_argument("targets", nargs="*", default=["//..."])
    options = parser.parse_args()

    os.chdir(pathlib.Path(__file__).resolve().parents[2])
    flags = ["--config=" + config for config in options.config or [DEFAULT_CONFIG]]
    ci_flags = ["--config=ci", "--test_env=CI=true"] if os.environ.get("CI") == "true" else []
    flags += ci_flags
    if options.benchmark:
        return run_benchmark(flags)

    suites = [QUICK]
    if options.fuzz is not None:
        suites = []
    elif not options.quick:
        suites.append(PRIVILEGED)
    totals = Counts()
    for title, suite_flags in suites:
        totals.add(run_tests(title, suite_flags + flags, options.targets))

    everything = not options.quick and not options.config and options.targets == ["//..."]
    if everything and options.fuzz is None:
        totals.add(run_quickstart())
    if everything or options.fuzz is not None:
        totals.add(run_fuzz(ci_flags, options.fuzz or None))

    for test, reason in totals.reasons:
        print(f"skipped: {test}: {reason}")
    print(f"{totals.passed} passed, {totals.failed} failed, {totals.skipped} skipped", flush=True)
    return 1 if totals.failed or totals.passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
