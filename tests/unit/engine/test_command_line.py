"""The flags: gflags' syntax, values and error texts."""

from __future__ import annotations

import pytest

from engine import _flags
from engine.__main__ import main
from engine._flags import CommandLineEnd


@pytest.mark.parametrize(
    ("words", "flag", "text"),
    [
        (["-port=1", "left alone", "-", "", "-port=2"], "port", "2"),
        (["-port=1", "--", "-port=2", "-nosuchflag"], "port", "1"),
        (["-log_dir", "-port"], "log_dir", "-port"),
        (["-log_dir=a=b"], "log_dir", "a=b"),
        (["--max-body-size=7"], "max_body_size", "7"),
        (["-use_calib", "false"], "use_calib", "True"),
        (["-use_calib", "-nouse_calib"], "use_calib", "False"),
        (["-use_calib=YES"], "use_calib", "True"),
        (["-use_calib", "-use_calib=False"], "use_calib", "False"),
    ],
)
def test_a_flag_may_be_written_in_the_ways_of_gflags(
    words: list[str], flag: str, text: str
) -> None:
    assert _flags.parse(words).text(flag) == text


def test_the_whole_line_that_the_launcher_writes_is_read() -> None:
    line = (
        "-enable_model_toolkit -inferservice_path workdir_9292 -inferservice_file "
        "infer_service.prototxt -max_concurrency 0 -num_threads 10 -port 9292 -precision fp32 "
        "-use_calib=False -reload_interval_s 10 -resource_path workdir_9292 -resource_file "
        "resource.prototxt -workflow_path workdir_9292 -workflow_file workflow.prototxt "
        "-bthread_concurrency 10 -max_body_size 536870912 -enable_prometheus=True "
        "-prometheus_port 19393 -request_cache_size 4096"
    )
    flags = _flags.parse(line.split())
    assert flags.on("enable_model_toolkit")
    assert flags.on("enable_prometheus")
    assert flags.number("max_body_size") == 536870912
    assert flags.text("workflow_file") == "workflow.prototxt"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["-port"], "ERROR: flag '-port' is missing its argument\n"),
        (["-port=2147483648"], "ERROR: illegal value '2147483648' for int32 flag 'port'\n"),
        (["-use_calib=maybe"], "ERROR: illegal value 'maybe' for bool flag 'use_calib'\n"),
        # One line for each name, sorted.
        (["-b", "-a", "-V"], "".join(f"ERROR: unknown command line flag '{a}'\n" for a in "ab")),
    ],
)
def test_wrong_flags_are_named_with_exit_code_1(words: list[str], text: str) -> None:
    with pytest.raises(CommandLineEnd) as end:
        _flags.parse(words)
    shown = end.value.stderr.replace("' specified for", "' for")
    assert (end.value.exit_code, end.value.stdout, shown) == (1, "", text)


def test_a_missing_configuration_is_one_sentence_with_exit_code_2(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["-inferservice_path", "/nowhere", "-workflow_path", "/nowhere"]) == 2
    error = capsys.readouterr().err
    assert error == (
        "embedded-serving: cannot read /nowhere/infer_service.prototxt: No such file or directory; "
        "start the launcher, which writes it\n"
    )
