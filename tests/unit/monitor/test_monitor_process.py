"""``python -m monitor`` as a process: what its users see, type and send."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Callable, Optional
from urllib.request import urlopen

import pytest

from harness.ports import free_port
from harness.waits import wait_for
from monitor.__main__ import main

from .fixtures import MODEL, TARBALL, FtpSite, Site, options_for

ROOT = Path(__file__).parents[3]
Start = Callable[..., "Running"]
Here = Callable[..., "tuple[int, str, str]"]


class Running:
    """A monitor's process and what it has written so far."""

    def __init__(self, words: list[str], log: Path, env: dict[str, str]) -> None:
        self.log = log
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "monitor", *words],
                stdout=subprocess.PIPE,
                stderr=out,
                cwd=ROOT,
                env={**os.environ, **env},
            )

    @property
    def text(self) -> str:
        return self.log.read_text()

    def saw(self, words: str, times: int = 1) -> None:
        wait_for(
            lambda: self.text.count(words) >= times,
            f"{words!r} in the monitor's log",
            20,
            last_seen=lambda: self.text[-2000:],
        )

    def end(self, deadline_s: float = 20) -> int:
        return self.process.wait(deadline_s)


@pytest.fixture
def tmp_path(in_memory: Path) -> Path:
    return in_memory


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Running] = []

    def run(*words: str, env: Optional[dict[str, str]] = None) -> Running:
        one = Running(list(words), tmp_path / f"monitor-{len(started)}.log", env or {})
        started.append(one)
        return one

    yield run
    for one in started:
        one.process.kill()
        one.process.communicate()


@pytest.fixture(scope="session")
def a_second() -> float:
    """One second, plus what this machine takes just now for a process that does nothing."""
    begun = time.monotonic()
    subprocess.run([sys.executable, "-c", ""], check=True)
    return 1.0 + time.monotonic() - begun


@pytest.fixture
def here(capsys: pytest.CaptureFixture[str]) -> Here:
    """Runs the command line in this process: exit code, standard output, standard error."""

    def run(*words: str) -> tuple[int, str, str]:
        code = main(list(words))
        out, err = capsys.readouterr()
        return code, out, err

    return run


def common(tmp_path: Path) -> list[str]:
    (tmp_path / "local").mkdir(exist_ok=True)
    return [
        "--remote_path=/", f"--remote_model_name={TARBALL}", "--remote_donefile_name=donefile",
        f"--local_path={tmp_path}/local", f"--local_model_name={MODEL}",
        f"--unpacked_filename={MODEL}",
    ]  # fmt: skip


def general(site: Site, tmp_path: Path) -> list[str]:
    return [f"--general_host={site.url}", *common(tmp_path)]


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
        source = (ROOT / "monitor" / match.group(2)).read_text().splitlines()
        assert "logger." in "".join(source[int(match.group(3)) - 4 : int(match.group(3))])


@pytest.mark.parametrize(
    ("signum", "where"),
    [
        (signal.SIGINT, "asleep"),
        (signal.SIGTERM, "asleep"),
        (signal.SIGTERM, "in a silent transfer"),
        (signal.SIGTERM, "in a check"),
    ],
)
def test_a_signal_ends_it_within_a_second_and_leaves_nothing(
    start: Start, site: Site, tmp_path: Path, a_second: float, *, signum: int, where: str
) -> None:
    extra = []
    site.publish(1, size=300_000)
    if where == "in a silent transfer":
        site.stall_after = 100_000
    if where == "in a check":
        extra = ["--check_command", "sh -c 'echo here >> $0.here; sleep 60'"]
    one = start(*general(site, tmp_path), *extra)
    local = tmp_path / "local"
    if where == "asleep":
        one.saw("sleep 10s.")
    elif where == "in a check":
        wait_for(lambda: list(local.glob(".*.here")), "the check to run", 20)
        for path in local.glob(".*.here"):
            path.unlink()
    else:
        tmp = local / "_serving_monitor_tmp"
        wait_for(lambda: list(tmp.glob("*.part")), "the transfer to begin", 20)
    begun = time.monotonic()
    one.process.send_signal(signum)
    assert one.end() == 0
    assert time.monotonic() - begun < a_second
    assert list((local / "_serving_monitor_tmp").iterdir()) == []
    assert {p.name for p in local.iterdir()} <= {
        f".{MODEL}.monitor", "_serving_monitor_tmp", MODEL,
    }  # fmt: skip
    assert "Traceback" not in one.text


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
        ("bad", 1, "it is not a tar archive"),
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


