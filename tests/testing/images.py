"""Images for tests: layouts written by hand, registries on loopback, and what a root file system holds."""

import base64
import contextlib
import crypt
import gzip
import hashlib
import http.server
import io
import json
import os
import pathlib
import shutil
import socket
import ssl
import stat
import subprocess
import tarfile
import threading
import time
import urllib.parse

import pytest

from tests.testing.daemon import wait_until

TOOLS = ("umoci", "skopeo", "docker-registry")
needs_tools = pytest.mark.skipif(any(shutil.which(tool) is None for tool in TOOLS),
                                 reason="needs " + ", ".join(TOOLS))

OCI = "application/vnd.oci.image."
REF_NAME = "org.opencontainers.image.ref.name"


def run(*args, **kwargs):
    """Runs a tool that must succeed; returns what it printed."""
    return subprocess.run([str(arg) for arg in args], check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=300, **kwargs).stdout


def skopeo(*args):
    return run("skopeo", "--insecure-policy", *args)


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def tar(*entries):
    """A tar archive of (name, changes of the TarInfo) or (name, changes, content), whatever the names are."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, changes, *content in entries:
            info = tarfile.TarInfo(name)
            data = content[0] if content else b""
            info.size = len(data)
            for key, value in changes.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def directory(name, mode=0o755):
    return name, {"type": tarfile.DIRTYPE, "mode": mode}


def file(name, content=b"", mode=0o644):
    return name, {"mode": mode}, content


def symlink(name, target):
    return name, {"type": tarfile.SYMTYPE, "linkname": str(target)}


def hard_link(name, target):
    return name, {"type": tarfile.LNKTYPE, "linkname": str(target)}


def busybox_layer(*applets):
    """A layer in which containers can run the applets."""
    content = pathlib.Path("/bin/busybox").read_bytes()
    return tar(directory("bin"), file("bin/busybox", content, 0o755),
               *(hard_link(f"bin/{applet}", "bin/busybox") for applet in ("sh", "true", *applets)))


class Layout:
    """An OCI image layout, written by hand."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        (self.path / "blobs/sha256").mkdir(parents=True)
        (self.path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        self.manifests = []

    def blob(self, data, media_type, **more):
        """Adds content; returns its descriptor."""
        digest = sha256(data)
        (self.path / "blobs/sha256" / digest.split(":")[1]).write_bytes(data)
        return {"mediaType": media_type, "digest": digest, "size": len(data), **more}

    def image(self, layers, config=None, name="x", manifest=None, top=None):
        """Adds an image of uncompressed layers. `manifest` and `top` change members of the documents."""
        document = {"architecture": "amd64", "os": "linux", "config": config or {},
                    "rootfs": {"type": "layers", "diff_ids": [sha256(layer) for layer in layers]}, **(top or {})}
        if os.uname().machine == "aarch64":
            document["architecture"] = "arm64"
        text = {"schemaVersion": 2, "mediaType": OCI + "manifest.v1+json",
                "config": self.blob(json.dumps(document).encode(), OCI + "config.v1+json"),
                "layers": [self.blob(gzip.compress(layer, 1), OCI + "layer.v1.tar+gzip") for layer in layers],
                **(manifest or {})}
        return self.manifest(text, name)

    def manifest(self, document, name="x", media_type=OCI + "manifest.v1+json"):
        descriptor = self.blob(json.dumps(document).encode(), media_type, annotations={REF_NAME: name})
        self.manifests.append(descriptor)
        self.write_index()
        return descriptor

    def write_index(self):
        (self.path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": self.manifests}))


def census(root):
    """Every path with type, mode, owner, time, extended attributes and content."""
    entries = {}
    inodes = {}
    for path in sorted([root, *root.rglob("*")]):
        info = path.lstat()
        name = str(path.relative_to(root))
        entry = {"mode": oct(info.st_mode), "owner": (info.st_uid, info.st_gid),
                 "mtime": info.st_mtime_ns, "device": info.st_rdev,
                 "xattrs": {key: os.getxattr(path, key, follow_symlinks=False)
                            for key in os.listxattr(path, follow_symlinks=False)}}
        if stat.S_ISREG(info.st_mode):
            entry["content"] = hashlib.sha256(path.read_bytes()).hexdigest()
            if info.st_nlink > 1:
                entry["same as"] = inodes.setdefault(info.st_ino, name)
        if stat.S_ISLNK(info.st_mode):
            entry["target"] = os.readlink(path)
        entries[name] = entry
    return entries


def differences(ours, theirs):
    return {name: (ours.get(name), theirs.get(name))
            for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def make_certificate(folder):
    """A certificate for 127.0.0.1 that is its own authority, and its key."""
    folder = pathlib.Path(folder)
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
        "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", folder / "key.pem", "-out", folder / "cert.pem")
    return folder / "cert.pem", folder / "key.pem"


@contextlib.contextmanager
def registry(folder, *, data=None, certificate=None, auth=None):
    """Debian's docker-registry on loopback; yields HOST:PORT. `auth` is a member of its configuration."""
    folder = pathlib.Path(folder)
    port = free_port()
    config = {"version": 0.1, "storage": {"filesystem": {"rootdirectory": str(data or folder / "data")}},
              "http": {"addr": f"127.0.0.1:{port}"}, "compatibility": {"schema1": {"enabled": True}}}
    if certificate:
        config["http"]["tls"] = {"certificate": str(certificate[0]), "key": str(certificate[1])}
    if auth:
        config["auth"] = auth
    path = folder / f"registry-{port}.yml"
    path.write_text(json.dumps(config))
    with open(folder / f"registry-{port}.log", "wb") as log:
        server = subprocess.Popen(["docker-registry", "serve", path], stdout=log, stderr=log)
    try:
        wait_until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, what="registry")
        yield f"127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


def htpasswd(folder, user, password):
    """A file for the registry's `htpasswd` authentication, which takes bcrypt alone."""
    path = pathlib.Path(folder) / "htpasswd"
    salt = crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=2**5)
    path.write_text(f"{user}:{crypt.crypt(password, salt)}\n")
    return path


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@contextlib.contextmanager
def token_service(certificate, user, password):
    """Gives tokens over TLS, as the distribution project's token specification has it, to one user alone."""
    cert, key = certificate

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):  # pylint: disable=invalid-name
            query = urllib.parse.parse_qs(urllib.parse.urlparse(self.path).query)
            expected = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
            if self.headers.get("Authorization") != expected:
                self.send_response(401)
                self.end_headers()
                return
            kind, name, actions = query["scope"][0].split(":")
            now = int(time.time())
            header = {"typ": "JWT", "alg": "RS256", "x5c": [certificate_der(cert)]}
            claims = {"iss": "tests", "sub": user, "aud": query["service"][0], "exp": now + 60, "nbf": now - 10,
                      "iat": now, "jti": str(now),
                      "access": [{"type": kind, "name": name, "actions": actions.split(",")}]}
            text = ".".join(base64url(json.dumps(part).encode()) for part in (header, claims))
            signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", str(key)], check=True,
                                       input=text.encode(), stdout=subprocess.PIPE).stdout
            body = json.dumps({"token": text + "." + base64url(signature)}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):  # pylint: disable=arguments-differ
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def certificate_der(path):
    return "".join(line for line in pathlib.Path(path).read_text().splitlines() if "-----" not in line)


