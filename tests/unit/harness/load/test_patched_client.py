"""The patched client: a copy, made once, while the installed file stays as it is."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.load.patched_client import patched_library

LOADS = """
from harness.load.patched_client import client_class
client_class()()
from paddle_serving_client import serving_client
print(serving_client.__file__)
"""


@pytest.mark.xdist_group("patched client")
def test_two_processes_at_once_make_one_copy_that_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    program = tmp_path / "loads.py"
    program.write_text(LOADS)
    both = [
        subprocess.Popen(
            [sys.executable, str(program)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=120)[0] for process in both]
    copies = list((tmp_path / "client").glob("*/serving_client.so"))
    assert len(copies) == 1
    for process, output in zip(both, outputs):
        assert process.returncode == 0, output
        assert output.splitlines()[-1] == str(copies[0])
    assert not list((tmp_path / "client").glob(".new-*"))
    # As a full disk leaves it.
    os.truncate(copies[0], 0)
    assert patched_library() == copies[0]
    assert copies[0].stat().st_size > 100_000_000


def test_the_installed_file_is_left_as_it_is() -> None:
    patched_library()
    import base64
    import importlib.metadata

    (file,) = [
        file
        for file in importlib.metadata.files("paddle-serving-client") or []
        if file.name == "serving_client.so"
    ]
    digest = hashlib.sha256(Path(str(file.locate())).read_bytes()).digest()
    assert file.hash is not None
    assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == file.hash.value
