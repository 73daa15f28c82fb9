"""Runs a command and kills it before or after its n-th change of a file; or lists the changes.

    python interposer.py --under DIR [--under DIR …] --record FILE -- COMMAND [ARG …]
    python interposer.py --under DIR … --record FILE --kill before|after --at N -- COMMAND …

Works on any command, without changing it. A seccomp filter (seccomp(2)) stops the command and its
children at each system call that can change a file. This program sees each stop through ptrace(2).
At the n-th change it sends SIGKILL to all of them, like a ``kill -9`` or an out-of-memory kill.
Calls on paths outside every ``--under`` do not count. Nor do calls that change nothing (an open for
reading).

FILE gets one JSON line a counted call: ``n`` (from 1), ``call``, ``paths``, ``result`` (the
return value; null when it was killed before), ``pid``. The exit code is the command's
(128 + n for signal n); 137 when it was killed here; 125 when this machine does not allow it.

Not seen: writes through a shared mapping and io_uring. x86-64 Linux only. Standard library only.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import signal
import struct
import sys
from typing import Callable, NamedTuple, Optional

_TRACEME, _CONT, _SYSCALL, _SETOPTIONS, _GET_SYSCALL_INFO = 0, 7, 24, 0x4200, 0x420E
_O_SYSGOOD, _O_FORK, _O_VFORK, _O_CLONE, _O_EXEC, _O_SECCOMP = 1, 2, 4, 8, 16, 128
_O_EXITKILL = 1 << 20
_EVENT_SECCOMP = 7
_WALL = 0x40000000
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP = 38, 22
_RET_TRACE, _RET_ALLOW = 0x7FF00000, 0x7FFF0000
_ARCH_X86_64 = 0xC000003E
_FICLONE, _FICLONERANGE = 0x40049409, 0x4020940D
_CHANGING_FLAGS = os.O_CREAT | os.O_TRUNC
_AT_FDCWD = -100

# How the arguments of a call name files. "p0": a path in argument 0. "f0": a descriptor in
# argument 0. "a0": a descriptor in argument 0 with a path in argument 1.
_CALLS: dict[int, tuple[str, tuple[str, ...]]] = {
    1: ("write", ("f0",)),
    2: ("open", ("p0",)),
    16: ("ioctl", ("f0",)),
    18: ("pwrite64", ("f0",)),
    20: ("writev", ("f0",)),
    40: ("sendfile", ("f0",)),
    76: ("truncate", ("p0",)),
    77: ("ftruncate", ("f0",)),
    82: ("rename", ("p0", "p1")),
    83: ("mkdir", ("p0",)),
    84: ("rmdir", ("p0",)),
    85: ("creat", ("p0",)),
    86: ("link", ("p0", "p1")),
    87: ("unlink", ("p0",)),
    88: ("symlink", ("p1",)),
    90: ("chmod", ("p0",)),
    91: ("fchmod", ("f0",)),
    92: ("chown", ("p0",)),
    93: ("fchown", ("f0",)),
    94: ("lchown", ("p0",)),
    132: ("utime", ("p0",)),
    133: ("mknod", ("p0",)),
    165: ("mount", ("p1",)),
    188: ("setxattr", ("p0",)),
    189: ("lsetxattr", ("p0",)),
    190: ("fsetxattr", ("f0",)),
    197: ("removexattr", ("p0",)),
    198: ("lremovexattr", ("p0",)),
    199: ("fremovexattr", ("f0",)),
    235: ("utimes", ("p0",)),
    257: ("openat", ("a0",)),
    258: ("mkdirat", ("a0",)),
    259: ("mknodat", ("a0",)),
    260: ("fchownat", ("a0",)),
    261: ("futimesat", ("a0",)),
    263: ("unlinkat", ("a0",)),
    264: ("renameat", ("a0", "a2")),
    265: ("linkat", ("a0", "a2")),
    266: ("symlinkat", ("a1",)),
    268: ("fchmodat", ("a0",)),
    275: ("splice", ("f2",)),
    280: ("utimensat", ("a0",)),
    285: ("fallocate", ("f0",)),
    296: ("pwritev", ("f0",)),
    316: ("renameat2", ("a0", "a2")),
    326: ("copy_file_range", ("f2",)),
    328: ("pwritev2", ("f0",)),
    437: ("openat2", ("a0",)),
    452: ("fchmodat2", ("a0",)),
}
_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def _ptrace(request: int, pid: int, address: int = 0, data: int = 0) -> int:
    ctypes.set_errno(0)
    result: int = _libc.ptrace(request, pid, address, data)
    if result == -1 and ctypes.get_errno():
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def _install_filter() -> None:
    """Make each call of the table stop for the tracer; all others run at full speed."""

    def instruction(code: int, yes: int, no: int, value: int) -> bytes:
        return struct.pack("HBBI", code, yes, no, value)

    load, equal, give = 0x20, 0x15, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
    lines = [
        instruction(load, 0, 0, 4),  # seccomp_data.arch
        instruction(equal, 1, 0, _ARCH_X86_64),
        instruction(give, 0, 0, _RET_ALLOW),
        instruction(load, 0, 0, 0),  # seccomp_data.nr
    ]
    for number in _CALLS:
        lines.append(instruction(equal, 0, 1, number))
        lines.append(instruction(give, 0, 0, _RET_TRACE))
    lines.append(instruction(give, 0, 0, _RET_ALLOW))
    code = ctypes.create_string_buffer(b"".join(lines))
    program = _Program(len(lines), ctypes.addressof(code))
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if _libc.prctl(_PR_SET_SECCOMP, 2, ctypes.byref(program), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "seccomp filter refused")


class Call(NamedTuple):
    """A system call that is about to be made: number and arguments."""

    number: int
    arguments: tuple[int, ...]


def _call_of(pid: int) -> Optional[Call]:
    """The call at whose start ``pid`` stands (PTRACE_GET_SYSCALL_INFO, Linux 5.3)."""
    buffer = ctypes.create_string_buffer(96)
    _ptrace(_GET_SYSCALL_INFO, pid, len(buffer), ctypes.addressof(buffer))
    if buffer.raw[0] not in (1, 3):  # entry, seccomp
        return None
    number, *arguments = struct.unpack_from("7Q", buffer.raw, 24)
    return Call(number, tuple(arguments))


def _result_of(pid: int) -> Optional[int]:
    """The return value when ``pid`` stands at a call's end, negative for an error number."""
    buffer = ctypes.create_string_buffer(96)
    _ptrace(_GET_SYSCALL_INFO, pid, len(buffer), ctypes.addressof(buffer))
    return int(struct.unpack_from("q", buffer.raw, 24)[0]) if buffer.raw[0] == 2 else None


