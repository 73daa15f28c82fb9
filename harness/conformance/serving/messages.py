"""The protobuf messages of Paddle Serving, loaded from the installed wheel by path.

``import paddle_serving_server`` starts flask and a signal handler, and takes seconds. The
generated module needs only protobuf.
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import Any


@functools.cache
def _module() -> Any:
    package = importlib.util.find_spec("paddle_serving_server")
    assert package is not None, "paddle-serving-server is not installed in this environment"
    assert package.submodule_search_locations is not None
    path = Path(package.submodule_search_locations[0], "proto", "general_model_service_pb2.py")
    spec = importlib.util.spec_from_file_location(f"{__name__}.{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def new_request() -> Any:
    """Return an empty ``Request``."""
    return _module().Request()


def read_response(data: bytes) -> Any:
    """Return the ``Response`` in these bytes."""
    return _module().Response.FromString(data)
