"""For tests that read Compose files and start nothing: they need Compose, and no engine."""

from __future__ import annotations

from typing import Optional

import pytest

from harness.containers import compose
from harness.support.errors import BadInput


def _missing() -> Optional[str]:
    try:
        compose.command()
    except BadInput as error:
        return str(error)
    return None


needs_compose = pytest.mark.skipif(_missing() is not None, reason=f"no Compose: {_missing()}")
