"""Drives the daemon from Python's grpcio with code generated from the .proto files alone."""

import queue

import grpc
import pytest
from google.protobuf import any_pb2

from tests.testing import grpc_api
from tests.testing.fixtures import shared_daemon  # noqa: F401  (a fixture)

STOPPED = 7


@pytest.fixture(name="api", scope="module")
def generated_api():
    return grpc_api.load()


@pytest.fixture(name="channel", scope="module")
def open_channel(api, daemon):
    with api.channel(daemon.socket) as channel:
        yield channel


@pytest.fixture(name="containers")
def container_stub(api, channel):
    return api.container_grpc.ContainerServiceStub(channel)


@pytest.fixture(name="execs")
def exec_stub(api, channel):
    return api.exec_grpc.ExecServiceStub(channel)


@pytest.fixture(name="running")
def running_container(api, daemon, containers):
    """A container that runs for as long as the test does."""
    make(api, daemon, containers, "running", "sh", "-c", "echo out; echo err >&2; exec sleep 1000")
    containers.Start(api.container.StartContainerRequest(container_id="running"))
    yield "running"
    containers.Delete(api.container.DeleteContainerRequest(container_id="running", force=True))


def make(api, daemon, containers, container_id, *args):
    config = api.container.ContainerConfig(bundle=str(daemon.bundle(*args)))
    return containers.Create(
        api.container.CreateContainerRequest(container_id=container_id, config=config))


def details(error):
    """The google.rpc details of an RpcError, by type."""
    blob = dict(error.trailing_metadata())["grpc-status-details-bin"]
    # google.rpc.Status is {code: 1, message: 2, repeated Any details: 3}.
    found = {}
    for number, value in fields(blob):
        if number == 3:
            detail = any_pb2.Any.FromString(value)
            found[detail.type_url.rsplit(".", 1)[1]] = detail.value
    return found


