"""Secrets that change while the monitor runs: a rotated token or password needs no restart.

While a file is missing, unreadable, empty or wrong, its last secret stays in use.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any, Optional

from ..errors import BadOption
from ..log import logger
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
        # What the log said of each file that is wrong now.
        self._said: dict[str, str] = {}

    def __bool__(self) -> bool:
        """Return whether any secret comes from a file."""
        return bool(self._header_path) or any(self._paths.values())

    def read_again(self) -> Optional[Options]:
        """Return the options with the files' present secrets, or None if no secret has changed."""
        parse = {option.name: option.metadata["parse"] for option in fields(Options)}
        changed, lines = self._options, self._file_headers
        for name, path in self._paths.items():
            if path:
                with self._last_secret_if_wrong(name):
                    text = from_file(path, f"--{name}_file")
                    secret = _parsed(parse[name], text, name, path)
                    changed = replace(changed, **{name: secret})
        if self._header_path:
            with self._last_secret_if_wrong("http_header"):
                present = _headers(self._header_path)
                # The option and the environment give the other headers.
                old = [header(line) for line in self._file_headers]
                other = [one for one in self._options.http_header if one not in old]
                more = [_parsed(header, one, "http_header", self._header_path) for one in present]
                changed, lines = replace(changed, http_header=(*other, *more)), present
        if changed == self._options:
            return None
        with self._last_secret_if_wrong("all"):
            check(changed, "")
            self._options, self._file_headers = changed, lines
            return changed
        return None

    @contextmanager
    def _last_secret_if_wrong(self, name: str) -> Iterator[None]:
        """Log what is wrong with the files of ``name``, once until they are right again."""
        try:
            yield
        except BadOption as error:
            if self._said.get(name) != str(error):
                self._said[name] = str(error)
                logger.warning("the last secret stays in use: %s", error)
        else:
            self._said.pop(name, None)


def _headers(path: str) -> list[str]:
    return [line for line in lines_of_file(path, "--http_header_file") if line.strip()]


def _parsed(parse: Any, text: str, name: str, path: str) -> Any:
    try:
        return parse(text)
    except ValueError as error:
        raise BadOption(f"--{name}_file is wrong: {error}; correct {path}") from None
