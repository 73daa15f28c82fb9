"""The download of the official binary, from hosts and onto disks that are not as they should be."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import random
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.serving import download, official, proof
from harness.serving.download import Limits, ask, fetch
from harness.support.errors import BadInput
from harness.support.waits import wait_for
from tests.unit.harness.serving import vendor

PATIENT = Limits(answer_s=60, stall_s=60, pause_s=0.01)
# gzip's first two bytes, then what does not repeat.
CONTENT = b"\x1f\x8b" + random.Random(1).randbytes(200_000)


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[vendor.Mirror]:
    made = vendor.Mirror()
    made.content = CONTENT
    monkeypatch.setenv("SERVING_DOWNLOAD_URL", made.url)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    cache = tmp_path / "cache"
    monkeypatch.setenv("HARNESS_CACHE", str(cache))
    monkeypatch.delenv("SERVING_BIN", raising=False)
    return cache


def get(mirror: vendor.Mirror, target: Path, limits: Limits = PATIENT) -> list[str]:
    """Downloads to ``target``, checks the digest and gives what was said."""
    told: list[str] = []
    digest = fetch(ask(f"{mirror.url}/a.tar.gz", limits), target, told.append, limits)
    assert digest == hashlib.sha256(target.read_bytes()).hexdigest()
    return told


def test_a_break_is_resumed_where_it_happened(mirror: vendor.Mirror, tmp_path: Path) -> None:
    mirror.break_at = [100_000, 150_000]
    told = get(mirror, tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == CONTENT
    assert mirror.asked[2:] == ["bytes=100000-", "bytes=150000-"]
    assert "broke off at 100,000 bytes" in told[0]


def test_ten_kilobytes_a_second_with_a_break_arrive(
    mirror: vendor.Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "_LINE_EVERY_S", 0.3)
    mirror.content = CONTENT[:12_000]
    mirror.bytes_per_s = 10_000
    mirror.break_at = [6_000]
    told = get(mirror, tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == CONTENT[:12_000]
    # No terminal: a line now and then.
    assert any(re.fullmatch(r"downloading: 0.0 of 0.0 MB, 0.0\d MB/s", line) for line in told), told


@pytest.mark.parametrize("how", ["another file", "no validator", "no ranges"])
def test_a_break_never_glues_two_files_together(
    mirror: vendor.Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    mirror.break_at = [100_000]
    other = b"\x1f\x8b" + random.Random(2).randbytes(200_000)
    before = mirror.answer

    def answer(request: object) -> None:
        if len(mirror.asked) == 2 and how != "no ranges":
            mirror.content = other
            mirror.etag = '"2"' if how == "another file" else None
        before(request)  # type: ignore[arg-type]

    monkeypatch.setattr(mirror, "answer", answer)
    mirror.ranges = how != "no ranges"
    if how == "no validator":
        mirror.etag = None
    get(mirror, tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == (CONTENT if how == "no ranges" else other)


@pytest.mark.parametrize(
    ("fault", "stall_s", "sentence"),
    [
        ({"break_always_at": 100_000, "ranges": False}, 60, r"broke off \d times at 100,000 bytes"),
        ({"silent_at": 100_000}, 2, r"stalled at 100,000 bytes: nothing came for 2 s"),
        ({"bytes_per_s": 20}, 0.5, r"stalled at \d+ bytes"),
        ({"status": 404}, 60, r"answers 404 for http"),
        ({"content_type": "text/html; charset=utf-8"}, 60, r"a web page instead of an archive"),
        ({"content": b"<html>log in first</html>"}, 60, r"is no gzip archive"),
    ],
    ids=["breaks", "stalls", "drips", "404", "web-page", "html-as-archive"],
)
def test_a_host_that_does_not_deliver_is_one_sentence(
    mirror: vendor.Mirror,
    tmp_path: Path,
    fault: dict[str, object],
    stall_s: float,
    sentence: str,
) -> None:
    for name, value in fault.items():
        setattr(mirror, name, value)
    with pytest.raises(BadInput, match=sentence):
        get(mirror, tmp_path / "got", replace(PATIENT, stall_s=stall_s))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        pytest.param("cut", "is damaged", id="truncated"),
        pytest.param("other", "does not belong in", id="another-top-folder"),
        pytest.param("nothing", "holds no .*/serving", id="no-program"),
        pytest.param("text", r"cannot be patched .*missing ELF header", id="no-elf"),
    ],
)
def test_an_archive_that_is_refused_is_not_downloaded_twice(
    mirror: vendor.Mirror, tmp_path: Path, cache: Path, content: str, sentence: str
) -> None:
    if content == "text" and not official.needs_patch():
        pytest.skip("this C library needs no patch")
    text = tmp_path / "text"
    text.write_text("no program")
    name = "readme" if content == "nothing" else "serving"
    top = "other" if content == "other" else vendor.NAME
    packed = vendor.archive({name: Path("/bin/true").resolve() if content != "text" else text}, top)
    mirror.content = packed[:-100] if content == "cut" else packed
    for again, requests in ((False, 2), (False, 3), (True, 5)):
        with pytest.raises(BadInput, match=sentence):
            official.obtain("cpu", print, PATIENT, again=again)
        assert len(mirror.asked) == requests
    mirror.etag = '"2"'
    with pytest.raises(BadInput, match=sentence):
        official.obtain("cpu", print, PATIENT)
    assert len(mirror.asked) == 7
    assert sorted(p.name for p in (cache / "serving").iterdir()) == [proof.ARCHIVES, "lock"]


def test_the_digest_is_shown_and_another_one_later_is_said_loudly(
    mirror: vendor.Mirror, tmp_path: Path, cache: Path
) -> None:
    digests = []
    said: list[str] = []
    for target in ("/bin/true", "/bin/false"):
        vendor.patched(tmp_path / "serving", Path(target))
        mirror.content = vendor.archive({"serving": tmp_path / "serving"})
        digests.append(hashlib.sha256(mirror.content).hexdigest())
        _, how = official.obtain("cpu", said.append, PATIENT)
        assert digests[-1] in how
        assert digests[-1] in "\n".join(said)
        shutil.rmtree(cache / "serving" / vendor.NAME)
    (warning,) = (line for line in said if line.startswith("WARNING"))
    assert "CHANGED" in warning
    assert digests[0] in warning
    assert digests[1] in warning
    assert f"CHANGED: it was {digests[0]}" in how
    known = json.loads((cache / "serving" / proof.ARCHIVES).read_text())
    assert known[f"{vendor.NAME}.tar.gz"]["sha256"] == digests[1]


def test_a_password_in_the_mirrors_address_is_not_shown(
    mirror: vendor.Mirror, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    monkeypatch.setenv("SERVING_DOWNLOAD_URL", mirror.url.replace("://", "://me:secret@"))
    mirror.content = vendor.archive({"serving": Path("/bin/true").resolve()}, "other")
    said: list[str] = []
    for status in (404, 200):
        mirror.status = status
        with pytest.raises(BadInput) as caught:
            official.obtain("cpu", said.append, PATIENT)
        said.append(str(caught.value))
    said.append((cache / "serving" / proof.ARCHIVES).read_text())
    assert "secret" not in "\n".join(said)
    assert "answers 404 for http://***@127.0.0.1" in said[0]


@pytest.mark.parametrize("bundle", ["/no/such/bundle.pem", "/dev/null"])
def test_certificates_that_cannot_be_read_are_named(
    mirror: vendor.Mirror, monkeypatch: pytest.MonkeyPatch, bundle: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", bundle)
    with pytest.raises(BadInput, match=f"the certificates in {bundle} .SSL_CERT_FILE. cannot be"):
        official.obtain("cpu", print, PATIENT)


def test_what_a_killed_run_left_is_removed(mirror: vendor.Mirror, cache: Path) -> None:
    left = cache / "serving" / ".new-left"
    left.mkdir(parents=True)
    mirror.status = 404
    with pytest.raises(BadInput, match="404"):
        official.obtain("cpu", print, PATIENT)
    assert not left.exists()


_ON_A_SMALL_DISK = """
mount -t tmpfs -o size=1m none "$HARNESS_CACHE" || exit 77
exec "$@"
"""


@pytest.mark.parametrize("sized", [True, False], ids=["checked-first", "while-it-comes"])
def test_a_full_disk_is_one_sentence(mirror: vendor.Mirror, cache: Path, sized: bool) -> None:
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare here")
    cache.mkdir()
    mirror.sized = sized
    mirror.content = CONTENT * 20
    lead = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-r", "-m"]
    harness = [sys.executable, "-m", "harness", "serving-trial"]
    done = subprocess.run(
        [*lead, "sh", "-c", _ON_A_SMALL_DISK, "sh", *harness],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode == 77:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert ("MB free" if sized else "No space left") in done.stderr
    # Checked before the download began.
    assert len(mirror.asked) == (1 if sized else 2)


def test_a_terminal_shows_a_bar_and_ctrl_c_leaves_nothing(
    mirror: vendor.Mirror, cache: Path
) -> None:
    mirror.content = CONTENT
    mirror.bytes_per_s = 20_000
    primary, secondary = pty.openpty()
    run = subprocess.Popen(
        [sys.executable, "-m", "harness", "serving-trial"],
        stdin=secondary,
        stdout=secondary,
        stderr=secondary,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
        start_new_session=True,
    )
    os.close(secondary)
    seen = b""
    try:

        def bar() -> bool:
            nonlocal seen
            seen += os.read(primary, 4096)
            plain = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", seen)
            return re.search(rb"downloading .*\d\.\d/200\.0 kB \d+\.\d kB/s", plain) is not None

        wait_for(bar, "a progress bar", 30, last_seen=lambda: seen[-500:])
        os.killpg(run.pid, signal.SIGINT)
        assert run.wait(20) == 130
    finally:
        run.kill()
        run.wait()
        os.close(primary)
    assert [p.name for p in (cache / "serving").iterdir()] == ["lock"]
