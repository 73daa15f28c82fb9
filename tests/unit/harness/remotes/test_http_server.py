"""The HTTP remote's server: what a downloader can ask for."""

from __future__ import annotations

import http.client
import json
import os
import sys
from collections.abc import Iterator
from email.utils import formatdate
from http import HTTPStatus
from typing import Optional

import pytest
import requests

from harness.remotes.http.local import LocalHttp
from harness.remotes.http.server import Conditions, Decision, Validators, decide
from harness.support.ports import free_port, is_listening
from harness.support.process import Process
from harness.support.waits import wait_for

STATE = Validators('"1-a-5"', 1_700_000_000)
AT = formatdate(STATE.modified_s, usegmt=True)
BEFORE = formatdate(STATE.modified_s - 1, usegmt=True)
WHOLE = Decision(HTTPStatus.OK, 0, 99)
NOT_MODIFIED = Decision(HTTPStatus.NOT_MODIFIED)
NOT_SATISFIABLE = Decision(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)


def part(first: int, last: int) -> Decision:
    return Decision(HTTPStatus.PARTIAL_CONTENT, first, last)


@pytest.mark.parametrize(
    ("asked", "decision"),
    [
        pytest.param(Conditions(), WHOLE, id="nothing special"),
        pytest.param(Conditions(if_none_match='"1-a-5"'), NOT_MODIFIED, id="the tag known"),
        pytest.param(Conditions(if_none_match='"x", W/"1-a-5"'), NOT_MODIFIED, id="one of two"),
        pytest.param(Conditions(if_none_match="*"), NOT_MODIFIED, id="any tag"),
        pytest.param(Conditions(if_none_match='"x"'), WHOLE, id="another tag"),
        pytest.param(Conditions('"x"', AT), WHOLE, id="a tag goes before a date"),
        pytest.param(Conditions(if_modified_since=AT), NOT_MODIFIED, id="the date known"),
        pytest.param(Conditions(if_modified_since=BEFORE), WHOLE, id="changed since"),
        pytest.param(Conditions(if_modified_since="yesterday"), WHOLE, id="no date at all"),
        pytest.param(Conditions(range="bytes=0-9"), part(0, 9), id="the first ten"),
        pytest.param(Conditions(range="bytes=90-"), part(90, 99), id="from 90 on"),
        pytest.param(Conditions(range="bytes=90-5000"), part(90, 99), id="beyond the end"),
        pytest.param(Conditions(range="bytes=-10"), part(90, 99), id="the last ten"),
        pytest.param(Conditions(range="bytes=-500"), part(0, 99), id="the last 500"),
        pytest.param(Conditions(range="bytes=100-"), NOT_SATISFIABLE, id="from the end on"),
        pytest.param(Conditions(range="bytes=-0"), NOT_SATISFIABLE, id="the last none"),
        pytest.param(Conditions(range="bytes=0-1,5-6"), WHOLE, id="two ranges"),
        pytest.param(Conditions(range="lines=0-1"), WHOLE, id="another unit"),
        pytest.param(Conditions(None, None, STATE.etag, "bytes=5-"), part(5, 99), id="same tag"),
        pytest.param(Conditions(None, None, '"x"', "bytes=5-"), WHOLE, id="replaced meanwhile"),
        pytest.param(Conditions(None, None, AT, "bytes=5-"), part(5, 99), id="same date"),
        pytest.param(Conditions(None, None, BEFORE, "bytes=5-"), WHOLE, id="another date"),
    ],
)
def test_an_answer_is_what_rfc_9110_says(asked: Conditions, decision: Decision) -> None:
    assert decide(100, STATE, asked) == decision


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalHttp]:
    with LocalHttp(tmp_path_factory.mktemp("http")) as made:
        made.ready(30)
        (made.data / "file").write_bytes(bytes(range(100)))
        (made.data / "folder").mkdir()
        (made.data / "folder" / "a b").write_text("in a folder")
        yield made


def get(server: LocalHttp, path: str, **headers: str) -> requests.Response:
    return requests.get(
        server.host + path,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        timeout=10,
    )


def test_a_file_comes_with_length_time_and_tag(server: LocalHttp) -> None:
    answer = get(server, "/file")
    assert answer.content == bytes(range(100))
    assert answer.headers["Content-Length"] == "100"
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["ETag"].startswith('"'), "only a strong tag allows If-Range"
    modified = int((server.data / "file").stat().st_mtime)
    assert answer.headers["Last-Modified"] == formatdate(modified, usegmt=True)


