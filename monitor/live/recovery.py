"""Finishes or undoes what a kill cut off."""

from __future__ import annotations

import os
import shutil
from typing import Optional

from ..disk import remove
from . import state
from .fallback import _INSIDE, READY, _file_by_file, _put_away_copied, _torn
from .state import flush_folder


def recover(live: str, stagings: list[str], timestamp_file: str) -> Optional[str]:
    """Finishes a swap of several steps that was cut in between; gives the folder that went live.

    Of ``stagings``, the folders beside ``live``, those that end in ``READY`` count.
    """
    finished = None
    for path in stagings:
        if not path.endswith(READY):
            continue
        torn = state.read_json(_torn(path))
        gone = not os.path.lexists(live)
        if torn is not None and torn.get("mount") and not gone:
            _file_by_file(path, live, timestamp_file, lambda: None)
            _put_away_copied(path)
            finished = path
        elif gone or (os.path.isdir(live) and torn is not None):
            if not gone:
                shutil.rmtree(live)
            os.rename(path, live)
            flush_folder(os.path.dirname(live) or ".")
            finished = path
        elif os.path.lexists(path):
            # The swap had not begun: rename it back to a plain staging folder.
            remove(os.path.join(live, _INSIDE))
            os.rename(path, path[: -len(READY)])
        remove(_torn(path))
    return finished
