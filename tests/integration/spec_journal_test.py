"""Which spec ran and who changed what in it: moby#51705's example, told from outside.

The patches are replayed with somebody else's library (python3-jsonpatch), and what is inside of the
container is compared with the final spec."""

import hashlib
import json
import random

import jsonpatch
import pytest

from tests.testing import bundle as bundles
from tests.testing.fixtures import own_daemon, shared_daemon  # pylint: disable=unused-import

GPU = """cdiVersion: 0.7.0
kind: vendor.com/gpu
devices:
- name: "0"
  containerEdits:
    env: [GPU=0]
    deviceNodes:
    - {path: /dev/gpu0, type: c, major: 1, minor: 3, fileMode: 0666, permissions: rw}
    mounts:
    - {hostPath: HOST/libgpu, containerPath: /opt/libgpu, options: [ro, bind]}
    additionalGids: [44]
    hooks:
    - {hookName: createRuntime, path: /bin/true, args: ["true", gpu0]}
containerEdits:
  env: [GPU_VENDOR=vendor.com]
"""
NIC = """{"cdiVersion": "0.7.0", "kind": "other.org/nic", "devices": [{"name": "eth", "containerEdits": {
  "env": ["NIC=eth", "PATH=/bin:/nic"],
  "deviceNodes": [{"path": "/dev/nic", "type": "c", "major": 1, "minor": 5}],
  "additionalGids": [45, 44]}}]}
"""
DEVICES = ["vendor.com/gpu=0", "other.org/nic=eth"]


def canonical(document):
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(document):
    return "sha256:" + hashlib.sha256(canonical(document).encode()).hexdigest()


def spec(daemon, *args):
    return json.loads(daemon.ctl("spec", *args, "--format", "json").stdout)


def replay(history, steps):
    """The document after each of the steps, by the library; every digest of the chain is checked."""
    document = {} if steps is history["steps"] else history["original"]
    for step in steps:
        assert step["digest_before"] == digest(document), step["actor"]
        document = jsonpatch.apply_patch(document, step["json_patch"])
        assert step["digest_after"] == digest(document), step["actor"]
    return document


@pytest.fixture(name="devices", scope="module")
def cdi_files(daemon):
    """Two vendors' files in the daemon's CDI folder."""
    folder = daemon.folder / "cdi"
    folder.mkdir(exist_ok=True)
    library = daemon.folder / "libgpu"
    library.mkdir(exist_ok=True)
    (library / "lib.so").write_text("of the gpu")
    (folder / "gpu.yaml").write_text(GPU.replace("HOST", str(daemon.folder)))
    (folder / "nic.json").write_text(NIC)
    return folder


def create(daemon, container, *options, args=("sleep", "1000"), devices=()):
    flags = [word for device in devices for word in ("--device", device)]
    daemon.ctl("create", "--bundle", daemon.bundle(*args), *flags, *options, container)


@pytest.fixture(name="gpu", scope="module")
def container_with_devices(daemon, devices):  # pylint: disable=unused-argument
    create(daemon, "gpu", devices=DEVICES)
    daemon.ctl("start", "gpu")
    yield "gpu"
    daemon.ctl("delete", "-f", "gpu")


def test_each_device_is_a_step_and_its_files_own_edits_are_one(daemon, gpu):
    history = spec(daemon, gpu, "--view", "full")
    late = [step for step in history["steps"] if step["actor_kind"] == "cdi"]
    assert [step["actor"] for step in late] == ["vendor.com/gpu", *DEVICES]
    assert late[1]["source_file"].endswith("/cdi/gpu.yaml")
    text = (daemon.folder / "cdi" / "gpu.yaml").read_bytes()
    assert late[1]["source_sha256"] == "sha256:" + hashlib.sha256(text).hexdigest()
    assert isinstance(history["original"], dict) and isinstance(history["final"], dict)
    for key in ("index", "actor", "actor_kind", "actor_version", "source_file", "source_sha256",
                "time", "duration_ms", "json_patch", "changes", "ignored", "conflicts",
                "digest_before", "digest_after"):
        assert key in late[1], key


