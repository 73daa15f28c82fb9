"""Wrong answer: the remote answers each request with an error or a login page.

Causes in practice: a load balancer without a backend, a firewall's page, a revoked permission. The
answer depends on the protocol of the port:

- ``http``: the status with a page; a login page has the status 200.
- ``webhdfs``: the same, but 500 and 403 with the JSON of a RemoteException, as Hadoop sends it.
- ``ftp``: for 500 and 503, 421 instead of the greeting; for 403, 530 after the password.
- ``ftp-data``: the login page instead of each file's bytes.
- everything else (Hadoop's own protocols) gets the HTTP answer, as if the address were wrong.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import ClassVar

from .base import NetworkFault, Targets, parameter
from .relay import ANSWERS, REQUESTS, Lane

LOGIN = "login"
_PAGE = b"<!DOCTYPE html><html><body><form action='/login'>Please log in</form></body></html>\n"
_REASONS = {
    "403": ("AccessControlException", "Permission denied: user=demo, access=READ"),
    "500": ("RuntimeException", "the service is broken"),
    "503": ("StandbyException", "Operation category READ is not supported in state standby"),
}


@dataclass(frozen=True)
class WrongAnswer(NetworkFault):
    """The remote answers each request with an error, or with a login page instead of the file."""

    name: ClassVar[str] = "wrong-answer"
    answer: str = parameter(
        "500", "`500`, `503`, `403` or `login` (a login page)", choices=("500", "503", "403", LOGIN)
    )

    def _start(self, targets: Targets, at_end: Callable[..., object]) -> None:
        super()._start(targets, at_end)
        for gate in targets.gates_of(self.target):
            # A connection may be in the middle of an answer.
            gate.reset()

    async def transform(self, parts: AsyncIterator[bytes], lane: Lane) -> AsyncIterator[bytes]:
        if lane.protocol == "ftp":
            changed = self._ftp(parts, lane)
        elif lane.protocol == "ftp-data":
            changed = self._ftp_data(parts, lane)
        else:
            changed = self._http(parts, lane)
        async for part in changed:
            yield part

    async def _http(self, parts: AsyncIterator[bytes], lane: Lane) -> AsyncIterator[bytes]:
        if lane.direction == ANSWERS:
            async for part in parts:
                yield part
            return
        head = b""
        async for part in parts:
            head += part
            if b"\r\n\r\n" in head or lane.protocol not in ("http", "webhdfs"):
                await lane.reply(self._http_answer(lane.protocol, head.startswith(b"HEAD ")))
                lane.close()

    def _http_answer(self, protocol: str, head: bool) -> bytes:
        status, body, kind = HTTPStatus.OK, _PAGE, "text/html"
        if self.answer != LOGIN:
            status = HTTPStatus(int(self.answer))
            body = f"<html><body><h1>{status} {status.phrase}</h1></body></html>\n".encode()
            if protocol == "webhdfs":
                name, message = _REASONS[self.answer]
                remote = {"exception": name, "javaClassName": name, "message": message}
                body, kind = json.dumps({"RemoteException": remote}).encode(), "application/json"
        lines = [
            f"HTTP/1.1 {status.value} {status.phrase}",
            f"Content-Type: {kind}",
            f"Content-Length: {len(body)}",
            "Connection: close",
        ]
        return "\r\n".join([*lines, "", ""]).encode() + (b"" if head else body)

    async def _ftp(self, parts: AsyncIterator[bytes], lane: Lane) -> AsyncIterator[bytes]:
        async for part in parts:
            if self.answer in ("500", "503") and lane.direction == ANSWERS:
                yield b"421 Service not available, closing control connection.\r\n"
                lane.close()
            if self.answer == "403" and lane.direction == REQUESTS and part[:5].upper() == b"PASS ":
                await lane.reply(b"530 Not logged in.\r\n")
            else:
                yield part

    async def _ftp_data(self, parts: AsyncIterator[bytes], lane: Lane) -> AsyncIterator[bytes]:
        first = True
        async for part in parts:
            if self.answer != LOGIN or lane.direction == REQUESTS:
                yield part
            elif first:
                yield _PAGE
                first = False
