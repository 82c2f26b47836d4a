"""What plugins are told and when, and what becomes of plugins that misbehave."""

import json
import os
import re
import shutil
import socket
import struct
import threading
import time

import pytest

from tests.interop.nri import go_programs
from tests.interop.nri.plugin_bed import EVENTS, PluginBed
from tests.testing import bundle as bundles
from tests.testing.daemon import wait_until

WHOLE_LIFE = ["RunPodSandbox", "CreateContainer", "ValidateContainerAdjustment",
              "PostCreateContainer", "StartContainer", "PostStartContainer", "StopContainer",
              "StopPodSandbox", "RemoveContainer", "RemovePodSandbox"]


@pytest.fixture(name="bed")
def own_bed():
    go_programs.program("scripted")
    instance = PluginBed("--nri-policy", "hangs,timeout=500ms")
    yield instance
    instance.close()


def without_validation(events):
    return [event for event in events if event != "ValidateContainerAdjustment"]


LIFE = without_validation(WHOLE_LIFE)


def misbehave(bed, name, event, do, container=""):
    index, bare = name.split("-", 1)
    bed.connect(name, go_programs.program("misbehaving"), "-idx", index, "-name", bare, "-socket",
                bed.socket, "-in", event, "-do", do, "-container", container)


def watch(bed, name="50-watcher"):
    bed.scripted(go_programs.program("scripted"), name)


def exit_by_itself(bed, container):
    bed.daemon.run_detached(container, "true")
    bed.daemon.ctl("wait", container)
    bed.daemon.ctl("delete", container)


def test_a_container_that_ends_by_itself(bed):
    watch(bed)
    exit_by_itself(bed, "web")
    assert without_validation(bed.events("50-watcher", "web")) == LIFE
    stop = [r for r in bed.requests("50-watcher") if r["request"] == "StopContainer"][0]
    assert stop["container"]["state"] == "CONTAINER_STOPPED"
    assert int(stop["container"]["finished_at"]) > 0 and int(stop["container"]["started_at"]) > 0
    start = [r for r in bed.requests("50-watcher") if r["request"] == "PostStartContainer"][0]
    assert start["container"]["pid"] > 0


def test_a_container_that_is_stopped_and_started_again_keeps_its_pod(bed):
    watch(bed)
    bed.daemon.run_detached("web", "sleep", "100")
    bed.daemon.ctl("stop", "--time", "0", "web")
    bed.daemon.ctl("start", "web")
    bed.daemon.ctl("delete", "-f", "web")
    events = without_validation(bed.events("50-watcher", "web"))
    again = ["StartContainer", "PostStartContainer", "StopContainer"]
    assert events == LIFE[:LIFE.index("StopPodSandbox")] + again + LIFE[-3:]


def network_of(process):
    return os.stat(f"/proc/{process}/ns/net").st_ino


def test_the_network_of_a_pod_is_there_from_its_first_event_to_its_stop(bed):
    watch(bed)
    places = bed.daemon.state / "networks"
    bed.daemon.run_detached("web", "sleep", "100")
    network = network_of(bed.daemon.inspect("web")["pid"])
    assert network != network_of("self")
    assert bed.daemon.ctl("spec", "drift", "web").returncode == 0
    bed.daemon.ctl("stop", "--time", "0", "web")
    bed.daemon.ctl("start", "web")
    assert network_of(bed.daemon.inspect("web")["pid"]) == network
    bed.daemon.kill()
    bed.daemon.start()
    bed.processes["50-watcher"].wait()
    watch(bed)
    bed.daemon.ctl("stop", "--time", "0", "web")
    assert [path.name for path in places.iterdir()] == ["web"]
    bed.daemon.ctl("delete", "web")
    seen = {}
    for request in bed.requests("50-watcher"):
        if request.get("pod", {}).get("id") == "web":
            seen.setdefault(request["request"], set()).add(request["network"])
    assert {event: numbers for event, numbers in seen.items() if numbers != {network}} == {
        "RemoveContainer": {0}, "RemovePodSandbox": {0}}
    assert {"RunPodSandbox", "CreateContainer", "StopPodSandbox"} <= seen.keys()
    assert list(places.iterdir()) == []


@pytest.mark.parametrize("fails", ["RunPodSandbox", "CreateContainer", "the program"])
def test_the_network_of_a_pod_that_comes_to_nothing_goes_after_its_stop(bed, fails):
    watch(bed, "10-watcher")
    spec = bundles.config("true")
    if fails == "the program":
        spec["mounts"].append({"destination": "/x", "type": "nosuch", "source": "nosuch"})
    else:
        misbehave(bed, "20-fails", fails, "error", "web")
    done = bed.daemon.ctl("create", "--bundle", bed.daemon.bundle(spec=spec), "web", check=False)
    assert done.returncode != 0
    numbers = {request["request"]: request["network"] for request in bed.requests("10-watcher")
               if request.get("pod", {}).get("id") == "web"}
    assert numbers["RunPodSandbox"] != 0 and numbers["StopPodSandbox"] == numbers["RunPodSandbox"]
    assert numbers["RemovePodSandbox"] == 0
    assert list((bed.daemon.state / "networks").iterdir()) == []


