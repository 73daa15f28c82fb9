"""The real protobuf messages of Paddle Serving, without importing the package around them.

``import paddle_serving_server`` starts flask, gRPC and a signal handler, and takes seconds; its
generated message modules need nothing but protobuf. They are loaded from the installed wheel by
path, so that what the launcher writes is read with the very messages it was written with.
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
    """Neither wheel that carries the messages is installed; the text is one sentence."""


@functools.cache
def module(name: str) -> ModuleType:
    """The generated module ``name`` (``general_model_service_pb2`` and the like)."""
    for package in _PACKAGES:
        found = importlib.util.find_spec(package)
        for folder in (found.submodule_search_locations or []) if found else []:
            path = Path(folder) / "proto" / f"{name}.py"
            if path.is_file():
                return _execute(name, path)
    raise MessagesMissing(
        f"{name} is not there, because neither {' nor '.join(_PACKAGES)} is installed beside the "
        "engine; install paddle-serving-server"
    )


def _execute(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"{__name__}.{name}", path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


# Generated classes have no static types.
def request_class() -> Any:
    """``Request`` of general_model_service.proto."""
    return module("general_model_service_pb2").Request


def response_class() -> Any:
    """``Response`` of general_model_service.proto."""
    return module("general_model_service_pb2").Response
