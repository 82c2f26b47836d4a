"""Attacks on processes that are put into a running container, and on what a process is born with."""

import os
import pty
import re
import subprocess
import time

import pytest

from tests.testing.engines import Background, Ocirun, guarded_engine, _module_engine  # pylint: disable=unused-import
from tests.testing import bundle as bundles

IDLE = "echo up; trap 'exit 0' TERM; while :; do sleep 0.1; done"


@pytest.fixture(name="rootfs", scope="module")
def shared_rootfs(module_engine):
    return module_engine.rootfs()


def with_capabilities(spec, *names):
    for kind in spec["process"]["capabilities"]:
        spec["process"]["capabilities"][kind] = [*bundles.CAPABILITIES, *names]
    return spec


@pytest.fixture(name="idle", scope="module")
def idle_container(module_engine, rootfs):
    spec = bundles.config("sh", "-c", IDLE)
    spec["process"]["user"]["additionalGids"] = [5, 6]
    with Background(module_engine, spec, rootfs) as container:
        yield container.name


@pytest.mark.parametrize("way", ["watch", "trace"])
def test_the_container_cannot_look_into_what_joins_it(engine, rootfs, way):
    # CVE-2016-9962: the first process of the container traces every exec as early as it can.
    spec = with_capabilities(bundles.config("attacker", way, str(engine.canary / "secret")),
                             "CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH")
    with Background(engine, spec, rootfs) as container:
        for _ in range(50):
            engine.execute(container.name, "true")
        assert set(container.stop()) <= {"watching", "attached"}


def test_no_descriptor_of_the_runtime_is_left_open(engine, rootfs, idle):
    # CVE-2024-21626
    for result in (engine.run(bundles.config("attacker", "fds"), rootfs),
                   engine.execute(idle, "attacker", "fds")):
        assert result.ok, result
        assert sorted(line.split()[0] for line in result.out.splitlines()) == ["0", "1", "2"]


def test_a_working_directory_through_a_descriptor_is_refused(engine, rootfs, idle):
    # CVE-2024-21626: the runtime's own descriptors, by number, as the working directory.
    for fd in range(3, 51):
        assert not engine.execute(idle, "true", cwd=f"/proc/self/fd/{fd}").ok
        spec = bundles.config("true")
        spec["process"]["cwd"] = f"/proc/self/fd/{fd}"
        assert not engine.run(spec, rootfs).ok


@pytest.mark.parametrize("user, expected", [("0", "0:0"), ("1:2", "1:2"), ("4294967294", "4294967294:0")])
def test_users_by_number(engine, idle, user, expected):
    assert engine.execute(idle, "sh", "-c", "echo $(id -u):$(id -g)", user=user).out.strip() == expected


@pytest.mark.parametrize("user", ["1:", ":2", ":", "+1", " 1", "1 ", "-1", "4294967295", "4294967296",
                                  "99999999999999999999", "0x1", "1:2:3", "1:+2", "1\n", "evil"])
def test_users_that_are_none_are_refused(engine, rootfs, idle, user):
    # CVE-2026-30892, CVE-2024-40635: no wrapping, no guessing, no name that maps to root.
    with open(rootfs / "etc" / "passwd", "w", encoding="utf-8") as passwd:
        passwd.write("root:x:0:0:root:/root:/bin/sh\nevil:x:0:0::/:/bin/sh\n"
                     f"{user.strip()}:x:0:0::/:/bin/sh\n")
    assert not engine.execute(idle, "id", user=user).ok


def test_inheritable_capabilities_are_none_unless_asked_for(engine, rootfs, idle):
    # CVE-2022-29162, CVE-2022-27650
    for result in (engine.run(bundles.config("cat", "/proc/self/status"), rootfs),
                   engine.execute(idle, "cat", "/proc/self/status")):
        assert "CapInh:\t0000000000000000" in result.out and "CapAmb:\t0000000000000000" in result.out


