"""Pulls from Debian's docker-registry on loopback: TLS, names and passwords, tokens, mirrors, interruptions."""

import base64
import contextlib
import hashlib
import json
import os
import shutil
import time

import pytest

from tests.testing import images
from tests.testing.daemon import Daemon, wait_until
from tests.testing.images import skopeo

pytestmark = images.needs_tools

USER, PASSWORD = "ann", "s3cret:with-colon"


@pytest.fixture(name="layout", scope="module")
def made_layout(tmp_path_factory):
    layout = images.Layout(tmp_path_factory.mktemp("layout") / "layout")
    layers = [images.busybox_layer("echo")]
    layers += [images.tar(images.file(f"random{i}", os.urandom(3 << 20))) for i in range(3)]
    layout.image(layers, {"Entrypoint": ["/bin/echo", "pulled"]}, name="v1",
                 manifest={"annotations": {"padding": "x" * 1024}})
    return layout


@pytest.fixture(name="data", scope="module")
def filled_storage(layout, tmp_path_factory):
    """What a registry stores that has team/web:v1: other registries serve it from there."""
    folder = tmp_path_factory.mktemp("storage")
    with images.registry(folder) as host:
        skopeo("copy", "--dest-tls-verify=false", f"oci:{layout.path}:v1", f"docker://{host}/team/web:v1")
    return folder / "data"


@contextlib.contextmanager
def daemon_with(*flags):
    daemon = Daemon(*flags)
    try:
        yield daemon
    finally:
        daemon.close()


def trust(folder, host, certificate):
    (folder / "certs.d" / host).mkdir(parents=True, exist_ok=True)
    (folder / "certs.d" / host / "ca.crt").write_bytes(certificate[0].read_bytes())
    return folder / "certs.d"


def auth_file(path, host, user=USER, password=PASSWORD):
    path.write_text(json.dumps({"auths": {host: {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}}}))
    return path


def pull(daemon, reference, *flags):
    return daemon.ctl("image", "pull", *flags, reference, check=False)


def test_tls_and_a_name_and_password(data, layout, tmp_path):
    certificate = images.make_certificate(tmp_path)
    auth = {"htpasswd": {"realm": "tests", "path": str(images.htpasswd(tmp_path, USER, PASSWORD))}}
    with images.registry(tmp_path, data=data, certificate=certificate, auth=auth) as host:
        reference = f"{host}/team/web:v1"
        credentials = auth_file(tmp_path / "auth.json", host)
        with daemon_with("--registry-certs-dir", tmp_path / "certs.d", "--registry-auth-file", credentials) as daemon:
            # Whom nobody vouches for is not spoken to, and the text says what to do about it.
            untrusted = pull(daemon, reference)
            assert untrusted.returncode == 1 and "certificate" in untrusted.stderr

            trust(tmp_path, host, certificate)
            auth_file(credentials, host, password="wrong")
            refused = pull(daemon, reference)
            assert refused.returncode == 1 and "401" in refused.stderr
            auth_file(credentials, "elsewhere.example")
            unknown = pull(daemon, reference)
            assert unknown.returncode == 1 and "asks for a name and password" in unknown.stderr

            auth_file(credentials, host)
            assert pull(daemon, reference).stdout == f"{reference}@{layout.manifests[0]['digest']}\n"
            assert daemon.ctl("run", "--rm", "--image", reference, "pulled").stdout == "pulled\n"


def test_tokens(data, layout, tmp_path):
    certificate = images.make_certificate(tmp_path)
    with images.token_service(certificate, USER, PASSWORD) as service:
        auth = {"token": {"realm": f"https://{service}/token", "service": "tests", "issuer": "tests",
                          "rootcertbundle": str(certificate[0])}}
        with images.registry(tmp_path, data=data, certificate=certificate, auth=auth) as host:
            for trusted in (host, service):
                certs = trust(tmp_path, trusted, certificate)
            credentials = auth_file(tmp_path / "auth.json", host)
            with daemon_with("--registry-certs-dir", certs, "--registry-auth-file", credentials) as daemon:
                done = pull(daemon, f"{host}/team/web:v1")
                assert layout.manifests[0]["digest"] in done.stdout, done.stderr
                auth_file(credentials, host, password="wrong")
                refused = pull(daemon, f"{host}/team/web@{layout.manifests[0]['digest']}")
                assert refused.returncode == 1 and "401" in refused.stderr


