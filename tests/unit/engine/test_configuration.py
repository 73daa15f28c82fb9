"""The prototxt files that the launcher writes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engine import _flags, _prototxt
from harness.conformance.serving import server
from harness.support.ports import free_port

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
pytestmark = pytest.mark.xdist_group("engine configuration")


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


def flags(folder: Path, workdir: str, *more: str) -> _flags.Flags:
    """The flags that the launcher would pass; the files' own paths are made absolute."""
    whole = str(folder / workdir)
    for file in (folder / workdir).glob("**/*.prototxt"):
        file.write_text(file.read_text().replace(f'"{workdir}"', f'"{whole}"'))
    words = [f"-{name}_path={whole}" for name in ("inferservice", "resource", "workflow")]
    return _flags.parse([*words, "-inferservice_file=infer_service.prototxt", *more])


def test_what_the_launcher_writes_is_read_with_the_real_messages(folder: Path) -> None:
    serving = _prototxt.read(flags(folder, "workdir"))
    assert serving.port == PORT
    assert serving.nodes == ("GeneralReaderOp_0", "GeneralInferOp_0", "GeneralResponseOp_0")
    assert serving.engine_name == "GeneralInferOp_0"
    assert (serving.model_dir, serving.time_file) == ("two", "two/fluid_time_file")
    assert serving.ir_optim
    assert not serving.use_gpu
    assert [(one.name, one.alias, one.elem_type, one.shape) for one in serving.feeds] == [
        ("left", "l", 1, (3,)),
        ("right", "r", 0, (2,)),
    ]
    assert [one.alias for one in serving.fetches] == ["mixed", "total"]


def test_two_models_in_sequence_are_refused_with_a_sentence(folder: Path) -> None:
    with pytest.raises(_prototxt.Refused) as refused:
        _prototxt.read(flags(folder, "workdir_2"))
    assert str(refused.value) == (
        "2 models in sequence (uci, uci_2) are asked for, but the embedded engine serves one; "
        "give --model one directory, or use the official binary"
    )


def test_a_file_that_is_no_prototxt_is_named(folder: Path, tmp_path: Path) -> None:
    (copied(folder, tmp_path) / "resource.prototxt").write_text("what is this")
    with pytest.raises(_prototxt.Refused, match=r"resource\.prototxt is no ResourceConf"):
        _prototxt.read(flags(tmp_path, "workdir"))


def copied(folder: Path, copy: Path) -> Path:
    """Copy what the launcher wrote for one model; return the copy's workdir."""
    workdir = Path(shutil.copytree(folder / "workdir", copy / "workdir"))
    for file in workdir.glob("**/*.prototxt"):
        # In the original these may have been made absolute already.
        file.write_text(file.read_text().replace(str(folder), str(copy)))
    return workdir


def with_line(folder: Path, copy: Path, line: str, *more: str) -> _prototxt.Serving:
    """Read a copy of what the launcher wrote, with one line of its engine replaced or added."""
    (toolkit,) = copied(folder, copy).glob("*/model_toolkit.prototxt")
    first, *others = toolkit.read_text().splitlines()
    assert first == "engines {", first
    name = line.partition(":")[0]
    kept = [one for one in others if one.split(":")[0].strip() != name]
    toolkit.write_text("\n".join([first, line, *kept]))
    return _prototxt.read(flags(copy, "workdir", *more))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("use_lite: true", "--use_lite asks for what the embedded engine does not have"),
        ("use_xpu: true", "--use_xpu asks for"),
        ("use_ascend_cl: true", "--use_ascend_cl asks for"),
        ("use_trt: true", "--use_trt asks for"),
        ("gpu_multi_stream: true", "--gpu_multi_stream asks for"),
        ("enable_dist_model: true", "--use_dist_model asks for"),
        ("gpu_ids: 0 gpu_ids: 1", "--gpu_ids 0,1 asks for 2 GPUs, but .* give one number"),
    ],
)
def test_an_option_that_would_change_where_or_how_the_model_runs_is_refused(
    folder: Path, tmp_path: Path, line: str, reason: str
) -> None:
    with pytest.raises(_prototxt.Refused, match=reason):
        with_line(folder, tmp_path, line)


@pytest.mark.parametrize(
    ("pattern", "change", "reason"),
    [
        (
            "workflow.prototxt",
            ('type: "GeneralReaderOp"', 'type: "GeneralDetectionOp"'),
            "asks for the steps GeneralDetectionOp, GeneralInferOp, GeneralResponseOp, but the "
            "embedded engine knows GeneralReaderOp, GeneralInferOp, GeneralResponseOp in this "
            "order; use the official binary",
        ),
        (
            "*/model_toolkit.prototxt",
            ("engines {", "engines {\n  encrypted_model: true"),
            "the model in two is encrypted, which the embedded engine cannot read; use the "
            "official binary",
        ),
    ],
    ids=["another operator", "encrypted"],
)
def test_what_the_launcher_may_write_and_the_engine_cannot_run_is_refused(
    folder: Path, tmp_path: Path, pattern: str, change: tuple[str, str], reason: str
) -> None:
    (file,) = copied(folder, tmp_path).glob(pattern)
    text = file.read_text()
    assert text.count(change[0]) == 1, text
    file.write_text(text.replace(*change))
    with pytest.raises(_prototxt.Refused) as refused:
        _prototxt.read(flags(tmp_path, "workdir"))
    assert reason in str(refused.value)
