"""Secrets: where they may come from, and that they are seen nowhere."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, assume, given, settings, strategies

from harness.support.waits import wait_for
from monitor import mask, remotes
from monitor.errors import BadOption, RemoteError
from monitor.options import argv
from monitor.options.fields import SECRETS, option_fields
from monitor.options.secrets import Secret, address, environment_without_secrets, ugi
from monitor.remotes.hadoop import HadoopRemote
from monitor.stop import Stop

from .fixtures import MODEL, FtpSite, Site, options_for
from .processes import Here, Start, common, ftp, hadoop_or_skip


@pytest.fixture
def tmp_path(in_memory: Path) -> Path:
    return in_memory


def test_a_password_is_seen_nowhere(
    here: Here, ftp_site: FtpSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"{FtpSite.PASSWORD}\n")
    ftp_site.publish(1)
    words_of_all = [*ftp(ftp_site, tmp_path), "--once", "--debug"]
    for words in ([f"--ftp_password={FtpSite.PASSWORD}"], [f"--ftp_password_file={secret}"], []):
        if not words:
            monkeypatch.setenv("SERVING_MONITOR_FTP_PASSWORD", FtpSite.PASSWORD)
        code, _, err = here(*words_of_all, *words)
        assert code == 0, err
        assert "_ftp_password: ***" in err
        assert FtpSite.PASSWORD not in err
    for words in (["--ftp_password=wrong-pa55word"], ["--ftp_port=1", "--ftp_password=x7-q9"]):
        code, _, err = here(*words_of_all, *words)
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


# For each option that may hold a secret: a value, its secret part, and the options that it needs.
KINDS = {
    "ftp_password": ("pa55-of-ftp", "pa55-of-ftp", {"type": "ftp", "ftp_host": "h"}),
    "fs_ugi": ("me,pa55-of-ugi", "pa55-of-ugi", {"type": "hdfs", "hadoop_bin": "/bin/true"}),
    "http_token": ("pa55-of-token", "pa55-of-token", {"general_host": "http://h"}),
    "http_header": ("X-Key: pa55-of-key", "pa55-of-key", {"general_host": "http://h"}),
    "http_query": ("sv=1&sig=pa55-of-query", "pa55-of-query", {"general_host": "http://h"}),
    "donefile_query": ("sig=pa55-of-donefile", "pa55-of-donefile", {"general_host": "http://h"}),
    "model_query": ("?sig=pa55-of-model", "pa55-of-model", {"general_host": "http://h"}),
    "proxy": ("http://me:pa55-of-proxy@h", "pa55-of-proxy", {"general_host": "http://h"}),
    "webhook": ("http://h/a/pa55-of-webhook", "pa55-of-webhook", {"general_host": "http://h"}),
    "general_host": ("http://me:pa55-of-host@h", "pa55-of-host", {}),
    "webhdfs_url": ("http://me:pa55-of-hdfs@h", "pa55-of-hdfs", {"type": "webhdfs"}),
    "remote_url": ("s3://me:pa55-of-url@h/x", "pa55-of-url", {"type": "fsspec"}),
}


def test_every_option_that_may_hold_a_secret_has_a_file_too() -> None:
    fields = {field.name: field for field in option_fields()}
    assert set(KINDS) == set(SECRETS)
    assert {name for name in fields if "Secret" in str(fields[name].type)} == set(KINDS)
    assert {f"{name}_file" for name in KINDS} <= set(fields)


@pytest.mark.parametrize("name", KINDS)
def test_a_secret_comes_from_option_file_or_environment_in_this_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    value, _, needs = KINDS[name]

    def read(**more: object) -> str:
        found = getattr(options_for(tmp_path, **needs, **more), name)
        return "|".join(one.reveal() for one in (found if isinstance(found, tuple) else [found]))

    def called(place: str) -> str:
        return value.replace("pa55", place)

    several = name == "http_header"
    file = tmp_path / "secret"
    file.write_text(called("file") + ("" if several else "\nsecond line\n"))
    monkeypatch.setenv(f"SERVING_MONITOR_{name.upper()}", called("environment"))
    assert read() == called("environment").lstrip("?")
    from_file = read(**{f"{name}_file": str(file)})
    given = read(**{f"{name}_file": str(file), name: [value] if several else value})
    if several:
        assert from_file == f"{called('file')}|{called('environment')}"
        assert given == f"{value}|{from_file}"
    else:
        plain = value[1:] if value.startswith("?") else value
        assert (from_file, given) == (plain.replace("pa55", "file"), plain)


@pytest.mark.parametrize("name", KINDS)
def test_a_secret_of_every_kind_is_in_no_text_and_in_no_environment_of_a_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    value, secret, needs = KINDS[name]
    monkeypatch.setenv(f"SERVING_MONITOR_{name.upper()}", value)
    options = options_for(tmp_path, **needs)
    error = RemoteError("read", f"{value}/donefile", f"odd answer to {secret!r}", "look there")
    for text in (repr(options), str(getattr(options, name)), str(error), repr(error)):
        assert secret not in text, text
    assert not [held for held in environment_without_secrets().values() if secret in held]


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe\n"])
def test_a_secret_s_file_has_to_hold_one(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)
    with pytest.raises(BadOption, match="--ftp_password_file"):
        options_for(tmp_path, type="ftp", ftp_host="h", ftp_password_file=str(file))


def test_a_secret_shows_stars_however_it_is_looked_at(tmp_path: Path) -> None:
    secret = Secret("p4ss/w0rd%x")
    options = options_for(tmp_path, type="ftp", ftp_host="h", ftp_password="p4ss/w0rd%x")
    for text in (str(secret), repr(secret), f"{secret}", repr(options)):
        assert "p4ss" not in text
        assert "***" in text
    assert mask.mask("at p4ss/w0rd%x and p4ss%2Fw0rd%25x") == "at *** and ***"
    assert str(Secret("")) == ""
    assert not Secret("")
    assert hash(secret) == hash(Secret("p4ss/w0rd%x"))


@pytest.mark.parametrize(
    ("value", "shown"), [("user,pa55-word", "user,***"), ("user", "user"), ("u,", "u,***")]
)
def test_of_an_ugi_only_the_user_is_shown(value: str, shown: str) -> None:
    secret = ugi(value)
    assert str(secret) == shown
    assert secret.reveal() == value


def test_passwords_in_addresses_are_masked() -> None:
    text = "see ftp://me:secret@h/x and http://h:80/y and https://u:p@[::1]:5/"
    masked = mask.without_password(text)
    assert masked == "see ftp://***@h/x and http://h:80/y and https://***@[::1]:5/"


@pytest.mark.parametrize(
    "text",
    [
        "http://pa55-token@host", "http://user:pa55@x@host", "http://:pa55@host/a",
        "http://user:pa55:more@host;http://b:pa55@host",
    ],
)  # fmt: skip
def test_what_stands_before_the_host_of_a_url_is_not_seen(text: str) -> None:
    shown = mask.mask(f"cannot read {text}/donefile")
    assert "pa55" not in shown
    assert "http://***@host/" in shown


def test_a_header_s_value_is_a_secret_wherever_it_turns_up(tmp_path: Path) -> None:
    options_for(
        tmp_path / "local",
        general_host="http://h",
        http_header=["X-Key: k3y-9fj2", "Authorization: Basic dXNlcjpwYTU1"],
    )
    shown = mask.mask("bad value 'k3y-9fj2', or dXNlcjpwYTU1")
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


# --- addresses -------------------------------------------------------------------------------

# What a person may paste there: letters and all that has a meaning in an address.
PASSWORDS = strategies.text(
    strategies.sampled_from("abzAZ09/@:?#%;&=+.-_~!$'\"\\()[]{}<>,é "), min_size=4, max_size=24
)


def _seen(password: str, text: str) -> bool:
    """Whether more of a password than a few letters by chance stands in ``text``."""
    return password in text or any(
        part in text for part in password.replace("@", "/").split("/") if len(part) > 5
    )


@pytest.fixture
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a property test makes secret must not turn another test's words into stars."""
    monkeypatch.setattr(mask, "_known", set())