def test_another_library_replays_the_patches_to_the_final_spec(daemon, gpu):
    history = spec(daemon, gpu, "--view", "full")
    assert replay(history, history["steps"]) == history["final"]
    late = [step for step in history["steps"] if step["actor_kind"] in ("cdi", "nri", "finalize")]
    assert replay(history, late) == history["final"]
    assert digest(history["final"]) == history["final_sha256"] == history["executor_sha256"]
    assert digest(history["original"]) == history["original_sha256"]
    raw = daemon.ctl("spec", gpu, "--raw").stdout
    assert raw.rstrip("\n") == canonical(history["final"])


def test_what_is_inside_is_the_final_spec(daemon, gpu):
    final = spec(daemon, gpu)
    inside = dict(line.split("=", 1) for line in daemon.ctl(
        "exec", gpu, "--", "env").stdout.splitlines() if "=" in line)
    for entry in final["process"]["env"]:
        name, value = entry.split("=", 1)
        assert inside[name] == value
    assert inside["GPU"] == "0" and inside["PATH"] == "/bin:/nic"
    assert daemon.ctl("exec", gpu, "--", "/bin/cat", "/opt/libgpu/lib.so").stdout == "of the gpu"
    groups = daemon.ctl("exec", gpu, "--", "/bin/id", "-G").stdout.split()
    assert {"44", "45"} <= set(groups)
    nodes = daemon.ctl("exec", gpu, "--", "/bin/stat", "-c", "%t:%T", "/dev/gpu0", "/dev/nic").stdout
    assert nodes.split() == ["1:3", "1:5"]
    assert final["hooks"]["createRuntime"][0]["args"] == ["true", "gpu0"]


def test_the_diff_names_who_changed_what_and_what_was_overridden(daemon, gpu):
    text = daemon.ctl("spec", "diff", gpu).stdout
    for words in ("cdi vendor.com/gpu=0", "cdi other.org/nic=eth", '"GPU=0"', "/dev/gpu0",
                  "was written by bundle before"):
        assert words in text, words
    history = spec(daemon, gpu, "--view", "diff")
    conflicts = {step["actor"]: step["conflicts"] for step in history["steps"]}
    assert [c["previous_actor"] for c in conflicts["other.org/nic=eth"]] == ["bundle"]
    assert conflicts["vendor.com/gpu=0"] == []


def test_blame_names_the_last_writer_and_those_before(daemon, gpu):
    final = spec(daemon, gpu)
    index = final["process"]["env"].index("PATH=/bin:/nic")
    lines = spec(daemon, "blame", gpu, f"/process/env/{index}")
    assert [line["actor"] for line in lines] == ["other.org/nic=eth"]
    assert [writer["actor"] for writer in lines[0]["before"]] == ["bundle"]
    everything = spec(daemon, "blame", gpu)
    assert {"/hostname", f"/process/env/{index}"} <= {line["pointer"] for line in everything}
    assert daemon.ctl("spec", "blame", gpu, "/no/such", check=False).returncode != 0


def test_verify_says_by_its_exit_code_whether_all_is_true(daemon, gpu):
    assert daemon.ctl("spec", "verify", gpu).returncode == 0
    checks = spec(daemon, "verify", gpu)
    assert checks["verified"] and {"executor"} <= {check["subject"] for check in checks["checks"]}


def test_redacted_values_are_gone_and_digests_stay(daemon, gpu):
    plain = spec(daemon, gpu, "--view", "full")
    hidden = spec(daemon, gpu, "--view", "full", "--redact")
    assert "of the gpu" not in json.dumps(hidden)
    assert "PATH=/bin:/nic" not in json.dumps(hidden) and "PATH=<redacted>" in json.dumps(hidden)
    assert hidden["final_sha256"] == plain["final_sha256"]
    assert [step["digest_after"] for step in hidden["steps"]] == [
        step["digest_after"] for step in plain["steps"]]


def test_inspect_keeps_requested_effective_and_observed_apart(daemon, gpu):
    report = daemon.inspect(gpu)
    assert report["requested"]["cdi_devices"] == DEVICES
    assert report["effective"]["spec"] == spec(daemon, gpu)
    assert report["observed"]["state"] == "running" and report["observed"]["pid"] > 0
    assert report["observed"]["drift"]["drifts"] == []
    assert "args" not in report and "spec" not in report


