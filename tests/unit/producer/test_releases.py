"""What the producer makes, as others see it: Paddle Inference, the launcher, a monitor's check."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Optional

import pytest

from harness.remotes.ftp.local import LocalFtp
from harness.support.process import Process
from harness.support.waits import wait_for
from producer.manifest import RTOL, decode, distinct, encode
from tests.conftest import Releases

# The tests' own process imports neither of these. Paddle takes seconds and changes signal handlers,
# and the launcher's messages clash with the client's.
_ASK = """
import json, sys
import numpy
from paddle import inference
answers = []
for folder, feeds in json.load(sys.stdin):
    config = inference.Config(folder + "/model.pdmodel", folder + "/params.pdiparams")
    config.disable_glog_info()
    predictor = inference.create_predictor(config)
    for name in predictor.get_input_names():
        predictor.get_input_handle(name).copy_from_cpu(numpy.array(feeds[name], "float32"))
    predictor.run()
    answers.append({
        name: predictor.get_output_handle(name).copy_to_cpu().tolist()
        for name in predictor.get_output_names()
    })
json.dump(answers, sys.stdout)
"""
_LAUNCHER = """
import sys
from paddle_serving_server import OpMaker, OpSeqMaker, Server
maker, sequence, server = OpMaker(), OpSeqMaker(), Server()
for name in ("GeneralReaderOp", "GeneralInferOp", "GeneralResponseOp"):
    sequence.add_op(maker.create(name))
server.set_op_sequence(sequence.get_op_sequence())
server.load_model_config(sys.argv[1])
(config,) = server.model_conf.values()
for entry in (*config.feed_var, *config.fetch_var):
    print(entry.name, entry.alias_name, entry.is_lod_tensor, *entry.shape)
