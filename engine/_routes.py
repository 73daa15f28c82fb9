"""Which method or page a name or a path means. Pure."""

from __future__ import annotations

import functools
from typing import NamedTuple, Union

from ._prototxt import SERVICE
from ._query import ENOMETHOD, ENOSERVICE, ServiceError

FULL_SERVICE = f"baidu.paddle_serving.predictor.general_model.{SERVICE}"
METHODS = ("inference", "debug")
PAGES = ("health", "status", "version")
_SERVICES = (SERVICE, FULL_SERVICE)
_PACKAGE = FULL_SERVICE.rpartition(".")[0]


class Method(NamedTuple):
    """A method of the service: ``inference`` or ``debug``."""

    name: str


class Page(NamedTuple):
    """A builtin page."""

    name: str


@functools.lru_cache(maxsize=64)
def of_path(path: str) -> Union[Method, Page, ServiceError]:
    """Return what an HTTP path means. Slashes may be doubled or trail.

    The error, where the path means nothing, carries the text for the client.
    """
    parts = [part for part in path.split("/") if part]
    if len(parts) == 1 and parts[0] in PAGES:
        return Page(parts[0])
    if len(parts) == 1 and parts[0] in _SERVICES:
        return ServiceError(
            ENOMETHOD,
            f"Missing method name for service={parts[0]}. Available methods are: \n\n"
            + "".join(
                f"rpc {name} (.{_PACKAGE}.Request) returns (.{_PACKAGE}.Response);\n"
                for name in METHODS
            ),
        )
    if len(parts) == 2 and parts[0] in _SERVICES and parts[1] in METHODS:
        return Method(parts[1])
    return ServiceError(ENOMETHOD, f"Fail to find method on `{path}'")


def of_names(service: str, method: str) -> Union[Method, ServiceError]:
    """Return what the names in a baidu_std request mean."""
    if service not in _SERVICES:
        return ServiceError(ENOSERVICE, f"Fail to find service={service}")
    if method not in METHODS:
        return ServiceError(ENOMETHOD, f"Fail to find method={service}/{method}")
    return Method(method)
