"""Secrets in logs and command lines become stars, and JSON stays JSON."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from harness.report.masking import (
    keep_secrets,
    masked_line,
    remember_environment,
    remember_secrets,
)

SECRET = "s3cr3t/+pw"


@pytest.mark.parametrize(
    "line",
    [
        "get ftp://demo:{}@127.0.0.1:21/x",
        "_ftp_password: {}",
        "FTP_PASSWORD={} python -m monitor",
        "python -m monitor --ftp_password {} --interval 1",
        "python -m monitor --ftp_password={} --interval 1",
        "argv: ['--ftp_password', '{}', '--interval', '1']",
        "Authorization: Basic {}",
        "authorization: Bearer {}",
        "Authorization: Negotiate {}",
        "GET /webhdfs/v1/x?op=OPEN&delegation={}&offset=0 HTTP/1.1",
        "FTP_PASS={} make e2e",
        "GET /x?user=a&access_token={}&b=c HTTP/1.1",
        'config: "api_key": "{}", "a": 1',
    ],
)
def test_a_secret_becomes_stars_and_the_rest_stays(line: str) -> None:
    found = masked_line(line.format(SECRET))
    stars = "***@" if "://" in line else "***"
    before, _, after = (
        line.replace("demo:", "").replace("{{", "{").replace("}}", "}").partition("{}")
    )
    assert found == before + stars + after.removeprefix("@")


@pytest.mark.parametrize(
    "line",
    [
        "2026-01-01 10:12 INFO     [watch.py:190] pull remote model(uci_housing.tar.gz).",
        "sleep 1s.",
        "the password is wrong",
        "TOKENIZERS_PARALLELISM=false",
        "python -m producer --passes 4",
        "monitor --require_token --interval 1",
        "http://127.0.0.1:8080/x.tar.gz is there",
        '{"event":"prediction","value":[14.0],"n":3}\n',
    ],
)
def test_a_line_without_a_secret_stays(line: str) -> None:
    assert masked_line(line) == line


def test_json_stays_json_and_only_strings_change() -> None:
    value = {
        "command": ["--ftp_password", SECRET, "--interval", "1"],
        "password": f"{SECRET} with 'quotes' and spaces",
        "tokens": 5,
        "t": 0.1,
        "line": f"password={SECRET}",
        "deep": [{"secret": SECRET}],
    }
    for line in (json.dumps(value), json.dumps(value, separators=(",", ":")) + "\n"):
        found = masked_line(line)
        assert found.endswith("\n") == line.endswith("\n")
        assert json.loads(found) == {
            "command": ["--ftp_password", "***", "--interval", "1"],
            "password": "***",
            "tokens": 5,
            "t": 0.1,
            "line": "password=***",
            "deep": [{"secret": "***"}],
        }


def test_a_secret_of_the_environment_is_masked_wherever_it_stands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MY_FTP_PASSWORD", "only-in-the-environment")
    remember_environment()
    assert masked_line("sent only-in-the-environment to the server") == "sent *** to the server"


def test_the_secrets_of_a_run_are_masked_in_every_form(tmp_path: Path) -> None:
    words = "--ftp_password 'from the command' --token=t0ken-value ftp://me:in%20an%20address@h/x"
    keep_secrets(tmp_path, ["of several words"])
    keep_secrets(tmp_path, ["90210437"], f"python -m mine {words} --password_file --interval 1")
    remember_secrets(tmp_path)
    assert (
        masked_line("login with of several words, then 90210437\n") == "login with ***, then ***\n"
    )
    for value in ("from the command", "t0ken-value", "in an address", "in%20an%20address"):
        assert masked_line(f"sent {value} to the server") == "sent *** to the server"
    assert masked_line("--interval is 1") == "--interval is 1"
    line = json.dumps(
        {"pin": 90210437, "t": 90210437.5, "n": [90210437], "deep": {"a": "90210437"}}
    )
    assert json.loads(masked_line(line)) == {
        "pin": "***",
        "t": 90210437.5,
        "n": ["***"],
        "deep": {"a": "***"},
    }


def test_only_the_owner_may_read_the_secrets_of_a_run(tmp_path: Path) -> None:
    keep_secrets(tmp_path, ["of several words"])
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
