"""How fast bytes go through an exec, beside a bare pipe, what a health probe costs, and many execs in a row.

    tests/run --benchmark
"""

import os
import subprocess
import time

import pytest

from tests.testing.daemon import OCICTL, Daemon, wait_until

SIZE = int(os.environ.get("OCID_BENCHMARK_BYTES", "1000000000"))
ROUNDS = 3


@pytest.fixture(name="daemon", scope="module")
def one_daemon():
    instance = Daemon()
    instance.run_detached("c1", "sleep", "100000")
    yield instance
    instance.close()


def rate(command):
    """MB/s, of the best of some rounds."""
    best = 0
    for _ in range(ROUNDS):
        begin = time.monotonic()
        subprocess.run(["bash", "-o", "pipefail", "-c", command], check=True)
        best = max(best, SIZE / (time.monotonic() - begin) / 1e6)
    return best


def cpu_seconds(pid):
    fields = open(f"/proc/{pid}/stat", encoding="ascii").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_streams(daemon):
    ocictl = f"{OCICTL} --address unix://{daemon.socket}"
    source = f"head -c {SIZE} /dev/zero"
    rows = [
        ("a bare pipe: source | cat", f"{source} | cat > /dev/null"),
        ("both ways through exec -i cat", f"{source} | {ocictl} exec -i c1 cat > /dev/null"),
        ("output of an exec", f"{ocictl} exec c1 -- {source} > /dev/null"),
        ("input of an exec", f"{source} | {ocictl} exec -i c1 -- sh -c 'cat > /dev/null'"),
    ]
    print(f"\n{'streams, ' + str(SIZE // 1000000) + ' MB':<44} {'MB/s':>9}")
    for name, command in rows:
        print(f"{name:<44} {rate(command):9.0f}")
    data = "head -c 200000000 /dev/urandom"
    sums = subprocess.run(
        ["bash", "-o", "pipefail", "-c",
         f"{data} | tee >(sha256sum >&2) | {ocictl} exec -i c1 cat | sha256sum"],
        check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert sums.stdout.split()[0] == sums.stderr.split()[0]
    print("200 MB of random bytes came back with the same SHA-256")


def test_health_probes(daemon):
    daemon.ctl("run", "-d", "--bundle", daemon.bundle("sleep", "100000"), "--health-cmd", "true",
               "--health-interval", "0.01", "probed")
    wait_until(lambda: daemon.inspect("probed").get("health", {}).get("status") == "healthy", what="healthy")
    pids = [daemon.process.pid, daemon.inspect("probed")["supervisor_pid"]]
    before = [cpu_seconds(pid) for pid in pids]
    probes = []
    for _ in range(100):
        probes += [probe["duration"] for probe in daemon.inspect("probed")["health"]["probes"]]
        time.sleep(0.05)
    seconds = sorted(probes)
    used = [after - old for after, old in zip((cpu_seconds(pid) for pid in pids), before)]
    print(f"\nhealth probe (/bin/sh -c true): median {seconds[len(seconds) // 2] * 1000:.2f} ms; in 5 s of probes "
          f"10 ms apart the daemon used {used[0]:.2f} s of CPU, the supervisor {used[1]:.2f} s")
    daemon.ctl("delete", "-f", "probed")
