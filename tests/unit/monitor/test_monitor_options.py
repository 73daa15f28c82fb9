"""Options and secrets: what is read from where, and what is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor import _hook, _options, _secrets
from monitor._remotes.base import Stop
from monitor._remotes.hadoop import HadoopRemote
from monitor.errors import BadOption, MachineError, MonitorError

from .fixtures import MODEL, options_for


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0), ("500", 500), ("64K", 65536), ("2m", 2 << 20), ("1.5G", 3 << 29), ("1TB", 1 << 40)],
)
def test_bytes_may_have_a_unit(tmp_path: Path, text: str, value: int) -> None:
    assert options_for(tmp_path, general_host="http://h", rate_limit=text).rate_limit == value


@pytest.mark.parametrize("text", ["", "K", "-1", "inf", "nan", "5X", "ten"])
def test_other_bytes_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadOption, match="--rate_limit is wrong"):
        options_for(tmp_path, general_host="http://h", rate_limit=text)


@pytest.mark.parametrize(
    ("name", "unpacked", "packed", "top"),
    [
        ("m.tar.gz", "", True, "m"),
        ("m.tgz", "x", True, "x"),
        ("a/m.tar", "", True, "m"),
        ("m", "", False, "m"),
        ("m", "x", True, "x"),
    ],
)
def test_a_name_and_unpacked_filename_say_whether_a_release_is_packed(
    tmp_path: Path, name: str, unpacked: str, packed: bool, top: str
) -> None:
    options = options_for(
        tmp_path, general_host="http://h", remote_model_name=name, unpacked_filename=unpacked
    )
    assert (options.packed, options.top) == (packed, top)


def test_a_nested_model_name_is_taken_apart(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    options = options_for(tmp_path, general_host="http://h", local_model_name="sub/m")
    assert options.live == str(tmp_path / "sub" / "m")


@pytest.mark.parametrize("name", [".", "..", "/", "a/.."])
def test_a_model_name_has_to_name_a_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadOption):
        options_for(tmp_path, general_host="http://h", local_model_name=name, local_path="/")


def test_a_live_path_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m").write_text("x")
    with pytest.raises(BadOption, match="is no folder"):
        options_for(tmp_path, general_host="http://h", local_model_name="m")


def test_secrets_come_from_option_file_or_environment_in_this_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "secret"
    file.write_text("from-file\nsecond line\n")
    ftp = {"type": "ftp", "ftp_host": "h"}
    monkeypatch.setenv("SERVING_MONITOR_FTP_PASSWORD", "from-environment")
    assert options_for(tmp_path, **ftp).ftp_password.reveal() == "from-environment"
    given = options_for(tmp_path, **ftp, ftp_password_file=str(file))
    assert given.ftp_password.reveal() == "from-file"
    given = options_for(tmp_path, **ftp, ftp_password_file=str(file), ftp_password="given")
    assert given.ftp_password.reveal() == "given"


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe\n"])
def test_a_secret_s_file_has_to_hold_one(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)
    with pytest.raises(BadOption, match="--ftp_password_file"):
        options_for(tmp_path, type="ftp", ftp_host="h", ftp_password_file=str(file))


def test_a_secret_shows_stars_however_it_is_looked_at(tmp_path: Path) -> None:
    secret = _secrets.Secret("p4ss/w0rd%x")
    options = options_for(tmp_path, type="ftp", ftp_host="h", ftp_password="p4ss/w0rd%x")
    for text in (str(secret), repr(secret), f"{secret}", repr(options)):
        assert "p4ss" not in text
        assert "***" in text
    assert _secrets.mask("at p4ss/w0rd%x and p4ss%2Fw0rd%25x") == "at *** and ***"
    assert str(_secrets.Secret("")) == ""
    assert not _secrets.Secret("")
    assert hash(secret) == hash(_secrets.Secret("p4ss/w0rd%x"))


@pytest.mark.parametrize(
    ("value", "shown"), [("user,pa55-word", "user,***"), ("user", "user"), ("u,", "u,***")]
)
def test_of_an_ugi_only_the_user_is_shown(value: str, shown: str) -> None:
    secret = _secrets.ugi(value)
    assert str(secret) == shown
    assert secret.reveal() == value


def test_passwords_in_addresses_are_masked() -> None:
    text = "see ftp://me:secret@h/x and http://h:80/y and https://u:p@[::1]:5/"
    masked = _secrets.without_password(text)
    assert masked == "see ftp://***@h/x and http://h:80/y and https://***@[::1]:5/"


@pytest.mark.parametrize("command", ["", "  ", "'open"])
def test_a_command_that_cannot_be_read_is_one_sentence(command: str) -> None:
    with pytest.raises(BadOption, match="--check_command"):
        _hook.words(command, "--check_command")


def test_a_command_that_cannot_be_read_is_refused_at_the_start(tmp_path: Path) -> None:
    for name in ("check_command", "on_swap"):
        with pytest.raises(BadOption, match=f"--{name} cannot be read"):
            options_for(tmp_path, general_host="http://h", **{name: "'open"})


def test_an_error_is_one_sentence_with_operation_path_cause_and_hint() -> None:
    error: MonitorError = MachineError("write", "/a b", OSError(28, "x", "/a b"), "free some")
    assert str(error) == "cannot write /a b: No space left on device; free some"
    assert (error.operation, error.path, error.hint) == ("write", "/a b", "free some")
    assert str(MachineError("do", "it", ValueError())) == "cannot do it: ValueError"
    assert str(MachineError("do", "it", ValueError("two\nlines"))) == "cannot do it: two lines"


def test_the_options_of_a_mapping_are_checked_like_those_of_a_command_line(tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="there: --interval is wrong"):
        _options.from_mapping({"interval": -1}, "there")
    with pytest.raises(BadOption, match="a list of texts is expected"):
        options_for(tmp_path, general_host="http://h", http_header="X: 1")


@pytest.mark.parametrize(
    "text",
    [
        "http://pa55-token@host", "http://user:pa55@x@host", "http://:pa55@host/a",
        "http://user:pa55:more@host;http://b:pa55@host",
    ],
)  # fmt: skip
def test_what_stands_before_the_host_of_a_url_is_not_seen(text: str) -> None:
    shown = _secrets.mask(f"cannot read {text}/donefile")
    assert "pa55" not in shown
    assert "http://***@host/" in shown


def test_a_header_s_value_is_a_secret_wherever_it_turns_up(tmp_path: Path) -> None:
    options_for(
        tmp_path / "local",
        general_host="http://h",
        http_header=["X-Key: k3y-9fj2", "Authorization: Basic dXNlcjpwYTU1"],
    )
    shown = _secrets.mask("bad value 'k3y-9fj2', or dXNlcjpwYTU1")
    assert shown == "bad value '***', or ***"


def test_hadoop_s_secret_lies_in_the_monitor_s_own_folder(tmp_path: Path) -> None:
    options = options_for(
        tmp_path / "local", type="hdfs", hadoop_bin="/bin/true", fs_ugi="user,pa55word"
    )
    remote = HadoopRemote(options, Stop())
    path = Path(remote._ugi_file())
    assert path.parent == tmp_path / "local" / f".{MODEL}.monitor"
    assert path.name.startswith("ugi-")
    assert path.stat().st_mode & 0o777 == 0o600
    remote.close()
    assert not path.exists()
