"""The faults of the gate before real servers, as plain clients meet them."""

from __future__ import annotations

import ftplib
import io
import random
import socket
from collections.abc import Iterator
from typing import Optional

import pytest
import requests
from hdfs.util import HdfsError

from harness.faults.base import Fault, Targets
from harness.faults.gate import OUTSIDE
from harness.faults.registry import make
from harness.remotes.ftp.local import LocalFtp
from harness.remotes.ftp.remote import USER
from harness.remotes.hdfs.local import LocalHdfs
from harness.remotes.http.local import LocalHttp
from harness.remotes.services import LocalRemote
from harness.support.waits import wait_for
from tests.local_remotes import ONE_WORKER, healthy

CONTENT = random.Random(1).randbytes(50_000)


def targets(remote: LocalRemote, seed: int = 0) -> Targets:
    gates = {name: [remote.gate(name)] for name in remote.services}
    gates["remote"] = [gate for found in gates.values() for gate in found]
    return Targets(parts={}, restart=lambda _: None, gates=gates, seed=seed)


def start(remote: LocalRemote, name: str, seed: int = 0, **parameters: object) -> Fault:
    """The fault, started; the fixture's next use of the remote ends it."""
    fault = make(name, parameters)
    fault.start(targets(remote, seed))
    return fault


@pytest.fixture(scope="module")
def http_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalHttp]:
    with LocalHttp(tmp_path_factory.mktemp("http")) as made:
        made.ready()
        (made.data / "file").write_bytes(CONTENT)
        yield made


@pytest.fixture
def http(http_server: LocalHttp) -> Iterator[LocalHttp]:
    yield http_server
    http_server.gate().open()


@pytest.fixture(scope="module")
def ftp_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalFtp]:
    with LocalFtp(tmp_path_factory.mktemp("ftp")) as made:
        made.ready()
        (made.folder / "data" / "file").write_bytes(CONTENT)
        yield made


@pytest.fixture
def ftp(ftp_server: LocalFtp) -> Iterator[LocalFtp]:
    yield ftp_server
    ftp_server.gate().open()


def connect(http: LocalHttp, timeout_s: float = 20) -> socket.socket:
    return socket.create_connection((OUTSIDE, http.port), timeout_s)


def ask(connection: socket.socket) -> None:
    connection.sendall(b"GET /file HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")


def read_all(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(1 << 16), b""))


def answer(http: LocalHttp) -> bytes:
    """The whole answer."""
    with connect(http) as connection:
        ask(connection)
        return read_all(connection)


def log_in(ftp: LocalFtp) -> ftplib.FTP:
    client = ftplib.FTP(timeout=10)
    try:
        client.connect(OUTSIDE, ftp.port)
        client.login(USER, ftp.password)
    except ftplib.all_errors:
        client.close()
        raise
    return client


def retrieve(ftp: LocalFtp, into: Optional[io.BytesIO] = None) -> bytes:
    into = into or io.BytesIO()
    with log_in(ftp) as client:
        client.retrbinary("RETR file", into.write)
    return into.getvalue()