def _text_at(pid: int, address: int) -> str:
    """The NUL-terminated string at ``address`` of ``pid``."""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        memory.seek(address)
        found = b""
        while b"\0" not in found and len(found) < 8192:
            # Do not read across the end of a page: the next page may not be mapped.
            chunk = memory.read(4096 - (address + len(found)) % 4096)
            if not chunk:
                break
            found += chunk
    return os.fsdecode(found.split(b"\0", 1)[0])


def _number_at(pid: int, address: int) -> int:
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        memory.seek(address)
        return int(struct.unpack("Q", memory.read(8))[0])


def _signed(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value & 0x80000000 else value


def changed_paths(pid: int, call: Call) -> list[str]:
    """The paths that ``call`` would change; empty when it cannot change a file."""
    name, places = _CALLS[call.number]
    arguments = call.arguments
    if name == "open" and not arguments[1] & _CHANGING_FLAGS:
        return []
    if name == "openat" and not arguments[2] & _CHANGING_FLAGS:
        return []
    if name == "openat2" and not _number_at(pid, arguments[2]) & _CHANGING_FLAGS:
        return []
    if name == "ioctl" and arguments[1] & 0xFFFFFFFF not in (_FICLONE, _FICLONERANGE):
        return []
    paths = []
    for place in places:
        kind, index = place[0], int(place[1])
        if kind == "f":
            paths.append(os.readlink(f"/proc/{pid}/fd/{_signed(arguments[index])}"))
            continue
        folder = f"/proc/{pid}/cwd"
        pointer = arguments[index]
        if kind == "a":
            descriptor, pointer = _signed(arguments[index]), arguments[index + 1]
            if descriptor != _AT_FDCWD:
                folder = f"/proc/{pid}/fd/{descriptor}"
        text = _text_at(pid, pointer) if pointer else ""
        if not text.startswith("/"):
            text = os.path.join(os.readlink(folder), text) if text else os.readlink(folder)
        paths.append(os.path.normpath(text))
    return paths


class Interposer:
    """Follows one command. ``at`` is None to record only."""

    def __init__(
        self,
        under: list[str],
        tell: Callable[[dict[str, object]], None],
        when: str = "before",
        at: Optional[int] = None,
    ) -> None:
        self._under = [os.path.realpath(folder) for folder in under]
        self._tell = tell
        self._when = when
        self._at = at
        self._count = 0
        self._open: dict[int, dict[str, object]] = {}
        self._seen: set[int] = set()

    def run(self, command: list[str]) -> int:
        """Start ``command`` and follow it to its end; return the exit code."""
        first = os.fork()
        if first == 0:
            try:
                _ptrace(_TRACEME, 0)
                os.kill(os.getpid(), signal.SIGSTOP)
                _install_filter()
                os.execvp(command[0], command)
            except OSError as error:
                print(f"interposer: cannot start {command[0]}: {error}", file=sys.stderr)
            os._exit(125)
        os.waitpid(first, _WALL)
        options = _O_SYSGOOD | _O_FORK | _O_VFORK | _O_CLONE | _O_EXEC | _O_SECCOMP | _O_EXITKILL
        _ptrace(_SETOPTIONS, first, 0, options)
        self._seen.add(first)
        _ptrace(_CONT, first)
        code = 0
        while True:
            try:
                pid, status = os.waitpid(-1, _WALL)
            except ChildProcessError:
                return code
            if os.WIFSTOPPED(status):
                try:
                    if self._stopped(pid, status):
                        return 137  # the kernel now kills all tracees (PTRACE_O_EXITKILL)
                except ProcessLookupError:
                    pass  # another process has killed it meanwhile
            elif pid == first:
                code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + status % 128

    def _stopped(self, pid: int, status: int) -> bool:
        """Handle one stop; return whether the command has to be killed now."""
        number, event = os.WSTOPSIG(status), status >> 16
        if event == _EVENT_SECCOMP:
            return self._starts_call(pid)
        if number == signal.SIGTRAP | 0x80:
            return self._ended_call(pid)
        if event:
            _ptrace(_CONT, pid)
        elif number == signal.SIGSTOP and pid not in self._seen:
            # A new thread or process reports to its tracer in this way.
            self._seen.add(pid)
            _ptrace(_CONT, pid)
        else:
            _ptrace(_CONT, pid, 0, number)
        return False

    def _starts_call(self, pid: int) -> bool:
        call = _call_of(pid)
        paths: list[str] = []
        if call is not None:
            try:
                paths = changed_paths(pid, call)
            except (OSError, OverflowError, struct.error):
                paths = []  # a bad pointer or descriptor: the call will fail, too
        if call is None or not any(self._counts(path) for path in paths):
            _ptrace(_CONT, pid)
            return False
        self._count += 1
        record: dict[str, object] = {
            "n": self._count,
            "call": _CALLS[call.number][0],
            "paths": paths,
            "result": None,
            "pid": pid,
        }
        if self._at == self._count and self._when == "before":
            self._tell(record)
            return True
        self._open[pid] = record
        _ptrace(_SYSCALL, pid)
        return False

    def _ended_call(self, pid: int) -> bool:
        record = self._open.pop(pid, None)
        if record is not None:
            record["result"] = _result_of(pid)
            self._tell(record)
            if self._at == record["n"]:
                return True
        _ptrace(_CONT, pid)
        return False

    def _counts(self, path: str) -> bool:
        return any(path == folder or path.startswith(folder + "/") for folder in self._under)


def main() -> int:
    """Trace the command and record its calls. Return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--under", action="append", required=True)
    parser.add_argument("--record", required=True)
    parser.add_argument("--kill", choices=("before", "after"), default="before")
    parser.add_argument("--at", type=int)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    # If Ctrl-C ended this program, the kernel would kill the command (PTRACE_O_EXITKILL).
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with open(options.record, "w", encoding="utf-8", buffering=1) as record:

        def tell(line: dict[str, object]) -> None:
            record.write(json.dumps(line) + "\n")

        try:
            return Interposer(options.under, tell, options.kill, options.at).run(command)
        except PermissionError as error:
            print(f"interposer: ptrace is not allowed here: {error}", file=sys.stderr)
            return 125


if __name__ == "__main__":
    sys.exit(main())
