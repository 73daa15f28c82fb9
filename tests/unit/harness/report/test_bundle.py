"""A bundle: judged elsewhere as here, without secrets, and refused if it is damaged or hostile."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from backports import zstd

from harness.checker import history as histories
from harness.checker.verdict import judge
from harness.report.bundle import history_of, pack
from harness.report.environment import write_environment
from harness.report.masking import keep_secrets
from harness.support.errors import BadInput
from tests.unit.harness.checker.test_verdict import Story

ROOT = Path(__file__).resolve().parents[4]
SECRET = "correct-horse-battery"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return a run's folder with a broken claim, logs with secrets, and a model."""
    folder = tmp_path / "runs" / "20260101T000000Z-1"
    story = Story()
    del story.predictions[50]["value"]
    line = f"INFO [pull.py:1] get ftp://demo:{SECRET}@127.0.0.1/x.tar.gz"
    logged = {"event": "monitor_log", "t": 3.0, "remote": "ftp", "line": line}
    (folder / "ftp/serving/log").mkdir(parents=True)
    lines = [json.dumps(event) + "\n" for event in [*story.events(), logged]]
    (folder / "history.jsonl").write_text("".join(lines))
    (folder / "ftp/monitor.log").write_text(f"_ftp_password: {SECRET}\nsleep 1s.\n")
    (folder / "ftp/serving/log/serving.host.root.log.INFO.2026.7").write_text("I0101 ready\n")
    (folder / "ftp/serving/log/serving.INFO").symlink_to("serving.host.root.log.INFO.2026.7")
    (folder / "ftp/serving/params.pdiparams").write_bytes(b"weights")
    (folder / "ftp/producer/releases/1").mkdir(parents=True)
    (folder / "ftp/producer/releases/1/serving_server_conf.prototxt").write_text("feed_var {}")
    return folder


def members(bundle: Path) -> dict[str, bytes]:
    content = io.BytesIO(zstd.decompress(bundle.read_bytes()))
    with tarfile.open(fileobj=content) as tar:
        files = {member.name: tar.extractfile(member) for member in tar}
    return {name: file.read() for name, file in files.items() if file is not None}


