"""Signed addresses: the query goes with each request to its host, and is seen nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from harness.support.waits import wait_for
from monitor import mask
from monitor.decisions.machine import Event
from monitor.errors import RemoteError
from monitor.options import secrets

from .answers import Answer, Answers
from .fixtures import MODEL, TARBALL, FtpSite, Site, closing_all, model_files
from .kinds import make
from .processes import Here, Start, common, ftp, general
from .stepping import MakeWatch, live, poll, release_in

SAS = "sv=2022-11-02&sp=rl&se=2027-01-01T00%3A00%3A00Z&sig=Abc%2Fd3f%2Bg9%3D"
SIGNATURE = "Abc%2Fd3f%2Bg9%3D"
DECODED = "Abc/d3f+g9="


@pytest.fixture
def tmp_path(in_memory: Path) -> Path:
    return in_memory


@pytest.fixture
def origin() -> Iterator[Answers]:
    server = Answers()
    with closing_all(server):
        yield server


@pytest.fixture
def elsewhere() -> Iterator[Answers]:
    server = Answers()
    with closing_all(server):
        server.otherwise = Answer(200, b"far")
        yield server


def test_one_query_is_sent_for_all_names_and_is_seen_nowhere(
    here: Here, site: Site, tmp_path: Path
) -> None:
    site.queries = {"donefile": SAS, TARBALL: SAS}
    file = tmp_path / "sas"
    file.write_text(f"?{SAS}\n")
    words = [*general(site, tmp_path), "--once", "--debug"]
    for number, more in enumerate(([f"--http_query={SAS}"], [f"--http_query_file={file}"]), 1):
        site.publish(number, donefile=b"%d" % number)
        code, out, err = here(*words, *more)
        assert code == 0, err
        assert release_in(live(tmp_path)) == number
        shown = out + err + everything_below(tmp_path / "local")
        assert SAS not in shown
        assert SIGNATURE not in shown
        assert DECODED not in shown
    # What is no secret stays legible.
    assert mask.mask("at 2022-11-02") == "at 2022-11-02"
    code, out, err = here(*words, "--http_query=sig=wr0ng-one")
    assert code == 2
    assert "403" in err
    assert "--http_query_file" in err
    assert "wr0ng-one" not in err


def everything_below(folder: Path) -> str:
    return "".join(p.read_text("latin-1") + p.name for p in folder.rglob("*") if p.is_file())


def test_a_signature_for_one_name_goes_with_that_name(site: Site, tmp_path: Path) -> None:
    site.publish(1)
    site.queries = {"donefile": "sig=for-d0nefile", TARBALL: "sig=for-t4rball", "other": SAS}
    site.put("other", b"x")
    signed = {"donefile_query": "sig=for-d0nefile", "model_query": "sig=for-t4rball"}
    with make(tmp_path / "local", general_host=site.url, http_query=SAS, **signed) as remote:
        assert remote.look("donefile") is not None
        assert b"".join(remote.open(TARBALL).chunks)
        assert remote.peek(TARBALL)["size"]
        assert remote.look("other") is not None
    assert len(site.seen) == 4


def test_a_folder_s_pages_and_files_are_asked_for_with_the_query(
    site: Site, tmp_path: Path
) -> None:
    for name, content in model_files(1).items():
        site.put(f"{MODEL}/{name}", content)
        site.queries[name] = SAS
    site.queries[MODEL] = SAS
    with make(tmp_path / "local", general_host=site.url, http_query=SAS) as remote:
        entries = remote.tree(MODEL, 100)
        assert len(entries) == 4
        for entry in entries:
            assert b"".join(remote.open(f"{MODEL}/{entry.path}").chunks)


def test_a_query_s_file_is_read_again_before_each_poll(
    watch: MakeWatch, site: Site, tmp_path: Path, lines: list[str]
) -> None:
    file = tmp_path / "sas"
    file.write_text("sig=of-m0nday\n")
    site.queries = {"donefile": "sig=of-m0nday", TARBALL: "sig=of-m0nday"}
    site.publish(1)
    one = watch(http_query_file=str(file))
    assert poll(one) is Event.SWAPPED
    site.queries = {"donefile": "sig=of-tu3sday", TARBALL: "sig=of-tu3sday"}
    site.publish(2)
    assert poll(one) is Event.REMOTE_FAILED
    for content in ("", "no query\n"):
        file.write_text(content)
        # The last query stays in use, and the remote refuses this query.
        assert poll(one) is Event.REMOTE_FAILED
        assert "--http_query_file" in next(line for line in lines if "last secret" in line)
    file.unlink()
    assert poll(one) is Event.REMOTE_FAILED
    file.write_text("?sig=of-tu3sday\n")
    assert poll(one) is Event.SWAPPED
    assert release_in(live(tmp_path)) == 2
    assert not [line for line in lines if "m0nday" in line or "tu3sday" in line]


def test_the_option_counts_and_its_file_is_not_read(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "sas"
    file.write_text("sig=of-the-file\n")
    given = {"http_query": SAS, "http_query_file": str(file)}
    site.publish(1)
    site.queries = {"donefile": SAS}
    with make(tmp_path / "local", general_host=site.url, **given) as remote:
        assert remote.look("donefile") is not None


def test_it_stays_with_its_host_over_redirects(
    origin: Answers, elsewhere: Answers, tmp_path: Path
) -> None:
    with make(tmp_path / "local", general_host=origin.url, http_query=SAS) as remote:
        # The same host gets it again, unless it gave a query of its own.
        origin.by_path["/donefile"] = Answer(302, b"", {"Location": "/near"})
        origin.by_path["/near"] = Answer(302, b"", {"Location": "/here?own=1"})
        origin.by_path["/here"] = Answer(200, b"x")
        assert remote.look("donefile") is not None
        assert [path for path, _ in origin.seen] == [
            f"/donefile?{SAS}",
            f"/near?{SAS}",
            "/here?own=1",
        ]
        # If the server copies the query into the new address, another host gets only the rest.
        for copied in (SAS, f"a=1&{SAS}&b=2", SAS.replace("%2F", "/")):
            origin.by_path["/donefile"] = Answer(
                302, b"", {"Location": f"{elsewhere.url}/x?{copied}"}
            )
            assert remote.look("donefile") is not None
        assert [path for path, _ in elsewhere.seen] == ["/x", "/x?a=1&b=2", "/x"]
        # A redirect from there gets no secret query, not even a redirect back to the first host.
        elsewhere.by_path["/x"] = Answer(302, b"", {"Location": "/y"})
        assert remote.look("donefile") is not None
        assert elsewhere.seen[-1][0] == "/y"
        origin.by_path["/donefile"] = Answer(302, b"", {"Location": f"{elsewhere.url}/back"})
        elsewhere.by_path["/back"] = Answer(302, b"", {"Location": f"{origin.url}/near?z"})
        assert remote.look("donefile") is not None
        assert origin.seen[-2][0] == "/near?z"
        # The monitor does not follow an address that has the secret in any other part.
        nested = quote(quote(f"/donefile?{SAS}", safe=""), safe="")
        places = f"/{SIGNATURE}/x", f"/x?all={SIGNATURE}", f"/x#{DECODED}", f"/in?next={nested}"
        for place in places:
            before = len(elsewhere.seen)
            origin.by_path["/donefile"] = Answer(302, b"", {"Location": f"{elsewhere.url}{place}"})
            with pytest.raises(RemoteError, match="another host") as caught:
                remote.look("donefile")
            assert len(elsewhere.seen) == before
            assert SIGNATURE not in str(caught.value)
    shown = "".join(path + str(headers) for path, headers in elsewhere.seen)
    assert SIGNATURE not in shown
    assert DECODED not in shown


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--http_query=https://h/c?sig=s3cr3t-sig"], "the part after the"),
        (["--http_query=sig=s3cr3t sig"], "as %XX"),
        (["--donefile_query=?"], "query of an address"),
        (
            ["--model_query=sig=s3cr3t-sig", "--remote_model_name=m", "--unpacked_filename="],
            "folder",
        ),
        (["--general_host=http://127.0.0.1:1/c?sig=s3cr3t-sig"], "as --http_query"),
    ],
)  # fmt: skip
def test_what_is_no_query_is_said_in_one_sentence(
    here: Here, site: Site, tmp_path: Path, words: list[str], why: str
) -> None:
    code, _, err = here(*general(site, tmp_path), *words)
    assert code == 2
    assert why in err
    assert "s3cr3t" not in err
    assert len(err.splitlines()) == 1


def test_only_http_takes_a_query(here: Here, ftp_site: FtpSite, tmp_path: Path) -> None:
    hosts = [f"--general_host={scheme}://127.0.0.1" for scheme in ("ftp", "ftps", "ftps-implicit")]
    for words in (ftp(ftp_site, tmp_path), *([*common(tmp_path), host] for host in hosts)):
        code, _, err = here(*words, f"--http_query={SAS}", "--once")
        assert code == 2
        assert "over http and https" in err, words


def test_help_names_it_and_shows_none(
    here: Here, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SERVING_MONITOR_HTTP_QUERY", SAS)
    with pytest.raises(SystemExit):
        here("--help-all")
    shown = capsys.readouterr().out
    assert "--http_query" in shown
    assert SIGNATURE not in shown


def test_it_is_not_in_the_process_list(start: Start, tmp_path: Path, origin: Answers) -> None:
    running = start(*common(tmp_path), f"--general_host={origin.url}", f"--donefile_query={SAS}")
    running.saw("sleep")
    words = Path(f"/proc/{running.process.pid}/cmdline")
    wait_for(lambda: b"***" in words.read_bytes(), "stars in the command line", 10)
    assert SIGNATURE.encode() not in words.read_bytes()


def test_what_the_http_library_warns_of_is_masked(
    here: Here, origin: Answers, tmp_path: Path
) -> None:
    """urllib3 logs the whole address of an answer whose headers it cannot read."""
    origin.by_path["/donefile"] = Answer(200, b"", {"Odd\nno header": "x"})
    words = [*common(tmp_path), f"--general_host={origin.url}", "--once", f"--http_query={SAS}"]
    _, out, err = here(*words)
    assert "Failed to parse headers" in err, err
    assert SIGNATURE not in out + err


@pytest.mark.parametrize(
    "text", ["sig=a%2Fb%2Bc", "?sig=a%2Fb%2Bc", " sig=a%2Fb%2Bc\n", "t0ken-alone"]
)
def test_a_query_is_hidden_as_it_is_written_and_as_it_is_meant(text: str) -> None:
    secret = secrets.query(text)
    assert str(secret) == "***"
    for form in (secret.reveal(), *secret.hidden):
        assert form not in mask.mask(f"at {form}: 403")
