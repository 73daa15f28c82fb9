"""What the embedded engine does better than the real server, on purpose, and its strict mode."""

from __future__ import annotations

import json
import os
import shutil
import signal
from typing import Any

import pytest

from harness.conformance.serving import wire
from harness.conformance.serving.check_clients import ask
from harness.conformance.serving.check_http import JSON, price
from harness.conformance.serving.check_reload_load import reload_in_turns, turns
from harness.conformance.serving.checks import JSON_BODY, PRICE, Subject
from harness.conformance.serving.server import Launched
from harness.conformance.serving.wire import Wire, http
from harness.support import waits
from tests.contract.engine.conftest import ASKING_MORE, more_model
from tests.contract.engine.damage import damage_so_that_loading_crashes, truncate

STRICT = {"ENGINE_STRICT_COMPAT": "1"}


def ended(server: Launched) -> None:
    waits.wait_for(
        lambda: not server.process.running, "the server to die", 15, log=server.log_file()
    )


def test_a_model_that_crashes_paddle_does_not_crash_the_engine(subject: Subject) -> None:
    with subject.launch() as server:
        damage_so_that_loading_crashes(server.live)
        server.touch()
        text = server.wait_for_log("Failed reload resource!")
        assert "loading it ended a process with SIGSEGV: the program is damaged" in text
        assert price(http(server.port, JSON_BODY, headers=JSON)) == PRICE
        server.reload(subject.models / "uci_2")
        assert price(http(server.port, JSON_BODY, headers=JSON)) == 2 * PRICE


def test_strict_compat_dies_on_a_bad_model_as_the_real_server_does(subject: Subject) -> None:
    with subject.launch(env=STRICT) as server:
        (server.live / "params.pdiparams").unlink()
        server.touch()
        ended(server)
        said = (server.folder / "launcher.log").read_text()
        assert "terminate called after throwing an instance of 'phi::enforce::EnforceN" in said
        assert "Failed reload" not in server.log()


def test_strict_compat_dies_on_a_wrong_feed_and_takes_truncated_parameters(
    subject: Subject,
) -> None:
    with subject.launch(env=STRICT) as server:
        truncate(server.live)
        server.reload()
        # The bias is cut in half: what is answered is not the released model's price.
        http(server.port, JSON_BODY, headers=JSON)
        # Two values are missing at the end; the real server takes what is there in memory.
        few = JSON_BODY.replace(b"[1,1,1,", b"[1,")
        assert http(server.port, few, headers=JSON).status == 200
        message = wire.request_message()
        del message.tensor[0].float_data[2:]
        many = http(
            server.port,
            message.SerializeToString(),
            headers={"Content-Type": "application/proto"},
        )
        assert many.status == 200
        with pytest.raises((EOFError, OSError)):
            http(server.port, JSON_BODY.replace(b'"name":"x"', b'"name":"y"', 1), headers=JSON)
        ended(server)


def test_strict_compat_serves_through_many_reloads_under_load(subject: Subject) -> None:
    with subject.launch(env=STRICT) as server:
        assert reload_in_turns(server, turns(subject), 12) == []


def test_a_second_model_with_two_inputs_and_two_outputs_works(subject: Subject) -> None:
    with subject.launch("two") as server:
        answer, _ = ask(subject, "two", port=server.port, model="two", script=ASKING_MORE)
        assert answer == {
            # float32 keeps 24 bits of 15 + 2**40, int64 all of its.
            "mixed": [[16.0, 26.0], [45.0, float(2**40)]],
            "total": [[30], [30 + 2**40]],
        }
        body: dict[str, Any] = {
            "tensor": [
                {"name": "right", "elem_type": 0, "int64_data": [1, 2], "shape": [1, 2]},
                {"name": "left", "elem_type": 1, "float_data": [1, 1, 1], "shape": [1, 3]},
            ],
            "fetch_var_names": ["total"],
        }
        text = json.dumps(body).encode()
        tensors = json.loads(http(server.port, text, headers=JSON).body)["outputs"][0]["tensor"]
        assert tensors == [
            {
                "int64_data": [3],
                "shape": [1, 1],
                "name": tensors[0]["name"],
                "alias_name": "total",
            }
        ]
        body["tensor"].pop()
        answer_text = http(server.port, json.dumps(body).encode(), headers=JSON).body.decode()
        assert "feed left is missing" in answer_text


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


def test_rows_that_see_each_other_are_never_run_together(subject: Subject) -> None:
    def request(value: int) -> bytes:
        body = JSON_BODY.replace(
            b"[1,1,1,1,1,1,1,1,1,1,1,1,1]", b"[%s]" % b",".join([b"%d" % value] * 13)
        )
        body = body.replace(b'"price"', b'"shifted"')
        head = b"POST /GeneralModelService/inference HTTP/1.1\r\nContent-Length: %d\r\n\r\n"
        return head % len(body) + body

    with subject.launch(more_model("mean")) as server, Wire(server.port) as one:
        # In one piece, so that they are there together.
        one.send(b"".join(request(value) for value in range(20)))
        # The model adds the mean over the batch: alone, a row is doubled.
        assert [price(one.http_answer()) for _ in range(20)] == [2.0 * n for n in range(20)]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["second"], "2 models in sequence (uci_housing_model, second) are asked for, but"),
        (["--gpu_ids", "0"], "--gpu_ids asks for a GPU, but the paddlepaddle beside the engine"),
    ],
)
def test_what_the_engine_cannot_serve_is_refused_with_a_sentence(
    subject: Subject, words: list[str], sentence: str
) -> None:
    with subject.folder() as folder:
        shutil.copytree(subject.models / "uci_2", folder / "second")
        server = Launched(subject.binary, subject.models / "uci", folder=folder)
        # The value of --model is a list, so a second directory goes behind the first.
        at = server.process.argv.index("--model") + 2
        server.process.argv[at:at] = words
        server.process.start()
        try:
            server.process.wait(60)
        finally:
            server.stop()
        said = (folder / "launcher.log").read_text()
        assert f"embedded-serving: {sentence}" in said, said
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