class Proxy:
    """Passes bytes on to a registry, slowly where it is told to, and keeps what was asked for."""

    def __init__(self, target, bytes_per_second=None):
        host, port = target.split(":")
        self.target = (host, int(port))
        self.bytes_per_second = bytes_per_second
        self.requests = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.host = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.threads = [threading.Thread(target=self._accept)]
        self.threads[0].start()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self.threads:
            thread.join()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            upstream = socket.create_connection(self.target)
            for source, sink, keep in ((client, upstream, True), (upstream, client, False)):
                thread = threading.Thread(target=self._pass_on, args=(source, sink, keep))
                self.threads.append(thread)
                thread.start()

    def _pass_on(self, source, sink, keep):
        with contextlib.suppress(OSError):
            while data := source.recv(16384):
                if keep:
                    self.requests.append(data.decode("latin-1"))
                elif self.bytes_per_second:
                    time.sleep(len(data) / self.bytes_per_second)
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


DEBIAN_CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "/root/.cache") / "ocid-tests/debian-12-v1"


class NoDebian(Exception):
    """There is none on this machine, and none can be made."""


def _make_debian(folder):
    root = folder / "root"
    try:
        done = subprocess.run(["debootstrap", "--variant=minbase", "--include=iputils-ping", "bookworm", root],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=240, check=False)
    except (FileNotFoundError, subprocess.TimeoutExpired) as error:
        raise NoDebian(f"debootstrap: {error}") from error
    if done.returncode != 0:
        raise NoDebian("debootstrap: " + (done.stdout.strip().splitlines() or ["failed"])[-1])
    shutil.rmtree(root / "var/cache/apt/archives")
    layout = folder / "layout"
    run("umoci", "init", "--layout", layout)
    run("umoci", "new", "--image", f"{layout}:v1")
    run("umoci", "insert", "--image", f"{layout}:v1", root, "/")
    run("umoci", "config", "--image", f"{layout}:v1", "--config.cmd", "/usr/bin/perl", "--config.cmd", "-e",
        "--config.cmd", 'print "$<:$(:", -s "/etc/debian_version", "\\n"', "--config.user", "www-data",
        "--config.env", "LANG=C.UTF-8", "--config.workingdir", "/usr/share", "--config.label", "vendor=Debian",
        "--author", "Ann <ann@example.com>", "--created", "2024-01-02T03:04:05Z", "--config.stopsignal", "SIGINT",
        "--config.exposedports", "8080/tcp", "--config.volume", "/var/www")
    shutil.rmtree(root)


def debian():
    """A layout with Debian 12 as v1. Made once, in half a minute; kept in the cache folder of whoever tests."""
    if not DEBIAN_CACHE.exists():
        DEBIAN_CACHE.parent.mkdir(parents=True, exist_ok=True)
        making = DEBIAN_CACHE.with_name(f"{DEBIAN_CACHE.name}.{os.getpid()}")
        making.mkdir()
        try:
            _make_debian(making)
            making.rename(DEBIAN_CACHE)
        finally:
            shutil.rmtree(making, ignore_errors=True)
    return DEBIAN_CACHE / "layout"
