"""A folder on disk that is removed at the end, even if this program is killed."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Optional

from harness.support.paths import cache_dir

# Waits for the end of standard input, which comes when this program ends. Processes in the folder
# end at the same moment and may still write, so the script tries several times.
_SWEEP = """
trap '' INT TERM HUP
read -r _
for _ in 1 2 3 4 5 6 7 8 9 10; do rm -rf --one-file-system "$1" 2>/dev/null && exit 0; sleep 0.5
done
"""


class Workplace:
    """``with Workplace("name") as folder``: a folder below the project's cache."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._sweeper: Optional[subprocess.Popen[bytes]] = None

    def __enter__(self) -> Path:
        folder = tempfile.mkdtemp(prefix=f"{self._name}.", dir=cache_dir("bare"))
        os.chmod(folder, 0o755)
        self._sweeper = subprocess.Popen(
            ["sh", "-c", _SWEEP, "sh", folder], stdin=subprocess.PIPE, start_new_session=True
        )
        return Path(folder)

    def __exit__(self, *_: object) -> None:
        assert self._sweeper is not None
        assert self._sweeper.stdin is not None
        self._sweeper.stdin.close()
        self._sweeper.wait()
