"""A model's two files: found by suffix, opened together, and checked before Paddle runs them.

Paddle Inference does not make these checks: it loads truncated parameters without an error, and a
damaged program can end the process.

- The program is a ``ProgramDesc`` with at least one operator, feed and fetch.
- The parameters are exactly the tensors of the program's persistable variables, each with its type
  and shape. They stand in the order in which Paddle reads them, which is that of their names.

The parameters have Paddle's format for combined files (``SerializeToStream``), little endian. Each
tensor is uint32 0, uint64 0 (levels of lod), uint32 0, int32 length of a ``TensorDesc`` message,
the message, the elements.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import math
import os
import signal
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any, BinaryIO, NamedTuple, Optional

import numpy as np

from . import _messages
from ._inference import package_folder

_PROGRAM_SUFFIXES = (".pdmodel", "__model__", "model")
_PARAMS_SUFFIXES = (".pdiparams", "__params__", "params")
_KINDS = (("program", _PROGRAM_SUFFIXES), ("parameters", _PARAMS_SUFFIXES))
# VarType.Type numbers of framework.proto, and numpy's types of the same size.
_LOD_TENSOR = 7
_TYPES = {
    0: "bool",
    1: "int16",
    2: "int32",
    3: "int64",
    4: "float16",
    5: "float32",
    6: "float64",
    20: "uint8",
    21: "int8",
    22: "uint16",
    23: "complex64",
    24: "complex128",
}
_MAX_DESC = 1 << 20


class BadModel(Exception):
    """The files are no model. The text says which file and why.

    Attributes:
        real_signal: What the real server dies of, for ``--strict-compat``. Measured: SIGSEGV when
            the program is garbage, SIGABRT otherwise. ``None`` where it lives on.
        passing: The same files are worth another try: they were just being written, or the
            process that loads them was gone.
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
    """Both files, open: an exchange of the directory makes no mixture of two models.

    A file may still be written over in place, so ``changed`` has to be asked after the load.
    """

    # The model's folder, for messages.
    directory: str
    # The descriptor of the graph.
    program: int
    # The descriptor of the parameters.
    params: int
    # Size and mtime of both files when they were opened.
    versions: tuple[tuple[int, int], ...] = ()

    @property
    def program_path(self) -> str:
        return f"/proc/self/fd/{self.program}"

    @property
    def params_path(self) -> str:
        return f"/proc/self/fd/{self.params}"

    def changed(self) -> Optional[BadModel]:
        """Return a refusal if a file was written to since it was opened."""
        if self.versions == (_version(self.program), _version(self.params)):
            return None
        # The writer may be done at the next tick, within the same second.
        return BadModel(f"{self.directory} changed while it was read", passing=True)


def _version(descriptor: int) -> tuple[int, int]:
    # Not the ctime: it changes when another file takes the name.
    status = os.fstat(descriptor)
    return status.st_size, status.st_mtime_ns


@contextlib.contextmanager
def opened(directory: str, *, first_listed: bool = False) -> Iterator[ModelFiles]:
    """Open both files of one directory for the block.

    Args:
        directory: The model's directory.
        first_listed: Choose the files as the real server does (``--strict-compat``).

    Raises:
        BadModel: A file is missing, or is no regular file.
    """
    with contextlib.ExitStack() as stack:
        try:
            folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            # The first words are the real server's, spelling included: people look for them.
            why = f"(cannot open the model directory): {error.strerror}"
            # The real server reports a missing directory before Paddle looks for it, and goes on.
            died = None if error.errno == errno.ENOENT else signal.SIGABRT
            raise BadModel(f"path not exits: {directory} {why}", died) from None
        stack.callback(os.close, folder)
        files = []
        for name in _chosen(directory, folder, first_listed):
            try:
                # A fifo must not be waited for.
                flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
                files.append(os.open(name, flags, dir_fd=folder))
            except OSError as error:
                raise BadModel(f"cannot open {directory}/{name}: {error.strerror}") from None
            stack.callback(os.close, files[-1])
            if not stat.S_ISREG(os.fstat(files[-1]).st_mode):
                raise BadModel(f"{directory}/{name} is no regular file")
        yield ModelFiles(directory, files[0], files[1], tuple(map(_version, files)))


