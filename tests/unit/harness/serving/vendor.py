"""A mirror of the vendor's host, with the faults of such hosts, and ELF programs to download."""

from __future__ import annotations

import io
import shutil
import struct
import subprocess
import tarfile
import tempfile
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Optional

from harness.serving import official
from tests.http_server import HttpServer, Sending, byte_range

NAME = f"serving-{official.build_name('cpu')}-{official.VERSION}"

# As brpc uses it: the first two arguments are dlsym's. A current C library has no such symbol, so
# that the program starts only after it was patched.
_SOURCE = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <unistd.h>
extern void *_dl_sym(void *, const char *, void *);
int main(int argc, char **argv) {
    int (*run)(const char *, char *const *) = _dl_sym(RTLD_DEFAULT, "execv", (void *)main);
    (void)argc;
    return run == 0 ? 3 : run(TARGET, argv);
}
"""


def compiled(program: Path, target: Path) -> None:
    """A C program that needs ``_dl_sym`` and execs ``target``; without a compiler, ``patched``."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not official.needs_patch():
        patched(program, target)
        return
    with tempfile.TemporaryDirectory() as scratch:
        # A stand-in for the old C library, which still has the symbol; only the linker reads it.
        old = f"{scratch}/old.so"
        cc = [compiler, "-x", "c", "-", "-x", "none"]
        shared = ["-shared", "-nostdlib", "-Wl,-soname,libm.so.6", "-o", old]
        subprocess.run(
            [*cc, *shared],
            input="void *_dl_sym(void) { return 0; }",
            text=True,
            check=True,
        )
        subprocess.run(
            [*cc, old, f'-DTARGET="{target}"', "-Wl,-z,now", "-o", str(program)],
            input=_SOURCE,
            text=True,
            check=True,
        )


def patched(program: Path, target: Path, machine: Optional[int] = None) -> None:
    """A copy of this machine's ``true`` whose first instructions exec ``target``.

    A real ELF file with an interpreter and a symbol table, made without a compiler. ``machine``
    replaces ``e_machine`` (elf(5)).
    """
    elf = bytearray(Path("/bin/true").resolve().read_bytes())
    assert elf[:6] == b"\x7fELF\x02\x01", "this machine's true is no 64-bit ELF program"
    (entry,) = struct.unpack_from("<Q", elf, 24)
    (headers,) = struct.unpack_from("<Q", elf, 32)
    size, count = struct.unpack_from("<HH", elf, 54)
    for at in range(headers, headers + size * count, size):
        kind, _, offset, address, _, length = struct.unpack_from("<IIQQQQ", elf, at)
        if kind == 1 and address <= entry < address + length:
            start = offset + entry - address
    code = bytes.fromhex(
        "488d3d20000000"  # lea rdi, [rip + 32]: the path behind this code
        "488d742408"  # lea rsi, [rsp + 8]: argv
        "488b0c24"  # mov rcx, [rsp]: argc
        "488d54ce08"  # lea rdx, [rsi + rcx * 8 + 8]: the environment
        "b83b0000000f05"  # execve(2)
        "f7d889c7"  # neg eax; mov edi, eax
        "b83c0000000f05"  # exit(2)
    )
    blob = code + bytes(target) + b"\0"
    elf[start : start + len(blob)] = blob
    if machine is not None:
        struct.pack_into("<H", elf, 18, machine)
    program.write_bytes(elf)
    program.chmod(0o755)


def archive(content: dict[str, Path], top: str = NAME) -> bytes:
    """A tar.gz as the vendor packs it: ``content`` by name, below the folder ``top``."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as tar:
        for name, path in content.items():
            tar.add(path, arcname=f"{top}/{name}")
    return packed.getvalue()


class Mirror:
    """One archive behind a web server on 127.0.0.1, and how the server behaves.

    Attributes:
        content: What it sends.
        status: The answer's status.
        content_type: The answer's media type.
        etag: Its validator; None: the server sends none.
        ranges: Whether it honours Range and If-Range.
        sized: Whether it says how long the content is.
        break_at: Offsets at which it closes the connection, each once.
        break_always_at: An offset at which it closes every connection.
        silent_at: An offset at which it sends nothing more and keeps the connection.
        bytes_per_s: How fast it sends; None: as fast as it can.
        asked: The Range header of each request.
    """

    def __init__(self) -> None:
        self.content = b""
        self.status = 200
        self.content_type = "application/gzip"
        self.etag: Optional[str] = '"1"'
        self.ranges = True
        self.sized = True
        self.break_at: list[int] = []
        self.break_always_at: Optional[int] = None
        self.silent_at: Optional[int] = None
        self.bytes_per_s: Optional[int] = None
        self.asked: list[Optional[str]] = []
        self._silent: list[Sending] = []
        self._server = HttpServer(self._answer)
        self.url = self._server.url

    def close(self) -> None:
        for one in self._silent:
            one.stall_after = None
        self._server.close()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        # A test may replace it.
        self.answer(request)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answers one request as the attributes say."""
        # A break is the end of the connection.
        request.close_connection = True
        asked = request.headers.get("Range")
        self.asked.append(asked)
        known = [self.etag] if self.etag else []
        wanted = byte_range(request, len(self.content), known) if self.ranges else None
        begin = wanted[0] if wanted else 0
        request.send_response(206 if begin else self.status)
        request.send_header("Content-Type", self.content_type)
        if self.sized:
            request.send_header("Content-Length", str(len(self.content) - begin))
        if begin:
            end = len(self.content)
            request.send_header("Content-Range", f"bytes {begin}-{end - 1}/{end}")
        if self.etag:
            request.send_header("ETag", self.etag)
        request.end_headers()
        self._send(request, begin)

    def _send(self, request: BaseHTTPRequestHandler, begin: int) -> None:
        sending = Sending()
        sending.bytes_per_s = self.bytes_per_s
        # The first request only asks what there is: the breaks are for the download.
        if len(self.asked) > 1:
            stops = [*self.break_at, self.break_always_at or 0, self.silent_at or 0]
            first = min((stop for stop in stops if stop > begin), default=None)
            if first is not None and first == self.silent_at:
                sending.stall_after = first - begin
                self._silent.append(sending)
            elif first is not None:
                sending.cut_after = first - begin
                self.break_at = [stop for stop in self.break_at if stop != first]
        sending.send(request, self.content[begin:])
