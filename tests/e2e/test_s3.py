"""Releases from a real S3 server: published, swapped in, through lost connections and new keys."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

import pytest

from harness.faults.cut import Cut
from harness.support.process import Process
from harness.support.waits import wait_for
from tests.s3_server import PYTHON, ROOT, S3, set_up
from tests.unit.docs.test_commands import blocks
from tests.unit.monitor.fixtures import MODEL, TARBALL, manifest_of, model_files, tarball
from tests.unit.monitor.stepping import live, release_in

# One server and one environment for all of them.
pytestmark = pytest.mark.xdist_group("s3")
_KEYS = """
import boto3, json, sys
iam = boto3.client("iam", endpoint_url=sys.argv[1])
if sys.argv[2] == "make":
    rights = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [rights]})
    iam.create_user(UserName="monitor")
    iam.put_user_policy(UserName="monitor", PolicyName="all", PolicyDocument=policy)
    for _ in "12":
        key = iam.create_access_key(UserName="monitor")["AccessKey"]
        print(key["AccessKeyId"], key["SecretAccessKey"])
else:
    iam.delete_access_key(UserName="monitor", AccessKeyId=sys.argv[3])
"""


_UPLOAD = """
import fsspec, sys
for name in sys.argv[3:]:
    fsspec.filesystem("s3").put_file(f"{sys.argv[2]}/{name}", f"{sys.argv[1]}/{name}")
