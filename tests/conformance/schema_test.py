"""Our validation beside the specification's own JSON schema: the same verdicts.

The official schema and its good and bad fixtures come from the Go module of runtime-spec where Go and a
network or a filled cache are there; the schema of an older version from Debian's
golang-github-opencontainers-specs-dev.
"""

import copy
import json
import os
import pathlib
import shutil
import subprocess

import jsonschema
import pytest

MODULE = "github.com/opencontainers/runtime-spec@v1.3.0"
DEBIAN = pathlib.Path("/usr/share/gocode/src/github.com/opencontainers/runtime-spec/schema")
OCIRUN = pathlib.Path(os.environ.get("OCIRUN") or "runtime/cli/ocirun").resolve()


def module_schema():
    go = shutil.which("go") or "/usr/local/go/bin/go"
    if not os.access(go, os.X_OK):
        pytest.skip("Go is not installed")
    environment = dict(os.environ)
    environment.setdefault("HOME", os.path.expanduser("~"))
    fetched = subprocess.run([go, "mod", "download", "-json", MODULE], cwd="/", env=environment,
                             capture_output=True, text=True, check=False)
    if fetched.returncode != 0:
        pytest.skip(f"cannot fetch {MODULE}: {fetched.stdout.strip()[-300:]}")
    return pathlib.Path(json.loads(fetched.stdout)["Dir"]) / "schema"


@pytest.fixture(name="schema_folder", params=["module", "debian"])
def official_schema(request):
    if request.param == "module":
        return module_schema()
    if not DEBIAN.is_dir():
        pytest.skip("golang-github-opencontainers-specs-dev is not installed")
    return DEBIAN


def validator(folder):
    schema = json.loads((folder / "config-schema.json").read_text())
    resolver = jsonschema.RefResolver(f"file://{folder}/config-schema.json", schema)
    return jsonschema.Draft4Validator(schema, resolver=resolver)


def our_verdict(tmp_path, text):
    """What `ocirun spec --validate` prints; empty if the document is valid."""
    (tmp_path / "config.json").write_text(text)
    result = subprocess.run([OCIRUN, "spec", "--validate", tmp_path], capture_output=True, text=True,
                            check=False, timeout=20)
    assert result.returncode in (0, 1), result.stderr
    found = result.stdout + result.stderr
    assert (result.returncode == 1) == bool(found), found
    return found


# Fixtures for other platforms than Linux lack what a container on Linux needs, or have what it must not.
OTHER_PLATFORMS = {"zos", "freebsd", "windows", "vm", "solaris"}


def test_the_fixtures_of_the_specification(tmp_path):
    fixtures = module_schema() / "test" / "config"
    names = sorted(fixtures.glob("*/*.json"))
    assert len(names) >= 12
    seen = {"good": 0, "bad": 0}
    for path in names:
        if OTHER_PLATFORMS & set(path.stem.split("-")):
            continue
        found = our_verdict(tmp_path, path.read_text())
        assert bool(found) == (path.parent.name == "bad"), f"{path}: {found}"
        seen[path.parent.name] += 1
    assert seen["good"] >= 5 and seen["bad"] >= 4


def pointers(value, pointer=()):
    yield pointer
    if isinstance(value, dict):
        for name, member in value.items():
            yield from pointers(member, pointer + (name,))
    elif isinstance(value, list):
        for index, element in enumerate(value[:1]):  # the others are of the same kind
            yield from pointers(element, pointer + (index,))


WRONG_VALUES = (True, -1, 70000, "", "x", [1], {"x": 1}, None)


def test_documents_with_one_value_replaced(schema_folder, tmp_path):
    """Whatever the official schema refuses, so do we. We refuse more: what a schema cannot say."""
    example = json.loads((module_schema() / "test/config/good/spec-example.json").read_text())
    example["ociVersion"] = "1.3.0"  # older ones are upgraded before they are looked at
    # Debian's schema does not know this one yet.
    example["linux"]["namespaces"] = [space for space in example["linux"]["namespaces"]
                                      if space["type"] != "time"]
    official = validator(schema_folder)
    assert official.is_valid(example)
    missed, compared = [], 0
    for pointer in list(pointers(example))[1:]:
        for wrong in WRONG_VALUES:
            document = copy.deepcopy(example)
            parent = document
            for step in pointer[:-1]:
                parent = parent[step]
            if wrong is None:
                if not isinstance(parent, dict):
                    continue
                del parent[pointer[-1]]
            else:
                parent[pointer[-1]] = wrong
            if official.is_valid(document):
                continue
            compared += 1
            found = our_verdict(tmp_path, json.dumps(document))
            where = "/" + "/".join(str(step).replace("~", "~0").replace("/", "~1") for step in pointer)
            if not found:
                missed.append(f"{where} = {wrong!r}")
    print(f"{compared} documents that the official schema refuses")
    assert compared > 200
    assert not missed


def test_what_we_print_is_of_the_specification_s_form():
    folder = module_schema()
    schema = json.loads((folder / "features-schema.json").read_text())
    resolver = jsonschema.RefResolver(f"file://{folder}/features-schema.json", schema)
    features = subprocess.run([OCIRUN, "features"], capture_output=True, check=True, timeout=20).stdout
    jsonschema.Draft4Validator(schema, resolver=resolver).validate(json.loads(features))