def test_a_transfer_goes_on_where_it_broke(server: LocalHttp) -> None:
    tag = get(server, "/file").headers["ETag"]
    rest = get(server, "/file", Range="bytes=60-", If_Range=tag)
    assert rest.status_code == HTTPStatus.PARTIAL_CONTENT
    assert rest.headers["Content-Range"] == "bytes 60-99/100"
    assert rest.content == bytes(range(60, 100))
    beyond = get(server, "/file", Range="bytes=100-")
    assert beyond.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
    assert beyond.headers["Content-Range"] == "bytes */100"


def test_a_replaced_file_has_another_tag_even_with_the_same_time_and_size(
    server: LocalHttp,
) -> None:
    path = server.data / "replaced"
    path.write_text("one")
    os.utime(path, (1_700_000_000, 1_700_000_000))
    before = get(server, "/replaced").headers["ETag"]
    beside = server.data / ".replaced.part"
    beside.write_text("two")
    os.utime(beside, (1_700_000_000, 1_700_000_000))
    os.replace(beside, path)
    after = get(server, "/replaced", If_None_Match=before)
    assert after.status_code == HTTPStatus.OK
    assert after.text == "two"
    assert after.headers["ETag"] != before


def test_what_has_not_changed_is_not_sent_again(server: LocalHttp) -> None:
    first = get(server, "/file")
    by_tag = get(server, "/file", If_None_Match=first.headers["ETag"])
    by_date = get(server, "/file", If_Modified_Since=first.headers["Last-Modified"])
    assert (by_tag.status_code, by_tag.content) == (HTTPStatus.NOT_MODIFIED, b"")
    assert (by_date.status_code, by_date.content) == (HTTPStatus.NOT_MODIFIED, b"")


@pytest.mark.parametrize("path", ["//file", "/./file", "/file?x=1", "///file"])
def test_paths_as_downloaders_write_them_work(server: LocalHttp, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("GET", path)
    assert connection.getresponse().read() == bytes(range(100))
    connection.close()


@pytest.mark.parametrize(
    "path", ["/nothing", "/../ftp_server.py", "/%2e%2e/x", "/file/x", "/a%00b", "/outside"]
)
def test_what_is_not_in_the_folder_is_not_found(server: LocalHttp, path: str) -> None:
    outside = server.data / "outside"
    if not outside.is_symlink():
        outside.symlink_to("/etc/hostname")
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("GET", path)
    assert connection.getresponse().status == HTTPStatus.NOT_FOUND
    connection.close()


def test_a_folder_lists_its_files_with_links(server: LocalHttp) -> None:
    answer = get(server, "/folder")
    assert answer.history[0].status_code == HTTPStatus.MOVED_PERMANENTLY
    assert 'href="a%20b"' in answer.text
    assert get(server, "/folder/a%20b").text == "in a folder"


def test_one_connection_takes_many_requests_head_among_them(server: LocalHttp) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    local_port: Optional[int] = None
    for method in ("GET", "HEAD", "GET"):
        connection.request(method, "/file")
        answer = connection.getresponse()
        body = answer.read()
        assert answer.getheader("Content-Length") == "100"
        assert len(body) == (0 if method == "HEAD" else 100)
        assert local_port in (None, connection.sock.getsockname()[1])
        local_port = connection.sock.getsockname()[1]
    connection.close()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that asks who reads: demo may, somebody with a token may not."""
    folder, port = tmp_path_factory.mktemp("guarded"), free_port()
    (folder / "file").write_text("for demo alone")
    access = {"Basic ZGVtbzpzM2NyZXQ=": True, "Bearer known": False}
    argv = [sys.executable, "-m", "harness.remotes.http.server", "--folder", str(folder)]
    environment = {**os.environ, "HTTP_SERVER_ACCESS": json.dumps(access)}
    process = Process("guarded", [*argv, "--port", str(port)], log=folder / "log", env=environment)
    with process:
        wait_for(lambda: is_listening(port), "the guarded server", 20, alive=process.check)
        yield f"http://127.0.0.1:{port}/file"


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (None, HTTPStatus.UNAUTHORIZED),
        ("Basic ZGVtbzp3cm9uZw==", HTTPStatus.UNAUTHORIZED),
        ("Bearer unknown", HTTPStatus.UNAUTHORIZED),
        ("Bearer known", HTTPStatus.FORBIDDEN),
        ("Basic ZGVtbzpzM2NyZXQ=", HTTPStatus.OK),
    ],
)
def test_who_may_not_read_is_asked_for_a_name_or_forbidden(
    guarded: str, authorization: Optional[str], status: HTTPStatus
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = requests.get(guarded, headers=headers, timeout=10)
    assert answer.status_code == status
    assert ("WWW-Authenticate" in answer.headers) == (status == HTTPStatus.UNAUTHORIZED)
    assert (answer.text == "for demo alone") == (status == HTTPStatus.OK)