def test_rollback_brings_the_old_release_back_until_the_donefile_changes(
    start: Start, here: Here, site: Site, tmp_path: Path
) -> None:
    live = tmp_path / "local" / MODEL
    where = [f"--local_path={tmp_path}/local", f"--local_model_name={MODEL}"]

    def release() -> int:
        return int((live / "params.pdiparams").read_bytes()[:9])

    site.publish(1)
    one = start(*general(site, tmp_path), "--interval=0.1", "--keep=2")
    one.saw("update model timestamp")
    site.publish(2)
    one.saw("update model timestamp", 2)
    before = (live / "fluid_time_file").stat().st_mtime
    assert here("rollback", *where)[0] == 0
    assert release() == 1
    assert (live / "fluid_time_file").stat().st_mtime >= before + 1
    one.saw("held back by a rollback")
    code, out, _ = here("status", "--json", *where)
    assert code == 0
    facts = json.loads(out)
    assert facts["installed"] == "release 1"
    assert facts["held"] == "release 2"
    assert facts["kept"] == ["release 2 (rolled back)"]
    assert facts["monitor_running"] is True
    os.utime(site.root / "donefile", (1, 1))
    assert release() == 1
    site.publish(3)
    one.saw("update model timestamp", 3)
    assert release() == 3


def test_a_rollback_goes_to_the_release_that_is_named_and_status_says_it_in_words(
    here: Here, site: Site, tmp_path: Path
) -> None:
    where = [f"--local_path={tmp_path}/local", f"--local_model_name={MODEL}"]
    (tmp_path / "local").mkdir()
    code, out, _ = here("status", *where)
    assert code == 1
    assert "exists: no" in out
    for number in (1, 2, 3):
        site.publish(number)
        assert here(*general(site, tmp_path), "--once", "--keep=5")[0] == 0
    code, out, _ = here("rollback", "--to=1", *where)
    assert code == 0
    assert "is release 1 again, in place of release 3" in out
    code, out, _ = here("status", *where)
    assert code == 0
    assert "installed: release 1\n" in out
    assert "held: release 3\n" in out
    assert "kept: release 2, release 3 (rolled back)\n" in out
    code, _, err = here("rollback", "--to=9", *where)
    assert code == 2
    assert "release 9 is not kept" in err
    # Twice back: the hold is still on what is announced.
    assert here("rollback", *where)[0] == 0
    assert "held: release 3\n" in here("status", *where)[1]
    assert here(*general(site, tmp_path), "--once")[0] == 1


def test_a_rollback_that_fails_loses_nothing_and_holds_nothing(
    here: Here, site: Site, tmp_path: Path
) -> None:
    where = [f"--local_path={tmp_path}/local", f"--local_model_name={MODEL}"]
    for number in (1, 2):
        site.publish(number)
        assert here(*general(site, tmp_path), "--once", "--keep=5")[0] == 0
    before = here("status", "--json", *where)[1]
    (kept,) = (tmp_path / "local" / f".{MODEL}.monitor" / "kept").iterdir()
    (kept / "fluid_time_file").unlink()
    (kept / "fluid_time_file").mkdir()
    code, _, err = here("rollback", *where)
    assert code == 1
    assert "cannot roll back" in err
    assert here("status", "--json", *where)[1] == before
    (kept / "fluid_time_file").rmdir()
    assert here("rollback", *where)[0] == 0
    assert json.loads(here("status", "--json", *where)[1])["installed"] == "release 1"


@pytest.mark.parametrize("moment", ["before the swap", "after the swap"])
def test_a_rollback_that_is_killed_loses_nothing_that_was_kept(
    here: Here, site: Site, tmp_path: Path, moment: str
) -> None:
    where = [f"--local_path={tmp_path}/local", f"--local_model_name={MODEL}"]
    for number in (1, 2):
        site.publish(number)
        assert here(*general(site, tmp_path), "--once", "--keep=5")[0] == 0
    script = (
        "import os, signal, sys\nfrom monitor.__main__ import main\nmoment = sys.argv[1]\n"
        "def kill(event, args):\n"
        "    written = event == 'os.utime' and moment == 'before the swap'\n"
        "    put_away = event == 'os.rename' and moment == 'after the swap' and (\n"
        "        args[1].endswith('.rolledback'))\n"
        "    if written or put_away: os.kill(os.getpid(), signal.SIGKILL)\n"
        "sys.addaudithook(kill)\nmain(sys.argv[2:])\n"
    )
    words = [sys.executable, "-c", script, moment, "rollback", *where]
    assert subprocess.run(words, cwd=ROOT, check=False).returncode == -signal.SIGKILL
    # A monitor that starts clears what is left; it is held back from the announced release.
    assert here(*general(site, tmp_path), "--once", "--keep=5")[0] in (0, 1)
    facts = json.loads(here("status", "--json", *where)[1])
    kept, live = ("release 1", "release 2")
    if moment == "after the swap":
        kept, live = ("release 2 (rolled back)", "release 1")
    assert (facts["installed"], facts["kept"]) == (live, [kept])
    assert not list((tmp_path / "local").glob(".*.staging-*"))


def test_a_rollback_with_nothing_kept_is_one_sentence(
    here: Here, site: Site, tmp_path: Path
) -> None:
    site.publish(1)
    here(*general(site, tmp_path), "--once")
    code, _, err = here("rollback", f"--local_path={tmp_path}/local", f"--local_model_name={MODEL}")
    assert code == 2
    assert err.strip().endswith("run the monitor with --keep N")


