"""What engines and service managers do with a runtime: logs, sockets, cgroups of execs, features."""

import json
import os
import pathlib
import re
import socket
import subprocess

from tests.testing import bundle
from tests.testing.ocirun import OCIRUN, own_runtime  # noqa: F401 (a fixture)


def test_version_and_features_say_the_same(runtime):
    version = runtime("--version").stdout.splitlines()
    features = json.loads(runtime("features").stdout)
    assert re.fullmatch(r"ocirun version \S+", version[0])
    assert version[1].startswith("commit: ")
    assert version[2] == "spec: " + features["ociVersionMax"]
    linux = features["linux"]
    for word in ("seccomp", "apparmor", "selinux"):
        assert linux[word]["enabled"] == (f"+{word.upper()}" in version[-1])
    assert linux["mountExtensions"]["idmap"]["enabled"] and linux["netDevices"]["enabled"]
    assert {"rro", "idmap", "ridmap", "tmpcopyup", "nosymfollow"} <= set(features["mountOptions"])
    assert "SECCOMP_FILTER_FLAG_LOG" in linux["seccomp"]["supportedFlags"]


def test_the_log_has_levels_and_formats(runtime, tmp_path):
    folder = runtime.bundle("b", "true")
    result = runtime("run", "-b", folder, "c1", globals_=("--debug",))
    assert "level=debug" in result.stderr
    log = tmp_path / "log"
    result = runtime("run", "-b", folder, "c1", globals_=("--debug", "--log", log))
    assert "level=debug" not in result.stderr and "level=debug" in log.read_text()
    runtime("state", "nosuch", check=False,
            globals_=("--log", f"file:{log}2", "--log-level", "error", "--log-format=json"))
    assert [json.loads(line)["level"] for line in pathlib.Path(f"{log}2").read_text().splitlines()] == ["error"]
    for wrong in (("--log-level", "loud"), ("--log-format", "xml"), ("--rootless", "maybe")):
        assert runtime("list", check=False, globals_=wrong).returncode == 1


def test_kill_and_delete_take_regular_expressions(runtime):
    for name in ("web-1", "web-2", "db"):
        runtime.running(name)
    runtime("kill", "--regex", "^web", "KILL")
    for name in ("web-1", "web-2"):
        runtime.wait_for(name, "stopped")
    runtime("delete", "-r", "^web-[0-9]$")
    assert runtime("list", "-q").stdout.split() == ["db"]


def test_killing_a_container_without_a_pid_namespace_leaves_no_process(runtime):
    spec = bundle.config("sh", "-c", "sleep 1000 & sleep 1000")
    spec["linux"]["namespaces"] = [{"type": "mount"}]
    spec.pop("hostname")
    runtime.running("c1", spec)
    pids = json.loads(runtime("ps", "-f", "json", "c1").stdout)
    runtime("kill", "c1", "KILL")
    runtime.wait_for("c1", "stopped")
    runtime("delete", "c1")
    assert pids and not [pid for pid in pids if os.path.exists(f"/proc/{pid}/root/bin/busybox")]


def test_a_container_without_a_process_starts_and_stops(runtime):
    spec = bundle.config()
    del spec["process"]
    folder = bundle.write(runtime.folder / "b", spec, runtime.rootfs)
    runtime.create("c1", folder)
    assert runtime.state("c1")["status"] == "created"
    assert "level=warning" in runtime("start", "c1").stderr
    runtime.wait_for("c1", "stopped")
    runtime("delete", "c1")


def own_cgroups(text):
    return {line.split(":")[1]: line.split(":")[2] for line in text.splitlines()}


def test_exec_goes_into_a_cgroup_below_the_container_s(runtime):
    runtime.running("c1", bundle.config("sleep", "100", linux=dict(
        bundle.config()["linux"], resources={"pids": {"limit": 50}})))
    init = own_cgroups(pathlib.Path(f"/proc/{runtime.state('c1')['pid']}/cgroup").read_text())
    controller = "pids" if "pids" in init else ""
    mount = "/sys/fs/cgroup/pids" if controller else "/sys/fs/cgroup"
    below = pathlib.Path(mount + init[controller]) / "sub"
    below.mkdir()
    prefix = f"{controller}:" if controller else ""
    output = runtime("exec", "--cgroup", f"{prefix}sub", "c1", "cat", "/proc/self/cgroup").stdout
    assert own_cgroups(output)[controller].endswith("/sub")
    for wrong, why in (("../..", "bad sub cgroup path"), ("nosuch", "nosuch")):
        result = runtime("exec", "--cgroup", prefix + wrong, "c1", "true", check=False)
        assert result.returncode != 0 and why in result.stderr
    assert "unknown controller" in runtime("exec", "--cgroup", "nosuch:x", "c1", "true", check=False).stderr


