"""The flags: gflags' syntax, values, error texts and reports.

The cases were also given to a program linked with gflags 2.2.2, which does the same; ``decided_by``
is the function of gflags that a case is about.
"""

from __future__ import annotations

from pathlib import Path
from typing import Optional
from xml.etree import ElementTree

import pytest

from engine import _gflags
from engine.__main__ import main
from engine._flags import FLAGS
from engine._gflags import CommandLineEnd


def the_end_of(words: list[str], environ: Optional[dict[str, str]] = None) -> CommandLineEnd:
    with pytest.raises(CommandLineEnd) as end:
        _gflags.parse(words, environ=environ or {})
    return end.value


def value_of(flag: str, words: list[str]) -> object:
    return {name: value for name, value, _ in _gflags.parse(words, environ={}).items()}[flag]


@pytest.mark.parametrize(
    ("words", "flag", "value", "decided_by"),
    [
        (["-port", "9292"], "port", 9292, "ParseNewCommandLineFlags"),
        (["--port", "9292"], "port", 9292, "ParseNewCommandLineFlags"),
        (["-port=9292"], "port", 9292, "SplitArgumentLocked"),
        (["--port=9292"], "port", 9292, "SplitArgumentLocked"),
        (["-port=1", "left alone", "-", "", "-port=2"], "port", 2, "ParseNewCommandLineFlags"),
        (["-port=1", "--", "-port=2", "-nosuchflag"], "port", 1, "ParseNewCommandLineFlags"),
        (["-log_dir", "--", "-port=2"], "log_dir", "--", "ParseNewCommandLineFlags"),
        (["-log_dir", "-port"], "log_dir", "-port", "ParseNewCommandLineFlags"),
        (["-log_dir="], "log_dir", "", "SplitArgumentLocked"),
        (["-log_dir=a=b"], "log_dir", "a=b", "SplitArgumentLocked"),
        (["--max-body-size=7"], "max_body_size", 7, "FindFlagLocked"),
        (["-use-calib"], "use_calib", True, "FindFlagLocked"),
        (["-nouse-calib"], "use_calib", False, "FindFlagLocked"),
        (["-use_calib"], "use_calib", True, "SplitArgumentLocked"),
        (["-use_calib", "false"], "use_calib", True, "SplitArgumentLocked"),
        (["-use_calib", "-nouse_calib"], "use_calib", False, "SplitArgumentLocked"),
        (["-nouse_calib=false"], "use_calib", False, "SplitArgumentLocked"),
        (["-nouse_calib=true"], "use_calib", False, "SplitArgumentLocked"),
        (["-use_calib=1"], "use_calib", True, "ParseFrom"),
        (["-use_calib=T"], "use_calib", True, "ParseFrom"),
        (["-use_calib=True"], "use_calib", True, "ParseFrom"),
        (["-use_calib=y"], "use_calib", True, "ParseFrom"),
        (["-use_calib=YES"], "use_calib", True, "ParseFrom"),
        (["-use_calib", "-use_calib=0"], "use_calib", False, "ParseFrom"),
        (["-use_calib", "-use_calib=f"], "use_calib", False, "ParseFrom"),
        (["-use_calib", "-use_calib=False"], "use_calib", False, "ParseFrom"),
        (["-use_calib", "-use_calib=N"], "use_calib", False, "ParseFrom"),
        (["-use_calib", "-use_calib=no"], "use_calib", False, "ParseFrom"),
        (["-port", " +9292"], "port", 9292, "ParseFrom"),
        (["-port=0x244c"], "port", 9292, "ParseFrom"),
        (["-port=010"], "port", 10, "ParseFrom"),
        (["-port=-2147483648"], "port", -(2**31), "ParseFrom"),
        (["-port=0XFFFFFFF"], "port", 0xFFFFFFF, "ParseFrom"),
        (["-request_cache_size=9223372036854775807"], "request_cache_size", 2**63 - 1, "ParseFrom"),
        (["-max_body_size=18446744073709551615"], "max_body_size", 2**64 - 1, "ParseFrom"),
        (["-port=" + "0" * 5000 + "1"], "port", 1, "ParseFrom"),
        (["-undefok=a,b", "-a=1", "-nob", "-port=3"], "port", 3, "ReportErrors"),
        (["-undefok", "port,", "-noport"], "port", 8010, "ReportErrors"),
        (["-nohelp", "-version=no", "-port=3"], "port", 3, "HandleCommandLineHelpFlags"),
    ],
)
def test_a_flag_may_be_written_in_all_of_gflags_ways(
    words: list[str], flag: str, value: object, decided_by: str
) -> None:
    assert value_of(flag, words) == value, decided_by


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