def test_a_mirror_is_asked_first_and_plain_http_needs_no_flag_where_it_is_configured(data, tmp_path):
    with images.registry(tmp_path, data=data) as mirror:
        with daemon_with("--registry-mirror", f"registry.invalid=http://{mirror}",
                         "--registry-plain-http", mirror) as daemon:
            daemon.ctl("image", "pull", "registry.invalid/team/web:v1")
            daemon.ctl("image", "pull", f"{mirror}/team/web:v1")
            names = json.loads(daemon.ctl("image", "list", "--format", "json").stdout)
            assert sorted(image["name"] for image in names) == sorted(
                [f"{mirror}/team/web:v1", "registry.invalid/team/web:v1"])


def test_run_pulls_an_image_that_is_missing_where_its_name_says_from_whom(data, tmp_path):
    with images.registry(tmp_path, data=data) as host:
        with daemon_with("--registry-plain-http", host) as daemon:
            name = f"{host}/team/web:v1"
            refused = daemon.ctl("run", "--rm", "--pull", "never", "--image", name, "c1", check=False)
            assert refused.returncode == 125 and "IMAGE_NOT_FOUND" in refused.stderr
            refused = daemon.ctl("run", "--rm", "--image", "team/web:v1", "c1", check=False)
            assert refused.returncode == 125 and "IMAGE_NOT_FOUND" in refused.stderr
            assert daemon.ctl("run", "--rm", "--image", name, "c1").returncode == 0
            names = json.loads(daemon.ctl("image", "list", "--format", "json").stdout)
            assert [image["name"] for image in names] == [name]


def test_a_registry_without_tls_is_told_apart_from_a_broken_one(data, tmp_path):
    with images.registry(tmp_path, data=data) as host, daemon_with() as daemon:
        failed = pull(daemon, f"{host}/team/web:v1")
        assert failed.returncode == 1 and "--plain-http" in failed.stderr


def test_limits_hold(data, tmp_path):
    with images.registry(tmp_path, data=data) as host:
        for flags, text in ((["--image-max-blob", "1MiB"], "more than the limit of 1048576"),
                            (["--image-max-layer", "1MiB"], "larger than 1048576 bytes when decompressed"),
                            (["--image-max-manifest", "1KiB"], "more than 1024 bytes")):
            with daemon_with(*flags) as daemon:
                refused = pull(daemon, f"{host}/team/web:v1", "--plain-http")
                assert refused.returncode == 1 and text in refused.stderr, refused.stderr


def store_is_whole(daemon):
    for blob in (daemon.root / "images/blobs/sha256").iterdir():
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name
    assert not list((daemon.root / "images/layers/.staging").iterdir())


def entries(path):
    return list(path.iterdir()) if path.exists() else []


# When the daemon is killed, by what its store holds.
PHASES = {
    "at once": lambda store: True,
    "while it fetches": lambda store: any(f.stat().st_size > 100_000 for f in entries(store / "ingest")),
    "with one blob there": lambda store: len(entries(store / "blobs/sha256")) >= 3,
    "while it unpacks": lambda store: entries(store / "layers/.staging"),
    "with one layer unpacked": lambda store: len(entries(store / "layers")) >= 2,
    "with all blobs there": lambda store: len(entries(store / "blobs/sha256")) >= 6,
    "before it is recorded": lambda store: len(entries(store / "layers")) >= 5,
}


def test_a_pull_whose_daemon_is_killed_in_any_phase_goes_on(data, layout, tmp_path):
    with images.registry(tmp_path, data=data) as host, daemon_with() as daemon:
        proxy = images.Proxy(host, bytes_per_second=6 << 20)
        try:
            reference = f"{proxy.host}/team/web:v1"
            for phase, reached in PHASES.items():
                pulling = daemon.spawn("image", "pull", "--plain-http", reference)
                # What an earlier round has left reaches most phases by itself.
                with contextlib.suppress(AssertionError, OSError):
                    wait_until(lambda: reached(daemon.root / "images") or pulling.poll() is not None, what=phase)
                daemon.kill()
                pulling.communicate()
                daemon.start()
            done = daemon.ctl("image", "pull", "--plain-http", reference)
            assert layout.manifests[0]["digest"] in done.stdout
            # No byte was fetched twice that was there: blobs were gone on with.
            assert any("Range: bytes=" in request for request in proxy.requests)
            assert sum("/blobs/" in request for request in proxy.requests) <= 6 * len(PHASES)
        finally:
            proxy.close()
        store_is_whole(daemon)
        assert daemon.ctl("run", "--rm", "--image", reference, "after").stdout == "pulled\n"


