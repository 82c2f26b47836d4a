"""Who gets in, and what they may do then: every row of the security table."""

import os
import resource
import socket
import ssl
import struct
import subprocess
import time

import grpc
import pytest

from tests.testing import grpc_api
from tests.testing.certificates import Authority
from tests.testing.daemon import OCICTL, OCID, wait_until
from tests.testing.remote import RemoteDaemon

OK = grpc.StatusCode.OK
DENIED = grpc.StatusCode.PERMISSION_DENIED
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED

ROLES = ("admin=cn:admin", "operator=ou:deploy", "viewer=cn:viewer")
IDLE_CONNECTIONS = 10_000
HANDSHAKE_SECONDS = 2
CALL_SECONDS = 4


@pytest.fixture(name="api", scope="module")
def loaded_api():
    return grpc_api.load()


@pytest.fixture(name="remote", scope="module")
def remote_daemon(api, tmp_path_factory):
    remote = RemoteDaemon(tmp_path_factory.mktemp("remote"), api, "--handshake-timeout",
                          f"{HANDSHAKE_SECONDS}s", "--call-timeout", f"{CALL_SECONDS}s")
    yield remote
    remote.close()


@pytest.fixture(autouse=True)
def usual_roles(remote):
    remote.set_roles(*ROLES)
    remote.reload()


@pytest.fixture(name="clients", scope="module")
def client_certificates(remote):
    issue = remote.authority.issue
    return {"admin": issue("admin"), "viewer": issue("viewer"), "nobody": issue("nobody"),
            "ci": issue("ci", unit="deploy"), "other": issue("other", unit="deploy")}


def reason_of(error):
    """The google.rpc.ErrorInfo's reason, out of the details' bytes."""
    details = dict(error.trailing_metadata())["grpc-status-details-bin"]
    return next(name for name in ("NOT_OWNER", "PERMISSION_DENIED", "UNAUTHENTICATED", "INTERNAL")
                if name.encode() in details)


def create(remote, channel, name):
    return remote.containers(channel).Create(remote.api.container.CreateContainerRequest(
        container_id=name,
        config=remote.api.container.ContainerConfig(bundle=str(remote.daemon.bundle("sleep", "60")))))


def kill(remote, channel, name):
    remote.containers(channel).Kill(
        remote.api.container.KillContainerRequest(container_id=name, signal="KILL"))


# ---- Connecting

