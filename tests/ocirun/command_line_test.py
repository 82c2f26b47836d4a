"""ocirun's command line with real containers: what callers of an OCI runtime rely on."""

import json
import os
import pathlib
import signal
import socket
import subprocess

from tests.testing import bundle
from tests.testing.ocirun import OCIRUN, own_runtime  # noqa: F401 (a fixture)


def test_a_container_goes_from_created_to_running_to_stopped_to_gone(runtime, tmp_path):
    folder = runtime.bundle("b", "sleep", "100")
    pid_file = tmp_path / "pid"
    runtime.create("c1", folder, "--pid-file", pid_file)
    state = runtime.state("c1")
    assert state["status"] == "created"
    assert state["bundle"] == str(folder)
    assert pid_file.read_text() == str(state["pid"])
    runtime("start", "c1")
    assert runtime.state("c1")["status"] == "running"
    assert runtime("delete", "c1", check=False).returncode != 0
    runtime("kill", "c1", "KILL")
    runtime.wait_for("c1", "stopped")
    assert runtime.state("c1")["pid"] == 0
    assert "container not running" in runtime("kill", "c1", "TERM", check=False).stderr
    runtime("delete", "c1")
    assert "does not exist" in runtime("state", "c1", check=False).stderr
    assert os.listdir(runtime.root) == []


def test_run_returns_the_exit_code_and_leaves_nothing(runtime):
    folder = runtime.bundle("b", "sh", "-c", "echo hello; exit 7")
    result = runtime("run", "-b", folder, "c1", check=False)
    assert (result.returncode, result.stdout) == (7, "hello\n")
    assert runtime("list", "-q").stdout == ""


def test_run_returns_128_and_the_signal_and_passes_signals_on(runtime):
    folder = runtime.bundle("b", "sh", "-c", "trap 'exit 9' USR1; echo up; while :; do sleep 0.1; done")
    with subprocess.Popen([OCIRUN, "--root", runtime.root, "run", "-b", folder, "c1"],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGUSR1)
        assert process.wait(20) == 9
    folder = runtime.bundle("k", "sh", "-c", "echo up; kill -9 $$; sleep 100")
    with subprocess.Popen([OCIRUN, "--root", runtime.root, "run", "-b", folder, "c2"],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "up\n"
        runtime("kill", "c2", "KILL")
        assert process.wait(20) == 137


def test_a_program_that_is_not_there_is_told_to_start(runtime):
    folder = runtime.bundle("b", "/no/such/program")
    runtime.create("c1", folder)
    result = runtime("start", "c1", check=False)
    assert result.returncode == 1
    assert "/no/such/program" in result.stderr and "ENOENT" in result.stderr
    runtime.wait_for("c1", "stopped")


def test_a_second_container_of_the_same_id_is_refused_and_the_first_goes_on(runtime):
    folder = runtime.bundle("b", "sleep", "100")
    runtime.create("c1", folder)
    assert "already exists" in runtime("create", "-b", folder, "c1", check=False).stderr
    assert runtime.state("c1")["status"] == "created"


def test_a_created_container_does_not_keep_the_callers_streams(runtime, tmp_path):
    # As containerd does it for a terminal: what create prints is read to its end.
    spec = bundle.config("true")
    spec["process"]["terminal"] = True
    folder = bundle.write(tmp_path / "b", spec, runtime.rootfs)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "console"))
        listener.listen()
        runtime("create", "-b", folder, "--console-socket", tmp_path / "console", "c1")
    assert runtime.state("c1")["status"] == "created"


