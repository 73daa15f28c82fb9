"""``python -m monitor`` as a process: what its users see, type and send."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest

from harness.support.ports import free_port
from monitor.__main__ import main

from .fixtures import MODEL, TARBALL, Site, options_for
from .processes import ROOT, Here, Start, common, general


@pytest.fixture
def tmp_path(in_memory: Path) -> Path:
    return in_memory


def test_the_page_s_command_line_gives_the_page_s_output(
    start: Start, site: Site, tmp_path: Path
) -> None:
    site.publish(1, donefile=b"")
    words = general(site, tmp_path)
    one = start(*words, "--local_timestamp_file=fluid_time_file", "--local_tmp_path=_tmp")
    one.saw("sleep 10s.")
    line = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d (.{8}) \[(\w+\.py):(\d+)\] (.*)")
    found = [line.fullmatch(text) for text in one.text.splitlines()]
    assert all(found), one.text
    info = [match.group(4) for match in found if match and match.group(1) == "INFO    "]
    assert info == [
        f"_general_host: {site.url}",
        "_remote_path: /",
        f"_remote_model_name: {TARBALL}",
        "_remote_donefile_name: donefile",
        f"_local_model_name: {MODEL}",
        f"_local_path: {tmp_path}/local",
        "_local_timestamp_file: fluid_time_file",
        "_local_tmp_path: _tmp",
        "_interval: 10",
        "doneilfe(donefile) changed.",
        f"pull remote model({TARBALL}).",
        f"unpack remote file({TARBALL}).",
        f"using unpacked filename: {MODEL}.",
        f"update local model({MODEL}).",
        "update model timestamp(fluid_time_file).",
        "sleep 10s.",
    ]
    for match in found:
        assert match is not None
        (path,) = (ROOT / "monitor").rglob(match.group(2))
        source = path.read_text().splitlines()
        assert "logger." in "".join(source[int(match.group(3)) - 4 : int(match.group(3))])


def test_once_installs_what_is_announced_and_ends(here: Here, site: Site, tmp_path: Path) -> None:
    site.publish(1)
    words = [*general(site, tmp_path), "--once"]
    assert here(*words)[0] == 0
    assert (tmp_path / "local" / MODEL / "model.pdmodel").exists()
    code, _, err = here(*words)
    assert code == 0
    assert "changed" not in err


@pytest.mark.parametrize(
    ("break_it", "code", "sentence"),
    [
        ("absent", 1, "the remote has no donefile"),
        ("bad", 1, "it is a web page"),
        ("dead", 2, "Connection refused"),
    ],
)
def test_once_that_installs_nothing_says_why_in_one_sentence(
    here: Here, site: Site, tmp_path: Path, *, break_it: str, code: int, sentence: str
) -> None:
    words = [*general(site, tmp_path), "--once"]
    if break_it == "bad":
        site.publish(1, b"<html>" * 1000)
    if break_it == "dead":
        words[0] = f"--general_host=http://127.0.0.1:{free_port()}"
    ended, _, err = here(*words)
    assert ended == code
    said = [line for line in err.splitlines() if " INFO " not in line]
    assert len(said) == 1, err
    assert sentence in said[0]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "--type general needs --remote_model_name"),
        (["--type=gopher"], "invalid choice: 'gopher'"),
        (["--interval=0"], "--interval is wrong"),
        (["--interval=soon"], "--interval is wrong"),
        (["--ftp_port=99999"], "--ftp_port is wrong"),
        (["--metrics_port=65536"], "--metrics_port is wrong"),
        (["--metrics_port=-1"], "--metrics_port is wrong"),
        (["--keep=-1"], "--keep is wrong"),
        (["--rate_limit=fast"], "--rate_limit is wrong"),
        (["--no_such_option"], "unrecognized arguments"),
        (["--local_path=/no/such"], "--local_path /no/such is no folder"),
        (["--local_timestamp_file=a/b"], "--local_timestamp_file is a/b"),
        (["--type=hdfs", "--hadoop_bin=/no/hadoop"], "--hadoop_bin /no/hadoop is not a program"),
        (["--type=webhdfs", "--webhdfs_url=nn"], "--webhdfs_url nn is no address"),
        (["--ca_file=/no/pem"], "--ca_file /no/pem is no file"),
        (["--http_token_file=/no/token"], "cannot read --http_token_file /no/token"),
        (["--config=/no/toml"], "cannot read --config /no/toml"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    given = [*common(tmp_path), "--general_host=http://127.0.0.1:1", *words] if words else []
    assert main(given) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert sentence in err
    assert [p.name for p in (tmp_path / "local").glob("*")] == []


def test_a_second_monitor_on_the_same_directory_is_refused(
    start: Start, here: Here, site: Site, tmp_path: Path
) -> None:
    site.publish(1)
    one = start(*general(site, tmp_path))
    one.saw("sleep 10s.")
    code, _, err = here(*general(site, tmp_path))
    assert code == 2
    assert f"another monitor (process {one.process.pid}) already watches" in err
    one.process.kill()
    one.end()
    assert here(*general(site, tmp_path), "--once")[0] == 0


def test_what_nobody_foresaw_ends_once_with_one_masked_sentence(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from monitor import log
    from monitor.process import Process

    def broken() -> float:
        raise RuntimeError("http://user:s3cret-w0rd@host\nis odd")

    site.publish(1)
    log.set_up(debug=False, as_json=False)
    process = Process([options_for(tmp_path / "local", general_host=site.url, once=True)])
    process.watches[0]._clock = broken
    assert process.run() == 1
    err = capsys.readouterr().err
    said = [line for line in err.splitlines() if " INFO " not in line]
    assert len(said) == 1, err
    assert "RuntimeError" in said[0]
    assert "s3cret-w0rd" not in err


def test_the_log_may_be_json_lines(here: Here, site: Site, tmp_path: Path) -> None:
    site.publish(1)
    code, _, err = here(*general(site, tmp_path), "--once", "--log_format=json")
    assert code == 0
    lines = [json.loads(line) for line in err.splitlines()]
    assert lines[-1]["message"] == "update model timestamp(fluid_time_file)."
    assert lines[-1]["level"] == "INFO"
    assert lines[-1]["model"] == MODEL
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", lines[-1]["time"])


def test_metrics_and_health_are_served(start: Start, site: Site, tmp_path: Path) -> None:
    pytest.importorskip("prometheus_client")
    port = free_port()
    site.publish(5)
    one = start(*general(site, tmp_path), f"--metrics_port={port}", "--interval=0.2")
    one.saw("update model timestamp")

    def page(name: str) -> str:
        with urlopen(f"http://127.0.0.1:{port}/{name}") as answer:
            text: str = answer.read().decode()
            return text

    assert page("healthz") == "ok\n"
    text = page("metrics")
    assert f'serving_monitor_swaps_total{{model="{MODEL}"}} 1.0' in text
    assert f'serving_monitor_release{{model="{MODEL}"}} 5.0' in text
    site.status = 500
    one.saw("the server answered 500")
    assert re.search(
        rf'serving_monitor_failures_total{{family="remote",model="{MODEL}"}} [1-9]',
        page("metrics"),
    )


def test_help_and_status_import_nothing_heavy(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom monitor.__main__ import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        f"main(['status', '--local_path={tmp_path}', '--local_model_name=m'])\n"
        "heavy = {'requests', 'hdfs', 'urllib3', 'fsspec', 'ftplib', 'paddle', 'numpy'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_signal_in_the_very_moment_of_the_start_ends_it_without_a_traceback(
    site: Site, tmp_path: Path
) -> None:
    script = (
        "import os, signal, sys\nfrom monitor.__main__ import main\nreal = signal.signal\n"
        "def install(signum, handler):\n"
        "    before = real(signum, handler)\n"
        "    if signum == signal.SIGTERM: os.kill(os.getpid(), signum)\n"
        "    return before\n"
        "signal.signal = install\nsys.exit(main(sys.argv[1:]))\n"
    )
    words = [sys.executable, "-c", script, *general(site, tmp_path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