def body(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[2]


def test_a_cut_lets_exactly_so_many_bytes_pass_and_resets(http: LocalHttp) -> None:
    fault = start(http, "cut", after=20_000)
    before = http.gate().traffic
    with connect(http) as connection:
        ask(connection)
        with pytest.raises(ConnectionResetError):
            read_all(connection)
    assert http.gate().traffic - before == 20_000
    fault.stop()
    assert body(answer(http)) == CONTENT


def test_a_cut_meets_ftp_s_data_connection_as_well(ftp: LocalFtp) -> None:
    fault = start(ftp, "cut", after=20_000)
    seen = io.BytesIO()
    with pytest.raises(ConnectionResetError):
        retrieve(ftp, seen)
    assert CONTENT.startswith(seen.getvalue())
    assert len(seen.getvalue()) <= 20_000
    fault.stop()
    assert retrieve(ftp) == CONTENT


def test_a_stalled_transfer_goes_on_where_it_stopped(ftp: LocalFtp) -> None:
    fault = start(ftp, "stall", after=20_000)
    with log_in(ftp) as client:
        client.voidcmd("TYPE I")
        with client.transfercmd("RETR file") as data:
            first = b""
            while len(first) < 20_000:
                first += data.recv(20_000 - len(first))
            data.settimeout(0.2)
            with pytest.raises(socket.timeout):
                data.recv(1)
            fault.stop()
            data.settimeout(10)
            assert first + read_all(data) == CONTENT
        client.voidresp()


def test_an_answer_with_latency_is_late_and_whole(http: LocalHttp) -> None:
    fault = start(http, "latency", delay_ms=30_000, jitter_ms=0)
    with connect(http, timeout_s=0.3) as connection:
        ask(connection)
        with pytest.raises(socket.timeout):
            connection.recv(1)
        # The end of the fault is the end of the delay.
        fault.stop()
        connection.settimeout(10)
        assert body(read_all(connection)) == CONTENT
    start(http, "latency", delay_ms=20, jitter_ms=10)
    assert body(answer(http)) == CONTENT


def test_a_narrow_connection_has_brought_a_part_when_a_wide_one_has_all(http: LocalHttp) -> None:
    fault = start(http, "bandwidth", rate=20_000)
    before = http.gate().traffic
    with connect(http) as connection:
        ask(connection)
        wait_for(lambda: http.gate().traffic > before, "the first bytes", 10)
        assert http.gate().traffic - before < len(CONTENT)
        fault.stop()
        assert body(read_all(connection)) == CONTENT


def test_slices_are_tiny_segments_of_the_whole(http: LocalHttp) -> None:
    start(http, "slices", size=700, pause_ms=2)
    parts = []
    with connect(http) as connection:
        ask(connection)
        while part := connection.recv(1 << 16):
            parts.append(part)
    assert body(b"".join(parts)) == CONTENT
    # Some may have waited for the reader together.
    assert len(parts) > 20, f"{len(parts)} parts"


def test_a_slow_close_gives_all_bytes_at_once_and_the_end_later(http: LocalHttp) -> None:
    fault = start(http, "slow-close", delay_s=60)
    with connect(http) as connection:
        ask(connection)
        seen = b""
        while len(body(seen)) < len(CONTENT):
            seen += connection.recv(1 << 16)
        connection.settimeout(0.2)
        with pytest.raises(socket.timeout):
            connection.recv(1)
        fault.stop()
        connection.settimeout(10)
        assert connection.recv(1) == b""


def flipped(ftp: LocalFtp, seed: int) -> tuple[int, int]:
    """Which byte of the file differs, and in which bits."""
    fault = start(ftp, "bit-flip", seed, after=1234)
    seen = retrieve(ftp)
    fault.stop()
    assert len(seen) == len(CONTENT)
    ((at, bits),) = [(n, a ^ b) for n, (a, b) in enumerate(zip(seen, CONTENT)) if a != b]
    return at, bits


def test_one_bit_at_the_byte_is_flipped_and_the_seed_draws_which(ftp: LocalFtp) -> None:
    found = {seed: flipped(ftp, seed) for seed in range(6)}
    assert {at for at, _ in found.values()} == {1234}
    bits = [bits for _, bits in found.values()]
    assert all(bin(one).count("1") == 1 for one in bits)
    assert len(set(bits)) > 1, "each seed draws the same bit"
    assert flipped(ftp, 3) == found[3], "the seed does not repeat its bit"


def test_a_refused_connection_is_refused_until_the_end(http: LocalHttp) -> None:
    with connect(http) as old:
        fault = start(http, "refuse")
        with pytest.raises(ConnectionResetError):
            old.recv(1)
    with pytest.raises(ConnectionRefusedError):
        connect(http)
    fault.stop()
    assert body(answer(http)) == CONTENT


def test_a_reset_meets_old_connections_and_the_first_bytes_of_new_ones(http: LocalHttp) -> None:
    with connect(http) as old:
        fault = start(http, "reset")
        with pytest.raises(ConnectionResetError):
            old.recv(1)
    with connect(http) as new:
        new.settimeout(0.2)
        with pytest.raises(socket.timeout):
            new.recv(1)
        new.settimeout(10)
        new.sendall(b"GET")
        with pytest.raises(ConnectionResetError):
            new.recv(1)
    fault.stop()
    assert body(answer(http)) == CONTENT


def test_silence_keeps_a_connection_and_passes_nothing(http: LocalHttp) -> None:
    fault = start(http, "silence")
    with connect(http, timeout_s=0.3) as connection:
        ask(connection)
        with pytest.raises(socket.timeout):
            connection.recv(1)
        fault.stop()
        connection.settimeout(10)
        assert body(read_all(connection)) == CONTENT


@pytest.mark.parametrize("status", [500, 503, 403])
def test_an_http_server_answers_with_an_error(http: LocalHttp, status: int) -> None:
    with requests.Session() as session:
        session.trust_env = False
        # The session's connection is kept, and is in use when the fault comes.
        assert session.get(f"{http.host}/file", timeout=10).content == CONTENT
        fault = start(http, "wrong-answer", answer=str(status))
        wrong = session.get(f"{http.host}/file", timeout=10)
        assert wrong.status_code == status
        assert str(status) in wrong.text
        assert session.head(f"{http.host}/file", timeout=10).status_code == status
        fault.stop()
        assert session.get(f"{http.host}/file", timeout=10).content == CONTENT


def test_a_login_page_comes_with_status_200_in_the_file_s_place(http: LocalHttp) -> None:
    start(http, "wrong-answer", answer="login")
    with requests.Session() as session:
        session.trust_env = False
        wrong = session.get(f"{http.host}/file", timeout=10)
    assert wrong.status_code == 200
    assert "Please log in" in wrong.text


@pytest.mark.parametrize(("wanted", "reply"), [("500", "421"), ("503", "421"), ("403", "530")])
def test_an_ftp_server_refuses_in_its_own_words(ftp: LocalFtp, wanted: str, reply: str) -> None:
    fault = start(ftp, "wrong-answer", answer=wanted)
    with pytest.raises((ftplib.error_temp, ftplib.error_perm), match=f"^{reply} "):
        log_in(ftp)
    fault.stop()
    assert retrieve(ftp) == CONTENT


def test_a_login_page_comes_over_ftp_in_place_of_the_file(ftp: LocalFtp) -> None:
    start(ftp, "wrong-answer", answer="login")
    assert b"Please log in" in retrieve(ftp)


def test_two_faults_of_one_gate_end_one_by_one(ftp: LocalFtp) -> None:
    flip, slices = start(ftp, "bit-flip", after=10), start(ftp, "slices", size=5000)
    assert retrieve(ftp) != CONTENT
    flip.stop()
    assert retrieve(ftp) == CONTENT
    cut = start(ftp, "cut", after=10_000)
    slices.stop()
    with pytest.raises(ConnectionResetError):
        retrieve(ftp)
    cut.stop()
    assert retrieve(ftp) == CONTENT


@ONE_WORKER
class TestHdfs:
    @pytest.fixture
    def hdfs(self, request: pytest.FixtureRequest) -> Iterator[LocalHdfs]:
        remote = healthy("hdfs", request)
        assert isinstance(remote, LocalHdfs)
        remote.client.write(f"{remote.path}/file", CONTENT)
        yield remote
        remote.resume()

    def read(self, hdfs: LocalHdfs) -> bytes:
        with hdfs.client.read(f"{hdfs.path}/file") as reader:
            data: bytes = reader.read()
        return data

    def test_webhdfs_refuses_in_its_own_words(self, hdfs: LocalHdfs) -> None:
        for wanted, words in (("403", "Permission denied"), ("503", "state standby")):
            fault = start(hdfs, "wrong-answer", answer=wanted)
            with pytest.raises(HdfsError, match=words):
                hdfs.client.status(hdfs.path)
            fault.stop()
        assert self.read(hdfs) == CONTENT

    def test_a_fault_of_the_datanode_meets_the_redirect_and_not_the_namenode(
        self, hdfs: LocalHdfs
    ) -> None:
        wrong = start(hdfs, "wrong-answer", target="datanode", answer="403")
        assert hdfs.client.status(f"{hdfs.path}/file")["length"] == len(CONTENT)
        with pytest.raises(HdfsError, match="Permission denied"):
            self.read(hdfs)
        wrong.stop()
        refused = start(hdfs, "refuse", target="datanode")
        assert hdfs.client.status(f"{hdfs.path}/file")["length"] == len(CONTENT)
        with pytest.raises(requests.ConnectionError):
            self.read(hdfs)
        refused.stop()
        assert self.read(hdfs) == CONTENT


def test_remotes_say_what_their_ports_speak(http: LocalHttp, ftp: LocalFtp) -> None:
    assert set(http.gate().protocols.values()) == {"http"}
    assert set(ftp.gate().protocols.values()) == {"ftp", "ftp-data"}
    assert set(ftp.gate().protocols) == set(ftp.gate().ports)
