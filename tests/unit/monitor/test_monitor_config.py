"""``--config``: many models in one process."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Optional

import pytest

from harness.support.ports import free_port
from monitor.__main__ import main
from monitor.options.config import read

from .fixtures import MODEL, TARBALL, FtpSite, Site, closing_all
from .processes import SOON_S, Start


@pytest.fixture
def tmp_path(in_memory: Path) -> Path:
    return in_memory


def test_many_models_run_in_one_process_and_a_broken_remote_delays_no_other(
    start: Start, site: Site, ftp_site: FtpSite, tmp_path: Path
) -> None:
    """Five models: one remote is silent, one is dead, and one never ends its transfer."""
    local = tmp_path / "local"
    local.mkdir()
    slow = Site(tmp_path / "slow")
    with closing_all(slow), socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        slow.publish(1, size=300_000)
        slow.stall_after = 100_000
        for place in (site, ftp_site):
            place.publish(1)
        config = tmp_path / "monitors.toml"
        config.write_text(
            f'remote_path = "/"\nremote_model_name = "{TARBALL}"\n'
            f'remote_donefile_name = "donefile"\nlocal_path = "{local}"\ninterval = 0.2\n'
            f'unpacked_filename = "{MODEL}"\ntimeout = 3600\n'
            '[[model]]\nlocal_model_name = "silent"\n'
            f'general_host = "http://127.0.0.1:{silent.getsockname()[1]}"\n'
            '[[model]]\nlocal_model_name = "dead"\n'
            f'general_host = "http://127.0.0.1:{free_port()}"\n'
            '[[model]]\nlocal_model_name = "slow"\n'
            f'general_host = "{slow.url}"\n'
            '[[model]]\nlocal_model_name = "one"\n'
            f'general_host = "{site.url}"\n'
            '[[model]]\nlocal_model_name = "two"\ntype = "ftp"\nftp_host = "127.0.0.1"\n'
            f'ftp_port = {ftp_site.port}\nftp_username = "{FtpSite.USER}"\n'
            f'ftp_password = "{FtpSite.PASSWORD}"\n'
        )
        monitor = start(f"--config={config}")
        monitor.saw("dead: cannot read")
        for number in range(1, 6):
            if number > 1:
                for place in (site, ftp_site):
                    place.publish(number)
            published = time.monotonic()
            for name in ("one", "two"):
                monitor.saw(f"{name}: update model timestamp", number)
                assert (local / name / "params.pdiparams").read_bytes()[:9] == b"%09d" % number
            # The time-out of the silent remote and of the slow one is an hour.
            assert time.monotonic() - published < 60
        assert {path.name for path in local.iterdir() if path.name[0] not in "._"} == {"one", "two"}
        silent.settimeout(20)
        silent.accept()[0].close()
        monitor.process.terminate()
        assert monitor.end(SOON_S) == 0
        assert not list(local.glob("_serving_monitor_tmp/*"))


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
        (
            '[[model]]\nlocal_model_name = "a\\u0000b"',
            "--local_model_name is wrong: there is a NUL",
        ),
        ('[[model]]\nftp_password = "a\\u0000b"', "--ftp_password is wrong: there is a NUL"),
    ],
    ids=range(10),
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


def a_config(tmp_path: Path, above: str, model: str) -> str:
    config = tmp_path / "monitors.toml"
    config.write_text(
        f'type = "ftp"\nftp_host = "h"\nremote_path = "/"\nlocal_path = "{tmp_path}"\n{above}\n'
        f'remote_model_name = "m"\nremote_donefile_name = "d"\n[[model]]\n{model}\n'
        'local_model_name = "m"\n'
    )
    return str(config)


@pytest.mark.parametrize(
    ("above", "model", "line", "password"),
    [
        ('ftp_password = "s3cret-above"', 'ftp_password_file = "FILE"', {}, "s3cret-in-a-file"),
        ('ftp_password_file = "FILE"', 'ftp_password = "s3cret-own"', {}, "s3cret-own"),
        ('ftp_password = "s3cret-above"', "", {}, "s3cret-above"),
        ('ftp_password = "s3cret-above"', "", {"ftp_password_file": "FILE"}, "s3cret-in-a-file"),
        ("", 'ftp_password = "s3cret-own"', {"ftp_password_file": "FILE"}, "s3cret-in-a-file"),
        ("", 'ftp_password_file = "FILE"', {"ftp_password": "s3cret-line"}, "s3cret-line"),
        ("", 'ftp_password_file = "FILE"', {"ftp_password": None}, "s3cret-in-a-file"),
    ],
    ids=range(7),
)
def test_the_most_specific_place_of_a_secret_counts_and_not_how_it_is_given(
    tmp_path: Path, above: str, model: str, line: dict[str, Optional[str]], password: str
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret-in-a-file\n")
    above, model = (text.replace("FILE", str(secret)) for text in (above, model))
    given = {key: value and value.replace("FILE", str(secret)) for key, value in line.items()}
    (options,) = read(a_config(tmp_path, above, model), given)
    assert options.ftp_password.reveal() == password


def test_a_model_that_has_headers_of_its_own_sends_none_of_those_above(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("X-Key: s3cret-of-another\n")
    above = f'http_header_file = "{secret}"'
    (options,) = read(a_config(tmp_path, above, 'http_header = ["X-Key: s3cret-own"]'), {})
    assert [header.reveal() for header in options.http_header] == ["X-Key: s3cret-own"]
