"""The real protobuf messages of Paddle Serving, without importing the package around them.

``import paddle_serving_server`` starts flask, gRPC and a signal handler, and takes seconds. Its
generated message modules need only protobuf, so they are loaded from the installed wheel by path.
"""

from __future__ import annotations

import functools
import importlib.util
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

from google.protobuf.message import DecodeError

# protobuf only warns about bytes behind a stray end-group tag, and does not refuse them. As an
# error, the warning leaves that code as SystemError.
warnings.filterwarnings("error", message="Unexpected end-group tag", category=RuntimeWarning)
PARSE_ERRORS = (DecodeError, SystemError)

_PACKAGES = ("paddle_serving_server", "paddle_serving_client")


class MessagesMissing(Exception):
    """No wheel that has the messages is installed. The text is one sentence."""


@functools.cache
def module(name: str) -> ModuleType:
    """Return a generated module, such as ``general_model_service_pb2``."""
    for package in _PACKAGES:
        found = importlib.util.find_spec(package)
        for folder in (found.submodule_search_locations or []) if found else []:
            path = Path(folder) / "proto" / f"{name}.py"
            if path.is_file():
                return executed(path)
    raise MessagesMissing(
        f"{name} is not there, because neither {' nor '.join(_PACKAGES)} is installed beside the "
        "engine; install paddle-serving-server"
    )


def executed(path: Path) -> ModuleType:
    """Return the module in a file, without the packages around it."""
    spec = importlib.util.spec_from_file_location(f"{__name__}.{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


# Generated classes have no static types.
def request_class() -> Any:
    """Return ``Request`` of general_model_service.proto."""
    return module("general_model_service_pb2").Request


def response_class() -> Any:
    """Return ``Response`` of general_model_service.proto."""
    return module("general_model_service_pb2").Response