def _chosen(directory: str, folder: int, first_listed: bool) -> list[str]:
    """Return the names of the program and the parameters.

    The first suffix counts, then the first name. The real server takes the first regular file in
    the order of the filesystem (``first_listed``).
    """
    try:
        with os.scandir(folder) as entries:
            names = [
                entry.name
                for entry in entries
                if not first_listed or entry.is_file(follow_symlinks=False)
            ]
    except OSError as error:
        raise BadModel(f"cannot list {directory}: {error.strerror}") from None
    found = []
    for what, suffixes in _KINDS:
        if first_listed:
            fitting = [name for name in names if name.endswith(suffixes)]
        else:
            fitting = [name for end in suffixes for name in sorted(names) if name.endswith(end)]
        if not fitting:
            # Without parameters the real server expects an export with a file for each of them.
            kind = "regular file" if first_listed else "file"
            raise BadModel(f"{directory} has no {what}: no {kind} ends in {' or '.join(suffixes)}")
        found.append(fitting[0])
    return found


def check(files: ModelFiles, whole: bool = True) -> Graph:
    """Read the program and, when ``whole``, walk through the parameters. Raises ``BadModel``."""
    graph = read_graph(os.pread(files.program, os.fstat(files.program).st_size, 0))
    if whole:
        with open(files.params_path, "rb") as params:
            _check_parameters(params, graph)
    return graph


def read_graph(program: bytes) -> Graph:
    """Return what a serialised ``ProgramDesc`` says. Raises ``BadModel``."""
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
    if number not in _TYPES:
        raise BadModel(f"the program's feed {name} has the unknown type {number}")
    return Input(name, _TYPES[number], tuple(tensor.dims))


def _check_parameters(params: BinaryIO, graph: Graph) -> None:
    size = os.fstat(params.fileno()).st_size
    for name, number, dims in graph.parameters:
        _check_tensor(params, size, name, number, dims)
    behind = size - params.tell()
    if behind:
        raise BadModel(f"the parameters have {behind} bytes behind the program's last tensor")


def _check_tensor(
    params: BinaryIO, size: int, name: str, number: int, dims: tuple[int, ...]
) -> None:
    start = params.tell()
    zeros, levels, more_zeros, length = struct.unpack("<IQIi", _read(params, 20, name))
    if zeros or levels or more_zeros or not 0 <= length <= _MAX_DESC:
        raise BadModel(f"the parameters hold no tensor where {name} should start (byte {start})")
    desc: Any = framework().VarType.TensorDesc()
    if not _parsed(desc, _read(params, length, name)):
        raise BadModel(f"the parameter {name} has no description")
    shape = tuple(desc.dims)
    # Older exporters write a scalar's shape as [1] into one file and [] into the other.
    same = shape == dims or math.prod(shape) == math.prod(dims) == 1
    if desc.data_type != number or number not in _TYPES or not same:
        raise BadModel(
            f"the parameter {name} has the shape {list(shape)}, the program wants {list(dims)}: "
            "the two files are not of one model"
        )
    end = params.tell() + math.prod(shape) * np.dtype(_TYPES[number]).itemsize
    if end > size:
        raise BadModel(
            f"the parameters end {end - size} bytes inside {name}: the file is truncated"
        )
    params.seek(end)


def _read(params: BinaryIO, size: int, name: str) -> bytes:
    data = params.read(size)
    if len(data) < size:
        raise BadModel(f"the parameters end inside {name}: the file is truncated")
    return data


def _parsed(message: Any, data: bytes) -> bool:
    try:
        message.ParseFromString(data)
    except _messages.PARSE_ERRORS:
        return False
    return True


@functools.cache
def framework() -> ModuleType:
    """Return Paddle's message definitions (framework.proto)."""
    return _messages.executed(package_folder() / "base" / "proto" / "framework_pb2.py")
