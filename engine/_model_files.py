"""A model's two files: found by suffix, copied together, and checked before anything runs them.

The checks are those that Paddle Inference does not make: it takes truncated parameters without a
word, and a program that is not one can end the process. What is checked:

- the program is a ``ProgramDesc`` with at least one block, feeds and fetches;
- the parameters are exactly the tensors that the program's persistable variables call for, in
  the order in which Paddle reads them (sorted by name), each with its type and shape, from the
  first byte to the last.

Format of the parameters (Paddle's ``SerializeToStream`` for combined files), little endian, for
each tensor: uint32 0, uint64 number of lod levels (each: uint64 bytes, then the bytes), uint32 0,
int32 length of a ``TensorDesc`` message, the message, the elements.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import importlib.util
import math
import mmap
import os
import signal
import stat
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple, Optional, Union

from ._inference import package_folder

_PROGRAM_SUFFIXES = (".pdmodel", "__model__", "model")
_PARAMS_SUFFIXES = (".pdiparams", "__params__", "params")
_KINDS = (("program", _PROGRAM_SUFFIXES), ("parameters", _PARAMS_SUFFIXES))
# VarType.Type numbers of framework.proto
_LOD_TENSOR = 7
_BYTES = {0: 1, 1: 2, 2: 4, 3: 8, 4: 2, 5: 4, 6: 8, 20: 1, 21: 1, 22: 2, 23: 8, 24: 16}
_NAMES = {
    0: "bool",
    1: "int16",
    2: "int32",
    3: "int64",
    4: "float16",
    5: "float32",
    6: "float64",
    20: "uint8",
    21: "int8",
}
_LARGEST_DESC = 1 << 20
# memfd_create takes 249 bytes, and a character may be four.
_LONGEST_NAME = 60

Buffer = Union[bytes, mmap.mmap]


class BadModel(Exception):
    """The files are no model; the text says which file and why.

    ``real_signal`` is what the real server dies of, measured: SIGSEGV when the program is
    garbage, SIGABRT otherwise, whatever made Paddle throw (``--strict-compat``); None where it
    lives on, and where the engine lacks something before Paddle has the files. ``passing`` says
    that the same files are worth another try: this machine is to blame, or they were just being
    written.
    """

    def __init__(
        self,
        text: str,
        real_signal: Optional[signal.Signals] = signal.SIGABRT,
        *,
        passing: bool = False,
    ) -> None:
        super().__init__(text)
        self.real_signal = real_signal
        self.passing = passing


# Too many open files, here or on the whole machine; no memory; no process more.
_PASSING = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN)


def unavailable(what: str, error: OSError) -> BadModel:
    """``what`` could not be done, and why."""
    reason = f"{what}: {error.strerror or type(error).__name__}"
    if error.errno in _PASSING:
        return BadModel(reason, None, passing=True)
    return BadModel(reason)


class Input(NamedTuple):
    """A feed of the program: numpy's name of its type, its shape with -1 for what is free."""

    name: str
    dtype: str
    shape: tuple[int, ...]


class Graph(NamedTuple):
    """What the engine needs to know of a program."""

    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]
    parameters: tuple[tuple[str, int, tuple[int, ...]], ...]


@dataclass(frozen=True)
class ModelFiles:
    """Both files, as copies in memory: whatever is done to the originals, these stay."""

    directory: str
    program: int
    params: int

    @property
    def program_path(self) -> str:
        return f"/proc/self/fd/{self.program}"

    @property
    def params_path(self) -> str:
        return f"/proc/self/fd/{self.params}"


@contextlib.contextmanager
def opened(directory: str, *, first_listed: bool = False) -> Iterator[ModelFiles]:
    """Copies both files of one and the same directory into memory. Raises ``BadModel``.

    ``first_listed``: choose the files as the real server does (``--strict-compat``).

    What is checked and tried out has to be what is loaded, and a file may be written over in
    place at any time. The copies are gone with the block.
    """
    try:
        folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        # The first words are the real server's, spelling included: people look for them.
        refused = unavailable(
            f"path not exits: {directory} (cannot open the model directory)", error
        )
        if error.errno == errno.ENOENT:
            # It looks for the directory itself, before Paddle does, and says that it is gone.
            refused.real_signal = None
        raise refused from None
    copies: list[int] = []
    try:
        try:
            choose = _chosen_as_listed if first_listed else _found
            for name in choose(directory, folder):
                copies.append(_copied(f"{directory}/{name}", folder))
        finally:
            os.close(folder)
        yield ModelFiles(directory, *copies)
    finally:
        for descriptor in copies:
            os.close(descriptor)


