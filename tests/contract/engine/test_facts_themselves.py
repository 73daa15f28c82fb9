"""The suite of facts against servers with deliberate differences: it has to find them."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from harness.conformance.serving import check_log, judging
from harness.conformance.serving.__main__ import main
from harness.conformance.serving.checks import Subject
from harness.conformance.serving.facts import FACTS
from harness.conformance.serving.steady_clients import SteadyClients
from tests.contract.engine.unlike import ANSWERS, AROUND, LOG, script

pytestmark = pytest.mark.xdist_group("unlike servers")
# The expected word for a fact that a script leaves as it is, in place of a text about a difference.
SAME = "(same)"


def assert_judged(binary: Path, expected: Mapping[str, str]) -> None:
    """Judge some facts on one binary, in the order of the list."""
    wrong = []
    with contextlib.closing(Subject(binary)) as subject:
        for fact in FACTS:
            if fact.id in expected:
                result = judging.fact(fact, subject)
                seen = f"({result.word})" if result.word != "DIFFERS" else result.evidence
                if expected[fact.id] not in seen:
                    wrong.append(f"{fact.id}: {seen}, without {expected[fact.id]!r}")
    assert not wrong, "\n".join(wrong)


def test_a_log_that_differs_in_one_thing_is_caught(subject: Subject, tmp_path: Path) -> None:
    replaced = [
        ("Succ load model:", "Loaded model:"),
        ("create cube cache[0] done.", "create cube cache."),
        ("Succ reload version engine", "Succ reload version"),
        (" (logid=77) workflow", " (logid=77) one more\nI"),
        ("Clear 0 key!", "Clear!"),
        ("Failed reload resource!", "Succ load engine"),
    ]
    assert_judged(
        script(subject.binary, tmp_path, LOG, replaced=replaced),
        {
            "log/headers": SAME,
            "log/start": r"no line 'W infer\\.cpp:43\\] Succ load model:",
            "log/workers": r"create cube cache\[0\] done\.: 0 instead of 1",
            "log/idle-tick": r"instead of 'W infer\\.cpp:286\\] Succ reload version engine:",
            "log/request": r"(logid=77) one more' instead of 'I service\\.cpp:263\\]",
            "reload/new-second": r"Clear!' instead of",
            "reload/truncated-parameters": "the model before serves on, though the log says",
        },
    )


def test_a_request_beside_a_tick_is_no_part_of_the_tick(subject: Subject) -> None:
    with contextlib.closing(Subject(subject.binary)) as own, SteadyClients(own.server, 1):
        check_log.idle_tick(own)


def test_an_answer_that_differs_in_one_thing_is_caught(subject: Subject, tmp_path: Path) -> None:
    replaced = [
        (b'"elem_type":1', b'"elem_tipe":1'),
        (b"Content-Type: application/json", b"Content-type: application/json"),
        (b"form-urlencoded\r\n\r\n", b"form-urlencodeD\r\n\r\n"),
        (b"x-bd-error-code: 1002", b"X-Bd-Error-Code: 1002"),
        (b"Invalid json", b"invalid json"),
        (b"find service=X", b"find_service=X"),
        (b"Content-Encoding", b"Content-encoded!"),
    ]
    asked = (
        "die(134) if bytes(range(4)) * 2 in data "
        """else data.replace(b'"nonsense"', b'"total"   ')"""
    )
    assert_judged(
        script(subject.binary, tmp_path, ANSWERS, replaced=replaced, asked=asked),
        {
            "http/json-answer": '"elem_tipe":1',
            "http/answer-headers": "'Content-type'] instead of",
            "http/type-form": "form-urlencodeD' instead of",
            "http/keep-alive": SAME,
            "http/unknown-method": "'X-Bd-Error-Code'] instead of",
            "http/malformed-json": "invalid json format' instead of",
            "http/unknown-fetch": "[[3]] instead of [[4.0, 5.0]]",
            "baidu-std/answer": SAME,
            "baidu-std/unknown-service": "Fail to find_service=X",
            "baidu-std/no-protocol": "the server has ended",
            "clients/json-gzip": "('http', 'JSON with gzip')",
        },
    )


@pytest.mark.proof
def test_an_answer_of_no_release_is_caught(subject: Subject, tmp_path: Path) -> None:
    binary = script(subject.binary, tmp_path, ANSWERS, replaced=[(b"[92.0]", b"[93.0]")])
    assert_judged(binary, {"reload/one-step": "answers: {"})


@pytest.mark.proof
def test_a_server_that_dies_of_some_wrong_feeds_only_is_caught(
    subject: Subject, tmp_path: Path
) -> None:
    answered = "die(134) if b'failed! there' in data else data"
    binary = script(subject.binary, tmp_path, ANSWERS, answered=answered)
    assert_judged(binary, {"requests/wrong-feed": "feed x has no shape"})


@pytest.mark.proof
def test_a_server_that_dies_of_a_bad_model_in_another_way_is_caught(
    subject: Subject, tmp_path: Path
) -> None:
    binary = script(subject.binary, tmp_path, LOG, ends="139 if 'failed, ' in info else 0")
    assert_judged(binary, {"reload/bad-model": "corrupt: 139 instead of 134"})


def test_a_server_that_dies_of_truncated_parameters_is_caught(
    subject: Subject, tmp_path: Path
) -> None:
    binary = script(
        subject.binary, tmp_path, LOG, ends="134 if 'begin reload model' in info else 0"
    )
    assert_judged(binary, {"reload/truncated-parameters": "the server has ended"})


def test_another_start_and_another_end_are_caught(subject: Subject, tmp_path: Path) -> None:
    what = (
        "if pathlib.Path('uci_housing_model/params').exists(): sys.exit(255)\n"
        "WORDS += ['-max_body_size', str(1 << 28)]\n"
        "os.makedirs('log', exist_ok=True); open('log/serving.of.old.log.ERROR', 'w').close()"
    )
    assert_judged(
        script(subject.binary, tmp_path, AROUND, what=what),
        {
            "start/short-file-names": "255",
            "end/sigint": "s of a sleep of 5 s",
            "end/sigterm": "exit code (of the signal): 0 instead",
            "http/keep-alive": SAME,
            "baidu-std/largest-body": "512 MiB: it was closed or answered",
            "log/error-file": "error files before the first error: ['serving.of.old.log.ERROR']",
        },
    )


@pytest.mark.proof
def test_a_server_to_which_clients_come_back_late_is_caught(
    subject: Subject, tmp_path: Path
) -> None:
    binary = script(subject.binary, tmp_path, ANSWERS, late_s=12)
    assert_judged(binary, {"clients/outage": "s to recover"})


def conformance(*words: object) -> tuple[int, str]:
    """Run the program; return the exit code and what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "harness", "conformance", "serving", "--facts", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        cwd=Path(__file__).resolve().parents[3],
    )
    return done.returncode, done.stdout + done.stderr


def test_a_difference_is_printed_with_exit_code_1(subject: Subject, tmp_path: Path) -> None:
    what = "if WORDS == ['-V']: sys.exit(print(1.0))"
    binary = script(subject.binary, tmp_path, AROUND, what=what)
    only = ("--only", "cli/version-flag", "--run", tmp_path / "run")
    code, said = conformance("--serving-bin", binary, *only)
    assert code == 1, said
    assert "1 facts: 1 DIFFERS" in said, said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--serving-bin", "/nowhere"], "/nowhere is no executable; give --serving-bin"),
        (["--only", "no/such-fact"], "--only has 'no/such-fact', which is no case; see --list"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    words: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = signal.getsignal(signal.SIGTERM)
    try:
        assert main(["--facts", *words, "--run", str(tmp_path / "run")]) == 2
    finally:
        signal.signal(signal.SIGTERM, handler)
    said = capsys.readouterr().err
    assert sentence in said
    assert len(said.splitlines()) == 1
