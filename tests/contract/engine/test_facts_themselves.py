"""The suite of facts against servers that are deliberately unlike: it has to see it."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from harness.conformance.serving.checks import Subject
from tests.contract.engine.unlike import (
    AFTER,
    ANSWERS,
    BEFORE,
    FLAGS,
    LOG,
    WATCH,
    conformance,
    script,
)

pytestmark = pytest.mark.xdist_group("unlike servers")
TICK = "Finish reload 1 workflow(s)"
STRICT = {"ENGINE_STRICT_COMPAT": "1"}


@pytest.mark.parametrize(
    ("code", "spoilt", "only"),
    ids=itertools.count(1),
    argvalues=[
        (LOG, ("cost=", "cst="), "log/request"),
        (LOG, ("Succ load model:", "Loaded model:"), "log/start"),
        (LOG, ("Finish reload 1 workflow(s)", "Finish reload"), "log/idle-tick"),
        (ANSWERS, (b'"elem_type":1,', b""), "http/json-answer"),
        (ANSWERS, (b"[E1002]Fail", b"[E1002]fail"), "http/unknown-method"),
        (ANSWERS, (b"Content-Length", b"content-length"), "http/answer-headers"),
        (LOG, (TICK, TICK + "\nI1126 01:02:03.456789  7 a.cpp:1] b"), "log/idle-tick"),
        (LOG, (" (logid=77) workflow", " (logid=77) b\nI"), "log/request"),
        (LOG, ("infer.h:239]", "infer.h:240]"), "reload/new-second"),
        (LOG, ("create cube cache[0] done.", "create cube cache."), "log/workers"),
        (LOG, ("Entrence reload worker", "Entrance"), "log/start"),
        (ANSWERS, (b"outputs", b"0utputs"), "http/type-text"),
        (ANSWERS, (b"x-bd-error-code", b"X-Bd-Error-Code"), "http/unknown-method"),
        (ANSWERS, (b"InferService", b"inferService"), "baidu-std/empty-request"),
        (ANSWERS, (b"Content-Encoding", b"Content-encoded!"), "clients/json-gzip"),
        (ANSWERS, (b"[184.0]", b"[185.0]"), "reload/under-clients"),
        (ANSWERS, (b"[184.0]", b"[185.0]"), "reload/one-step"),
        # The first model's price: of what is copied over all the time, chance decides what loads.
        (ANSWERS, (b"[92.0]", b"[93.0]"), "reload/copied-releases"),
    ],
)
def test_a_server_that_differs_in_one_thing_is_caught(
    subject: Subject, tmp_path: Path, code: str, spoilt: tuple[object, object], only: str
) -> None:
    old, new = spoilt
    exit_code, said = conformance(script(subject.binary, tmp_path, code, old=old, new=new), only)
    assert exit_code == 1, said
    assert "DIFFERS" in said, said
    assert "1 facts: 1 DIFFERS" in said, said


@pytest.mark.parametrize("code", [LOG, ANSWERS])
def test_the_same_scripts_pass_when_they_spoil_nothing(
    subject: Subject, tmp_path: Path, code: str
) -> None:
    nothing: object = "is not there" if code == LOG else b"is not there"
    binary = script(subject.binary, tmp_path, code, old=nothing, new=nothing)
    only = "log/request" if code == LOG else "http/json-answer"
    assert conformance(binary, only)[0] == 0


@pytest.mark.parametrize(
    ("code", "spoilt", "only"),
    ids=itertools.count(1),
    argvalues=[
        (
            BEFORE,
            {"what": "if pathlib.Path('uci_housing_model/params').exists(): sys.exit(255)"},
            "start/short-file-names",
        ),
        (
            BEFORE,
            {"what": "WORDS += ['-max_body_size', str(1 << 30)]"},
            "baidu-std/largest-body",
        ),
        (
            BEFORE,
            {"what": "WORDS += ['-max_body_size', str(1 << 28)]"},
            "baidu-std/largest-body",
        ),
        (
            BEFORE,
            {"what": "os.mkdir('log'); open('log/serving.of.old.log.ERROR', 'w').close()"},
            "log/error-file",
        ),
        (AFTER, {"interrupted": "one.kill()", "ended": "0"}, "end/sigint"),
        (AFTER, {"interrupted": "None", "ended": "0"}, "end/sigterm"),
        (
            ANSWERS,
            {"answered": "data if b'failed! feed' not in data else hang_up()"},
            "clients/wrong-shape",
        ),
        (
            ANSWERS,
            {"answered": "data if b'failed! there' not in data else hang_up()"},
            "requests/wrong-feed",
        ),
        (
            ANSWERS,
            {"asked": "data.replace(b'\"nonsense\"', b'\"total\"   ')"},
            "http/unknown-fetch",
        ),
        (
            ANSWERS,
            {"asked": "data if bytes(range(4)) * 2 not in data else die()"},
            "baidu-std/no-protocol",
        ),
        (WATCH, {"word": "begin reload model"}, "reload/truncated-parameters"),
        (
            LOG,
            {"old": "Failed reload resource!", "new": "Succ load engine"},
            "reload/truncated-parameters",
        ),
    ],
)
def test_a_server_that_does_one_thing_otherwise_is_caught(
    subject: Subject, tmp_path: Path, code: str, spoilt: dict[str, str], only: str
) -> None:
    exit_code, said = conformance(script(subject.binary, tmp_path, code, **spoilt), only)
    assert exit_code == 1, said
    assert "1 facts: 1 DIFFERS" in said, said


def test_a_server_to_which_clients_come_back_late_is_caught(
    subject: Subject, tmp_path: Path
) -> None:
    nothing = b"is not there"
    binary = script(subject.binary, tmp_path, ANSWERS, old=nothing, new=nothing, late_s=12)
    exit_code, said = conformance(binary, "clients/outage")
    assert exit_code == 1, said
    assert "s to recover" in said, said


BAD_MODEL = "reload/bad-model"


def test_a_server_that_dies_of_a_bad_model_as_measured_is_the_same(subject: Subject) -> None:
    exit_code, said = conformance(subject.binary, BAD_MODEL, STRICT)
    assert exit_code == 0, said
    assert "1 facts: 1 same" in said, said


def test_a_server_that_dies_of_a_bad_model_in_another_way_is_caught(
    subject: Subject, tmp_path: Path
) -> None:
    # -11 is SIGSEGV: what the real server dies of with a garbage program alone.
    spoilt = {"interrupted": "None", "ended": "code if code >= 0 else 128 + 11"}
    binary = script(subject.binary, tmp_path, AFTER, **spoilt)
    exit_code, said = conformance(binary, BAD_MODEL, STRICT)
    assert exit_code == 1, said
    assert "exit code with _corrupt: 139 instead of 134" in said, said


def test_a_server_that_dies_of_some_wrong_feeds_only_is_caught(
    subject: Subject, tmp_path: Path
) -> None:
    kept_from_it = "data if b'[13,1]' not in data else hang_up()"
    binary = script(subject.binary, tmp_path, ANSWERS, asked=kept_from_it)
    exit_code, said = conformance(binary, "requests/wrong-feed", STRICT)
    assert exit_code == 1, said
    assert "was still running" in said, said


def test_a_wrong_version_is_caught(subject: Subject, tmp_path: Path) -> None:
    exit_code, said = conformance(script(subject.binary, tmp_path, FLAGS), "cli/version-flag")
    assert exit_code == 1, said


def test_bad_input_is_one_sentence_and_exit_code_2(tmp_path: Path) -> None:
    exit_code, said = conformance(tmp_path / "nothing", "cli/version-flag")
    assert exit_code == 2
    assert f"{tmp_path / 'nothing'} is no executable; give --serving-bin" in said
    assert "Traceback" not in said


def test_no_such_fact_is_exit_code_2(subject: Subject) -> None:
    exit_code, said = conformance(subject.binary, "no/such-fact")
    assert exit_code == 2
    assert "--only has 'no/such-fact', which is no case: see --list" in said
