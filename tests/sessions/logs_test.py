"""Logs: whole lines in order, through rotations, restarts of the daemon and a full disk."""

import contextlib
import datetime
import json
import re
import subprocess
import time

import pytest

from tests.testing.daemon import wait_until
from tests.testing.fixtures import own_daemon, shared_daemon  # pylint: disable=unused-import

COUNT = "i=0; while [ $i -lt {n} ]; do echo line $i of a container that writes a lot; i=$((i+1)); {rest} done"


def lines(n):
    return [f"line {i} of a container that writes a lot" for i in range(n)]


@pytest.mark.parametrize("log_format", ["json", "cri"])
def test_a_reader_that_follows_through_rotations_gets_every_line_once(daemon, log_format):
    bundle = daemon.bundle("sh", "-c", COUNT.format(n=20000, rest="[ $((i % 500)) = 0 ] && usleep 20000;"))
    name = f"rotating-{log_format}"
    daemon.ctl("create", "--bundle", bundle, "--log-format", log_format, "--log-max-size", "64k",
               "--log-max-files", "100", name)
    follower = daemon.spawn("logs", "-f", name)
    daemon.ctl("start", name)
    out, err = follower.communicate(timeout=60)
    assert follower.returncode == 0, err
    assert out.splitlines() == lines(20000)
    folder = daemon.root / "containers" / name
    files = sorted(path.name for path in folder.iterdir() if path.name.startswith("log"))
    assert len(files) > 10
    assert all((folder / file).stat().st_size <= 64 << 10 for file in files)
    assert daemon.ctl("logs", name).stdout.splitlines() == lines(20000)
    daemon.ctl("delete", name)


def test_files_are_kept_by_number_and_the_oldest_go(daemon):
    bundle = daemon.bundle("sh", "-c", COUNT.format(n=5000, rest=""))
    daemon.ctl("run", "--bundle", bundle, "--log-max-size", "16k", "--log-max-files", "3", "trimmed")
    folder = daemon.root / "containers" / "trimmed"
    assert sorted(path.name for path in folder.iterdir() if path.name.startswith("log")) == ["log", "log.1", "log.2"]
    kept = daemon.ctl("logs", "trimmed").stdout.splitlines()
    assert kept == lines(5000)[-len(kept):] and len(kept) > 100
    daemon.ctl("delete", "trimmed")


def test_the_cri_format_is_what_kubernetes_reads(daemon):
    bundle = daemon.bundle("sh", "-c", "echo out; echo err >&2; head -c 20000 /dev/zero | tr '\\0' x; printf end")
    daemon.ctl("run", "--bundle", bundle, "--log-format", "cri", "cri")
    text = (daemon.root / "containers" / "cri" / "log").read_text().splitlines()
    entry = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z (stdout|stderr) ([FP]) (.*)$")
    parsed = [entry.match(line).groups() for line in text]
    assert ("stdout", "F", "out") in parsed and ("stderr", "F", "err") in parsed
    long = [text for stream, tag, text in parsed if stream == "stdout" and text != "out"]
    assert "".join(long) == "x" * 20000 + "end"
    assert [tag for stream, tag, text in parsed if text.startswith("xx")][0] == "P"
    out = daemon.ctl("logs", "--stream", "stdout", "cri").stdout
    assert out.replace("\n", "") == "out" + "x" * 20000 + "end"
    daemon.ctl("delete", "cri")


@pytest.mark.parametrize("log_format", ["json", "cri"])
def test_since_until_and_tail_select(daemon, log_format):
    name = f"times-{log_format}"
    bundle = daemon.bundle("sh", "-c", "echo early; sleep 1; echo middle; sleep 1; echo late")
    daemon.ctl("run", "--bundle", bundle, "--log-format", log_format, name)
    entries = [json.loads(line) for line in daemon.ctl("--format", "json", "logs", name).stdout.splitlines()]
    middle = datetime.datetime.fromisoformat(entries[1]["time"][:26].rstrip("Z") + "+00:00")
    half = datetime.timedelta(seconds=0.5)
    since = (middle - half).isoformat()
    until = (middle + half).isoformat()
    assert daemon.ctl("logs", "--since", since, name).stdout == "middle\nlate\n"
    assert daemon.ctl("logs", "--until", until, name).stdout == "early\nmiddle\n"
    assert daemon.ctl("logs", "--since", since, "--until", until, name).stdout == "middle\n"
    assert daemon.ctl("logs", "--tail", "1", name).stdout == "late\n"
    assert daemon.ctl("logs", "--tail", "0", name).stdout == ""
    daemon.ctl("delete", name)


def test_a_line_without_its_end_shows_up_and_is_not_lost(daemon):
    daemon.run_detached("prompt", "sh", "-c", "printf 'name: '; sleep 1000")
    wait_until(lambda: daemon.ctl("logs", "prompt").stdout == "name: ", what="the prompt is in the log")
    daemon.ctl("delete", "-f", "prompt")


def test_a_follower_goes_on_over_restarts_of_the_daemon(fresh_daemon):
    daemon = fresh_daemon
    bundle = daemon.bundle("sh", "-c", COUNT.format(n=6000, rest="[ $((i % 10)) = 0 ] && usleep 5000;"))
    daemon.ctl("run", "-d", "--bundle", bundle, "c1")
    follower = daemon.spawn("logs", "-f", "c1")
    for stop in (daemon.kill, daemon.terminate):
        time.sleep(0.4)
        stop()
        daemon.start()
    out, err = follower.communicate(timeout=60)
    assert follower.returncode == 0, err
    assert out.splitlines() == lines(6000)


def test_a_full_disk_pauses_the_log_alone_says_so_and_the_log_goes_on(fresh_daemon):
    daemon = fresh_daemon
    daemon.terminate()
    folder = daemon.root / "containers"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], check=True)
    try:
        daemon.start()
        daemon.run_detached("c1", "sh", "-c", "i=0; while :; do echo line $i; i=$((i+1)); echo $i > /tmp/count; usleep 1000; done")

        def count():
            text = (daemon.rootfs / "tmp" / "count").read_text().strip()
            return int(text) if text else 0

        def types():
            told = daemon.ctl("--format", "json", "events", "--from", "1", "--no-follow").stdout.splitlines()
            return [json.loads(line)["type"] for line in told]
        wait_until(lambda: count() > 100, what="it writes")
        ballast = folder / "ballast"
        with open(ballast, "wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * 4096)
        wait_until(lambda: "log_interrupted" in types(), what="the event")
        before = count()
        wait_until(lambda: count() > before + 200, what="the container runs on")
        assert any("log" in warning for warning in daemon.inspect("c1")["warnings"])
        ballast.unlink()
        wait_until(lambda: "log_resumed" in types(), what="the log goes on")
        wait_until(lambda: daemon.ctl("logs", "--tail", "1", "c1").stdout.startswith("line"), what="newer lines")
        done = daemon.ctl("logs", "c1")
        assert "bytes could not be written here" in done.stderr
        numbers = [int(line.split()[1]) for line in done.stdout.splitlines()]
        assert numbers == sorted(set(numbers)) and len(numbers) < numbers[-1] + 1
        daemon.ctl("delete", "-f", "c1")
        daemon.terminate()
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
        if daemon.process is None:
            daemon.start()