def test_listening_sockets_are_passed_to_the_program(runtime):
    folder = runtime.bundle("b", "sh", "-c", "echo $LISTEN_FDS $LISTEN_PID; readlink /proc/self/fd/3")
    read, write = os.pipe()
    code = f"import os; os.dup2({read}, 3); os.execv('{OCIRUN}', ['ocirun', '--root', '{runtime.root}', " \
           f"'run', '-b', '{folder}', 'c1'])"
    result = subprocess.run(["/usr/bin/python3", "-c", code], pass_fds=[read], text=True,
                            env=dict(os.environ, LISTEN_FDS="1"), stdin=subprocess.DEVNULL,
                            capture_output=True, check=True, timeout=60)
    os.close(read)
    os.close(write)
    lines = result.stdout.split()
    assert lines[:2] == ["1", "1"] and lines[2].startswith("pipe:")


def test_readiness_is_passed_on_to_the_service_manager(runtime, tmp_path):
    path = tmp_path / "manager"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(20)
        program = tmp_path / "notify.py"
        # From the host, through the container's root: busybox has nothing that sends datagrams.
        program.write_text(
            "import socket, sys\n"
            "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
            "for text in (b'STATUS=x', b'STATUS=y\\nREADY=1'): s.sendto(text, sys.argv[1])\n")
        folder = runtime.bundle("b", "sh", "-c", "echo $NOTIFY_SOCKET; ls $(dirname $NOTIFY_SOCKET); sleep 100")
        environment = dict(os.environ, NOTIFY_SOCKET=str(path))
        with subprocess.Popen([OCIRUN, "--root", runtime.root, "run", "-b", folder, "c1"], text=True,
                              env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as run:
            assert run.stdout.readline() == f"{path}/notify\n"
            assert run.stdout.readline() == "notify\n"
            pid = runtime.state("c1")["pid"]
            subprocess.run(["/usr/bin/python3", program, f"/proc/{pid}/root{path}/notify"], check=True)
            assert manager.recv(1000) == f"READY=1\nMAINPID={pid}".encode()
            runtime("kill", "c1", "KILL")
            assert run.wait(20) == 137
    assert os.listdir(runtime.root) == []


def test_checkpoint_says_what_it_needs(runtime):
    runtime.running("c1")
    result = runtime("checkpoint", "--image-path", "/x", "--leave-running", "c1", check=False)
    assert result.returncode == 1 and "CRIU" in result.stderr
    assert runtime.state("c1")["status"] == "running"
    result = runtime("restore", "-b", "/x", "--image-path", "/x", "-d", "c2", check=False)
    assert result.returncode == 1 and "CRIU" in result.stderr


def test_a_seccomp_agent_is_told_of_a_container_and_of_an_exec(runtime, tmp_path):
    agent = tmp_path / "agent"
    seccomp = {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": str(agent), "listenerMetadata": "m",
               "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]}
    spec = bundle.config("sleep", "100", linux=dict(bundle.config()["linux"], seccomp=seccomp))
    folder = bundle.write(runtime.folder / "b", spec, runtime.rootfs)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(agent))
        listener.listen()
        listener.settimeout(20)

        def told():
            connection, _ = listener.accept()
            with connection:
                text, fds, _, _ = socket.recv_fds(connection, 10000, 4)
            for fd in fds:
                assert os.readlink(f"/proc/self/fd/{fd}") == "anon_inode:seccomp notify"
                os.close(fd)
            return json.loads(text)

        runtime.create("c1", folder)
        runtime("start", "c1")
        first = told()
        state = runtime.state("c1")
        assert first == {"ociVersion": "1.2.0", "fds": ["seccompFd"], "pid": state["pid"], "metadata": "m",
                         "state": {"ociVersion": "1.2.0", "id": "c1", "status": "created",
                                   "pid": state["pid"], "bundle": str(folder)}}
        runtime("exec", "c1", "true")
        second = told()
        assert second["state"]["status"] == "running" and second["state"]["pid"] == state["pid"]
        assert second["pid"] != state["pid"]
    agent.unlink()
    result = runtime("run", "-b", folder, "c2", check=False)
    assert result.returncode == 1 and "/linux/seccomp" in result.stderr