def _found(directory: str, folder: int) -> list[str]:
    """The names of the program and the parameters."""
    found = []
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise unavailable(f"cannot list {directory}", error) from None
    for what, suffixes in _KINDS:
        name = _first(names, suffixes)
        if name is None:
            raise BadModel(f"{directory} has no {what}: no file ends in {' or '.join(suffixes)}")
        found.append(name)
    return found


def _chosen_as_listed(directory: str, folder: int) -> list[str]:
    """The names of the program and the parameters, by the real server's rule: of each kind the
    first regular file in the order of the filesystem. Links do not count."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
    except OSError as error:
        raise unavailable(f"cannot list {directory}", error) from None
    found = []
    for what, suffixes in _KINDS:
        name = next((name for name in names if name.endswith(suffixes)), None)
        if name is None:
            # The real server takes it for an export with a file for each parameter.
            raise BadModel(
                f"{directory} has no {what}: no regular file ends in {' or '.join(suffixes)}"
            )
        found.append(name)
    return found


def _copied(path: str, folder: int) -> int:
    """The descriptor of a copy in memory of the file of that name in ``folder``."""
    name = os.path.basename(path)
    try:
        # Without waiting: a fifo would be waited for until somebody writes to it.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
        original = os.open(name, flags, dir_fd=folder)
    except OSError as error:
        raise unavailable(f"cannot open {path}", error) from None
    try:
        return snapshot(original, path)
    except OSError as error:
        raise unavailable(f"cannot read {path}", error) from None
    finally:
        os.close(original)


def snapshot(original: int, path: str) -> int:
    """Copies an open file into memory; gives the copy's descriptor.

    Raises ``BadModel`` when it is no file, when there is no memory for it, and when it changed
    meanwhile; and ``OSError``.
    """
    before = os.fstat(original)
    if not stat.S_ISREG(before.st_mode):
        raise BadModel(f"{path} is no regular file")
    if before.st_size > _available_memory():
        raise BadModel(
            f"{path} has {before.st_size} bytes, more than there is memory for",
            None,
            passing=True,
        )
    copy = os.memfd_create(os.path.basename(path)[:_LONGEST_NAME], os.MFD_CLOEXEC)
    try:
        at = 0
        while at < before.st_size:
            done = os.sendfile(copy, original, at, before.st_size - at)
            if not done:
                break
            at += done
        after = os.fstat(original)
        if at != before.st_size or _version(before) != _version(after):
            # Whoever writes it may be done at the next look, and in this very second. The real
            # server reads what is there so far, and dies of that.
            raise BadModel(f"{path} changed while it was read", passing=True)
    except BaseException:
        os.close(copy)
        raise
    return copy


def _available_memory() -> int:
    """Bytes that the kernel could give without swapping; without bound where it does not say."""
    with contextlib.suppress(OSError, ValueError, IndexError), open("/proc/meminfo") as lines:
        for line in lines:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return sys.maxsize


def _version(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _first(names: list[str], suffixes: tuple[str, ...]) -> Union[str, None]:
    for suffix in suffixes:
        for name in names:
            if name.endswith(suffix):
                return name
    return None


def check(files: ModelFiles, whole: bool = True) -> Graph:
    """Reads the program and, when ``whole``, walks through the parameters. Raises ``BadModel``."""
    with _mapped(files.program) as data:
        graph = read_graph(bytes(data))
    if whole:
        with _mapped(files.params) as data:
            check_parameters(data, graph)
    return graph


@contextlib.contextmanager
def _mapped(descriptor: int) -> Iterator[Buffer]:
    size = os.fstat(descriptor).st_size
    if size == 0:
        yield b""
        return
    with mmap.mmap(descriptor, size, access=mmap.ACCESS_READ) as mapped:
        yield mapped


def read_graph(program: bytes) -> Graph:
    """What a serialised ``ProgramDesc`` says of its feeds, fetches and parameters.

    Raises ``BadModel``.
    """
    if not program:
        raise BadModel("the program is an empty file", signal.SIGSEGV)
    desc: Any = framework().ProgramDesc()
    if not _parsed(desc, program):
        raise BadModel("the program is not a ProgramDesc", signal.SIGSEGV)
    if not desc.blocks or not desc.blocks[0].ops:
        raise BadModel("the program has no operators", signal.SIGSEGV)
    variables = {var.name: var for block in desc.blocks for var in block.vars}
    # proto2 gives bytes for a string that is not UTF-8.
    if not all(isinstance(name, str) for name in variables):
        raise BadModel("the program has a variable whose name is not text")
    inputs = []
    outputs = []
    for op in desc.blocks[0].ops:
        if op.type == "feed" and op.outputs and op.outputs[0].arguments:
            inputs.append(_input(op.outputs[0].arguments[0], variables))
        elif op.type == "fetch" and op.inputs and op.inputs[0].arguments:
            outputs.append(op.inputs[0].arguments[0])
    if not inputs or not outputs:
        raise BadModel("the program has no feed or no fetch: it was not exported for inference")
    parameters = []
    for name in sorted(variables):
        kind = variables[name].type
        if variables[name].persistable and kind.type == _LOD_TENSOR:
            tensor = kind.lod_tensor.tensor
            parameters.append((name, int(tensor.data_type), tuple(tensor.dims)))
    return Graph(tuple(inputs), tuple(outputs), tuple(parameters))


def _input(name: str, variables: dict[str, Any]) -> Input:
    if name not in variables:
        raise BadModel(f"the program feeds {name}, which it does not declare")
    tensor = variables[name].type.lod_tensor.tensor
    number = int(tensor.data_type)
    if number not in _NAMES:
        raise BadModel(f"the program's feed {name} has the unknown type {number}")
    return Input(name, _NAMES[number], tuple(tensor.dims))


def graph_of(values: Any) -> Graph:
    """A ``Graph`` that has been JSON meanwhile; its parameters are not in it any more."""
    inputs, outputs = values[0], values[1]
    return Graph(
        tuple(Input(name, dtype, tuple(shape)) for name, dtype, shape in inputs),
        tuple(outputs),
        (),
    )


def check_parameters(data: Buffer, graph: Graph) -> None:
    """Walks through the combined parameters. Raises ``BadModel``."""
    at = 0
    for name, number, dims in graph.parameters:
        at = _check_tensor(data, at, name, number, dims)
    if at != len(data):
        raise BadModel(
            f"the parameters have {len(data) - at} bytes behind the last one the program names"
        )


def _check_tensor(data: Buffer, at: int, name: str, number: int, dims: tuple[int, ...]) -> int:
    version, levels = _unpack("<IQ", data, at, name)
    at += 12
    if version != 0 or levels > 8:
        raise BadModel(f"the parameters hold no tensor where {name} should start (byte {at - 12})")
    for _ in range(levels):
        (size,) = _unpack("<Q", data, at, name)
        at += 8 + size
    version, length = _unpack("<Ii", data, at, name)
    at += 8
    if version != 0 or not 0 <= length <= _LARGEST_DESC:
        raise BadModel(f"the parameters hold no tensor where {name} should be (byte {at - 8})")
    if at + length > len(data):
        raise BadModel(f"the parameters end inside {name}: the file is truncated")
    desc: Any = framework().VarType.TensorDesc()
    if not _parsed(desc, bytes(data[at : at + length])):
        raise BadModel(f"the parameter {name} has no description")
    at += length
    shape = tuple(desc.dims)
    # Older exporters write a scalar's shape as [1] into one file and [] into the other.
    same = shape == dims or math.prod(shape) == math.prod(dims) == 1
    if desc.data_type != number or not same:
        raise BadModel(
            f"the parameter {name} has the shape {list(shape)}, the program wants {list(dims)}: "
            "the two files are not of one model"
        )
    end: int = at + math.prod(shape) * _BYTES.get(number, 0)
    if end > len(data):
        raise BadModel(
            f"the parameters end {end - len(data)} bytes inside {name}: the file is truncated"
        )
    return end


def _parsed(message: Any, data: bytes) -> bool:
    from google.protobuf.message import DecodeError

    try:
        message.ParseFromString(data)
    except (DecodeError, SystemError):
        # The latter is protobuf's C++ code with its warning turned into an error (_baidu_std).
        return False
    return True


def _unpack(layout: str, data: Buffer, at: int, name: str) -> tuple[Any, ...]:
    if at < 0 or at + struct.calcsize(layout) > len(data):
        raise BadModel(f"the parameters end before {name}: the file is truncated")
    return struct.unpack_from(layout, data, at)


@functools.cache
def framework() -> ModuleType:
    """Paddle's message definitions (framework.proto)."""
    path = package_folder() / "base" / "proto" / "framework_pb2.py"
    spec = importlib.util.spec_from_file_location(f"{__name__}.framework_pb2", path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded
