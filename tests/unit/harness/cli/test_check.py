"""``python -m harness check``: the verdict on files that a run has left."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from backports import zstd
from rich.console import Console

from harness.checker.history import Event
from harness.cli.check import check
from harness.support.errors import BadInput
from tests.unit.harness.checker.test_verdict import Story


def write(path: Path, events: list[Event]) -> Path:
    path.parent.mkdir(exist_ok=True)
    text = "".join(json.dumps(event) + "\n" for event in events).encode()
    path.write_bytes(zstd.compress(text) if path.suffix == ".zst" else text)
    return path


def checked(*paths: Path) -> tuple[int, str]:
    """Return the command's exit code, and what it printed."""
    printed = io.StringIO()
    code = check(paths, Console(file=printed, width=140))
    return code, printed.getvalue()


def test_it_prints_each_claim_and_the_verdict(tmp_path: Path) -> None:
    write(tmp_path / "run" / "history.jsonl", Story().events())
    words = [sys.executable, "-m", "harness", "check", str(tmp_path / "run")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[1] == "ftp: no request failed: valid"
    assert lines[-1] == f"VALID: all {len(lines) - 1} claims hold."


@pytest.mark.parametrize("name", ["history.jsonl", "history.jsonl.zst"])
def test_it_takes_a_file_and_the_file_of_a_run_folder(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "run" / name, Story().events())
    assert checked(path) == checked(path.parent)
    assert checked(path)[0] == 0


def test_several_files_are_one_history(tmp_path: Path) -> None:
    story = Story()
    files = [
        write(tmp_path / f"{client}.jsonl", list(story.answers(client)))
        for client in ("brpc", "http", "grpc")
    ]
    rest = [event for event in story.events() if event["event"] != "prediction"]
    files.insert(1, write(tmp_path / "rest.jsonl.zst", rest))
    assert checked(*files)[0] == 0
    assert checked(*files[1:])[0] == 3


def test_a_broken_claim_gives_exit_code_1_and_its_record(tmp_path: Path) -> None:
    story = Story()
    story.predictions[50].update(error="refused")
    code, printed = checked(write(tmp_path / "history.jsonl", story.events()))
    assert code == 1
    assert "INVALID: 1 of 11 claims do not hold" in printed
    assert "'error': 'refused'" in printed


@pytest.mark.parametrize("name", ["history.jsonl", "history.jsonl.zst"])
def test_a_file_that_ends_too_early_is_unknown(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, Story().events())
    path.write_bytes(path.read_bytes()[:-30])
    code, printed = checked(path)
    assert code == 3
    assert f"of {path} is damaged" in printed


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("missing.jsonl", None, "cannot read {path}: No such file or directory"),
        ("empty.jsonl", b"", "{path} is empty"),
        ("empty.jsonl.zst", zstd.compress(b""), "{path} is empty"),
        ("text.jsonl.zst", b'{"event":"end"}\n', "cannot read {path}: "),
        ("passwd.jsonl", b"root:x:0:0\nbin:x:1:1\n", "{path} holds no event of a run"),
        ("folder/other", b"", "has no history.jsonl or history.jsonl.zst"),
    ],
)
def test_what_is_no_history_is_one_sentence(
    tmp_path: Path, name: str, content: bytes, why: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    with pytest.raises(BadInput, match=why.format(path=path)) as raised:
        checked(path.parent if "folder" in name else path)
    assert "\n" not in str(raised.value)
