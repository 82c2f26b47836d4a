"""A daemon that also listens on TCP, with roles in a configuration file that can be changed."""

import json
import signal
import time

import grpc

from tests.testing.certificates import Authority
from tests.testing.daemon import Daemon, wait_until


class RemoteDaemon:
    """The daemon, its authority, and channels of clients with certificates."""

    def __init__(self, folder, api, *flags):
        self.api = api
        self.authority = Authority(folder)
        self.config = folder / "ocid.yaml"
        self.tls = {name: folder / f"{name}.pem" for name in ("cert", "key", "client-ca", "crl")}
        self.install(*self.authority.issue("server", server=True))
        self._copy(self.authority.certificate, self.tls["client-ca"])
        self.publish_crl()
        self.set_roles()
        self.daemon = Daemon("--config", self.config, "--listen", "tcp://127.0.0.1:0", *flags,
                             *(part for name, path in self.tls.items()
                               for part in (f"--tls-{name}", path)))
        self.port = int(self._address().rsplit(":", 1)[1])

    @staticmethod
    def _copy(source, target):
        """As a whole, as certificate managers do."""
        new = target.with_suffix(".new")
        new.write_bytes(source.read_bytes())
        new.rename(target)

    def install(self, certificate, key):
        self._copy(certificate, self.tls["cert"])
        self._copy(key, self.tls["key"])

    def publish_crl(self):
        self._copy(self.authority.crl, self.tls["crl"])

    def set_roles(self, *lines):
        """Without lines nobody but root on the unix socket may do anything."""
        self.config.write_text("role: " + json.dumps(lines) + "\n")

    def reload(self):
        """SIGHUP, and until it has been obeyed."""
        before = self.log_count("roles")
        self.daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: self.log_count("roles") > before, what="configuration read again")

    def log_lines(self):
        lines = []
        for line in self.daemon.log.read_text(errors="replace").splitlines():
            if line.startswith("{"):
                lines.append(json.loads(line))
        return lines

    def log_count(self, message):
        return len([line for line in self.log_lines() if line["msg"] == message])

    def _address(self):
        return next(line["address"] for line in self.log_lines()
                    if line["msg"] == "serving" and line["address"].startswith("tcp:"))

    def channel(self, pair=None, authority=None):
        """`pair`: certificate and key, or none. A connection of its own."""
        certificate, key = (path.read_bytes() for path in pair) if pair else (None, None)
        roots = (authority or self.authority).certificate.read_bytes()
        credentials = grpc.ssl_channel_credentials(roots, key, certificate)
        return grpc.secure_channel(f"localhost:{self.port}", credentials,
                                   options=[("grpc.use_local_subchannel_pool", 1),
                                            ("grpc.enable_http_proxy", 0)])

    def containers(self, channel):
        return self.api.container_grpc.ContainerServiceStub(channel)

    def list_code(self, channel, timeout=5.0):
        """What a List of this client is answered with: a grpc.StatusCode."""
        try:
            self.containers(channel).List(self.api.container.ListContainersRequest(), timeout=timeout)
        except grpc.RpcError as error:
            return error.code()
        return grpc.StatusCode.OK

    def watch(self, channel, timeout=30.0):
        """A call that lasts, its answers an iterator: there are no events as long as nobody does anything."""
        return self.api.event_grpc.EventServiceStub(channel).Watch(
            self.api.event.WatchEventsRequest(), timeout=timeout)

    def until_code(self, channel, code, seconds=10.0):
        wait_until(lambda: self.list_code(channel) == code or time.sleep(0.2), seconds, f"{code}")

    def audit(self):
        path = self.daemon.root / "audit" / "audit.log"
        return [json.loads(line) for line in path.read_text().splitlines()]

    def close(self):
        self.daemon.close()