@pytest.mark.usefixtures("nothing_known")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(PASSWORDS, strategies.sampled_from(["http", "https", "ftp", "s3", "webhdfs"]))
def test_a_password_in_an_address_is_not_seen_whatever_it_is_made_of(
    password: str, scheme: str
) -> None:
    mask._known.clear()
    assume(set(password) - set("*. ") and password.strip() == password)
    url = f"{scheme}://user:{password}@host.example:8020/models"
    try:
        shown = str(address(url))
        assert "host.example:8020/models" in shown
    except ValueError as error:
        # No client would understand it; the sentence must not quote it either.
        shown = str(error)
    assert not _seen(password, shown)
    quoted = (
        f"cannot read {url}/donefile: refused", repr(url), json.dumps({"url": url}),
        str(RemoteError("read", url, OSError(f"no {url}"), "look")), f"password {password} is odd",
        f"at {quote(password, safe='')}",
    )  # fmt: skip
    for text in quoted:
        assert not _seen(password, mask.mask(text)), text


@pytest.mark.parametrize(
    "text",
    [
        "http://user:pa55/w0rd@host/x", "http://user:pa55@w0rd@host/x", "ftp://:pa55:w0rd@host/x",
        "http://user:pa55?w0rd#x@host/x", "http://pa55w0rd@host/x;http://u:pa55w0rd@host/x",
    ],
)  # fmt: skip
def test_an_address_that_nobody_said_to_be_secret_shows_nothing_before_its_host(text: str) -> None:
    shown = mask.mask(f"proxy {text}: refused")
    assert "pa55" not in shown
    assert "w0rd" not in shown
    assert "***@host/x" in shown


