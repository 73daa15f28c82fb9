"""Splits the command lines that operators give as options."""

from __future__ import annotations

import shlex

from ..errors import BadOption


def words(command: str, option: str) -> list[str]:
    """Return the words of ``command``, split as a shell does. Raises ``BadOption`` for none."""
    try:
        found = shlex.split(command)
    except ValueError as error:
        raise BadOption(f"{option} cannot be read: {error}; quote it as for a shell") from None
    if not found:
        raise BadOption(f"{option} is empty; give a program or leave it out")
    return found