"""


def produce(
    remote: str, work: Path, *words: str, stdin: Optional[str] = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "producer", "--remote", remote, "--work", str(work), *words],
        input=stdin or "",
        capture_output=True,
        text=True,
        timeout=180,
        env={**os.environ, **environment},
        check=False,
    )


def test_paddle_inference_predicts_what_every_manifest_promises(releases: Releases) -> None:
    questions = [
        [str(releases.model(event["release"])), event["manifest"]["probe"]["feed"]]
        for event in releases.published
    ]
    done = subprocess.run(
        [sys.executable, "-c", _ASK],
        input=json.dumps(questions),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for answer, event in zip(json.loads(done.stdout), releases.published):
        (fetch,) = event["manifest"]["fetches"]
        expected = event["manifest"]["probe"]["expected"][fetch["alias"]]
        assert answer[fetch["name"]] == [[pytest.approx(expected[0][0], rel=RTOL)]]


def test_every_release_predicts_something_else_for_the_same_probe(releases: Releases) -> None:
    probes = [event["manifest"]["probe"] for event in releases.published]
    assert len({json.dumps(probe["feed"]) for probe in probes}) == 1
    for one, other in zip(probes, probes[1:]):
        assert distinct(one["expected"], other["expected"])


def test_names_and_shapes_stay_the_same_from_release_to_release(releases: Releases) -> None:
    forms = {
        json.dumps([event["manifest"]["feeds"], event["manifest"]["fetches"]])
        for event in releases.published
    }
    assert [json.loads(form) for form in forms] == [
        [
            [{"name": "x", "alias": "x", "dtype": "float32", "shape": [-1, 13]}],
            [
                {
                    "name": "save_infer_model/scale_0.tmp_0",
                    "alias": "price",
                    "dtype": "float32",
                    "shape": [-1, 1],
                }
            ],
        ]
    ]


def test_the_real_launcher_reads_the_exported_configuration(releases: Releases) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LAUNCHER, str(releases.model(1))],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "x x False 13",
        "save_infer_model/scale_0.tmp_0 price False 1",
    ]


def test_the_model_folder_and_the_clients_configuration_are_where_serving_looks(
    releases: Releases,
) -> None:
    assert sorted(path.name for path in releases.model(2).iterdir()) == [
        "model.pdmodel",
        "params.pdiparams",
        "serving_server_conf.prototxt",
        "serving_server_conf.stream.prototxt",
    ]
    client = releases.folder / "client"
    assert sorted(path.name for path in client.iterdir()) == [
        "serving_client_conf.prototxt",
        "serving_client_conf.stream.prototxt",
    ]
    server_text = (releases.model(2) / "serving_server_conf.prototxt").read_text()
    assert (client / "serving_client_conf.prototxt").read_text() == server_text


def test_an_exported_model_says_nothing_about_the_machine_it_was_made_on(
    releases: Releases,
) -> None:
    graph = (releases.model(1) / "model.pdmodel").read_bytes()
    assert b"op_callstack" not in graph
    assert str(Path.cwd()).encode() not in graph
    assert b"site-packages" not in graph


def test_every_event_describes_the_tarball_it_names(releases: Releases) -> None:
    ends = []
    for number, event in enumerate(releases.published, 1):
        assert event["event"] == "published"
        assert event["release"] == event["manifest"]["release"] == number
        tarball = Path(event["tarball"])
        assert tarball.is_absolute()
        assert tarball.stat().st_size == event["size"] == event["manifest"]["size"]
        assert event["sha256"] == event["manifest"]["sha256"]
        assert event["t_begin"] <= event["t_end"]
        ends += [event["t_begin"], event["t_end"]]
        with tarfile.open(tarball) as archive:
            assert {name.partition("/")[0] for name in archive.getnames()} == {"uci_housing_model"}
    assert ends == sorted(ends)


def test_a_probe_too_close_is_trained_on_and_same_weights_give_same_bytes(
    releases: Releases, tmp_path: Path
) -> None:
    # The remote's release 0 promises what pass 1 of seed 1 predicts.
    www = tmp_path / "www"
    www.mkdir()
    content = {**releases.published[0]["manifest"], "release": 0}
    (www / "donefile").write_bytes(encode(content))
    umask = os.umask(0o077)
    try:
        done = produce(
            f"file://{www}", tmp_path / "work", "--passes", "1", "--seed", "1", TZ="Asia/Tokyo"
        )
    finally:
        os.umask(umask)
    assert done.returncode == 0, done.stderr
    assert "pass 1 predicts what the release before does: training on" in done.stdout
    assert "release 1: pass 2, loss" in done.stdout
    manifest = decode((www / "donefile").read_bytes())
    assert manifest is not None
    second_pass = releases.published[1]["manifest"]
    assert manifest["release"] == 1
    assert manifest["probe"] == second_pass["probe"]
    # Another process, hour, user mask and folder: the same weights, the same bytes.
    assert manifest["sha256"] == second_pass["sha256"]


def test_a_restarted_producer_counts_on_and_ends_with_its_input(
    releases: Releases, tmp_path: Path
) -> None:
    www = tmp_path / "www"
    www.mkdir()
    content = {**releases.published[0]["manifest"], "release": 41}
    (www / "donefile").write_bytes(encode(content))
    events = tmp_path / "events"
    done = produce(
        f"file://{www}", tmp_path / "work", "--step", "--events", str(events), stdin="\n\n"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "end of input before release 44: done"
    assert [json.loads(line)["release"] for line in events.read_text().splitlines()] == [42, 43]
    last = decode((www / "donefile").read_bytes())
    assert last is not None
    assert last["release"] == 43
    assert last["probe"]["expected"] != releases.published[1]["manifest"]["probe"]["expected"]


def test_a_line_that_names_a_folder_publishes_what_it_holds(
    releases: Releases, tmp_path: Path
) -> None:
    www = tmp_path / "www"
    www.mkdir()
    made = releases.model(2).parent
    ready = tmp_path / "ready"
    ready.mkdir()
    (ready / "uci_housing.tar.gz").write_bytes(b"no archive")
    (ready / "donefile").write_bytes(b"")
    done = produce(f"file://{www}", tmp_path / "work", "--step", stdin=f"{made}\n{ready}\n")
    assert done.returncode == 0, done.stderr
    assert "Paddle" not in done.stdout, "nothing is trained"
    assert done.stdout.splitlines()[1].startswith(f"release 2: from {made}, ")
    assert done.stdout.splitlines()[2].startswith(f"release 2: from {ready}, 10 bytes to ")
    assert (www / "uci_housing.tar.gz").read_bytes() == b"no archive"

    done = produce(f"file://{www}", tmp_path / "work", "--step", stdin="/nowhere\n")
    assert done.returncode == 2
    assert "/nowhere/uci_housing.tar.gz cannot be read: No such file" in done.stderr


def test_a_lost_remote_is_asked_again_until_it_takes_the_release(tmp_path: Path) -> None:
    with LocalFtp(tmp_path / "ftp") as ftp:
        ftp.ready(30)
        argv = [sys.executable, "-m", "producer", "--remote", ftp.url, "--step"]
        argv += ["--donefile_format", "empty", "--work", str(tmp_path / "work")]
        producer = Process(
            "producer",
            argv,
            log=tmp_path / "producer.log",
            env={**os.environ, **ftp.producer_environment},
            stdin=subprocess.PIPE,
        )

        def said(words: str) -> bool:
            return words in producer.log.read_text()

        def step_until(words: str) -> None:
            producer.stdin.write(b"\n")
            producer.stdin.flush()
            shown(words)

        def shown(words: str) -> None:
            wait_for(
                lambda: said(words), f"{words!r} from the producer", 60, alive=producer.check,
                log=producer.log,
            )  # fmt: skip

        with producer:
            step_until("release 1: pass 1, loss")
            published = tmp_path / "ftp" / "data" / "donefile"
            assert published.read_bytes() == b""
            ftp.disconnect()
            step_until("again in 0.5 s")
            assert "release 2: cannot upload ftp://demo@" in producer.log.read_text()
            ftp.resume()
            shown("release 2: pass 2, loss")
            assert ftp.password not in producer.log.read_text()
            producer.signal(signal.SIGTERM)
            assert producer.wait(10) == 128 + signal.SIGTERM
            assert producer.log.read_text().splitlines()[-1] == "producer: terminated"


def test_a_work_folder_that_cannot_be_written_gives_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "work").write_text("a file")
    done = produce(f"file://{tmp_path}/www", tmp_path / "work", "--passes", "1")
    assert done.returncode == 2
    assert done.stderr == (
        f"producer: --work {tmp_path}/work cannot be used: Not a directory; give a folder that "
        "can be written\n"
    )
    (tmp_path / "work").unlink()
    (tmp_path / "work" / "releases" / "1").mkdir(parents=True)
    (tmp_path / "work" / "releases" / "1" / "uci_housing_model").write_text("a file")
    done = produce(f"file://{tmp_path}/www", tmp_path / "work", "--passes", "1")
    assert done.returncode == 1
    assert done.stderr == (
        f"producer: cannot write {tmp_path}/work/releases/1/uci_housing_model: File exists\n"
    )