"""


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    set_up()
    with S3(tmp_path_factory.mktemp("s3") / "server.log") as server:
        yield server


class Monitor(Process):
    """``python -m monitor`` of the environment of S3."""

    def __init__(
        self, s3: S3, tmp_path: Path, *words: str, env: Optional[dict[str, str]] = None
    ) -> None:
        (tmp_path / "local").mkdir(exist_ok=True)
        argv = [
            str(PYTHON), "-m", "monitor", "--type=fsspec", f"--remote_url={s3.remote_url}",
            f"--remote_model_name={TARBALL}", "--remote_donefile_name=donefile",
            f"--local_path={tmp_path}/local", f"--local_model_name={MODEL}",
            f"--unpacked_filename={MODEL}", "--interval=0.1", "--timeout=3", "--debug", *words,
        ]  # fmt: skip
        super().__init__("monitor", argv, log=tmp_path / "monitor.log", cwd=ROOT,
                         env=s3.environment() if env is None else env)  # fmt: skip
        self._live = live(tmp_path)

    def installs(self, number: int) -> None:
        wait_for(lambda: self._holds(number), f"release {number}", 40, alive=self.check,
                 last_seen=self.said)  # fmt: skip

    def says(self, text: str, times: int = 1) -> None:
        wait_for(lambda: self.said().count(text) >= times, f"{text!r} in the log", 40,
                 alive=self.check, last_seen=lambda: self.said()[-2000:])  # fmt: skip

    def said(self) -> str:
        return self.log.read_text()

    def _holds(self, number: int) -> bool:
        try:
            return release_in(self._live) == number
        except FileNotFoundError:
            return False


def publish(
    s3: S3, number: int, *, donefile: Optional[bytes] = None, packed: bytes = b"", size: int = 1000
) -> None:
    content = packed or tarball(model_files(number, size))
    s3.put(TARBALL, content)
    s3.put("donefile", manifest_of(number, content) if donefile is None else donefile)


def test_releases_are_swapped_in_whatever_the_donefile_holds(s3: S3, tmp_path: Path) -> None:
    publish(s3, 1)
    with Monitor(s3, tmp_path) as monitor:
        monitor.installs(1)
        publish(s3, 2)
        monitor.installs(2)
        publish(s3, 3, donefile=b"one")
        monitor.installs(3)
        publish(s3, 4, donefile=b"two")
        monitor.installs(4)
        # The same content again: only the time of the object differs, in whole seconds.
        second = int(time.time())
        wait_for(lambda: int(time.time()) > second, "the next second", 5)
        publish(s3, 5, donefile=b"two")
        monitor.installs(5)
        # Another tarball than the manifest's.
        good = tarball(model_files(6))
        publish(s3, 6, packed=good[:-1] + b"?", donefile=manifest_of(6, good))
        monitor.says("cannot pull uci_housing.tar.gz: its sha256 is not the manifest's")
        assert release_in(live(tmp_path)) == 5
        s3.put(TARBALL, good)
        monitor.installs(6)
        read = s3.requests("GET", "donefile")
        monitor.says("sleep", times=monitor.said().count("sleep") + 5)
        # After the swap the monitor may be in the middle of one more look.
        assert s3.requests("GET", "donefile") <= read + 1, "a poll reads an unchanged donefile"
    assert monitor.said().count("update local model") == 6


def test_a_donefile_is_tried_again_until_its_tarball_is_there(s3: S3, tmp_path: Path) -> None:
    publish(s3, 1)
    with Monitor(s3, tmp_path) as monitor:
        monitor.installs(1)
        s3.remove(TARBALL)
        packed = tarball(model_files(2))
        s3.put("donefile", manifest_of(2, packed))
        monitor.says("no such file", times=2)
        assert release_in(live(tmp_path)) == 1
        s3.put(TARBALL, packed)
        monitor.installs(2)


def test_two_donefiles_of_one_size_and_second_are_two_releases(s3: S3, tmp_path: Path) -> None:
    def announced(number: int) -> str:
        publish(s3, number, donefile=b"release %04d" % number)
        return s3.last_modified("donefile")

    with Monitor(s3, tmp_path) as monitor:
        # A client cannot choose the time of an object: try until both have the same second.
        for number in range(1, 60, 2):
            time.sleep(1 - time.time() % 1)
            first = announced(number)
            monitor.installs(number)
            second = announced(number + 1)
            monitor.installs(number + 1)
            if first == second:
                return
    pytest.fail("no installation took less than a second")


@pytest.mark.proof
def test_a_lost_connection_loses_no_release(s3: S3, tmp_path: Path) -> None:
    publish(s3, 1)
    with Monitor(s3, tmp_path) as monitor:
        monitor.installs(1)
        s3.gate.close()
        publish(s3, 2)
        monitor.says("WARNING")
        assert release_in(live(tmp_path)) == 1
        s3.gate.open()
        monitor.installs(2)
        # In the middle of the tarball, which has no pattern and so does not compress.
        s3.gate.apply(Cut(after=300_000))
        publish(s3, 3, size=1_000_000)
        wait_for(lambda: s3.gate.stopped > 0, "a connection to be cut", 30)
        s3.gate.open()
        monitor.installs(3)


def run(script: str, *words: str, env: dict[str, str]) -> str:
    command = [str(PYTHON), "-c", script, *words]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def keys(s3: S3, *words: str) -> list[tuple[str, str]]:
    s3.guarded("inf")
    made = iter(run(_KEYS, s3.url, *words, env=s3.environment()).split())
    return list(zip(made, made))


def upload(s3: S3, key: tuple[str, str], number: int, folder: Path) -> None:
    """Publish with a key, as a producer must while the server checks keys."""
    packed = tarball(model_files(number))
    (folder / TARBALL).write_bytes(packed)
    (folder / "donefile").write_bytes(manifest_of(number, packed))
    run(_UPLOAD, s3.remote_url, str(folder), TARBALL, "donefile", env=s3.environment(key))


@pytest.mark.proof
def test_keys_are_rotated_without_a_restart(s3: S3, tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    environment = {**s3.environment(key=None), "AWS_SHARED_CREDENTIALS_FILE": str(file)}

    def use(name: str, secret: str) -> None:
        beside = tmp_path / "credentials.new"
        beside.write_text(
            f"[default]\naws_access_key_id = {name}\naws_secret_access_key = {secret}\n"
        )
        os.replace(beside, file)

    old, new = keys(s3, "make")
    publish(s3, 1)
    use(*old)
    s3.guarded("0")
    try:
        with Monitor(s3, tmp_path, env=environment) as monitor:
            monitor.installs(1)
            keys(s3, "remove", old[0])
            s3.guarded("0")
            monitor.says("cannot read s3://models/housing/donefile: ")
            upload(s3, new, 2, tmp_path)
            monitor.says("cannot read s3://models/housing/donefile: ", times=3)
            assert release_in(live(tmp_path)) == 1
            use(*new)
            monitor.installs(2)
        for secret in (old[1], new[1]):
            assert secret not in monitor.said()
    finally:
        s3.guarded("inf")


def test_the_commands_of_the_page_publish_and_install(s3: S3, tmp_path: Path) -> None:
    page = ROOT / "docs" / "how-to" / "s3.md"
    publish(s3, 1)
    release = tmp_path / "release"
    release.mkdir()
    packed = tarball(model_files(2))
    (release / TARBALL).write_bytes(packed)
    (release / "donefile").write_bytes(manifest_of(2, packed))
    words = "\n".join(block.text for block in blocks(page) if "test_s3" in block.mark)
    assert "python -m monitor" in words
    words = re.sub(r"https?://s3\.example\S*", s3.url, words)
    folders = {"/srv/release": str(release), "/srv/serving": str(tmp_path)}
    for there, here in folders.items():
        words = words.replace(there, here)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", words],
        cwd=ROOT,
        env={**s3.environment(), "PATH": f"{PYTHON.parent}:{os.environ['PATH']}"},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert release_in(tmp_path / MODEL) == 2