def illegal(value: str, kind: str, flag: str) -> str:
    return f"ERROR: illegal value '{value}' specified for {kind} flag '{flag}'\n"


def unknown(*names: str) -> str:
    return "".join(f"ERROR: unknown command line flag '{name}'\n" for name in names)


PORT = FLAGS["port"].meaning


@pytest.mark.parametrize(
    ("words", "text", "decided_by"),
    [
        (["-nosuchflag"], unknown("nosuchflag"), "SplitArgumentLocked"),
        (["--nosuchflag=1"], unknown("nosuchflag"), "SplitArgumentLocked"),
        (["---port=1"], unknown("-port"), "FindFlagLocked"),
        (["-PORT=1"], unknown("PORT"), "FindFlagLocked"),
        (["-no-use_calib"], unknown("no-use_calib"), "SplitArgumentLocked"),
        (["-no", "-=1"], unknown("", "no"), "SplitArgumentLocked"),
        (["-a-b"], unknown("a-b"), "SplitArgumentLocked"),
        (
            ["-noport"],
            "ERROR: boolean value (noport) specified for int32 command line flag\n",
            "SplitArgumentLocked",
        ),
        (
            ["-nomax-body-size=1"],
            "ERROR: boolean value (nomax-body-size) specified for uint64 command line flag\n",
            "SplitArgumentLocked",
        ),
        (
            ["-port"],
            f"ERROR: flag '-port' is missing its argument; flag description: {PORT}\n",
            "ParseNewCommandLineFlags",
        ),
        (
            ["-a", "word", "--port"],
            unknown("a")
            + f"ERROR: flag '--port' is missing its argument; flag description: {PORT}\n",
            "ParseNewCommandLineFlags",
        ),
        (["-port", "-use_calib"], illegal("-use_calib", "int32", "port"), "ParseFrom"),
        (["-port", "--"], illegal("--", "int32", "port"), "ParseFrom"),
        (["-port", "abc"], illegal("abc", "int32", "port"), "ParseFrom"),
        (["-port="], illegal("", "int32", "port"), "ParseFrom"),
        (["-port= "], illegal(" ", "int32", "port"), "ParseFrom"),
        (["-port=1_0"], illegal("1_0", "int32", "port"), "ParseFrom"),
        (["-port=1 "], illegal("1 ", "int32", "port"), "ParseFrom"),
        (["-port=1.5"], illegal("1.5", "int32", "port"), "ParseFrom"),
        (["-port=1e3"], illegal("1e3", "int32", "port"), "ParseFrom"),
        (["-port=\u0661"], illegal("\u0661", "int32", "port"), "ParseFrom"),
        (["-port=+-1"], illegal("+-1", "int32", "port"), "ParseFrom"),
        (["-port=0x"], illegal("0x", "int32", "port"), "ParseFrom"),
        (["-port=-0x10"], illegal("-0x10", "int32", "port"), "ParseFrom"),
        (["-port= 0x10"], illegal(" 0x10", "int32", "port"), "ParseFrom"),
        (["-port=0b1"], illegal("0b1", "int32", "port"), "ParseFrom"),
        (["-port=2147483648"], illegal("2147483648", "int32", "port"), "ParseFrom"),
        (["-port=-2147483649"], illegal("-2147483649", "int32", "port"), "ParseFrom"),
        (["-port=" + "9" * 5000], illegal("9" * 5000, "int32", "port"), "ParseFrom"),
        (
            ["-request_cache_size=0x8000000000000000"],
            illegal("0x8000000000000000", "int64", "request_cache_size"),
            "ParseFrom",
        ),
        (["-max_body_size=-1"], illegal("-1", "uint64", "max_body_size"), "ParseFrom"),
        (["-max_body_size= -0"], illegal(" -0", "uint64", "max_body_size"), "ParseFrom"),
        (
            ["-max-body-size=18446744073709551616"],
            illegal("18446744073709551616", "uint64", "max_body_size"),
            "ParseFrom",
        ),
        (["-use_calib=maybe"], illegal("maybe", "bool", "use_calib"), "ParseFrom"),
        (["-use_calib="], illegal("", "bool", "use_calib"), "ParseFrom"),
        (["-use_calib= 1"], illegal(" 1", "bool", "use_calib"), "ParseFrom"),
        (["-use_calib=on"], illegal("on", "bool", "use_calib"), "ParseFrom"),
        # A map from name to text: one line a name, the last, sorted by name.
        (
            ["-a", "-port=x", "-b"],
            unknown("a", "b") + illegal("x", "int32", "port"),
            "ReportErrors",
        ),
        (["-a", "-a"], unknown("a"), "ReportErrors"),
        (["-port=x", "-port=y", "-port=1"], illegal("y", "int32", "port"), "ReportErrors"),
        (["-a", "-Z"], unknown("Z", "a"), "ReportErrors"),
        # The last -undefok counts, and it forgives a name or, failing that, its negation.
        (["-a", "-b", "-undefok=a", "-undefok=b"], unknown("a"), "ReportErrors"),
        (["-a", "-noa", "-undefok=a"], unknown("noa"), "ReportErrors"),
        (["-port=x", "-undefok=port"], illegal("x", "int32", "port"), "ReportErrors"),
        (["-a", "-undefok=,a"], "ERROR: empty flaglist entry\n", "ParseFlagList"),
        (["-a", "-undefok=a,-b,c"], "ERROR: flag \"-b,c\" begins with '-'\n", "ParseFlagList"),
        (
            ["-a", "-flagfile=/nowhere/flags"],
            "/nowhere/flags: No such file or directory\n",
            "ReadFileIntoString",
        ),
    ],
)
def test_what_is_wrong_is_named_as_gflags_names_it(
    words: list[str], text: str, decided_by: str
) -> None:
    end = the_end_of(words)
    assert (end.exit_code, end.stdout, end.stderr) == (1, "", text), decided_by


