"""Which method or page a name or a path means. Pure."""

from __future__ import annotations

import functools
from typing import NamedTuple, Union

from ._prototxt import SERVICE
from ._query import ENOMETHOD, ENOSERVICE, ServiceError

FULL_SERVICE = f"baidu.paddle_serving.predictor.general_model.{SERVICE}"
METHODS = ("inference", "debug")
PAGES = ("health", "status", "vars", "version", "flags", "connections", "index")
_SERVICES = (SERVICE, FULL_SERVICE)


class Method(NamedTuple):
    """A method of the service: ``inference`` or ``debug``."""

    name: str


class Page(NamedTuple):
    """A builtin page, and what stands behind its name in the path."""

    name: str
    rest: str


@functools.lru_cache(maxsize=256)
def of_path(path: str) -> Union[Method, Page, ServiceError]:
    """What an HTTP path means. Slashes may be doubled or trail.

    The error, where the path means nothing, carries the text for the client.
    """
    parts = [part for part in path.split("/") if part]
    if not parts:
        return Page("index", "")
    if parts[0] in _SERVICES:
        if len(parts) == 1:
            return ServiceError(
                ENOMETHOD,
                f"Missing method name for service={parts[0]}. Available methods are: \n\n"
                + "".join(
                    f"rpc {name} (.{_package()}.Request) returns (.{_package()}.Response);\n"
                    for name in METHODS
                ),
            )
        if len(parts) == 2 and parts[1] in METHODS:
            return Method(parts[1])
    elif parts[0] in PAGES:
        return Page(parts[0], "/".join(parts[1:]))
    return ServiceError(ENOMETHOD, f"Fail to find method on `{path}'")


@functools.lru_cache(maxsize=256)
def of_names(service: str, method: str) -> Union[Method, ServiceError]:
    """What the names in a baidu_std request mean."""
    if service not in _SERVICES:
        return ServiceError(ENOSERVICE, f"Fail to find service={service}")
    if method not in METHODS:
        return ServiceError(ENOMETHOD, f"Fail to find method={service}/{method}")
    return Method(method)


def _package() -> str:
    return FULL_SERVICE.rpartition(".")[0]
