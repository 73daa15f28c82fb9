"""What every remote of this machine can do, and how each of them breaks: one contract for three
remotes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.remotes import registry
from harness.remotes.http.local import LocalHttp
from harness.remotes.services import LocalRemote
from harness.support.errors import BadInput, Failed
from harness.support.ports import is_listening
from harness.support.waits import wait_for
from tests.conftest import Releases
from tests.local_remotes import ONE_WORKER

from .reading import BROKEN, Client, publisher, put

PATIENCE_S = 1.0
# An HDFS takes long to start again: proof. tests/faults kills its services and starts them again.
# tests/e2e looks for processes that an HDFS leaves behind.
QUICK_TO_START = pytest.mark.parametrize(
    "remote",
    [
        pytest.param(name, marks=[ONE_WORKER, pytest.mark.proof] if name == "hdfs" else [])
        for name in registry.NAMES
    ],
    indirect=True,
)


@pytest.fixture
def client(remote: LocalRemote) -> Iterator[Client]:
    made = Client(remote)
    yield made
    made.close()


def fails_within(seconds: float, remote: LocalRemote, name: str) -> None:
    """A new client's read fails at once, not by a time-out."""
    begin = time.monotonic()
    fresh = Client(remote, timeout_s=2 * seconds)
    try:
        with pytest.raises(BROKEN):
            fresh.read(name)
    finally:
        fresh.close()
    assert time.monotonic() - begin < seconds, "it failed, but only when patience ended"


def test_what_is_put_there_is_read_back_and_replaced(
    remote: LocalRemote, client: Client, tmp_path: Path
) -> None:
    assert client.read("model") is None
    put(remote, tmp_path, "model", b"old" * 100_000)
    assert client.read("model") == b"old" * 100_000
    put(remote, tmp_path, "model", b"new")
    assert client.read("model") == b"new"
    assert publisher(remote).read("model") == b"new"
    assert publisher(remote).read("nothing") is None


@QUICK_TO_START
def test_killed_it_refuses_connections_and_started_again_it_has_kept_its_files(
    remote: LocalRemote, tmp_path: Path
) -> None:
    put(remote, tmp_path, "model", b"kept")
    remote.kill()
    assert remote.pids == []
    assert not any(
        is_listening(port) for name in remote.services for port in remote.gate(name).ports
    )
    with pytest.raises(Failed, match="ended with exit code 137"):
        remote.ready(5)
    remote.start()
    remote.ready(90)
    after = Client(remote)
    assert after.read("model") == b"kept"
    after.close()


def test_paused_it_accepts_and_does_not_answer_and_resumed_it_goes_on(
    remote: LocalRemote, tmp_path: Path
) -> None:
    put(remote, tmp_path, "model", b"there")
    impatient = Client(remote, timeout_s=PATIENCE_S)
    remote.pause()
    try:
        begin = time.monotonic()
        with pytest.raises(BROKEN):
            impatient.read("model")
        assert time.monotonic() - begin >= PATIENCE_S, "it failed at once instead of staying silent"
    finally:
        remote.resume()
    impatient.close()
    after = Client(remote)
    assert after.read("model") == b"there"
    after.close()


def test_disconnected_it_cuts_and_refuses_while_its_processes_live(
    remote: LocalRemote, client: Client, tmp_path: Path
) -> None:
    put(remote, tmp_path, "model", b"there")
    assert client.read("model") == b"there"
    before = remote.pids
    remote.disconnect()
    with pytest.raises(BROKEN):
        client.read("model")  # on the connection that it has had
    fails_within(30, remote, "model")
    assert remote.pids == before
    remote.resume()
    again = Client(remote)
    assert again.read("model") == b"there"
    again.close()


@QUICK_TO_START
def test_stopped_it_leaves_no_process_and_no_open_port_and_keeps_its_files(
    remote: LocalRemote, tmp_path: Path
) -> None:
    put(remote, tmp_path, "model", b"kept")
    pids = remote.pids
    assert pids
    remote.stop()
    remote.stop()
    assert remote.pids == []
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    assert not any(
        is_listening(port) for name in remote.services for port in remote.gate(name).ports
    )
    remote.start()
    remote.ready(90)
    after = Client(remote)
    assert after.read("model") == b"kept"
    after.close()


