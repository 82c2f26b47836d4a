"""ocid as a service of the systemd that runs here, from deploy/systemd, and its API."""

import contextlib
import pathlib
import subprocess

import grpc

from tests.testing import grpc_api
from tests.testing.daemon import OCID, SUPERVISOR, wait_until

UNITS = pathlib.Path("/etc/systemd/system")
SOCKET = pathlib.Path("/run/ocid/ocid.sock")
LOG = pathlib.Path("/tmp/ocid.log")
SUPERVISORS = "ocid.supervisors.scope"


def systemctl(*args, check=True):
    """Its output, without the last newline."""
    done = subprocess.run(["systemctl", *args], check=False, text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)
    if check and done.returncode != 0:
        said = LOG.read_text() if LOG.exists() else ""
        raise AssertionError(f"systemctl {' '.join(args)}: {done.stdout}\nocid says:\n{said[-4000:]}")
    return done.stdout.rstrip("\n")


def show(unit, *names):
    """Properties of a unit, as an administrator sees them."""
    lines = systemctl("show", *[f"--property={name}" for name in names], unit).splitlines()
    return dict(line.split("=", 1) for line in lines)


def install(root, *settings):
    """Installs the units that we ship, with the programs that were built, and starts the service.

    `root` is where its data goes; `settings` are lines for [Service].
    """
    systemd_sysusers = ["systemd-sysusers", pathlib.Path("deploy/systemd/ocid.sysusers").resolve()]
    subprocess.run(systemd_sysusers, check=True)  # the socket's group
    for name in ("ocid.service", "ocid.socket"):
        (UNITS / name).write_text(pathlib.Path("deploy/systemd", name).read_text())
    drop_in = UNITS / "ocid.service.d"
    drop_in.mkdir(exist_ok=True)
    (drop_in / "test.conf").write_text("\n".join([
        "[Service]", "ExecStart=",
        f"ExecStart={pathlib.Path(OCID).resolve()} --root {root} --supervisor {pathlib.Path(SUPERVISOR).resolve()}",
        f"StandardError=append:{LOG}", *settings, ""]))
    systemctl("daemon-reload")
    systemctl("start", "ocid.socket")
    systemctl("start", "ocid.service")


def main_pid():
    return int(show("ocid.service", "MainPID")["MainPID"])


def cgroup_of(pid):
    """The directory of a process's cgroup in cgroup2."""
    for line in pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        if line.startswith("0::"):
            unified = pathlib.Path("/sys/fs/cgroup/unified")
            return (unified if unified.exists() else unified.parent) / line[4:]
    raise AssertionError(f"process {pid} is in no cgroup")


class Api:
    """The daemon's API over its socket, calls by name: api.start("web")."""

    def __init__(self, modules=None):
        self.m = modules or grpc_api.load()

    @contextlib.contextmanager
    def _connected(self, service):
        # Each call has a connection of its own: daemons come and go in between.
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(f"unix://{SOCKET}", options=options) as channel:
            yield getattr(getattr(self.m, f"{service}_grpc"), f"{service.title()}ServiceStub")(channel)

    def _call(self, name, request, container="", **fields):
        if isinstance(request, str):
            request = getattr(self.m.container, request)(container_id=container, **fields)
        with self._connected("container") as stub:
            return getattr(stub, name)(request, timeout=120, wait_for_ready=True)

    def create(self, container, bundle, **config):
        return self._call("Create", "CreateContainerRequest", container,
                          config=self.m.container.ContainerConfig(bundle=str(bundle), **config))

    def start(self, container):
        return self._call("Start", "StartContainerRequest", container)

    def run(self, container, bundle, **config):
        self.create(container, bundle, **config)
        return self.start(container)

    def get(self, container):
        return self._call("Get", "GetContainerRequest", container)

    def state(self, container):
        return self.m.container.ContainerState.Name(self.get(container).state).removeprefix("CONTAINER_STATE_")

    def wait(self, container):
        return self._call("Wait", "WaitContainerRequest", container).exit_status

    def stats(self, container):
        return self._call("GetStats", "GetStatsRequest", container)

    def stop(self, container, seconds=0):
        request = self.m.container.StopContainerRequest(container_id=container)
        request.grace.seconds = seconds
        return self._call("Stop", request)

    def delete(self, container):
        return self._call("Delete", "DeleteContainerRequest", container, force=True)

    def update(self, container, resources, *paths):
        request = self.m.container.UpdateContainerRequest(container_id=container, resources=resources)
        request.update_mask.paths.extend(f"resources.{path}" for path in paths)
        return self._call("Update", request)

    def final_spec(self, container):
        return self._call("InspectOciSpec", "InspectOciSpecRequest", container).final.json

    def exec(self, container, *args):
        """Runs a program inside and gives its exit code."""
        with self._connected("exec") as stub:
            made = stub.Create(self.m.exec.CreateExecRequest(
                container_id=container, start=True,
                config=self.m.exec.ExecConfig(args=args, auto_delete=True)), timeout=120)
            return stub.Wait(self.m.exec.WaitExecRequest(
                container_id=container, exec_id=made.id), timeout=120).exit_status.code

    def ids(self):
        request = self.m.container.ListContainersRequest(page_size=1000)
        return [container.id for container in self._call("List", request).containers]

    def events_of(self, container, kind):
        """How many events of this kind it has had."""
        number = self.m.event.Event.Type.Value(kind)
        with self._connected("event") as stub:
            watch = stub.Watch(self.m.event.WatchEventsRequest(from_sequence=1, no_follow=True), timeout=120)
            return sum(1 for event in watch if event.container_id == container and event.type == number)

    def wait_for(self, container, state):
        wait_until(lambda: self.state(container) == state, seconds=60, what=f"{container} is {state}")
