"""The API as Python sees it: modules made by Debian's protoc from the .proto files alone.

    api = grpc_api.load()
    channel = api.channel("/run/ocid/ocid.sock")
    containers = api.container_grpc.ContainerServiceStub(channel)
    containers.Get(api.container.GetContainerRequest(container_id="web"))
"""

import atexit
import importlib
import pathlib
import shutil
import subprocess
import sys
import tempfile
import types

import grpc

_MODULES = ("container", "device", "error_reason", "event", "exec", "image", "log", "plugin", "spec",
            "system", "types")


def load(proto_folder="proto/ocid/v1"):
    """Generates and imports; the folder of generated code goes when the process ends."""
    folder = tempfile.mkdtemp(prefix="ocid-python-api-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    subprocess.run(
        ["/usr/bin/protoc", "--proto_path=.", f"--python_out={folder}", f"--grpc_out={folder}",
         "--plugin=protoc-gen-grpc=/usr/bin/grpc_python_plugin",
         *map(str, sorted(pathlib.Path(proto_folder).glob("*.proto")))],
        check=True)
    sys.path.insert(0, folder)
    api = types.SimpleNamespace()
    for name in _MODULES:
        setattr(api, name, importlib.import_module(f"proto.ocid.v1.{name}_pb2"))
        setattr(api, f"{name}_grpc", importlib.import_module(f"proto.ocid.v1.{name}_pb2_grpc"))
    api.channel = lambda socket: grpc.insecure_channel(f"unix://{socket}")
    return api
