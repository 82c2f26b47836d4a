"""Hundreds of containers come and go and leave nothing behind."""

import threading

import pytest

from tests.testing import grpc_api
from tests.testing.fixtures import own_daemon  # pylint: disable=unused-import


@pytest.fixture(name="api", scope="module")
def python_api():
    return grpc_api.load()


def live_once(api, containers, bundle, name):
    """create, start, wait, delete of one container; its exit code."""
    config = api.container.ContainerConfig(bundle=str(bundle))
    containers.Create(api.container.CreateContainerRequest(container_id=name, config=config), timeout=60)
    containers.Start(api.container.StartContainerRequest(container_id=name), timeout=60)
    code = containers.Wait(api.container.WaitContainerRequest(container_id=name), timeout=60).exit_status.code
    containers.Delete(api.container.DeleteContainerRequest(container_id=name), timeout=60)
    return code


def test_two_hundred_in_a_row(api, fresh_daemon):
    daemon = fresh_daemon
    bundle = daemon.bundle("true")
    with api.channel(daemon.socket) as channel:
        containers = api.container_grpc.ContainerServiceStub(channel)
        assert live_once(api, containers, bundle, "warm-up") == 0
        before = daemon.steady_census()
        assert [live_once(api, containers, bundle, f"c{i}") for i in range(200)] == [0] * 200
        daemon.must_return_to(before)


def test_two_hundred_by_eight_clients_at_once(api, fresh_daemon):
    daemon = fresh_daemon
    bundle = daemon.bundle("true")
    channels = [api.channel(daemon.socket) for _ in range(8)]
    stubs = [api.container_grpc.ContainerServiceStub(channel) for channel in channels]
    for i, stub in enumerate(stubs):
        assert live_once(api, stub, bundle, f"warm-up-{i}") == 0
    before = daemon.steady_census()
    codes, failures = [], []

    def client(number):
        try:
            for i in range(25):
                codes.append(live_once(api, stubs[number], bundle, f"c{number}-{i}"))
        except Exception as error:  # pylint: disable=broad-except
            failures.append(error)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures and codes == [0] * 200
    daemon.must_return_to(before)
    for channel in channels:
        channel.close()


def test_a_hundred_execs_leave_nothing_in_daemon_or_supervisor(api, fresh_daemon):
    daemon = fresh_daemon
    daemon.run_detached("host", "sleep", "1000")
    with api.channel(daemon.socket) as channel:
        execs = api.exec_grpc.ExecServiceStub(channel)

        def run_one(name):
            execs.Create(api.exec.CreateExecRequest(
                container_id="host", exec_id=name, start=True,
                config=api.exec.ExecConfig(args=["true"], auto_delete=True)), timeout=60)
            return execs.Wait(api.exec.WaitExecRequest(container_id="host", exec_id=name), timeout=60).exit_status.code

        assert run_one("warm-up") == 0
        before = daemon.steady_census()
        assert [run_one(f"e{i}") for i in range(100)] == [0] * 100
        daemon.must_return_to(before)