def test_it_listens_on_loopback_alone(remote: LocalRemote) -> None:
    ports = {port for name in remote.services for port in remote.gate(name).ports}
    listening = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            address, _, port = line.split()[1].rpartition(":")
            if line.split()[3] == "0A" and int(port, 16) in ports:
                listening.add((address, int(port, 16)))
    # proc(5): addresses are little-endian words; IPv4 may show as IPv4-mapped IPv6 (Java).
    assert listening
    assert {address[-8:] for address, _ in listening} <= {"0100007F", "0200007F"}


def test_it_has_a_log_for_each_service(remote: LocalRemote) -> None:
    assert len(remote.logs) == len(remote.services)
    assert all(log.is_file() for log in remote.logs)


def test_an_unknown_service_or_monitor_type_gives_one_sentence(remote: LocalRemote) -> None:
    with pytest.raises(BadInput, match="has no service 'disk'"):
        remote.kill("disk")
    with pytest.raises(BadInput, match="no monitor of type 'smtp'"):
        remote.monitor_options("smtp")


def test_its_options_lead_every_type_of_monitor_to_the_release(
    remote: LocalRemote, releases: Releases, tmp_path: Path
) -> None:
    event = releases.published[0]
    put(remote, tmp_path, "uci_housing.tar.gz", Path(event["tarball"]).read_bytes())
    donefile = releases.folder / "releases" / "1" / "donefile"
    put(remote, tmp_path, "donefile", donefile.read_bytes())
    for kind in remote.monitor_kinds:
        folder = tmp_path / kind
        folder.mkdir()
        argv = [sys.executable, "-m", "monitor", *remote.monitor_options(kind), "--once"]
        argv += ["--remote_model_name", "uci_housing.tar.gz", "--remote_donefile_name", "donefile"]
        argv += ["--local_path", ".", "--local_model_name", "uci_housing_model"]
        argv += ["--unpacked_filename", "uci_housing_model", "--debug"]
        done = subprocess.run(
            argv, cwd=folder, capture_output=True, text=True, timeout=90, check=False
        )
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
        if "--hadoop_bin" in argv:
            # The page's example begins with these lines.
            hadoop = argv[argv.index("--hadoop_bin") + 1]
            assert f"] _hadoop_bin: {hadoop}\n" in said.partition("\n")[0] + "\n", said
            assert "] AFS prefix cmd: " in said
        installed = folder / "uci_housing_model" / "params.pdiparams"
        assert installed.read_bytes() == (releases.model(1) / "params.pdiparams").read_bytes()


_HARNESS = """
import sys
from pathlib import Path
from harness.remotes.registry import named
from harness.support.waits import wait_for
remote = named(sys.argv[1]).local(Path(sys.argv[2]))
remote.start()
wait_for(lambda: len(remote.pids) == len(remote.services), "its processes", 30)
print(*remote.pids, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("name", registry.NAMES)
def test_nothing_of_it_outlives_a_harness_that_is_killed(name: str, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HARNESS, name, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as harness:
        assert harness.stdout is not None
        pids = harness.stdout.readline().split()
        assert pids
        harness.kill()
    wait_for(
        lambda: not [pid for pid in pids if Path(f"/proc/{pid}").exists()],
        f"the processes {pids} of {name} to be gone",
        30,
    )


def test_a_remote_that_nobody_knows_gives_one_sentence() -> None:
    with pytest.raises(BadInput, match="names 'gopher'; known are hdfs, ftp, http"):
        registry.named("gopher")


def test_a_port_that_somebody_took_is_named(tmp_path: Path) -> None:
    with LocalHttp(tmp_path / "one") as one:
        one.ready(30)
        other = LocalHttp(tmp_path / "two")
        other.folder.mkdir()
        other._parts = other._make()
        taken = one.gate().ports[0]
        words = other._parts["http"].process.argv
        words[words.index("--port") + 1] = str(taken)
        try:
            other.start()
            with pytest.raises(
                Failed, match=f"cannot listen on 127.0.0.2:{taken}: Address already"
            ):
                other.ready(30)
        finally:
            other.stop()
