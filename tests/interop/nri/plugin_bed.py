"""A daemon that plugins can connect to, and programs that do."""

import json
import pathlib
import shutil
import subprocess
import tempfile

from tests.testing.daemon import Daemon, wait_until


EVENTS = ",".join(("RunPodSandbox", "StopPodSandbox", "RemovePodSandbox", "CreateContainer",
                   "PostCreateContainer", "StartContainer", "PostStartContainer", "UpdateContainer",
                   "PostUpdateContainer", "StopContainer", "RemoveContainer"))


class PluginBed:
    """A daemon of the test's own with an NRI socket; everything is gone after close()."""

    def __init__(self, *flags, socket=None):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="ocid-nri-", dir="/tmp"))
        self.socket = socket or self.folder / "nri.sock"
        self.processes = {}
        self.daemon = Daemon("--nri-socket", self.socket, *flags)

    def connect(self, name, program, *args, wait=True):
        """Starts a plugin, NN-name, and waits until it takes part."""
        with open(self.folder / f"{name}.log", "ab") as log:
            self.processes[name] = subprocess.Popen([str(program), *map(str, args)],
                                                    stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        if wait:
            wait_until(lambda: self.connected(name), what=f"{name} is connected")

    def scripted(self, program, name, **script):
        """A scripted plugin; see scripted/main.go."""
        index, bare = name.split("-", 1)
        path = self.folder / f"{name}.json"
        script.setdefault("events", EVENTS)
        script.setdefault("record", str(self.folder / f"{name}.requests"))
        path.write_text(json.dumps(script))
        self.connect(name, program, "-idx", index, "-name", bare, "-socket", self.socket,
                     "-script", path)

    def requests(self, name):
        path = self.folder / f"{name}.requests"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def events(self, name, container):
        """Names of the requests about a container, in the order in which they came."""
        return [r["request"] for r in self.requests(name) if r.get("pod", {}).get("id") == container]

    def plugin(self, name):
        done = self.daemon.ctl("plugin", "inspect", name, check=False)
        return json.loads(done.stdout) if done.returncode == 0 else {}

    def connected(self, name):
        process = self.processes.get(name)
        assert process is None or process.poll() is None, (self.folder / f"{name}.log").read_text()
        return self.plugin(name).get("connected", False)

    def close(self):
        try:
            for process in self.processes.values():
                process.kill()
                process.wait()
            self.daemon.close()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
