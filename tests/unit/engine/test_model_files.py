"""What is found out about a model's files before Paddle has them."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest

from engine import _model_files
from engine._model_files import BadModel
from harness.conformance.serving import server


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return Path(shutil.copytree(server.models() / "two", tmp_path / "model"))


def check(folder: Path) -> _model_files.Graph:
    with _model_files.opened(str(folder)) as files:
        return _model_files.check(files)


def test_a_good_model_is_read(model: Path) -> None:
    graph = check(model)
    assert {(one.name, one.dtype, one.shape) for one in graph.inputs} == {
        ("left", "float32", (-1, 3)),
        ("right", "int64", (-1, 2)),
    }
    assert len(graph.outputs) == 2


def test_parameters_cut_off_at_any_byte_are_refused(model: Path) -> None:
    params = model / "params.pdiparams"
    data = params.read_bytes()
    for size in range(len(data)):
        params.write_bytes(data[:size])
        with pytest.raises(BadModel, match=r"truncated|no tensor"):
            check(model)


def test_bytes_behind_the_parameters_are_refused(model: Path) -> None:
    with (model / "params.pdiparams").open("ab") as params:
        params.write(b"more")
    with pytest.raises(BadModel, match="4 bytes behind the program's last tensor"):
        check(model)


def test_parameters_of_another_model_are_refused(model: Path) -> None:
    shutil.copy(server.models() / "uci" / "params.pdiparams", model / "params.pdiparams")
    with pytest.raises(BadModel, match=r"the two files are not of one model|the program's last"):
        check(model)


@pytest.mark.filterwarnings("ignore:Unexpected end-group")
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "an empty file"),
        (b"\xff" * 100, "not a ProgramDesc"),
        (b"<html>404</html>", "program"),
    ],
)
def test_a_program_that_is_none_is_refused(model: Path, content: bytes, reason: str) -> None:
    (model / "model.pdmodel").write_bytes(content)
    with pytest.raises(BadModel, match=reason):
        check(model)


def test_what_is_missing_is_named(model: Path) -> None:
    (model / "params.pdiparams").unlink()
    with pytest.raises(BadModel, match=r"has no parameters: no file ends in \.pdiparams"):
        check(model)
    (model / "model.pdmodel").unlink()
    with pytest.raises(BadModel, match="has no program"):
        check(model)
    with pytest.raises(BadModel, match="cannot open the model directory"):
        check(model / "nowhere")


def test_both_files_are_of_one_directory_when_it_is_exchanged_meanwhile(
    model: Path, tmp_path: Path
) -> None:
    with _model_files.opened(str(model)) as files:
        model.rename(tmp_path / "old")
        shutil.rmtree(tmp_path / "old")
        shutil.copytree(server.models() / "uci", model)
        assert {one.name for one in _model_files.check(files).inputs} == {"left", "right"}
        assert files.changed() is None


def test_a_file_that_changes_while_it_is_read_is_worth_another_try(model: Path) -> None:
    with _model_files.opened(str(model)) as files:
        assert files.changed() is None
        with (model / "params.pdiparams").open("ab") as params:
            params.write(b"more")
        changed = files.changed()
    assert changed is not None
    assert "changed while it was read" in str(changed)
    # What is written may be whole by the next look, and the time file's second the same.
    assert changed.passing


@pytest.mark.parametrize("kind", ["fifo", "folder", "device", "socket"])
def test_what_is_no_file_is_refused_at_once(
    model: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A socket's path may not be long.
    monkeypatch.chdir(model)
    program = Path("model.pdmodel")
    program.unlink()
    if kind == "fifo":
        os.mkfifo(program)
    elif kind == "folder":
        program.mkdir()
    elif kind == "device":
        program.symlink_to("/dev/zero")
    else:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(str(program))
    with pytest.raises(BadModel, match=r"is no regular file|cannot open .*No such device"):
        check(model)