def test_plaintext_tcp_is_refused_at_the_start(tmp_path):
    done = subprocess.run(
        [OCID, "--root", tmp_path / "r", "--state", tmp_path / "s", "--listen", "tcp://127.0.0.1:0"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert "plaintext TCP is not offered" in done.stderr
    assert "tls-cert" in done.stderr


def test_no_client_certificate(remote):
    with remote.channel() as channel:
        assert remote.list_code(channel) == UNAVAILABLE


def test_plaintext_on_the_tls_port(remote):
    with grpc.insecure_channel(f"localhost:{remote.port}") as channel:
        assert remote.list_code(channel) == UNAVAILABLE


def test_an_expired_certificate(remote):
    expired = remote.authority.issue("expired", dates=("200101000000Z", "200102000000Z"))
    with remote.channel(expired) as channel:
        assert remote.list_code(channel) == UNAVAILABLE


def test_a_certificate_of_another_authority(remote, tmp_path):
    stranger = Authority(tmp_path, "other").issue("admin")
    with remote.channel(stranger) as channel:
        assert remote.list_code(channel) == UNAVAILABLE


def test_tls_1_1_is_not_spoken(remote, clients):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(*clients["admin"])
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1_1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", remote.port), timeout=10) as raw:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            context.wrap_socket(raw).close()


def test_a_revoked_certificate_is_refused_also_on_a_connection_that_is_open(remote):
    revoked = remote.authority.issue("leaver", unit="deploy")
    with remote.channel(revoked) as channel:
        assert remote.list_code(channel) == OK
        watch = remote.watch(channel)
        remote.authority.revoke(revoked[0])
        remote.publish_crl()
        remote.until_code(channel, UNAUTHENTICATED)
        with pytest.raises(grpc.RpcError) as ended:  # and so is a call that is under way
            list(watch)
        assert ended.value.code() == UNAUTHENTICATED
        with remote.channel(revoked) as another:
            assert remote.list_code(another) == UNAVAILABLE
    last = remote.audit()[-1]
    assert last["reason"] == "UNAUTHENTICATED"


def test_the_daemons_certificate_is_changed_under_live_connections(remote, clients):
    def serial():
        context = ssl.create_default_context(cafile=remote.authority.certificate)
        context.load_cert_chain(*clients["viewer"])
        with socket.create_connection(("localhost", remote.port), timeout=10) as raw:
            with context.wrap_socket(raw, server_hostname="localhost") as tls:
                return tls.getpeercert()["serialNumber"]

    with remote.channel(clients["viewer"]) as channel:
        assert remote.list_code(channel) == OK
        before = serial()
        remote.install(*remote.authority.issue("server2", server=True))
        # A handshake in the middle of the change is as good as one before or after it.
        wait_until(lambda: serial() != before or time.sleep(0.1), 10, "new certificate")
        assert remote.list_code(channel) == OK


def test_half_of_a_certificate_change_leaves_what_was_there(remote, clients):
    certificate, _ = remote.authority.issue("server3", server=True)
    kept = remote.tls["cert"].read_bytes()
    remote.tls["cert"].write_bytes(certificate.read_bytes())
    try:
        wait_until(lambda: remote.log_count("TLS files not read again") > 0, what="told in the log")
        with remote.channel(clients["viewer"]) as channel:
            assert remote.list_code(channel) == OK
    finally:
        remote.tls["cert"].write_bytes(kept)


def test_ocictl_over_tls(remote, clients):
    certificate, key = clients["viewer"]
    host = ["--host", f"tcp://localhost:{remote.port}"]
    tls = ["--tls-cert", certificate, "--tls-key", key, "--tls-ca", remote.authority.certificate]

    def run(*arguments):
        return subprocess.run([OCICTL, *host, *arguments], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30,
                              check=False)

    listed = run(*tls, "list", "--format", "json")
    assert (listed.returncode, listed.stdout.strip()) == (0, "[]"), listed
    assert "PERMISSION_DENIED" in run(*tls, "delete", "x").stderr
    assert "--tls-cert" in run("--tls-cert", "/nowhere", "list").stderr


# ---- Roles

def test_who_has_no_role_may_do_nothing(remote, clients):
    with remote.channel(clients["nobody"]) as channel:
        assert remote.list_code(channel) == DENIED


def test_a_viewer_that_calls_kill(remote, clients):
    with remote.channel(clients["viewer"]) as channel:
        assert remote.list_code(channel) == OK
        with pytest.raises(grpc.RpcError) as denied:
            kill(remote, channel, "whatever")
    assert denied.value.code() == DENIED
    assert reason_of(denied.value) == "PERMISSION_DENIED"
    last = remote.audit()[-1]
    assert (last["who"], last["role"], last["code"]) == ("cn:viewer", "viewer", "PERMISSION_DENIED")
    assert last["method"] == "ocid.v1.ContainerService/Kill"
    assert last["container"] == "whatever"
    assert last["peer"].startswith(("ipv4:", "ipv6:"))


def test_an_operator_and_somebody_elses_container(remote, clients):
    with remote.channel(clients["ci"]) as ours, remote.channel(clients["other"]) as theirs:
        assert create(remote, ours, "ours").owner == "cn:ci"
        try:
            with pytest.raises(grpc.RpcError) as denied:
                kill(remote, theirs, "ours")
            assert denied.value.code() == DENIED
            assert reason_of(denied.value) == "NOT_OWNER"
            attach = remote.api.exec_grpc.ExecServiceStub(theirs).Attach(iter([
                remote.api.exec.AttachRequest(open=remote.api.exec.AttachRequest.Open(
                    container_id="ours"))]))
            with pytest.raises(grpc.RpcError) as denied:
                next(attach)
            assert reason_of(denied.value) == "NOT_OWNER"
            kill(remote, ours, "ours")
        finally:
            with remote.channel(clients["admin"]) as admin:
                remote.containers(admin).Delete(remote.api.container.DeleteContainerRequest(
                    container_id="ours", force=True))


def test_a_role_that_is_revoked_is_gone_for_the_next_call(remote, clients):
    with remote.channel(clients["viewer"]) as channel:
        assert remote.list_code(channel) == OK
        remote.set_roles()
        remote.reload()
        assert remote.list_code(channel) == DENIED


def test_a_configuration_that_is_wrong_changes_no_role(remote, clients):
    remote.config.write_text("role: [viewer=cn]\n")
    before = remote.log_count("configuration not read again")
    remote.daemon.process.send_signal(1)
    wait_until(lambda: remote.log_count("configuration not read again") > before, what="told")
    with remote.channel(clients["viewer"]) as channel:
        assert remote.list_code(channel) == OK


def test_a_local_user_without_a_role(remote, api):
    """A user that may connect, by the group of the socket, and whom a line takes the role away."""
    remote.set_roles("none=uid:65534")
    remote.reload()
    os.chmod(remote.daemon.folder, 0o711)
    remote.daemon.socket.chmod(0o666)
    try:
        code = ("import os, sys, grpc\nos.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
                "call = grpc.insecure_channel('unix://' + sys.argv[1]).unary_unary(\n"
                "    '/ocid.v1.ContainerService/List')\n"
                "call(b'', timeout=10)\n")
        done = subprocess.run(["/usr/bin/python3", "-c", code, str(remote.daemon.socket)], cwd="/",
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30,
                              check=False)
    finally:
        remote.daemon.socket.chmod(0o660)
    assert "PERMISSION_DENIED" in done.stderr, done
    assert remote.audit()[-1]["who"] == "uid:65534"
    with api.channel(remote.daemon.socket) as root:
        assert remote.list_code(root) == OK


# ---- Clients that mean no good

def get_times(remote, channel, calls=300):
    """Seconds that Lists of a good client take, sorted."""
    times = []
    for _ in range(calls):
        begin = time.monotonic()
        assert remote.list_code(channel) == OK
        times.append(time.monotonic() - begin)
    return sorted(times)


def resident_bytes(remote):
    for line in open(f"/proc/{remote.daemon.process.pid}/status", encoding="ascii"):
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


def connect_unix(remote):
    raw = socket.socket(socket.AF_UNIX)
    raw.connect(str(remote.daemon.socket))
    return raw


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(
        ">I", stream) + payload


def literal(name, value):
    """HPACK: a literal header that is not indexed (RFC 7541, 6.2.2)."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0)
HEADERS = (literal(b":method", b"POST") + literal(b":scheme", b"http") +
           literal(b":path", b"/ocid.v1.ContainerService/Get") + literal(b":authority", b"x") +
           literal(b"te", b"trailers") + literal(b"content-type", b"application/grpc"))


def test_idle_connections_hurt_nobody(remote, api):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(IDLE_CONNECTIONS, hard - 1000)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    idle = []
    try:
        with api.channel(remote.daemon.socket) as channel:
            before = get_times(remote, channel)
            memory = resident_bytes(remote)
            for _ in range(count):
                idle.append(connect_unix(remote))
                idle[-1].send(PREFACE)
            with api.channel(remote.daemon.socket) as late:
                assert remote.list_code(late) == OK
            after = get_times(remote, channel)
            per_connection = (resident_bytes(remote) - memory) / count
        print(f"{count} idle connections: p50 {before[150] * 1e6:.0f} -> {after[150] * 1e6:.0f} us, "
              f"p99 {before[296] * 1e6:.0f} -> {after[296] * 1e6:.0f} us, "
              f"{per_connection / 1024:.1f} KiB each")
        assert after[150] < before[150] * 3 + 0.002
        assert after[296] < 0.1
        assert per_connection < 64 * 1024
        # None was hung up on to make room.
        assert not any(closed(raw) for raw in idle[::100])
    finally:
        for raw in idle:
            raw.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def closed(raw):
    """True where the other end has hung up."""
    raw.setblocking(False)
    try:
        while True:
            if raw.recv(65536) == b"":
                return True
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def test_a_tls_handshake_that_does_not_go_on_is_ended(remote):
    slow = [socket.create_connection(("127.0.0.1", remote.port)) for _ in range(50)]
    for raw in slow:
        raw.send(b"\x16\x03\x01")  # a record that begins
    wait_until(lambda: all(map(closed, slow)) or time.sleep(0.1), HANDSHAKE_SECONDS + 5, "closed")
    for raw in slow:
        raw.close()


def test_slow_loris_streams_hurt_nobody(remote, api):
    """Calls that are begun and never go on, as many as a connection may have, on 20 connections, and as
    many connections again that send their first request a byte at a time."""
    memory = resident_bytes(remote)
    streams = b"".join(frame(1, 4, 2 * i + 1, HEADERS) for i in range(1024))
    raws = [connect_unix(remote) for _ in range(40)]
    try:
        for raw in raws[:20]:
            raw.sendall(PREFACE + streams)
        for raw in raws[20:]:
            raw.sendall(PREFACE + frame(1, 4, 1, HEADERS)[:5])
        with api.channel(remote.daemon.socket) as channel:
            for at in range(5, 25):
                for raw in raws[20:]:
                    raw.send(frame(1, 4, 1, HEADERS)[at:at + 1])
                assert remote.list_code(channel) == OK
            times = get_times(remote, channel)
        print(f"slow streams: p50 {times[150] * 1e6:.0f} us, p99 {times[296] * 1e6:.0f} us, "
              f"{(resident_bytes(remote) - memory) >> 20} MiB for {20 * 1024} calls")
        assert times[296] < 0.1
        # One call more is refused or waits; it does not get in.
        raws[0].send(frame(1, 4, 2 * 1024 + 1, HEADERS))
    finally:
        for raw in raws:
            raw.close()
    with api.channel(remote.daemon.socket) as channel:
        assert remote.list_code(channel) == OK


def test_a_call_without_a_deadline_does_not_wait_for_ever(remote, api):
    """The operation goes on: the container stops in the end."""
    remote.daemon.run_detached("stubborn", "sh", "-c", "trap '' TERM; while :; do sleep 1; done")
    try:
        with api.channel(remote.daemon.socket) as channel:
            stop = api.container.StopContainerRequest(container_id="stubborn")
            stop.grace.seconds = CALL_SECONDS + 2
            begin = time.monotonic()
            with pytest.raises(grpc.RpcError) as late:
                remote.containers(channel).Stop(stop)
            assert late.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
            assert CALL_SECONDS - 0.5 < time.monotonic() - begin < CALL_SECONDS + 1.5
            remote.containers(channel).Wait(
                api.container.WaitContainerRequest(container_id="stubborn"), timeout=20)
    finally:
        remote.daemon.ctl("delete", "-f", "stubborn")


def test_a_message_that_is_too_large(remote, api):
    with api.channel(remote.daemon.socket) as channel:
        request = api.container.GetContainerRequest(container_id="x" * (17 << 20))
        with pytest.raises(grpc.RpcError) as refused:
            remote.containers(channel).Get(request)
        assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert remote.list_code(channel) == OK


def test_messages_that_are_none(remote, api):
    with api.channel(remote.daemon.socket) as channel:
        for payload in (b"\xff" * 100, b"\x0a\xff\xff\xff\xff\x0f", os.urandom(1000)):
            call = channel.unary_unary("/ocid.v1.ContainerService/Kill")
            with pytest.raises(grpc.RpcError):
                call(payload, timeout=5)
        with pytest.raises(grpc.RpcError) as unknown:
            channel.unary_unary("/ocid.v1.ContainerService/NoSuchMethod")(b"", timeout=5)
        assert unknown.value.code() == grpc.StatusCode.UNIMPLEMENTED
        assert remote.list_code(channel) == OK


def test_bytes_that_are_no_http2(remote, api):
    garbage = [os.urandom(4096), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", PREFACE[:-1],
               PREFACE + frame(1, 4, 1, b"\xff" * 1000), PREFACE + frame(9, 0, 1, b"x" * 100),
               PREFACE + struct.pack(">I", 0xffffff)[1:] + b"\0\0\0\0\0\1", PREFACE + frame(4, 0, 0, b"x"),
               PREFACE + frame(1, 4, 1, HEADERS) + frame(0, 1, 1, b"\0\xff\xff\xff\xff")]
    for data in garbage:
        raw = connect_unix(remote)
        raw.sendall(data)
        raw.close()
    for data in garbage[:2]:
        raw = socket.create_connection(("127.0.0.1", remote.port))
        raw.sendall(data)
        raw.close()
    with api.channel(remote.daemon.socket) as channel:
        assert remote.list_code(channel) == OK
    assert remote.daemon.process.poll() is None