@pytest.mark.parametrize(
    ("content", "flag", "value"),
    [
        ("-port=9292", "port", 9292),
        ("\n# -port=1\n\n  --port=9292\n\n", "port", 9292),
        ("-use_calib\n-port=9292\n-nouse_calib\n", "use_calib", False),
        ("-port=9292\r\n-num_threads=2\r\n", "num_threads", 2),
        ("-log_dir=a b \n", "log_dir", "a b "),
        # What is unknown or has no value is passed over.
        ("-nosuchflag=1\n-noport\n-port\n-port 1\n-port=9292\n", "port", 9292),
        # Lines behind patterns are for the programs that these match.
        ("another\n-port=1\nserving\n-port=9292\nother *x\n-port=2\n", "port", 9292),
        ("another serv*\n-port=9292\n", "port", 9292),
        ("serving\nanother\n-port=9292\n", "port", 9292),
    ],
)
def test_a_flagfile_holds_flags_a_line_each(
    tmp_path: Path, content: str, flag: str, value: object
) -> None:
    file = tmp_path / "flags"
    file.write_bytes(content.encode())
    assert value_of(flag, [f"-flagfile={file}"]) == value


def test_flagfiles_count_where_they_stand_and_may_name_further_ones(tmp_path: Path) -> None:
    (tmp_path / "inner").write_text("-port=2\n-num_threads=2\n-nosuchflag=1\n")
    (tmp_path / "outer").write_text(f"-port=1\n-flagfile={tmp_path / 'inner'}\n")
    listed = f"{tmp_path / 'outer'},{tmp_path}"
    flags = _gflags.parse(["-num_threads=1", "-flagfile", listed, "-port=3"], environ={})
    assert (flags.number("port"), flags.number("num_threads")) == (3, 2)