def harness(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness", *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_histories_and_logs_go_in_but_no_models(run: Path, tmp_path: Path) -> None:
    done = harness("bundle", str(run), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("20260101T000000Z-1.tar.zst: 3 files, 2 KB; 2 lines had a secret")
    assert list(members(tmp_path / "20260101T000000Z-1.tar.zst")) == [
        "bundle.json",
        "20260101T000000Z-1/ftp/monitor.log",
        "20260101T000000Z-1/ftp/serving/log/serving.host.root.log.INFO.2026.7",
        "20260101T000000Z-1/history.jsonl",
    ]


def test_a_bundle_has_no_secret_and_the_same_verdict(run: Path, tmp_path: Path) -> None:
    before = judge(histories.read(run / "history.jsonl"))
    assert [claim.name for claim in before.broken] == ["no request failed"]
    bundle = tmp_path / "elsewhere" / "x.tar.zst"
    bundle.parent.mkdir()
    pack(run, bundle)
    shutil.rmtree(run)
    assert judge(history_of(bundle)) == before
    content = members(bundle)
    assert SECRET.encode() not in b"".join(content.values())
    assert b"get ftp://***@127.0.0.1/x" in content["20260101T000000Z-1/history.jsonl"]
    assert content["20260101T000000Z-1/ftp/monitor.log"] == b"_ftp_password: ***\nsleep 1s.\n"


def test_a_bundle_has_no_secret_that_the_run_was_given(run: Path, tmp_path: Path) -> None:
    keep_secrets(run, ["four words of one"])
    (run / "ftp/monitor.log").write_text("login four words of one, then sleep 1s.\n")
    pack(run, tmp_path / "x.tar.zst")
    found = members(tmp_path / "x.tar.zst")
    assert found["20260101T000000Z-1/ftp/monitor.log"] == b"login ***, then sleep 1s.\n"
    assert b"four words" not in b"".join(found.values())


def test_a_large_log_is_never_whole_in_memory(run: Path, tmp_path: Path) -> None:
    line = f"I0101 {'many words ' * 100} token=abcdef\n"
    (run / "ftp/monitor.log").write_text(line * 500)
    tracemalloc.start()
    try:
        pack(run, tmp_path / "x.tar.zst")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    size = (run / "ftp/monitor.log").stat().st_size
    assert most < size / 2, most


def test_check_says_of_a_bundle_what_it_says_of_the_run(run: Path, tmp_path: Path) -> None:
    here = harness("check", str(run), cwd=tmp_path)
    bundle = tmp_path / "elsewhere" / "x.tar.zst"
    bundle.parent.mkdir()
    pack(run, bundle)
    shutil.rmtree(run)
    there = harness("check", "x.tar.zst", cwd=bundle.parent)
    assert (there.returncode, there.stdout, there.stderr) == (1, here.stdout, "")
    assert list(bundle.parent.iterdir()) == [bundle]


def test_the_same_folder_gives_the_same_bytes(run: Path, tmp_path: Path) -> None:
    pack(run, tmp_path / "one.tar.zst")
    pack(run, tmp_path / "two.tar.zst")
    assert (tmp_path / "one.tar.zst").read_bytes() == (tmp_path / "two.tar.zst").read_bytes()


def test_a_folder_without_a_history_is_one_sentence(tmp_path: Path) -> None:
    done = harness("bundle", str(tmp_path), cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        f"harness: {tmp_path} holds no history.jsonl, so it is no run's folder; name one of runs/, "
        "such as runs/latest\n"
    )


def test_a_bundle_that_cannot_be_written_is_one_sentence(run: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"No such file or directory.*--output"):
        pack(run, tmp_path / "nowhere" / "x.tar.zst")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("left", [0.0, 0.3, 0.9, 0.99])
def test_a_truncated_bundle_is_one_sentence(run: Path, tmp_path: Path, left: float) -> None:
    bundle = tmp_path / "x.tar.zst"
    pack(run, bundle)
    whole = bundle.read_bytes()
    bundle.write_bytes(whole[: int(len(whole) * left)])
    with pytest.raises(BadInput, match=r"x\.tar\.zst (is damaged|has \d of its)"):
        list(history_of(bundle))


def test_a_flipped_bit_never_gives_another_history(run: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "x.tar.zst"
    pack(run, bundle)
    whole, events = bundle.read_bytes(), list(history_of(bundle))
    found = 0
    for where in range(0, len(whole), len(whole) // 60):
        damaged = bytearray(whole)
        damaged[where] ^= 0x10
        bundle.write_bytes(damaged)
        try:
            # Some bits of the head say only how much memory reading may take.
            assert list(history_of(bundle)) == events
        except BadInput:
            found += 1
    assert found >= 58


def hostile(target: Path, name: str, **fields: Any) -> Path:
    with zstd.open(target, "wb") as file, tarfile.open(fileobj=file, mode="w|") as tar:
        for one, content in (("bundle.json", b'{"format":1,"files":1}'), (name, b"{}\n")):
            member = tarfile.TarInfo(one)
            member.size = len(content)
            if one == name:
                for field, value in fields.items():
                    setattr(member, field, value)
            tar.addfile(member, io.BytesIO(content))
    return target


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("/etc/cron.d/x", {}),
        ("run/../../x", {}),
        ("run/history.jsonl", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd", "size": 0}),
        ("run/history.jsonl", {"type": tarfile.LNKTYPE, "linkname": "bundle.json", "size": 0}),
        ("run/history.jsonl", {"type": tarfile.FIFOTYPE, "size": 0}),
    ],
)
def test_a_hostile_bundle_is_one_sentence(
    tmp_path: Path, name: str, fields: dict[str, Any]
) -> None:
    bundle = hostile(tmp_path / "x.tar.zst", name, **fields)
    with pytest.raises(BadInput, match=f"holds '{name}', which no bundle of a run holds"):
        list(history_of(bundle))
    assert list(tmp_path.iterdir()) == [bundle]


def test_check_ends_with_code_2_for_a_bundle_that_is_not_whole(run: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "x.tar.zst"
    pack(run, bundle)
    bundle.write_bytes(bundle.read_bytes()[:-9])
    done = harness("check", str(bundle), cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"harness: {bundle} is damaged or no bundle (")
    assert done.stderr.count("\n") == 1


def test_what_is_no_bundle_is_one_sentence(tmp_path: Path) -> None:
    bundle = tmp_path / "x.tar.zst"
    bundle.write_bytes(zstd.compress(b"not a tar file" * 100))
    with pytest.raises(BadInput, match="is damaged or no bundle"):
        list(history_of(bundle))
    hostile(bundle, "run/other.jsonl")
    with pytest.raises(BadInput, match="holds no history"):
        list(history_of(bundle))
    with zstd.open(bundle, "wb") as file, tarfile.open(fileobj=file, mode="w|") as tar:
        tar.addfile(tarfile.TarInfo("some/file"))
    with pytest.raises(BadInput, match="is no bundle of a run"):
        list(history_of(bundle))
    with pytest.raises(BadInput, match=r"cannot read .*No such file"):
        list(history_of(tmp_path / "none.tar.zst"))


def test_the_environment_says_with_what_a_run_ran(tmp_path: Path) -> None:
    program = tmp_path / "serving"
    program.write_bytes(b"x")
    write_environment(tmp_path, {"serving": program, "image": Path("serving:1")})
    found = json.loads((tmp_path / "environment.json").read_text())
    digest = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    assert found["programs"]["serving"] == {"path": str(program), "sha256": digest}
    assert found["programs"]["image"] == {"path": "serving:1"}
    assert found["packages"]["paddle-serving-client"] == "0.9.0"
    assert set(found["machine"]) >= {"kernel", "libc", "cpu", "cores", "memory_bytes"}
    assert len(found["suite"]["sources"]) == 12