def test_supplementary_groups_are_those_of_the_spec(engine, rootfs, idle):
    # CVE-2023-25173
    spec = bundles.config("id", "-G")
    spec["process"]["user"]["additionalGids"] = [5, 6]
    assert engine.run(spec, rootfs).out.split() == ["0", "5", "6"]
    assert engine.run(bundles.config("id", "-G"), rootfs).out.split() == ["0"]
    assert engine.execute(idle, "id", "-G").out.split() == ["0", "5", "6"]


def test_an_exec_is_in_every_namespace_and_cgroup_of_its_container(engine, idle):
    read = "for n in cgroup ipc mnt net pid time user uts; do readlink /proc/{0}/ns/$n; done; cat /proc/{0}/cgroup"
    own = engine.execute(idle, "sh", "-c", read.format("self"))
    assert own.ok and own.out == engine.execute(idle, "sh", "-c", read.format(1)).out
    assert own.out.count("[") == 8


def test_a_container_that_fakes_proc_gets_no_more_from_an_exec(engine, rootfs):
    # What the exec needs of procfs it must not take from the container's (CVE-2019-16884 for execs).
    fake = ("mount -t tmpfs t /proc && mkdir -p /proc/self/attr /proc/self/fd /proc/thread-self && "
            "touch /proc/self/attr/exec /proc/self/oom_score_adj /proc/self/uid_map; ")
    spec = with_capabilities(bundles.config("sh", "-c", fake + IDLE), "CAP_SYS_ADMIN")
    with Background(engine, spec, rootfs) as container:
        assert container.lines == ["up"]
        written = "cat /proc/self/attr/exec /proc/self/oom_score_adj /proc/self/uid_map | wc -c"
        assert engine.execute(container.name, "sh", "-c", written).out == "0\n"


def test_the_terminal_of_the_caller_is_not_the_containers(engine, rootfs):
    # A controlling terminal would take input from the container (TIOCSTI) and pass on its signals.
    if not isinstance(engine, Ocirun):
        pytest.skip("a container of ocid never has a terminal of its caller")
    folder = engine.bundle(bundles.config("sh", "-c", "(: < /dev/tty) 2> /dev/null && echo CONTROLS; echo end"),
                           rootfs)
    pid, master = pty.fork()
    if pid == 0:
        os.execv(engine.command[0], [*map(str, engine.command), "run", "-b", str(folder), "terminal"])
    text = b""
    try:
        while chunk := os.read(master, 1000):
            text += chunk
    except OSError:
        pass
    os.close(master)
    os.waitpid(pid, 0)
    assert b"end" in text and b"CONTROLS" not in text


def test_no_abstract_socket_answers_a_container_in_the_hosts_network(engine, rootfs):
    # CVE-2020-15257
    def abstract():
        with open("/proc/net/unix", encoding="utf-8", errors="replace") as table:
            return {line.split()[-1] for line in table if "@" in line and re.search("oci|supervisor", line)}
    spec = bundles.config("sh", "-c", IDLE)
    spec["linux"]["namespaces"] = [n for n in spec["linux"]["namespaces"] if n["type"] != "network"]
    with Background(engine, spec, rootfs):
        assert abstract() == set()


def test_other_users_of_the_host_see_nothing_of_a_container(engine, idle):
    # CVE-2021-41103: setuid files of a root file system must not be within reach.
    assert idle
    for folder in engine.private_folders():
        assert os.stat(folder).st_mode & 0o077 == 0, folder
        listed = subprocess.run(["ls", folder], user=12345, group=12345, stderr=subprocess.PIPE, check=False)
        assert listed.returncode != 0


def test_an_exec_that_floods_its_output_costs_no_memory(engine, idle):
    # CVE-2022-31030: nobody reads what it writes.
    if isinstance(engine, Ocirun):
        pytest.skip("ocirun keeps no output")
    def resident():
        with open(f"/proc/{engine.daemon.process.pid}/status", encoding="utf-8") as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1))
    before = resident()
    floods = [engine.daemon.spawn("exec", idle, "--", "yes") for _ in range(4)]
    time.sleep(1)
    grown = resident() - before
    for flood in floods:
        flood.kill()
        flood.communicate()
    assert grown < 32 * 1024, f"{grown} KiB more"