def fields(blob):
    """The length-delimited fields of a protobuf message: (number, bytes)."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = blob[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(blob):
        tag = varint()
        if tag & 7 == 0:
            varint()
            continue
        assert tag & 7 == 2
        size = varint()
        yield tag >> 3, blob[at:at + size]
        at += size


def reason(error):
    """The stable reason: field 1 of google.rpc.ErrorInfo."""
    return dict(fields(details(error)["ErrorInfo"]))[1].decode()


def violations(error):
    """The fields that google.rpc.BadRequest names."""
    return [dict(fields(value))[1].decode() for number, value in fields(details(error)["BadRequest"])
            if number == 1]


def test_create_start_wait_delete(api, daemon, containers):
    made = make(api, daemon, containers, "one", "sh", "-c", "exit 7")
    assert made.state == api.container.CONTAINER_STATE_CREATED
    assert made.pid > 0
    containers.Start(api.container.StartContainerRequest(container_id="one"))
    ended = containers.Wait(api.container.WaitContainerRequest(container_id="one"), timeout=30)
    assert ended.exit_status.known
    assert ended.exit_status.code == 7
    assert containers.Get(
        api.container.GetContainerRequest(container_id="one")).state == STOPPED
    containers.Delete(api.container.DeleteContainerRequest(container_id="one"))
    with pytest.raises(grpc.RpcError) as caught:
        containers.Get(api.container.GetContainerRequest(container_id="one"))
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    assert reason(caught.value) == "CONTAINER_NOT_FOUND"


def test_exec_exits_with_its_own_code(api, execs, running):
    config = api.exec.ExecConfig(args=["sh", "-c", "exit 9"])
    made = execs.Create(
        api.exec.CreateExecRequest(container_id=running, config=config, start=True))
    ended = execs.Wait(
        api.exec.WaitExecRequest(container_id=running, exec_id=made.id), timeout=30)
    assert ended.exit_status.code == 9
    execs.Delete(api.exec.DeleteExecRequest(container_id=running, exec_id=made.id))


def test_attach_carries_both_directions_to_the_last_byte(api, execs, running):
    config = api.exec.ExecConfig(args=["cat"], open_stdin=True)
    made = execs.Create(api.exec.CreateExecRequest(container_id=running, config=config))
    sent = b"".join(b"line %d\n" % number for number in range(50_000))
    requests = queue.Queue()
    requests.put(api.exec.AttachRequest(open=api.exec.AttachRequest.Open(
        container_id=running, exec_id=made.id, start=True)))
    for at in range(0, len(sent), 100_000):
        requests.put(api.exec.AttachRequest(stdin=sent[at:at + 100_000]))
    requests.put(api.exec.AttachRequest(close_stdin=True))
    received = b""
    kinds = []
    for response in execs.Attach(iter(requests.get, None), timeout=60):
        kind = response.WhichOneof("message")
        if kind == "stdout":
            assert response.stdout.offset == len(received)
            received += response.stdout.data
        else:
            kinds.append(kind)
    requests.put(None)
    assert kinds == ["opened", "exit"]
    assert received == sent
    assert response.exit.code == 0


def test_attach_resizes_a_terminal(api, execs, running):
    config = api.exec.ExecConfig(args=["sh", "-c", "read x; stty size"], terminal=True,
                                 open_stdin=True)
    made = execs.Create(api.exec.CreateExecRequest(container_id=running, config=config))
    requests = queue.Queue()
    requests.put(api.exec.AttachRequest(open=api.exec.AttachRequest.Open(
        container_id=running, exec_id=made.id, start=True)))
    size = api.types.ConsoleSize(rows=33, columns=111)
    requests.put(api.exec.AttachRequest(resize=size))
    requests.put(api.exec.AttachRequest(stdin=b"go\n"))
    output = b""
    for response in execs.Attach(iter(requests.get, None), timeout=60):
        output += response.stdout.data
    requests.put(None)
    assert b"33 111" in output


def test_attach_tells_where_what_is_kept_begins(api, execs, running):
    config = api.exec.ExecConfig(args=["sh", "-c", "yes | head -c 1000000; read x"], open_stdin=True)
    made = execs.Create(
        api.exec.CreateExecRequest(container_id=running, config=config, start=True))
    requests = queue.Queue()
    opening = api.exec.AttachRequest(open=api.exec.AttachRequest.Open(
        container_id=running, exec_id=made.id))
    requests.put(opening)
    stream = execs.Attach(iter(requests.get, None), timeout=60)
    at = next(stream).opened.stdout_offset
    while at < 1_000_000:
        output = next(stream).stdout
        assert output.offset == at
        at += len(output.data)
    assert at == 1_000_000
    requests.put(api.exec.AttachRequest(stdin=b"\n"))
    assert next(stream).exit.known
    requests.put(None)


def test_logs_name_their_streams(api, channel, running):
    logs = api.log_grpc.LogServiceStub(channel)
    follow = logs.Read(api.log.ReadLogRequest(container_id=running, follow=True), timeout=30)
    entries = {next(follow).data: None for _ in range(2)}
    follow.cancel()
    assert set(entries) == {b"out\n", b"err\n"}
    only = list(logs.Read(api.log.ReadLogRequest(container_id=running,
                                                 stream=api.log.LOG_STREAM_STDERR)))
    assert [entry.data for entry in only] == [b"err\n"]


def test_events_are_numbered_without_gaps(api, channel, running):
    events = api.event_grpc.EventServiceStub(channel)
    seen = list(events.Watch(api.event.WatchEventsRequest(from_sequence=1, no_follow=True)))
    assert [event.sequence for event in seen] == list(range(1, len(seen) + 1))
    assert any(event.container_id == running for event in seen)


def test_every_violation_of_a_bad_request_is_named(api, containers):
    config = api.container.ContainerConfig(bundle="relative", stop_signal="SIGNONE")
    with pytest.raises(grpc.RpcError) as caught:
        containers.Create(
            api.container.CreateContainerRequest(container_id="../x", config=config))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert reason(caught.value) == "INVALID_REQUEST"
    assert violations(caught.value) == ["container_id", "config.bundle", "config.stop_signal"]


def test_a_deadline_ends_the_waiting_and_not_the_container(api, containers, running):
    with pytest.raises(grpc.RpcError) as caught:
        containers.Wait(api.container.WaitContainerRequest(container_id=running), timeout=0.2)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    state = containers.Get(api.container.GetContainerRequest(container_id=running)).state
    assert state == api.container.CONTAINER_STATE_RUNNING


def test_a_daemon_without_plugins_lists_none(api, channel):
    plugins = api.plugin_grpc.PluginServiceStub(channel)
    assert not plugins.List(api.plugin.ListPluginsRequest()).plugins


@pytest.mark.parametrize("service", ["", "ocid.v1.ContainerService", "ocid.v1.EventService"])
def test_health_is_serving(channel, service):
    check = channel.unary_unary("/grpc.health.v1.Health/Check")
    name = service.encode()
    # HealthCheckRequest{service: 1} and HealthCheckResponse{status: 1}, SERVING = 1.
    request = b"\x0a" + bytes([len(name)]) + name if name else b""
    assert check(request) == b"\x08\x01"


def test_reflection_lists_the_services(channel):
    info = channel.stream_stream(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
    # ServerReflectionRequest{list_services: 7}.
    answer = next(info(iter([b"\x3a\x01*"])))
    for service in ("Container", "Exec", "Log", "Event", "Device", "Image", "Plugin", "System"):
        assert f"ocid.v1.{service}Service".encode() in answer
