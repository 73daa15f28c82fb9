"""Secrets that change while the monitor runs: a rotated token or password needs no restart."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, Optional

from ..errors import BadOption
from .fields import SECRETS, Options, check
from .secrets import from_file, header, lines_of_file


class SecretFiles:
    """The files that hold secrets of ``options``."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._paths = {name: str(getattr(options, f"{name}_file")) for name in SECRETS}
        path = self._paths.pop("http_header")
        self._header_path = path
        self._file_headers = _headers(path) if path else []

    def __bool__(self) -> bool:
        """Return whether any secret comes from a file."""
        return bool(self._header_path) or any(self._paths.values())

    def read_again(self) -> Optional[Options]:
        """Return the options with the files' present secrets, or None if no secret has changed.

        Raises:
            BadOption: A file cannot be read, or its secret is wrong.
        """
        parse = {option.name: option.metadata["parse"] for option in fields(Options)}
        found: dict[str, Any] = {}
        for name, path in self._paths.items():
            if path:
                found[name] = _parsed(parse[name], from_file(path, f"--{name}_file"), name, path)
        lines = self._file_headers
        if self._header_path:
            lines = _headers(self._header_path)
            # The option and the environment give the other headers.
            old = [header(line) for line in self._file_headers]
            other = [one for one in self._options.http_header if one not in old]
            more = [_parsed(header, line, "http_header", self._header_path) for line in lines]
            found["http_header"] = (*other, *more)
        changed = replace(self._options, **found)
        if changed == self._options:
            return None
        check(changed, "")
        self._options, self._file_headers = changed, lines
        return changed


def _headers(path: str) -> list[str]:
    return [line for line in lines_of_file(path, "--http_header_file") if line.strip()]


def _parsed(parse: Any, text: str, name: str, path: str) -> Any:
    try:
        return parse(text)
    except ValueError as error:
        raise BadOption(f"--{name}_file is wrong: {error}; correct {path}") from None