@pytest.mark.parametrize("option", ["general_host", "webhdfs_url", "remote_url", "proxy"])
def test_an_address_with_a_slash_in_its_password_is_refused_and_not_quoted(
    here: Here, tmp_path: Path, option: str
) -> None:
    words = [*common(tmp_path), "--general_host=http://h", f"--{option}=http://me:pa55/w0rd@host"]
    code, _, err = here(*words)
    assert code == 2
    assert f"--{option} is wrong" in err
    assert "%2F" in err
    assert "pa55" not in err
    assert "w0rd" not in err


def test_a_password_of_the_usual_proxy_variables_is_masked(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://me:pr0xy-pa55@127.0.0.1:1")
    words = [*common(tmp_path), "--general_host=http://far.invalid", "--once", "--debug"]
    code, _, err = here(*words)
    assert code == 2
    assert "pr0xy-pa55" not in err
    assert mask.mask("it said pr0xy-pa55") == "it said ***"


def test_a_proxy_of_a_file_is_asked_with_its_password(site: Site, tmp_path: Path) -> None:
    site.put("http:/far.away.invalid/donefile", b"through the proxy")
    file = tmp_path / "proxy"
    file.write_text(site.url.replace("//", "//me:pr0xy%2Fpa55@"))
    made = options_for(
        tmp_path / "local", general_host="http://far.away.invalid", proxy_file=str(file)
    )
    with remotes.create(made, Stop()) as remote:
        remote.look("donefile")
    path, headers = site.seen[-1]
    assert path == "http://far.away.invalid/donefile"
    sent = base64.b64decode(headers["Proxy-Authorization"].partition(" ")[2])
    assert sent == b"me:pr0xy/pa55"


# --- process lists ---------------------------------------------------------------------------


def command_lines(pid: int) -> list[str]:
    """The command lines of a process and all below it, as ``ps`` shows them."""
    found = []
    todo = [pid]
    while todo:
        one = Path("/proc") / str(todo.pop())
        try:
            found.append((one / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            for task in (one / "task").iterdir():
                todo += map(int, (task / "children").read_text().split())
        except OSError:
            # It ended while it was looked at.
            continue
    return found


@pytest.mark.parametrize(
    ("secrets", "words"),
    [
        ((b"pa55word", b"x9"), b"m --ftp_pa=pa55word --fs_ugi x9 --interval=x9a "),
        ((b"pa55", b"pa55word"), b"m --a=pa55word --b=pa55 "),
        ((b"",), b"m --a= "),
    ],
)
def test_stars_take_the_place_of_secrets_and_of_nothing_else(
    secrets: tuple[bytes, ...], words: bytes
) -> None:
    hidden = argv.starred(words.replace(b" ", b"\0"), secrets)
    assert len(hidden) == len(words)
    found = hidden.replace(b"\0", b" ")
    expected = words
    for secret in (b"pa55word", b"pa55"):
        expected = expected.replace(secret, b"*" * len(secret))
    assert found == expected.replace(b" x9 ", b" ** ")


def test_a_secret_of_the_command_line_is_gone_from_the_process_list(
    start: Start, ftp_site: FtpSite, tmp_path: Path
) -> None:
    ftp_site.publish(1)
    one = start(
        *ftp(ftp_site, tmp_path), f"--ftp_password={FtpSite.PASSWORD}", "--http_token", "t0k"
    )
    one.saw("update model timestamp")
    (seen,) = command_lines(one.process.pid)
    assert FtpSite.PASSWORD not in seen
    assert f"--ftp_password={'*' * len(FtpSite.PASSWORD)} --http_token ***" in seen
    assert f"--ftp_username={FtpSite.USER}" in seen


def test_a_program_of_the_operator_gets_no_secret_of_the_monitor(
    start: Start, ftp_site: FtpSite, tmp_path: Path
) -> None:
    ftp_site.publish(1)
    check = ["--check_command", f"sh -c 'env > {tmp_path}/env; ps -ef >> {tmp_path}/env || :'"]
    variable = {"SERVING_MONITOR_FTP_PASSWORD": FtpSite.PASSWORD}
    one = start(*ftp(ftp_site, tmp_path), *check, env=variable)
    one.saw("update model timestamp")
    text = (tmp_path / "env").read_text()
    assert "SERVING_MONITOR_TARBALL=" in text
    assert FtpSite.PASSWORD not in text


def test_hadoop_is_told_a_password_in_a_file_and_not_in_a_process_list(
    start: Start, tmp_path: Path
) -> None:
    """The real ``hadoop fs`` on a local file system, which needs no cluster."""
    hadoop_bin = hadoop_or_skip()
    remote = tmp_path / "remote"
    remote.mkdir()
    # A pipe, so that the JVM is there for as long as it is looked at.
    os.mkfifo(remote / "donefile")
    secret = tmp_path / "ugi"
    secret.write_text("demo,pa55-of-ugi\n")
    one = start(
        *common(tmp_path)[1:], "--type=hdfs", f"--hadoop_bin={hadoop_bin}", "--fs_name=file:///",
        f"--remote_path={remote}", f"--fs_ugi_file={secret}", "--debug",
    )  # fmt: skip
    seen: list[str] = []

    def there() -> bool:
        seen[:] = command_lines(one.process.pid)
        return any("FsShell" in line and str(remote / "donefile") in line for line in seen)

    wait_for(there, "hadoop fs in the process list", 30, last_seen=lambda: one.text[-2000:])
    assert any(" -conf " in line and "ugi-" in line for line in seen), seen
    assert "pa55-of-ugi" not in "".join(seen)
    (conf,) = (tmp_path / "local" / f".{MODEL}.monitor").glob("ugi-*.xml")
    assert "pa55-of-ugi" in conf.read_text()
    assert conf.stat().st_mode & 0o777 == 0o600
    one.process.terminate()
    assert one.end() == 0
    assert not conf.exists()
    assert "_fs_ugi: demo,***" in one.text
    assert "pa55-of-ugi" not in one.text
