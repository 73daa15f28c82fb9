"""The prototxt files that the launcher writes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.likeness import server
from harness.engine import _gflags, _prototxt
from harness.ports import free_port

# The launcher's own code, up to where it would start the binary, for two lists of models.
WRITE = """
import sys
from paddle_serving_server import OpMaker, OpSeqMaker, Server
for folder, *models in (("workdir", "two"), ("workdir_2", "uci", "uci_2")):
    maker, sequence = OpMaker(), OpSeqMaker()
    for kind in ["GeneralReaderOp", *["GeneralInferOp"] * len(models), "GeneralResponseOp"]:
        sequence.add_op(maker.create(kind))
    server = Server()
    server.set_op_sequence(sequence.get_op_sequence())
    server.set_ir_optimize(True)
    server.load_model_config(models)
    server.prepare_server(workdir=folder, port=int(sys.argv[1]), device="cpu")
"""
PORT = free_port()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the real launcher has written its files for one model and for two."""
    folder = tmp_path_factory.mktemp("launcher")
    for name in ("two", "uci", "uci_2"):
        # The launcher makes a time file in each.
        shutil.copytree(server.models() / name, folder / name)
    done = subprocess.run(
        [sys.executable, "-c", WRITE, str(PORT)],
        cwd=folder,
        env={**os.environ, "SERVING_HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def flags(folder: Path, workdir: str) -> _gflags.Flags:
    """The flags that the launcher would pass; the files' own paths are made absolute."""
    whole = str(folder / workdir)
    for file in (folder / workdir).glob("**/*.prototxt"):
        file.write_text(file.read_text().replace(f'"{workdir}"', f'"{whole}"'))
    words = [f"-{name}_path={whole}" for name in ("inferservice", "resource", "workflow")]
    return _gflags.parse([*words, "-inferservice_file=infer_service.prototxt"])


@pytest.mark.xdist_group("engine configuration")
def test_what_the_launcher_writes_is_read_with_the_real_messages(folder: Path) -> None:
    serving = _prototxt.read(flags(folder, "workdir"))
    assert serving.port == PORT
    assert serving.nodes == ("GeneralReaderOp_0", "GeneralInferOp_0", "GeneralResponseOp_0")
    assert serving.engine_name == "GeneralInferOp_0"
    assert (serving.model_dir, serving.time_file) == ("two", "two/fluid_time_file")
    assert serving.reload_kind == "timestamp_ne"
    assert serving.ir_optim
    assert not serving.use_gpu
    assert [(one.name, one.alias, one.elem_type, one.shape) for one in serving.feeds] == [
        ("left", "l", 1, (3,)),
        ("right", "r", 0, (2,)),
    ]
    assert [one.alias for one in serving.fetches] == ["mixed", "total"]


@pytest.mark.xdist_group("engine configuration")
def test_two_models_in_sequence_are_refused_with_a_sentence(folder: Path) -> None:
    with pytest.raises(_prototxt.Refused) as refused:
        _prototxt.read(flags(folder, "workdir_2"))
    assert str(refused.value) == (
        "2 models in sequence (uci, uci_2) are asked for, but the embedded engine serves one; "
        "give --model one directory, or use the official binary"
    )


@pytest.mark.xdist_group("engine configuration")
def test_a_file_that_is_no_prototxt_is_named(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder / "workdir", tmp_path / "workdir"))
    (copy / "resource.prototxt").write_text("what is this")
    with pytest.raises(_prototxt.Refused, match=r"resource\.prototxt is no ResourceConf"):
        _prototxt.read(flags(tmp_path, "workdir"))