@pytest.mark.parametrize("namespaces", [
    [{"type": "pid"}, {"type": "mount"}],
    [{"type": "pid"}, {"type": "mount"}, {"type": "network", "path": "/proc/self/ns/net"}],
])
def test_a_pod_without_a_network_of_its_own_gets_none(bed, namespaces):
    watch(bed)
    spec = bundles.config("sleep", "100")
    spec["linux"]["namespaces"] = namespaces
    del spec["hostname"]
    spec["mounts"] = [mount for mount in spec["mounts"] if mount["type"] not in ("mqueue", "sysfs")]
    bed.daemon.run_detached("web", spec=spec)
    assert network_of(bed.daemon.inspect("web")["pid"]) == network_of("self")
    assert list((bed.daemon.state / "networks").iterdir()) == []


def test_who_does_not_ask_for_pods_costs_no_network(bed):
    bed.scripted(go_programs.program("scripted"), "50-watcher", events="CreateContainer,StartContainer")
    bed.daemon.run_detached("web", "sleep", "100")
    assert list((bed.daemon.state / "networks").iterdir()) == []


def test_networks_that_a_killed_daemon_left_behind_are_removed(bed):
    watch(bed, "10-watcher")
    misbehave(bed, "20-hangs", "CreateContainer", "hang", "web")
    create = bed.daemon.spawn("create", "--bundle", bed.daemon.bundle("true"), "web")
    places = bed.daemon.state / "networks"
    wait_until(lambda: list(places.iterdir()), what="a network")
    bed.daemon.kill()
    create.kill()
    create.communicate()
    assert [path.name for path in places.iterdir()] == ["web"]
    bed.daemon.start()
    assert list(places.iterdir()) == [] and bed.daemon.ctl("list", "-q").stdout == ""


def test_what_plugins_adjusted_is_there_after_a_restart_too(bed):
    bed.scripted(go_programs.program("scripted"), "10-adjusts",
                 adjust={"env": [{"key": "FROM_PLUGIN", "value": "yes"}]})
    bed.daemon.ctl("create", "--bundle", bed.daemon.bundle("sh", "-c", "echo $FROM_PLUGIN"), "web")
    for _ in range(2):
        bed.daemon.ctl("start", "web")
        bed.daemon.ctl("wait", "web")
    assert bed.daemon.ctl("logs", "web").stdout.split() == ["yes", "yes"]


def test_a_create_that_fails_is_undone(bed):
    watch(bed, "10-watcher")
    misbehave(bed, "20-fails", "CreateContainer", "error", "web")
    done = bed.daemon.ctl("create", "--bundle", bed.daemon.bundle("true"), "web", check=False)
    assert done.returncode != 0
    assert "20-fails" in done.stderr and "told to fail" in done.stderr
    assert bed.events("10-watcher", "web") == ["RunPodSandbox", "CreateContainer", "StopContainer",
                                               "StopPodSandbox", "RemoveContainer",
                                               "RemovePodSandbox"]
    assert bed.daemon.ctl("list", "-q").stdout == ""


def test_a_plugin_that_hangs_delays_one_create_and_nobody_else(bed):
    watch(bed)
    bed.daemon.run_detached("there", "sleep", "100")
    misbehave(bed, "10-hangs", "CreateContainer", "hang", "web")
    taken = {}

    def create():
        begin = time.monotonic()
        bed.daemon.ctl("create", "--bundle", bed.daemon.bundle("true", name="hung"), "web")
        taken["web"] = time.monotonic() - begin

    thread = threading.Thread(target=create)
    begin = time.monotonic()
    thread.start()
    bed.daemon.ctl("exec", "there", "true")
    bed.daemon.ctl("create", "--bundle", bed.daemon.bundle("true", name="other"), "other")
    bed.daemon.ctl("start", "other")
    assert time.monotonic() - begin < 0.45 or "web" not in taken
    thread.join()
    assert taken["web"] >= 0.5
    report = bed.plugin("10-hangs")
    assert not report.get("connected", False)
    assert report["timeouts"] == "1" or report["timeouts"] == 1
    assert "CreateContainer" in report["disconnect_reason"]


def test_a_plugin_that_crashes_in_mid_call_costs_nothing(bed):
    misbehave(bed, "10-crashes", "CreateContainer", "crash", "web")
    exit_by_itself(bed, "web")
    report = bed.plugin("10-crashes")
    assert not report.get("connected", False)
    assert report["disconnect_reason"]