def test_a_later_start_has_a_journal_of_its_own(daemon, devices):
    """Also in every state, and after the daemon was killed."""
    create(daemon, "twice", args=("true",), devices=DEVICES[:1])
    assert spec(daemon, "twice", "--view", "full")["generation"] == 1
    daemon.ctl("start", "twice")
    daemon.ctl("wait", "twice")
    first = spec(daemon, "twice", "--view", "full")
    text = (devices / "gpu.yaml").read_text()
    try:
        (devices / "gpu.yaml").write_text(text.replace("GPU=0", "GPU=zero").replace("minor: 3",
                                                                                    "minor: 7"))
        daemon.ctl("start", "twice")
        daemon.ctl("wait", "twice")
    finally:
        (devices / "gpu.yaml").write_text(text)
    daemon.kill()
    daemon.start()
    second = spec(daemon, "twice", "--view", "full")
    assert (second["generation"], second["final_sha256"] != first["final_sha256"]) == (2, True)
    assert spec(daemon, "twice", "--view", "full", "--generation", "1") == first
    assert replay(second, second["steps"]) == second["final"]

    difference = spec(daemon, "diff", "twice", "--generation", "1..2")
    assert jsonpatch.apply_patch(first["final"], difference["json_patch"]) == second["final"]
    changed = {(c["before"], c["after"]): c["actor"] for c in difference["changes"]
               if c["kind"] == "replaced" and not isinstance(c["before"], dict)}
    assert changed[("GPU=0", "GPU=zero")] == DEVICES[0] and changed[(3, 7)] == DEVICES[0]
    text = daemon.ctl("spec", "diff", "twice", "--generation", "1..2").stdout
    assert '"GPU=0" -> "GPU=zero"' in text and DEVICES[0] in text
    missing = daemon.ctl("spec", "twice", "--generation", "3", check=False)
    assert missing.returncode != 0 and "generation" in missing.stderr
    daemon.ctl("delete", "-f", "twice")


def test_two_containers_are_compared_by_their_final_specs(daemon, gpu):
    create(daemon, "plain")
    difference = spec(daemon, "diff", "plain", gpu)
    assert jsonpatch.apply_patch(spec(daemon, "plain"), difference["json_patch"]) == spec(daemon, gpu)
    assert "cdi vendor.com/gpu=0" in daemon.ctl("spec", "diff", "plain", gpu).stdout
    assert daemon.ctl("spec", "diff", gpu, gpu).stdout == ""
    daemon.ctl("delete", "-f", "plain")


def test_render_runs_the_same_code_and_creates_nothing(fresh_daemon):
    daemon = fresh_daemon
    cdi_files.__wrapped__(daemon)
    daemon.ctl("version")
    before = daemon.census()
    flags = ["--bundle", daemon.bundle("sleep", "1000"), "--device", DEVICES[0], "--device", DEVICES[1]]
    rendered = spec(daemon, "render", *flags, "web", "--view", "full")
    daemon.must_return_to(before)
    assert daemon.ctl("list", "-q").stdout == ""
    daemon.ctl("create", *flags, "web")
    created = spec(daemon, "web", "--view", "full")
    assert rendered["final"] == created["final"]
    assert [s["json_patch"] for s in rendered["steps"]] == [s["json_patch"] for s in created["steps"]]


