"""What is on disk when the live directory changes: a power cut must find one whole release.

No test can cut the power, but a test can see the order of the system calls. Every file in the
staging folder is flushed after its last change and before the exchange. The folder above is flushed
after the exchange.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from monitor.decisions.machine import Event
from monitor.live import exchange

from .fixtures import MODEL, Site, model_files, tarball
from .stepping import MakeWatch, live, poll


class Recorder:
    """Notes each flush and each rename of a staging folder into place, in their order."""

    def __init__(self, patch: pytest.MonkeyPatch, parent: Path) -> None:
        self.calls: list[tuple[str, str]] = []
        # What was in the staging folder when it was renamed, with the time of its last change.
        self.staged: dict[str, int] = {}
        self.flushed: dict[str, int] = {}
        flush, rename = os.fsync, exchange._renameat2

        def fsync(handle: int) -> None:
            flush(handle)
            path = os.readlink(f"/proc/self/fd/{handle}")
            self.calls.append(("flush", path))
            self.flushed[path] = os.fstat(handle).st_ctime_ns

        def renameat2(source: str, target: str, flags: int) -> None:
            real = os.path.realpath(source)
            for path in [real, *(str(below) for below in Path(real).rglob("*"))]:
                self.staged[path] = os.stat(path).st_ctime_ns
            rename(source, target, flags)
            self.calls.append(("rename", real))

        patch.setattr(os, "fsync", fsync)
        patch.setattr(exchange, "_renameat2", renameat2)
        self.parent = os.path.realpath(parent)

    def check(self) -> None:
        """Fail unless the order survives a power cut."""
        (at,) = [index for index, call in enumerate(self.calls) if call[0] == "rename"]
        before = {path for what, path in self.calls[:at]}
        assert len(self.staged) > 6
        for path, changed in self.staged.items():
            assert path in before, f"{path} was not flushed before the rename"
            assert self.flushed[path] == changed, f"{path} was changed after its flush"
        assert ("flush", self.parent) in self.calls[at:], "the folder above was not flushed"


@pytest.mark.parametrize("release", [1, 2], ids=["the first", "a later one"])
def test_a_release_is_on_disk_before_it_is_live_and_its_name_right_after(
    watch: MakeWatch,
    site: Site,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    release: int,
) -> None:
    one = watch()
    if release == 2:
        site.publish(1)
        assert poll(one) is Event.SWAPPED
    files: dict[str, Any] = {**model_files(release), "sub/deep/more": b"x"}
    site.publish(release, tarball(files))
    seen = Recorder(monkeypatch, tmp_path / "local")
    assert poll(one) is Event.SWAPPED
    assert (live(tmp_path) / "sub" / "deep" / "more").exists()
    seen.check()
    assert all(MODEL in path for path in seen.staged)