def test_a_wrong_value_in_a_flagfile_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "flags"
    file.write_text("-port=1 \n")
    assert the_end_of([f"-flagfile={file}"]).stderr == illegal("1 ", "int32", "port")


def test_a_flagfile_that_names_itself_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "flags"
    file.write_text(f"-flagfile={file}\n")
    end = the_end_of([f"-flagfile={file}"])
    assert (end.exit_code, end.stderr) == (
        1,
        "embedded-serving: -flagfile, -fromenv or -tryfromenv name themselves\n",
    )


def test_flags_may_come_from_the_environment() -> None:
    environ = {"FLAGS_port": "9292", "FLAGS_use_calib": "yes", "FLAGS_num_threads": "2"}
    words = ["-fromenv=port,use_calib", "-tryfromenv=log_dir,num_threads"]
    flags = _gflags.parse(words, environ=environ)
    assert (flags.number("port"), flags.on("use_calib")) == (9292, True)
    assert (flags.text("log_dir"), flags.number("num_threads")) == ("", 2)


@pytest.mark.parametrize(
    ("words", "environ", "text"),
    [
        (["-fromenv=port"], {}, "ERROR: FLAGS_port not found in environment\n"),
        (["-tryfromenv=port"], {"FLAGS_port": "x"}, illegal("x", "int32", "port")),
        (
            ["-tryfromenv=a,b"],
            {"FLAGS_a": "1"},
            "ERROR: unknown command line flag 'a' (via --fromenv or --tryfromenv)\n"
            "ERROR: unknown command line flag 'b' (via --fromenv or --tryfromenv)\n",
        ),
        (
            ["-fromenv=fromenv"],
            {"FLAGS_fromenv": "tryfromenv"},
            "ERROR: infinite recursion on environment flag 'tryfromenv'\n",
        ),
        (["-fromenv=a", "-undefok=a", "-b"], {}, unknown("b")),
    ],
)
def test_what_is_wrong_with_the_environment_is_named(
    words: list[str], environ: dict[str, str], text: str
) -> None:
    end = the_end_of(words, environ)
    assert (end.exit_code, end.stderr) == (1, text)


USAGE = "serving: Warning: SetUsageMessage() never called\n"
NOTHING = USAGE + "\n  No modules matched: use -help\n"
SERVER = "\n  Flags from core/predictor/src/pdserving.cpp:\n"
V = "    -V (print the version and end) type: bool default: false\n"


@pytest.mark.parametrize(
    ("words", "code", "out", "err"),
    [
        (["-version"], 0, "serving\n", ""),
        (["-V"], 0, "undefined\n", ""),
        (["-helpshort"], 1, NOTHING, ""),
        (["-helpon=pdserving"], 1, USAGE + SERVER + V, ""),
        (["-helpon=serving"], 1, NOTHING, ""),
        (["-helpmatch", "/pdserv"], 1, USAGE + SERVER + V, ""),
        (["-helppackage"], 1, "", "Unable to find a package for file=serving"),
        # One report, the first in gflags' order, and before the errors.
        (["-nosuchflag", "-version"], 0, "serving\n", ""),
        (["-nosuchflag", "-V"], 1, "", unknown("nosuchflag")),
        (["-version", "-helpxml", "-helppackage", "-helpmatch=x_y_z"], 1, NOTHING, ""),
        (["-helpon=pdserving", "-help", "-helpshort"], 1, NOTHING, ""),
        # A report is wanted by the value at the end.
        (["-help", "-nohelp", "-version"], 0, "serving\n", ""),
    ],
)
def test_a_report_is_printed_and_ends_the_program(
    words: list[str], code: int, out: str, err: str
) -> None:
    end = the_end_of(words)
    assert (end.exit_code, end.stdout, end.stderr) == (code, out, err)