def test_a_password_is_seen_nowhere(
    here: Here, ftp_site: FtpSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"{FtpSite.PASSWORD}\n")
    ftp_site.publish(1)
    ftp = [
        "--type=ftp", "--ftp_host=127.0.0.1", f"--ftp_port={ftp_site.port}",
        f"--ftp_username={FtpSite.USER}", *common(tmp_path), "--once", "--debug",
    ]  # fmt: skip
    for words in ([f"--ftp_password={FtpSite.PASSWORD}"], [f"--ftp_password_file={secret}"], []):
        if not words:
            monkeypatch.setenv("SERVING_MONITOR_FTP_PASSWORD", FtpSite.PASSWORD)
        code, _, err = here(*ftp, *words)
        assert code == 0, err
        assert "_ftp_password: ***" in err
        assert FtpSite.PASSWORD not in err
    for words in (["--ftp_password=wrong-pa55word"], ["--ftp_port=1", "--ftp_password=x7-q9"]):
        code, _, err = here(*ftp, *words)
        assert code == 2
        assert words[-1].partition("=")[2] not in err


@pytest.mark.parametrize(
    "words",
    [
        ["--ftp_passwort=s3cret-w0rd"],
        ["--ftp_passwort", "s3cret-w0rd"],
        ["-ps3cret-w0rd"],
        ["--http=s3cret-w0rd"],
        ["--debug=s3cret-w0rd"],
        ["status", "--local_pat=s3cret-w0rd", "--local_model_name"],
    ],
    ids=" ".join,
)
def test_a_secret_behind_a_misspelt_option_is_not_said(
    here: Here, tmp_path: Path, words: list[str]
) -> None:
    lead = words if words[0] == "status" else [*common(tmp_path), *words]
    code, _, err = here(*lead)
    assert code == 2
    assert "s3cret-w0rd" not in err
    assert len(err.splitlines()) == 1
    if words[0].startswith("--ftp"):
        assert "--ftp_passwort" in err


def test_what_nobody_foresaw_ends_once_with_one_masked_sentence(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from monitor import _log
    from monitor._run import Process

    def broken() -> float:
        raise RuntimeError("http://user:s3cret-w0rd@host\nis odd")

    site.publish(1)
    _log.set_up(debug=False, as_json=False)
    process = Process([options_for(tmp_path / "local", general_host=site.url, once=True)])
    process.watches[0]._clock = broken
    assert process.run() == 1
    err = capsys.readouterr().err
    said = [line for line in err.splitlines() if " INFO " not in line]
    assert len(said) == 1, err
    assert "RuntimeError" in said[0]
    assert "s3cret-w0rd" not in err


def test_many_models_run_in_one_process_and_a_broken_remote_delays_no_other(
    start: Start, site: Site, tmp_path: Path, a_second: float
) -> None:
    site.publish(1)
    (tmp_path / "local").mkdir()
    config = tmp_path / "monitors.toml"
    config.write_text(
        f'general_host = "{site.url}"\nremote_path = "/"\nremote_model_name = "{TARBALL}"\n'
        f'remote_donefile_name = "donefile"\nlocal_path = "{tmp_path}/local"\ninterval = 0.2\n'
        f'unpacked_filename = "{MODEL}"\n'
        '[[model]]\nlocal_model_name = "dead"\n'
        f'general_host = "http://127.0.0.1:{free_port()}"\n'
        '[[model]]\nlocal_model_name = "one"\n[[model]]\nlocal_model_name = "two"\n'
    )
    monitor = start(f"--config={config}")
    monitor.saw("update model timestamp", 2)
    monitor.saw("dead: cannot read")
    site.publish(2)
    monitor.saw("update model timestamp", 4)
    for name in ("one", "two"):
        assert (tmp_path / "local" / name / "params.pdiparams").read_bytes()[:9] == b"%09d" % 2
    begun = time.monotonic()
    monitor.process.terminate()
    assert monitor.end() == 0
    assert time.monotonic() - begun < a_second


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "names no model"),
        ("model = 3", "names no model"),
        ("[[model]]\nno_such = 1", "model 1: there is no option no_such"),
        ("[[model]]\ninterval = 'x'", "model 1: --interval is wrong"),
        ("[[model]]\nlocal_path = 5", "model 1: --local_path is wrong"),
        ("[[model]]\ntype = 'gopher'", "choose one of"),
        ("[[model]]\ndebug = 'yes'", "--debug is wrong"),
        ("[[model", "is not TOML"),
    ],
    ids=range(8),
)
def test_a_wrong_config_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, sentence: str
) -> None:
    config = tmp_path / "monitors.toml"
    config.write_text(text)
    assert main([f"--config={config}"]) == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert sentence in err


def test_the_same_directory_twice_in_a_config_is_refused(
    tmp_path: Path, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "monitors.toml"
    table = '[[model]]\nremote_path = "/"\nremote_model_name = "m"\nlocal_model_name = "m"\n'
    table += 'remote_donefile_name = "d"\n'
    head = f'general_host = "{site.url}"\nlocal_path = "{tmp_path}"\n'
    config.write_text(head + 2 * table)
    assert main([f"--config={config}"]) == 2
    assert "is watched twice" in capsys.readouterr().err


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