def test_a_foreground_container_can_be_paused_and_deleted_by_others(runtime):
    folder = runtime.bundle("b", "sh", "-c", "echo up; while :; do sleep 0.1; done")
    with subprocess.Popen([OCIRUN, "--root", runtime.root, "run", "-b", folder, "c1"],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "up\n"
        runtime("pause", "c1")
        runtime("resume", "c1")
        runtime("delete", "--force", "c1")
        assert process.wait(20) == 137
    assert os.listdir(runtime.root) == []


def test_a_create_that_fails_leaves_nothing(runtime):
    folder = runtime.bundle("b", "true", mounts=[{"destination": "/x", "type": "nosuchfs"}])
    result = runtime("create", "-b", folder, "c1", check=False)
    assert result.returncode == 1 and "/mounts/0" in result.stderr
    assert os.listdir(runtime.root) == []


def test_a_disk_that_fills_up_during_the_launch_leaves_neither_process_nor_cgroup(runtime, tmp_path):
    folder = runtime.bundle("b", "touch", "/ran", root={"path": str(runtime.rootfs), "readonly": False})
    disk = tmp_path / "disk"
    disk.mkdir()
    name = f"full-{os.getpid()}"
    # Room for the record, not for the plan and the spec, which are written when the process is on its way.
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", disk], check=True)
    try:
        for command in ("run", "create"):
            result = subprocess.run([OCIRUN, "--root", disk / "root", command, "-b", folder, name], check=False,
                                    stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
            assert result.returncode == 1 and "No space left on device" in result.stderr
            assert os.listdir(disk / "root") == []
    finally:
        subprocess.run(["umount", disk], check=True)
    assert not (runtime.rootfs / "ran").exists()
    # With a process in it, it could not be gone.
    assert not any(name in folders for _, folders, _ in os.walk("/sys/fs/cgroup"))


def test_exec_runs_in_the_container_and_its_flags_end_at_the_id(runtime):
    folder = runtime.bundle("b", "sleep", "100")
    runtime.create("c1", folder)
    runtime("start", "c1")
    result = runtime("exec", "--env", "A=b", "--cwd=/tmp", "-u", "1:2", "c1", "sh", "-c",
                     "echo $A $(pwd) $(id -u):$(id -g) $(hostname); exit 3", check=False)
    assert (result.returncode, result.stdout) == (3, "b /tmp 1:2 bundle\n")
    missing = runtime("exec", "c1", "nosuch", check=False)
    assert missing.returncode == 255 and "nosuch" in missing.stderr


def test_a_paused_container_says_so_and_refuses_exec(runtime):
    folder = runtime.bundle("b", "sleep", "100")
    runtime.create("c1", folder)
    runtime("start", "c1")
    runtime("pause", "c1")
    assert runtime.state("c1")["status"] == "paused"
    assert "paused" in runtime("exec", "c1", "true", check=False).stderr
    runtime("resume", "c1")
    assert runtime("exec", "c1", "echo", "back").stdout == "back\n"


def test_hooks_run_at_their_points_of_the_lifecycle(runtime, tmp_path):
    log = tmp_path / "log"
    hook = tmp_path / "hook"
    hook.write_text(f"#!/bin/sh\necho $1 $(grep -o '\"status\":\"[a-z]*\"') >> {log}\n")
    hook.chmod(0o755)
    names = ("createRuntime", "poststart", "poststop")
    hooks = {name: [{"path": str(hook), "args": ["hook", name]}] for name in names}
    folder = runtime.bundle("b", "true", hooks=hooks)
    runtime.create("c1", folder)
    assert log.read_text().split()[0::2] == ["createRuntime"]
    runtime("start", "c1")
    runtime.wait_for("c1", "stopped")
    runtime("delete", "c1")
    assert log.read_text().splitlines() == ['createRuntime "status":"creating"',
                                            'poststart "status":"running"',
                                            'poststop "status":"stopped"']


def test_the_console_goes_to_the_socket(runtime, tmp_path):
    spec = bundle.config("sh", "-c", "tty; stty size")
    spec["process"].update(terminal=True, consoleSize={"height": 33, "width": 77})
    folder = bundle.write(tmp_path / "b", spec, runtime.rootfs)
    assert runtime("create", "-b", folder, "c1", check=False).returncode != 0
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "console"))
        listener.listen()
        runtime.create("c1", folder, "--console-socket", tmp_path / "console")
        connection, _ = listener.accept()
        with connection:
            _, fds, _, _ = socket.recv_fds(connection, 100, 1)
    runtime("start", "c1")
    text = b""
    try:
        while chunk := os.read(fds[0], 1000):
            text += chunk
    except OSError:
        pass  # EIO: the last process closed its side
    os.close(fds[0])
    assert text.split() == [b"/dev/console", b"33", b"77"] or text.split()[1:] == [b"33", b"77"]