def test_an_unresolvable_device_fails_the_create_with_every_name_and_reason(daemon, devices):
    (devices / "bad.yaml").write_text("cdiVersion: 0.5.0\nkind: bad.com/x\nnonsense: 1\ndevices: []\n")
    (devices / "same-a.yaml").write_text(NIC.replace("other.org", "twice.com"))
    (devices / "same-b.yaml").write_text(NIC.replace("other.org", "twice.com"))
    (devices / "gone.yaml").write_text(
        "cdiVersion: 0.5.0\nkind: gone.com/x\ndevices:\n"
        "- {name: a, containerEdits: {deviceNodes: [{path: /dev/no-such-node}]}}\n")
    try:
        flags = ["--bundle", daemon.bundle("true"), "--device", "nobody.com/x=1",
                 "--device", "twice.com/nic=eth", "--device", "vendor.com/gpu=9"]
        failed = daemon.ctl("create", *flags, "never", check=False)
        assert failed.returncode != 0
        for words in ("nobody.com/x=1", "unknown vendor nobody.com", "bad.yaml", "line 3",
                      "twice.com/nic=eth", "conflict", "same-a.yaml", "same-b.yaml",
                      "vendor.com/gpu=9", "no such device of vendor.com/gpu"):
            assert words in failed.stderr, words
        gone = daemon.ctl("create", "--bundle", daemon.bundle("true"), "--device", "gone.com/x=a",
                          "never", check=False)
        for words in ("gone.com/x=a", "/dev/no-such-node", "No such file", "gone.yaml"):
            assert words in gone.stderr, words
        errors = daemon.ctl("device", "errors").stdout
        for words in ("bad.yaml", "line 3", "same-a.yaml", "twice.com/nic=eth"):
            assert words in errors, words
        assert "never" not in daemon.ctl("list", "-q").stdout.split()
    finally:
        for name in ("bad.yaml", "same-a.yaml", "same-b.yaml", "gone.yaml"):
            (devices / name).unlink()


def test_device_commands_tell_file_and_edits(daemon, devices):  # pylint: disable=unused-argument
    listed = json.loads(daemon.ctl("device", "list", "--format", "json").stdout)
    assert {device["name"] for device in listed} >= set(DEVICES)
    gpu = json.loads(daemon.ctl("device", "inspect", DEVICES[0]).stdout)
    assert gpu["source_file"].endswith("gpu.yaml") and gpu["source_modify_time"]
    assert gpu["edits"]["env"] == ["GPU=0"] and gpu["file_edits"]["env"] == ["GPU_VENDOR=vendor.com"]


def random_bundle(random_):
    """A config.json of random things in the lists that patches compare by identity."""
    config = bundles.config("sleep", "1")
    names = [f"V{i}" for i in range(12)]
    config["process"]["env"] += [f"{name}={random_.random()}" for name in
                                 random_.sample(names, random_.randrange(12))]
    config["process"]["user"]["additionalGids"] = random_.sample(range(1, 60), random_.randrange(6))
    random_.shuffle(config["mounts"])
    config["annotations"] = {f"a.b/{name}~/": name for name in random_.sample(names, 3)}
    config["linux"]["maskedPaths"] = random_.sample(config["linux"]["maskedPaths"], 3)
    if random_.random() < 0.5:
        config["linux"]["sysctl"] = {"kernel.msgmax": str(random_.randrange(8192, 9000))}
    return config


def test_random_specs_replay_with_the_other_library(daemon, devices):
    """Whatever bundle, request and devices: the patches alone make the final spec."""
    (devices / "random.yaml").write_text(
        "cdiVersion: 0.7.0\nkind: random.io/d\ndevices:\n" + "".join(
            f"- name: d{i}\n  containerEdits:\n    env: [V{i}=dev, V{i + 1}=dev, D{i}=x]\n"
            f"    mounts: [{{hostPath: /tmp, containerPath: /m{i % 3}/x, options: [rbind, ro]}},"
            f" {{hostPath: /tmp, containerPath: /dev/shm}}]\n    additionalGids: [{i + 1}]\n"
            for i in range(8)))
    seed = random.randrange(1 << 32)
    random_ = random.Random(seed)
    try:
        for _ in range(25):
            bundle = daemon.bundle(name="random", spec=random_bundle(random_))
            flags = [word for i in random_.sample(range(8), random_.randrange(5))
                     for word in ("--device", f"random.io/d=d{i}")]
            for name in random_.sample([f"V{i}" for i in range(12)], random_.randrange(4)):
                flags += ["--env", f"{name}=request"]
            history = spec(daemon, "render", "--bundle", bundle, *flags, "--view", "full")
            assert replay(history, history["steps"]) == history["final"], f"seed {seed}"
            mounts = [mount["destination"] for mount in history["final"]["mounts"]]
            assert len(mounts) == len(set(mounts)), f"seed {seed}"
    finally:
        (devices / "random.yaml").unlink()
