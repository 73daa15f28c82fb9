"""What makes a folder a model that a server can load, decided from names, sizes and prototxt text.

The server finds its files by suffix: ``.pdmodel``, ``__model__`` or ``model`` is the graph,
``.pdiparams``, ``__params__`` or ``params`` the parameters. (Measured on Paddle Serving 0.9.0,
which aborts when one is missing.) It takes the first regular file of each kind in the order in
which the filesystem lists the folder. If there are two of a kind, chance decides. Symbolic links do
not count. Older exports have ``__model__`` and one file for each parameter. A server that finds no
file with a suffix of parameters loads the folder as such an export.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from typing import Optional

from ..errors import ReleaseError

CONF = "serving_server_conf.prototxt"
_GRAPH = (".pdmodel", "__model__", "model")
_PARAMS = (".pdiparams", "__params__", "params")
_VAR = re.compile(r"\b(feed_var|fetch_var)\s*\{([^{}]*)\}")
_FIELD = re.compile(r'\b(name|alias_name)\s*:\s*"((?:[^"\\]|\\.)*)"')
_MAX_CONF = 4 * 1024 * 1024

Signature = tuple[tuple[str, str, str], ...]


def may_be_loaded(name: str) -> bool:
    """Return whether a server may load a file of this name as graph or parameters."""
    return name.endswith((*_GRAPH, *_PARAMS))


def linked(folder: str) -> list[str]:
    """Return the names of symbolic links in ``folder`` that a server expects to be model files."""
    try:
        with os.scandir(folder) as entries:
            return sorted(e.name for e in entries if may_be_loaded(e.name) and e.is_symlink())
    except OSError:
        return []


def added_by_macos(path: str) -> bool:
    """Return whether ``path`` in a release is a file that macOS adds to folders and archives."""
    parts = path.split("/")
    return any(part.startswith("._") or part in ("__MACOSX", ".DS_Store") for part in parts)


def check_regular(where: str, folder: str) -> None:
    """Raise ``ReleaseError`` unless all below ``folder`` are regular files and folders."""
    for above, below, names in os.walk(folder):
        for name in (*below, *names):
            path = os.path.join(above, name)
            mode = os.lstat(path).st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                what = "a symbolic link" if stat.S_ISLNK(mode) else "no regular file"
                raise ReleaseError(
                    "use",
                    where,
                    f"{os.path.relpath(path, folder)!r} in it is {what}",
                    "publish the file itself",
                )


def check_files(where: str, sizes: dict[str, int], *, allow_ambiguous: bool = False) -> None:
    """Raise ``ReleaseError`` unless ``sizes`` (path in the folder to bytes) are a model's files."""

    def bad(
        cause: str, hint: str = "export the model again and publish all its files"
    ) -> ReleaseError:
        return ReleaseError("use", where, cause, hint)

    newer = sorted(
        name for name in sizes if name.endswith(".json") and f"{name[:-5]}.pdiparams" in sizes
    )
    if newer and not any(name.endswith(_GRAPH) for name in sizes):
        raise bad(
            f"{newer[0]} is a graph of Paddle 3, which Paddle Serving 0.9.0 cannot load",
            "export the model with Paddle 2.6, which writes a .pdmodel",
        )
    if not sizes.get(CONF):
        raise bad(f"{CONF} is missing or empty")
    names = sorted(name for name in sizes if "/" not in name and not name.endswith(".prototxt"))
    graphs = [name for name in names if name.endswith(_GRAPH)]
    if not graphs:
        raise bad("it has no graph (*.pdmodel or __model__)")
    params = [name for name in names if name.endswith(_PARAMS)]
    if params and not allow_ambiguous:
        _check_unambiguous(where, "graph", graphs, _GRAPH)
        _check_unambiguous(where, "parameters", params, _PARAMS)
    if not params and "__model__" in graphs:
        params = [name for name in names if name not in graphs and not name.startswith(".")]
    if not params:
        raise bad("it has no parameters (*.pdiparams or __params__)")
    empty = [name for name in (*graphs, *params) if not sizes[name]]
    if empty:
        raise bad(f"{empty[0]} is empty")


def _check_unambiguous(where: str, what: str, names: list[str], suffixes: tuple[str, ...]) -> None:
    if len(names) < 2:
        return
    shown = [*names[:5], f"{len(names) - 5} more"] if len(names) > 6 else names
    raise ReleaseError(
        "use",
        where,
        f"it has {_words(shown, 'and')}, and the filesystem's order of files decides which of them "
        f"a server loads as {what} (any name that ends in {_words(suffixes, 'or')})",
        "publish one of them in the model's folder, or use --allow_ambiguous_model",
    )


def _words(several: Sequence[str], word: str) -> str:
    return f"{', '.join(several[:-1])} {word} {several[-1]}"


def read_signature(folder: str) -> Optional[Signature]:
    """Return feeds and fetches (kind, name, alias) of a model; None if they cannot be read."""
    try:
        with open(os.path.join(folder, CONF), encoding="utf-8") as file:
            return signature(file.read(_MAX_CONF))
    except (OSError, UnicodeDecodeError):
        return None


def signature(conf: str) -> Signature:
    """Return the feeds and fetches in the text of a ``serving_server_conf.prototxt``."""
    found = []
    for kind, body in _VAR.findall(conf):
        fields = dict(_FIELD.findall(body))
        found.append((kind, fields.get("name", ""), fields.get("alias_name", "")))
    return tuple(sorted(found))


def check_signature(where: str, new: Optional[Signature], running: Optional[Signature]) -> None:
    """Raise ``ReleaseError`` if a release's feeds and fetches are not those of the running model.

    The server takes names from the file that it was started with. With other names it answers
    nonsense or aborts.
    """
    if not new:
        raise ReleaseError(
            "use", where, f"{CONF} names no feed and no fetch", "export the model again"
        )
    if running and new != running:
        gone = ", ".join("/".join(var) for var in running if var not in new) or "nothing"
        come = ", ".join("/".join(var) for var in new if var not in running) or "nothing"
        raise ReleaseError(
            "use",
            where,
            f"feeds or fetches changed (gone: {gone}; new: {come})",
            "if that is meant, restart the server on it and use --allow_signature_change",
        )


def sizes(folder: str) -> dict[str, int]:
    """Return the bytes of every regular file below ``folder``, by its path in the folder."""
    found = {}
    for where, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(where, name)
            found[os.path.relpath(path, folder)] = os.lstat(path).st_size
    return found
