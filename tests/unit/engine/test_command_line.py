"""The flags: gflags' syntax, values and error texts."""

from __future__ import annotations

import pytest

from engine import _flags
from engine.__main__ import main
from engine._flags import CommandLineEnd


def the_end_of(words: list[str]) -> CommandLineEnd:
    with pytest.raises(CommandLineEnd) as end:
        _flags.parse(words)
    return end.value


@pytest.mark.parametrize(
    ("words", "flag", "text"),
    [
        (["-port", "9292"], "port", "9292"),
        (["--port", "9292"], "port", "9292"),
        (["-port=9292"], "port", "9292"),
        (["--port=9292"], "port", "9292"),
        (["-port=1", "left alone", "-", "", "-port=2"], "port", "2"),
        (["-port=1", "--", "-port=2", "-nosuchflag"], "port", "1"),
        (["-log_dir", "--", "-port=2"], "log_dir", "--"),
        (["-log_dir", "-port"], "log_dir", "-port"),
        (["-log_dir="], "log_dir", ""),
        (["-log_dir=a=b"], "log_dir", "a=b"),
        (["--max-body-size=7"], "max_body_size", "7"),
        (["-use-calib"], "use_calib", "True"),
        (["-nouse-calib"], "use_calib", "False"),
        (["-use_calib"], "use_calib", "True"),
        (["-use_calib", "false"], "use_calib", "True"),
        (["-use_calib", "-nouse_calib"], "use_calib", "False"),
        (["-nouse_calib=true"], "use_calib", "False"),
        (["-use_calib=T"], "use_calib", "True"),
        (["-use_calib=YES"], "use_calib", "True"),
        (["-use_calib", "-use_calib=0"], "use_calib", "False"),
        (["-use_calib", "-use_calib=False"], "use_calib", "False"),
        (["-port=+9292"], "port", "9292"),
        (["-port=0x244c"], "port", "9292"),
        (["-port=010"], "port", "10"),
        (["-port=-2147483648"], "port", str(-(2**31))),
        (["-request_cache_size=9223372036854775807"], "request_cache_size", str(2**63 - 1)),
        (["-max_body_size=18446744073709551615"], "max_body_size", str(2**64 - 1)),
        (["-version=no", "-port=3"], "port", "3"),
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


def illegal(value: str, kind: str, flag: str) -> str:
    return f"ERROR: illegal value '{value}' specified for {kind} flag '{flag}'\n"


def unknown(*names: str) -> str:
    return "".join(f"ERROR: unknown command line flag '{name}'\n" for name in names)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["-nosuchflag"], unknown("nosuchflag")),
        (["--nosuchflag=1"], unknown("nosuchflag")),
        (["---port=1"], unknown("-port")),
        (["-PORT=1"], unknown("PORT")),
        (["-no", "-=1"], unknown("", "no")),
        (["-noport"], "ERROR: boolean value (noport) specified for int32 command line flag\n"),
        (["-port"], "ERROR: flag '-port' is missing its argument\n"),
        (["-port", "-use_calib"], illegal("-use_calib", "int32", "port")),
        (["-port", "abc"], illegal("abc", "int32", "port")),
        (["-port="], illegal("", "int32", "port")),
        (["-port=1_0"], illegal("1_0", "int32", "port")),
        (["-port=1.5"], illegal("1.5", "int32", "port")),
        (["-port=\u0661"], illegal("\u0661", "int32", "port")),
        (["-port=0x"], illegal("0x", "int32", "port")),
        (["-port=2147483648"], illegal("2147483648", "int32", "port")),
        (["-port=-2147483649"], illegal("-2147483649", "int32", "port")),
        (["-max_body_size=-1"], illegal("-1", "uint64", "max_body_size")),
        (["-use_calib=maybe"], illegal("maybe", "bool", "use_calib")),
        # One line for each name, sorted.
        (["-b", "-port=x", "-a", "-a"], unknown("a", "b") + illegal("x", "int32", "port")),
        (["-nosuchflag", "-V"], unknown("nosuchflag")),
    ],
)
def test_wrong_flags_are_named_with_exit_code_1(words: list[str], text: str) -> None:
    end = the_end_of(words)
    assert (end.exit_code, end.stdout, end.stderr) == (1, "", text)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["-version"], "serving\n"),
        (["-V"], "undefined\n"),
        (["-nosuchflag", "-version"], "serving\n"),
    ],
)
def test_a_version_is_printed_with_exit_code_0(words: list[str], text: str) -> None:
    end = the_end_of(words)
    assert (end.exit_code, end.stdout, end.stderr) == (0, text, "")


def test_a_missing_configuration_is_one_sentence_with_exit_code_2(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["-inferservice_path", "/nowhere", "-workflow_path", "/nowhere"]) == 2
    error = capsys.readouterr().err
    assert error == (
        "embedded-serving: cannot read /nowhere/infer_service.prototxt: No such file or directory; "
        "start the launcher, which writes it\n"
    )
