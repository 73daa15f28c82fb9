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
# No name that means something is longer; longer ones are neither kept nor echoed whole.
_LONGEST = 256


class Method(NamedTuple):
    """A method of the service: ``inference`` or ``debug``."""

    name: str


class Page(NamedTuple):
    """A builtin page, and what stands behind its name in the path."""

    name: str
    rest: str


def of_path(path: str) -> Union[Method, Page, ServiceError]:
    """What an HTTP path means. Slashes may be doubled or trail.

    The error, where the path means nothing, carries the text for the client.
    """
    return _of_path(path) if len(path) <= _LONGEST else _no_path(path)


@functools.lru_cache(maxsize=256)
def _of_path(path: str) -> Union[Method, Page, ServiceError]:
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
    return _no_path(path)


def _no_path(path: str) -> ServiceError:
    return ServiceError(ENOMETHOD, f"Fail to find method on `{_cut(path)}'")


def of_names(service: str, method: str) -> Union[Method, ServiceError]:
    """What the names in a baidu_std request mean."""
    if service not in _SERVICES:
        return ServiceError(ENOSERVICE, f"Fail to find service={_cut(service)}")
    if method not in METHODS:
        return ServiceError(ENOMETHOD, f"Fail to find method={service}/{_cut(method)}")
    return Method(method)


def _cut(name: str) -> str:
    """A name as it is echoed: a client can send one of megabytes."""
    return name if len(name) <= _LONGEST else f"{name[:_LONGEST]}..."


def _package() -> str:
    return FULL_SERVICE.rpartition(".")[0]
