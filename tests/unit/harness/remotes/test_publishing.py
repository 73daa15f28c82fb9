"""What readers of a remote see while the producer publishes to it: whole releases, in order."""

from __future__ import annotations

import contextlib
import hashlib
import random
import threading
from pathlib import Path

import pytest
import requests

from harness.faults.bandwidth import Bandwidth
from harness.faults.silence import Silence
from harness.remotes.ftp.local import LocalFtp
from harness.remotes.hdfs.local import LocalHdfs
from harness.remotes.services import LocalRemote
from harness.support.waits import wait_for
from producer import manifest
from producer.errors import RemoteError
from producer.publish import Access, connect, parse, publish
from tests.local_remotes import ONE_WORKER

from .reading import Client, publisher, put

# The producer for HTTP writes into the served folder itself: there is no transfer to break.
OVER_THE_NETWORK = pytest.mark.parametrize(
    "remote", ["ftp", pytest.param("hdfs", marks=ONE_WORKER)], indirect=True
)
TARBALL, DONEFILE = "uci_housing.tar.gz", "donefile"


def make_release(folder: Path, number: int, size: int) -> tuple[Path, Path]:
    """A tarball of random bytes and the manifest for it."""
    folder.mkdir(exist_ok=True)
    tarball, donefile = folder / TARBALL, folder / DONEFILE
    tarball.write_bytes(random.Random(number).randbytes(size))
    content = manifest.manifest(
        release=number,
        tarball=TARBALL,
        size=size,
        sha256=hashlib.sha256(tarball.read_bytes()).hexdigest(),
        created=0.0,
        feeds=[],
        fetches=[],
        probe={},
        expected={},
    )
    donefile.write_bytes(manifest.encode(content))
    return tarball, donefile


def test_a_watcher_sees_a_whole_tarball_and_never_a_donefile_before_its_tarball(
    remote: LocalRemote, tmp_path: Path
) -> None:
    releases = 12
    made = [make_release(tmp_path / str(n), n, 300_000 + n) for n in range(1, releases + 1)]
    numbers = {
        hashlib.sha256(tar.read_bytes()).hexdigest(): n for n, (tar, _) in enumerate(made, 1)
    }
    target = publisher(remote)
    publish(target, *made[0])
    seen: list[tuple[int, int]] = []
    wrong: list[str] = []
    over = threading.Event()

    def watch() -> None:
        client = Client(remote)
        while not over.is_set():
            try:
                announced = manifest.decode(client.read(DONEFILE))
                tarball = client.read(TARBALL)
            except requests.exceptions.ChunkedEncodingError:
                # HDFS deletes the blocks of a file that is replaced, also under a reader.
                continue
            if announced is None or tarball is None:
                wrong.append(f"a file was absent: {announced}, {tarball and len(tarball)}")
                continue
            number = numbers.get(hashlib.sha256(tarball).hexdigest())
            if number is None:
                wrong.append(f"{len(tarball)} bytes that no release has")
            elif number < announced["release"]:
                wrong.append(f"release {announced['release']} announced, {number} there")
            else:
                seen.append((announced["release"], number))
        client.close()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for tarball, donefile in made[1:]:
            publish(target, tarball, donefile)
        wait_for(lambda: (releases, releases) in seen, "the watcher to see the last release", 30)
    finally:
        over.set()
        watcher.join(30)
    assert wrong == []
    assert len({announced for announced, _ in seen}) > 1, "the watcher saw a single release"
    assert [number for _, number in seen] == sorted(number for _, number in seen)


def test_a_tarball_that_does_not_get_there_is_not_announced(
    remote: LocalRemote, tmp_path: Path
) -> None:
    put(remote, tmp_path, DONEFILE, b"the old one")
    path = remote.path
    remote.path = f"{path}/{TARBALL}"
    put(remote, tmp_path, "in the way", b"a folder of the tarball's name, not empty")
    remote.path = path
    with pytest.raises(RemoteError):
        publish(publisher(remote), *make_release(tmp_path / "new", 1, 1000))
    client = Client(remote)
    assert client.read(DONEFILE) == b"the old one"
    client.close()