def test_a_load_whose_daemon_is_killed_in_any_phase_is_whole_or_not_there(layout):
    with daemon_with() as daemon:
        for phase, reached in PHASES.items():
            daemon.ctl("image", "prune")
            loading = daemon.spawn("image", "load", "--name", "web:v1", layout.path)
            with contextlib.suppress(AssertionError, OSError):
                wait_until(lambda: reached(daemon.root / "images") or loading.poll() is not None, what=phase)
            daemon.kill()
            loading.communicate()
            daemon.start()
            store_is_whole(daemon)
            if json.loads(daemon.ctl("image", "list", "--format", "json").stdout):
                assert daemon.ctl("run", "--rm", "--image", "web:v1", "after").stdout == "pulled\n"
        daemon.ctl("image", "load", "--name", "web:v1", layout.path)
        assert daemon.ctl("run", "--rm", "--image", "web:v1", "after").stdout == "pulled\n"


def test_an_unpack_or_a_save_whose_daemon_is_killed_leaves_nothing_of_it(layout, tmp_path):
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    with daemon_with() as daemon:
        daemon.ctl("image", "load", "--name", "web:v1", layout.path)
        notes = daemon.root / "images" / "outputs"
        halves = 0
        for delay in (0, 0.005, 0.01, 0.02, 0.04):
            for command in ("unpack", "save"):
                writing = daemon.spawn("image", command, "web:v1", outputs / "out")
                with contextlib.suppress(AssertionError):
                    wait_until(lambda: entries(notes) or writing.poll() is not None, what="a note")
                time.sleep(delay)
                daemon.kill()
                writing.communicate()
                halves += bool(entries(notes))
                daemon.start()
                assert [path.name for path in entries(outputs)] in ([], ["out"])
                assert entries(notes) == []
                shutil.rmtree(outputs / "out", ignore_errors=True)
        assert halves > 0
        daemon.ctl("image", "unpack", "web:v1", outputs / "out")
        assert daemon.ctl("bundle", "verify", outputs / "out").returncode == 0


def test_pulls_of_one_image_at_the_same_time_fetch_it_once(data, tmp_path):
    with images.registry(tmp_path, data=data) as host, daemon_with() as daemon:
        proxy = images.Proxy(host)
        try:
            pulls = [daemon.spawn("image", "pull", "--plain-http", f"{proxy.host}/team/web:v1") for _ in range(4)]
            assert [one.wait(timeout=60) for one in pulls] == [0] * 4
            for one in pulls:
                one.communicate()
        finally:
            proxy.close()
        blobs = [line for request in proxy.requests for line in request.splitlines() if "/blobs/sha256" in line]
        layers = [line for line in set(blobs) if blobs.count(line) == 1]
        assert len(layers) == 4, blobs  # configurations are small, and read by each


def test_a_client_that_goes_away_leaves_what_came_for_the_next(data, tmp_path):
    with images.registry(tmp_path, data=data) as host, daemon_with() as daemon:
        proxy = images.Proxy(host, bytes_per_second=2 << 20)
        try:
            pulling = daemon.spawn("image", "pull", "--plain-http", f"{proxy.host}/team/web:v1")
            store = daemon.root / "images"
            wait_until(lambda: PHASES["while it fetches"](store), what="fetching")
            pulling.kill()
            pulling.communicate()
            partial = daemon.ctl("image", "usage", "--format", "json")
            assert int(json.loads(partial.stdout)["partial_downloads"]["size_bytes"]) > 100_000
            proxy.bytes_per_second = None
            daemon.ctl("image", "pull", "--plain-http", f"{proxy.host}/team/web:v1")
            assert any("Range: bytes=" in request for request in proxy.requests)
        finally:
            proxy.close()
        store_is_whole(daemon)
