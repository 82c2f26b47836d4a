"""Events: each once and in order, however often a watcher or the daemon goes away."""

import json
import random
import threading

import grpc
import pytest

from tests.testing import grpc_api
from tests.testing.daemon import wait_until
from tests.testing.fixtures import own_daemon  # pylint: disable=unused-import


@pytest.fixture(name="api", scope="module")
def python_api():
    return grpc_api.load()


def make_events(api, daemon, name, lives, execs):
    """Lives of a container, and execs in each."""
    bundle = daemon.bundle("sleep", "1000")
    with api.channel(daemon.socket) as channel:
        containers = api.container_grpc.ContainerServiceStub(channel)
        exec_service = api.exec_grpc.ExecServiceStub(channel)
        for _ in range(lives):
            containers.Create(api.container.CreateContainerRequest(
                container_id=name, config=api.container.ContainerConfig(bundle=str(bundle))), timeout=60)
            containers.Start(api.container.StartContainerRequest(container_id=name), timeout=60)
            for _ in range(execs):
                exec_service.Create(api.exec.CreateExecRequest(
                    container_id=name, start=True,
                    config=api.exec.ExecConfig(args=["true"], auto_delete=True)), timeout=60)
            containers.Delete(api.container.DeleteContainerRequest(container_id=name, force=True), timeout=60)


class RestlessWatcher(threading.Thread):
    """Watches, goes away at random, and comes back for what follows what it has."""

    def __init__(self, api, daemon, seed):
        super().__init__()
        self.api, self.daemon, self.random = api, daemon, random.Random(seed)
        self.events = []
        self.next = 1
        self.connections = 0
        self.until = None  # a number: the last that is wanted

    def done(self):
        return self.until is not None and self.next > self.until

    def run(self):
        while not self.done():
            self.connections += 1
            patience = self.random.randrange(1, 120)
            with self.api.channel(self.daemon.socket) as channel:
                call = self.api.event_grpc.EventServiceStub(channel).Watch(
                    self.api.event.WatchEventsRequest(from_sequence=self.next), timeout=1)
                try:
                    for event in call:
                        if event.type == self.api.event.Event.BOOKMARK:
                            continue
                        assert event.type != self.api.event.Event.GAP
                        self.events.append(event.sequence)
                        self.next = event.sequence + 1
                        patience -= 1
                        if patience == 0 or self.done():
                            break
                except grpc.RpcError as error:
                    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error
                call.cancel()


def test_watchers_that_come_and_go_see_every_event_once_and_in_order(api, fresh_daemon):
    daemon = fresh_daemon
    watchers = [RestlessWatcher(api, daemon, seed) for seed in range(3)]
    for watcher in watchers:
        watcher.start()
    makers = [threading.Thread(target=make_events, args=(api, daemon, f"c{i}", 16, 80)) for i in range(4)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    last = json.loads(daemon.ctl("--format", "json", "info").stdout)["last_event_sequence"]
    for watcher in watchers:
        watcher.until = int(last)
    for watcher in watchers:
        watcher.join(timeout=60)
        assert watcher.events == list(range(1, int(last) + 1))
        assert watcher.connections > 5
    assert int(last) > 10000


def test_ocictl_events_goes_on_over_restarts_of_the_daemon(api, fresh_daemon):
    daemon = fresh_daemon
    make_events(api, daemon, "before", 1, 0)
    first = int(json.loads(daemon.ctl("--format", "json", "info").stdout)["last_event_sequence"]) + 1
    watcher = daemon.spawn("--format", "json", "events", stdin=None)
    seen = []
    reader = threading.Thread(target=lambda: seen.extend(json.loads(line) for line in watcher.stdout))
    reader.start()
    wait_until(lambda: len(daemon.ctl("version").stdout) > 0)
    for stop in (daemon.kill, daemon.terminate, daemon.kill):
        make_events(api, daemon, "c1", 1, 2)
        wait_until(lambda: seen, what="an event")
        stop()
        daemon.start()
    make_events(api, daemon, "last", 1, 2)
    last = int(json.loads(daemon.ctl("--format", "json", "info").stdout)["last_event_sequence"])

    def numbers():
        return [int(event["sequence"]) for event in seen if event["type"] != "bookmark"]
    wait_until(lambda: numbers() and numbers()[-1] >= last, seconds=20, what="the last event")
    watcher.terminate()
    reader.join()
    watcher.communicate()
    assert numbers() == list(range(first, last + 1))