@pytest.mark.parametrize("word", ["-help", "--helpfull"])
def test_help_names_every_flag_under_its_file(word: str) -> None:
    end = the_end_of([word, "-port=9292"])
    assert (end.exit_code, end.stderr) == (1, "")
    lines = end.stdout.splitlines()
    assert max(map(len, lines)) < 80
    assert [line.split()[0] for line in lines if line.startswith("    -")] == [
        f"-{name}" for name, flag in sorted(FLAGS.items(), key=lambda item: (item[1].file, item[0]))
    ]
    assert [line for line in lines if line.startswith("  F")] == [
        f"  Flags from {file}:" for file in sorted({flag.file for flag in FLAGS.values()})
    ]
    # A value's line is broken before `default:` and `currently:`, never inside.
    assert (
        "    -port (read, but the port in inferservice_file counts) type: int32\n"
        "      default: 8010 currently: 9292\n"
    ) in end.stdout
    assert '\n      default: "workflow.prototxt"\n' in end.stdout
    # Two empty lines between folders, none between files.
    assert "\n\n\n\n  Flags from core/predictor/src/pdserving.cpp:\n" in end.stdout
    assert "\n\n  Flags from src/gflags_completions.cc:\n" in end.stdout
    assert "\n\n\n  Flags from src/gflags_completions.cc:\n" not in end.stdout


def test_helpxml_is_xml_of_every_flag() -> None:
    end = the_end_of(["-helpxml", "-log_dir=a&b<c>"])
    assert (end.exit_code, end.stderr) == (1, "")
    assert end.stdout.startswith(
        '<?xml version="1.0"?>\n<AllFlags>\n<program>serving</program>\n'
        "<usage>Warning: SetUsageMessage() never called</usage>\n<flag><file>"
    )
    root = ElementTree.fromstring(end.stdout)
    assert {flag.findtext("name") for flag in root.iter("flag")} == set(FLAGS)
    assert (
        "<name>log_dir</name><meaning>folder of the log files, ./log when empty</meaning>"
        "<default></default><current>a&amp;b&lt;c></current><type>string</type></flag>\n"
    ) in end.stdout


def test_every_flag_has_a_file_and_a_meaning() -> None:
    for flag in FLAGS.values():
        assert flag.file
        assert flag.meaning


def test_bytes_that_are_no_text_are_printed_as_they_came(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    assert main(["-\udcff"]) == 1
    assert main(["-help", "-log_dir=\udcff"]) == 1
    out, err = capfdbinary.readouterr()
    assert b'currently: "\xff"\n' in out
    assert err == b"ERROR: unknown command line flag '\xff'\n"


def test_who_has_closed_the_output_gets_the_exit_code_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdout", None)
    assert main(["-V"]) == 0
    monkeypatch.setattr("sys.stderr", None)
    assert main(["-nosuchflag"]) == 1


def test_a_missing_configuration_is_one_sentence_with_exit_code_2(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["-inferservice_path", "/nowhere", "-workflow_path", "/nowhere"]) == 2
    error = capsys.readouterr().err
    assert error == (
        "embedded-serving: cannot read /nowhere/infer_service.prototxt: No such file or directory; "
        "start the launcher, which writes it\n"
    )