def test_the_container_never_sees_a_program_of_the_host(runtime):
    # CVE-2019-5736: a program that is /proc/self/exe would run whatever launched it.
    folder = runtime.bundle("b", "/proc/self/exe")
    result = runtime("run", "-b", folder, "c1", check=False)
    assert result.returncode != 0
    folder = runtime.bundle("r", "sh", "-c", "exec 3</proc/self/exe; readlink /proc/self/exe")
    assert runtime("run", "-b", folder, "c2").stdout == "/bin/busybox\n"


def test_log_entries_are_json_or_text(runtime, tmp_path):
    log = tmp_path / "log"
    runtime("start", "nosuch", check=False, globals_=("--log", log, "--log-format", "json"))
    entry = json.loads(log.read_text())
    assert entry["level"] == "error" and "does not exist" in entry["msg"] and "time" in entry
    log.unlink()
    runtime("start", "nosuch", check=False, globals_=("--log", log))
    assert 'level=error msg="' in log.read_text()


def test_spec_writes_a_valid_configuration_and_names_what_is_wrong_with_another(runtime, tmp_path):
    runtime("spec", "-b", tmp_path)
    assert runtime("spec", "--validate", tmp_path).stdout == ""
    assert runtime("spec", "-b", tmp_path, check=False).returncode != 0
    config = json.loads((tmp_path / "config.json").read_text())
    config["process"]["cwd"] = "relative"
    config["hostname"] = 7
    (tmp_path / "config.json").write_text(json.dumps(config))
    result = runtime("spec", "--validate", tmp_path, check=False)
    assert result.returncode == 1
    assert [line.split(":")[0] for line in result.stdout.splitlines()] == ["/hostname", "/process/cwd"]


def test_a_container_without_a_mount_namespace_leaves_no_mounts_behind(runtime):
    spec = bundle.config("sh", "-c", "ls /proc/self > /dev/null && echo fine")
    spec["linux"]["namespaces"] = [{"type": name} for name in ("pid", "network", "ipc", "uts")]
    folder = bundle.write(runtime.folder / "b", spec, runtime.rootfs)
    before = pathlib.Path("/proc/self/mounts").read_text()
    assert runtime("run", "-b", folder, "c1").stdout == "fine\n"
    assert pathlib.Path("/proc/self/mounts").read_text() == before


def test_a_limit_that_nothing_can_enforce_names_the_controller_or_is_logged_where_that_is_allowed(runtime, tmp_path):
    folder = runtime.bundle("unenforced", "true")
    spec = json.loads((folder / "config.json").read_text())
    spec["linux"]["resources"] = {"unified": {"nosuch.max": "1"}}
    (folder / "config.json").write_text(json.dumps(spec))
    refused = runtime("run", "--bundle", folder, "c1", check=False)
    assert refused.returncode != 0 and "nosuch" in refused.stderr and "controller" in refused.stderr
    log = tmp_path / "log"
    runtime("run", "--bundle", folder, "c1", globals_=("--allow-missing-controllers", "--log", str(log)))
    assert "nosuch" in log.read_text()


def test_it_starts_with_the_c_library_alone():
    """Each further library costs every start; libsystemd is loaded when systemd is asked for something."""
    needed = subprocess.run(["ldd", OCIRUN], text=True, check=True, stdout=subprocess.PIPE).stdout
    libraries = {pathlib.Path(line.split()[0]).name for line in needed.splitlines()}
    assert libraries <= {"linux-vdso.so.1", "libc.so.6", "libm.so.6", "ld-linux-x86-64.so.2"}
