"""``python -m harness bundle RUN``: packs the evidence of a run into one file."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from harness.report import bundle


def main(run: Path, output: Optional[Path]) -> int:
    """Pack a run's folder and say what is in the bundle; return the exit code.

    Raises:
        BadInput: The folder is not the folder of a run, or the file cannot be written.
    """
    target = output or Path(run.resolve().name + bundle.SUFFIX)
    packed = bundle.pack(run, target)
    print(
        f"{target}: {packed.files} files, {target.stat().st_size / 1e3:,.0f} KB; "
        f"{packed.masked_lines} lines had a secret, now ***; read it before you send it: "
        f"tar --zstd -xf {target}"
    )
    return 0
