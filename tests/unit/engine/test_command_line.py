"""The flags: gflags' syntax, values and error texts."""

from __future__ import annotations

import pytest

from harness.engine import _gflags
from harness.engine.__main__ import main
from harness.engine._gflags import CommandLineEnd


@pytest.mark.parametrize(
    "words",
    [
        ["-port", "9292"],
        ["--port", "9292"],
        ["-port=9292"],
        ["--port=9292"],
        ["-port", " 9292"],
        ["-port=0x244c"],
        ["-port=1", "ignored", "-port=9292"],
    ],
)
def test_a_number_may_be_written_in_all_of_gflags_ways(words: list[str]) -> None:
    assert _gflags.parse(words).number("port") == 9292


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (["-use_calib"], True),
        (["--use_calib=True"], True),
        (["-use_calib=yes"], True),
        (["-nouse_calib"], False),
        (["-use_calib=False"], False),
        (["-use_calib", "-use_calib=0"], False),
        ([], False),
    ],
)
def test_a_boolean_may_be_written_in_all_of_gflags_ways(words: list[str], value: bool) -> None:
    assert _gflags.parse(words).on("use_calib") is value


def test_everything_behind_two_dashes_is_left_alone() -> None:
    assert _gflags.parse(["-port=1", "--", "-nosuchflag"]).number("port") == 1


def test_the_whole_line_that_the_launcher_writes_is_read() -> None:
    line = (
        "-enable_model_toolkit -inferservice_path workdir_9292 -inferservice_file "
        "infer_service.prototxt -max_concurrency 0 -num_threads 10 -port 9292 -precision fp32 "
        "-use_calib=False -reload_interval_s 10 -resource_path workdir_9292 -resource_file "
        "resource.prototxt -workflow_path workdir_9292 -workflow_file workflow.prototxt "
        "-bthread_concurrency 10 -max_body_size 536870912 -enable_prometheus=True "
        "-prometheus_port 19393 -request_cache_size 4096"
    )
    flags = _gflags.parse(line.split())
    assert flags.on("enable_model_toolkit")
    assert flags.on("enable_prometheus")
    assert flags.number("max_body_size") == 536870912
    assert flags.text("workflow_file") == "workflow.prototxt"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["-nosuchflag"], "ERROR: unknown command line flag 'nosuchflag'\n"),
        (["-port", "abc"], "ERROR: illegal value 'abc' specified for int32 flag 'port'\n"),
        (["-port=1_0"], "ERROR: illegal value '1_0' specified for int32 flag 'port'\n"),
        (
            ["-port=99999999999"],
            "ERROR: illegal value '99999999999' specified for int32 flag 'port'\n",
        ),
        (
            ["-use_calib=maybe"],
            "ERROR: illegal value 'maybe' specified for bool flag 'use_calib'\n",
        ),
        (
            ["-noport"],
            "ERROR: boolean value (noport) specified for int32 command line flag 'port'\n",
        ),
        (
            ["-port"],
            "ERROR: flag '-port' is missing its argument; flag description: "
            "read, but the port in inferservice_file counts\n",
        ),
        (
            ["-a", "-port=x", "-b"],
            "ERROR: illegal value 'x' specified for int32 flag 'port'\n"
            "ERROR: unknown command line flag 'a'\nERROR: unknown command line flag 'b'\n",
        ),
    ],
)
def test_what_is_wrong_is_named_as_gflags_names_it(words: list[str], text: str) -> None:
    with pytest.raises(CommandLineEnd) as end:
        _gflags.parse(words)
    assert (end.value.exit_code, end.value.stderr) == (1, text)


def test_undefok_forgives_an_unknown_flag() -> None:
    assert _gflags.parse(["-undefok=new_flag", "-new_flag", "-port=3"]).number("port") == 3


def test_every_flag_has_a_meaning_and_stands_in_the_help() -> None:
    with pytest.raises(CommandLineEnd) as end:
        _gflags.parse(["--help"])
    for name, flag in _gflags.FLAGS.items():
        assert flag.meaning
        assert f"-{name} ({flag.meaning}) type: {flag.kind}" in end.value.stdout


def test_a_missing_configuration_is_one_sentence_with_exit_code_2(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["-inferservice_path", "/nowhere", "-workflow_path", "/nowhere"]) == 2
    error = capsys.readouterr().err
    assert error == (
        "embedded-serving: cannot read /nowhere/service.prototxt: No such file or directory; "
        "start the launcher, which writes it\n"
    )