@OVER_THE_NETWORK
def test_an_upload_that_breaks_leaves_the_old_file_and_the_next_one_succeeds(
    remote: LocalRemote, tmp_path: Path
) -> None:
    put(remote, tmp_path, TARBALL, b"the old release")
    tarball, donefile = make_release(tmp_path / "new", 2, 3_000_000)
    gates = [remote.gate(service) for service in remote.services]
    for gate in gates:
        gate.apply(Bandwidth(rate=400_000))
    failed: list[RemoteError] = []

    def upload() -> None:
        try:
            publish(publisher(remote), tarball, donefile)
        except RemoteError as error:
            failed.append(error)

    thread = threading.Thread(target=upload)
    thread.start()
    wait_for(lambda: _uploading(remote), "the temporary file to appear", 30)
    remote.disconnect()
    thread.join(60)
    assert len(failed) == 1, "the upload outran the cut" if not thread.is_alive() else "no end"
    assert failed[0].operation == "upload"
    remote.resume()
    remote.ready(30)
    client = Client(remote)
    assert client.read(TARBALL) == b"the old release"
    assert client.read(DONEFILE) is None
    publish(publisher(remote), tarball, donefile)
    assert client.read(TARBALL) == tarball.read_bytes()
    assert client.read(DONEFILE) == donefile.read_bytes()
    client.close()


def _uploading(remote: LocalRemote) -> bool:
    """Return whether the remote has the temporary file."""
    name = f".{TARBALL}.uploading"
    if isinstance(remote, LocalFtp):
        part = remote.folder / "data" / remote.path.strip("/") / name
        return part.exists() and part.stat().st_size > 0
    assert isinstance(remote, LocalHdfs)
    return remote.client.status(f"{remote.path}/{name}", strict=False) is not None


def test_nothing_but_the_two_files_is_left_behind(remote: LocalRemote, tmp_path: Path) -> None:
    publish(publisher(remote), *make_release(tmp_path / "r", 1, 1000))
    if isinstance(remote, LocalHdfs):
        names = remote.client.list(remote.path)
    else:
        names = [path.name for path in (remote.folder / "data" / remote.path[1:]).iterdir()]
    assert sorted(names) == [DONEFILE, TARBALL]


@ONE_WORKER
def test_hadoops_own_command_publishes_and_reads_as_well(hdfs: LocalHdfs, tmp_path: Path) -> None:
    access = Access(hadoop_bin=str(hdfs.hadoop_bin), fs_ugi="demo,secret", hdfs_user="demo")
    target = connect(parse(hdfs.fs_url + hdfs.path), access)
    target.prepare()
    assert target.read(DONEFILE) is None
    publish(publisher(hdfs), *make_release(tmp_path / "1", 1, 1001))
    tarball, donefile = make_release(tmp_path / "2", 2, 1002)
    publish(target, tarball, donefile)
    client = Client(hdfs)
    assert client.read(TARBALL) == tarball.read_bytes()
    assert manifest.next_release(target.read(DONEFILE)) == 3
    assert sorted(hdfs.client.list(hdfs.path)) == [DONEFILE, TARBALL]
    assert hdfs.client.status(f"{hdfs.path}/{TARBALL}")["owner"] == "demo"
    client.close()


@ONE_WORKER
def test_hadoops_own_command_says_in_one_sentence_that_nobody_is_there(
    hdfs: LocalHdfs,
) -> None:
    target = connect(parse(hdfs.fs_url + hdfs.path), Access(hadoop_bin=str(hdfs.hadoop_bin)))
    hdfs.disconnect("namenode")
    with contextlib.ExitStack() as healing:
        healing.callback(hdfs.resume, "namenode")
        with pytest.raises(RemoteError) as caught:
            target.prepare()
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"cannot reach {hdfs.fs_url}{hdfs.path}: mkdir: ")
    assert "Connection refused" in str(caught.value)


@ONE_WORKER
def test_a_ugi_with_a_password_stands_in_no_process_list(hdfs: LocalHdfs) -> None:
    access = Access(hadoop_bin=str(hdfs.hadoop_bin), fs_ugi="demo,s3cret")
    target = connect(parse(hdfs.fs_url + hdfs.path), access)
    thread = threading.Thread(target=target.prepare)
    seen: set[str] = set()
    thread.start()
    while thread.is_alive():
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                seen.add(entry.read_text(errors="replace"))
    assert any("FsShell" in line and hdfs.path in line for line in seen), "the command never showed"
    assert not [line for line in seen if "s3cret" in line]
    assert hdfs.client.status(hdfs.path)["type"] == "DIRECTORY"


@OVER_THE_NETWORK
def test_a_remote_that_stays_silent_is_given_up_with_one_sentence(
    remote: LocalRemote, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = publisher(remote)
    monkeypatch.setattr("producer.publish.ftp._TIMEOUT_S", 1.0)
    monkeypatch.setattr("producer.publish.webhdfs._TIMEOUT_S", (1.0, 1.0))
    impatient = connect(target.address, Access(ftp_password="x"))
    for service in remote.services:
        remote.gate(service).apply(Silence())
    with pytest.raises(RemoteError) as caught:
        impatient.prepare()
    assert str(caught.value).startswith(f"cannot reach {target.address}: ")
    assert "no answer in time" in str(caught.value) or "timed out" in str(caught.value)
    assert "\n" not in str(caught.value)
