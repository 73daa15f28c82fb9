"""The host name, which NameNode and DataNode look up when they start."""

from __future__ import annotations

from harness.setup.hostname import unresolved
from harness.support.errors import MissingPart


def require_host_name() -> None:
    """Raises ``BadInput`` when this machine's own name does not resolve."""
    sentence = unresolved()
    if sentence:
        raise MissingPart(sentence)
