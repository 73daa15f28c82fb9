"""What the suite of facts does not look at: a crash, further models, options, signals."""

from __future__ import annotations

import os
import signal

from harness.conformance.serving.check_clients import ask
from harness.conformance.serving.check_http import JSON, price
from harness.conformance.serving.checks import JSON_BODY, PRICE, Subject
from harness.conformance.serving.server import Launched
from harness.conformance.serving.wire import http
from harness.support import waits
from tests.contract.engine.conftest import ASKING_MORE, more_model
from tests.contract.engine.damage import damage_so_that_loading_crashes


def test_a_model_that_crashes_paddle_does_not_crash_the_engine(subject: Subject) -> None:
    with subject.launch() as server:
        damage_so_that_loading_crashes(server.live)
        server.touch()
        text = server.wait_for_log("Failed reload resource!")
        assert "loading it ended a process: the program is damaged" in text
        assert price(http(server.port, JSON_BODY, headers=JSON)) == PRICE
        server.reload(subject.models / "uci_2")
        assert price(http(server.port, JSON_BODY, headers=JSON)) == 2 * PRICE


def test_a_model_with_two_inputs_and_two_outputs_works(subject: Subject) -> None:
    with subject.launch("two") as server:
        answer, _ = ask(subject, "two", port=server.port, model="two", script=ASKING_MORE)
    # float32 keeps 24 bits of 15 + 2**40, int64 all of its.
    assert answer == {"mixed": [[16.0, 26.0], [45.0, float(2**40)]], "total": [[30], [30 + 2**40]]}


def test_sequences_are_told_apart_by_their_lod(subject: Subject) -> None:
    model = more_model("words")
    with subject.launch(model) as server:
        answer, _ = ask(subject, "words", port=server.port, model=model, script=ASKING_MORE)
        assert answer == [[3.0], [12.0]]


def test_the_launchers_options_for_the_graph_and_precision_are_taken(subject: Subject) -> None:
    options = ["--ir_optim", "--use_mkl", "--precision", "bf16", "--mem_optim_off"]
    with subject.launch(options=options) as server:
        assert price(http(server.port, JSON_BODY, headers=JSON)) == PRICE
        server.reload(subject.models / "uci_2")
        assert price(http(server.port, JSON_BODY, headers=JSON)) == 2 * PRICE


def test_a_gpu_is_refused_with_a_sentence_where_paddle_has_none(subject: Subject) -> None:
    with subject.folder() as folder:
        options = ["--gpu_ids", "0"]
        server = Launched(subject.binary, subject.models / "uci", folder=folder, options=options)
        server.process.start()
        try:
            server.process.wait(60)
        finally:
            server.stop()
        said = (folder / "launcher.log").read_text()
    assert "embedded-serving: --gpu_ids asks for a GPU, but the paddlepaddle beside" in said, said
    assert "Traceback" not in said


def test_a_signal_before_the_server_is_up_ends_it_without_a_traceback(subject: Subject) -> None:
    server = Launched(subject.binary, subject.models / "uci")
    server.process.start()
    try:
        waits.wait_for(server.log, "the binary to open its log", 30, every_s=0.002)
        os.kill(server.pid, signal.SIGINT)
        waits.wait_for(lambda: not server.process.running, "it to end", 20)
        assert "Traceback" not in (server.folder / "launcher.log").read_text()
    finally:
        server.stop()


def test_the_engine_ends_with_0_after_sigint(subject: Subject) -> None:
    with subject.by_hand() as server:
        server.start()
        server.process.signal(signal.SIGINT)
        assert server.process.wait(20) == 0