def test_a_plugin_that_floods_gets_answers_and_hurts_nobody(bed):
    misbehave(bed, "10-floods", "StartContainer", "flood", "web")
    watch(bed)
    exit_by_itself(bed, "web")
    assert bed.connected("50-watcher")


def test_a_plugin_may_update_a_container_from_its_own_handler(bed):
    update = {"container_id": "web",
              "linux": {"resources": {"cpu": {"shares": {"value": 512}}}}}
    bed.scripted(go_programs.program("scripted"), "10-updates", container="web",
                 unsolicited={"StartContainer": [update], "PostStartContainer": [update]})
    begin = time.monotonic()
    bed.daemon.run_detached("web", "sleep", "100")
    assert time.monotonic() - begin < 1.5
    assert bed.connected("10-updates")


def test_a_plugin_of_release_0_8_gets_every_event(bed):
    record = bed.folder / "old.events"
    bed.connect("10-old", go_programs.old_program(), "-socket", bed.socket, "-record", record)
    bed.daemon.run_detached("web", "sh", "-c", "echo $OLD_PLUGIN")
    bed.daemon.ctl("wait", "web")
    assert bed.daemon.ctl("logs", "web").stdout.strip() == "was here"
    bed.daemon.ctl("delete", "web")
    assert record.read_text().splitlines() == ["Synchronize 0"] + [f"{event} web" for event in LIFE]


def test_a_restarted_daemon_tells_new_plugins_of_live_containers(bed):
    bed.daemon.run_detached("alive", "sleep", "100")
    bed.daemon.run_detached("ended", "true")
    bed.daemon.ctl("wait", "ended")
    bed.daemon.kill()
    bed.daemon.start()
    watch(bed)
    synchronized = bed.requests("50-watcher")[0]
    assert synchronized["request"] == "Synchronize"
    containers = synchronized["synchronize"]["containers"]
    assert [c["id"] for c in containers] == ["alive"]
    assert containers[0]["state"] == "CONTAINER_RUNNING" and containers[0]["pid"] > 0
    pods = {p["id"]: p for p in synchronized["synchronize"]["pods"]}
    assert set(pods) == {"alive", "ended"}
    networks = {name: [n["path"] for n in pod["linux"]["namespaces"] if n["type"] == "network"]
                for name, pod in pods.items()}
    assert networks == {"alive": [f"/proc/{containers[0]['pid']}/ns/net"], "ended": []}
    bed.daemon.ctl("delete", "-f", "alive")
    assert bed.events("50-watcher", "alive") == ["StopContainer", "StopPodSandbox",
                                                 "RemoveContainer", "RemovePodSandbox"]


def test_garbage_and_silence_cost_their_own_connection(bed):
    watch(bed)
    silent = socket.socket(socket.AF_UNIX)
    silent.connect(str(bed.socket))
    for junk in (b"\0" * 8 + b"junk" * 1000, struct.pack(">II", 2, 0xFFFFFFFF), b"GET / HTTP/1.1\r\n"):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(bed.socket))
            client.sendall(junk)
    begin = time.monotonic()
    exit_by_itself(bed, "web")
    assert time.monotonic() - begin < 2
    assert bed.connected("50-watcher")
    silent.close()


def test_launched_plugins_are_there_from_the_start_and_start_again(tmp_path):
    plugins = tmp_path / "plugins"
    configs = tmp_path / "conf.d"
    plugins.mkdir()
    configs.mkdir()
    shutil.copy(go_programs.program("scripted"), plugins / "10-launched")
    script = tmp_path / "script.json"
    script.write_text(json.dumps({"record": str(tmp_path / "requests"), "events": EVENTS}))
    (configs / "launched.conf").write_text(str(script))
    bed = PluginBed("--nri-plugin-dir", plugins, "--nri-config-dir", configs)
    try:
        bed.daemon.run_detached("web", "true")
        first = bed.plugin("10-launched")
        assert first["connected"] and first["launched"]
        assert "CreateContainer" in (tmp_path / "requests").read_text()
        assert "configured by ocid" in bed.daemon.log.read_text()
        os.kill(first["pid"], 9)
        wait_until(lambda: bed.plugin("10-launched").get("connected") and
                   bed.plugin("10-launched")["pid"] != first["pid"], what="started again")
    finally:
        bed.close()


def test_a_required_plugin_must_be_there():
    bed = PluginBed("--nri-policy", "misbehaving,required")
    try:
        done = bed.daemon.ctl("create", "--bundle", bed.daemon.bundle("true"), "web", check=False)
        assert done.returncode != 0 and re.search("misbehaving is required", done.stderr)
        misbehave(bed, "10-misbehaving", "", "nothing")
        bed.daemon.ctl("create", "--bundle", bed.daemon.bundle("true"), "web")
    finally:
        bed.close()
