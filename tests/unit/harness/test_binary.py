"""Which serving binary is chosen, and that it is said."""

from __future__ import annotations

import os
import shlex
import socket
import stat
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from harness.errors import BadInput
from harness.ports import free_port
from harness.serving import official
from harness.serving.binary import choose


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    cache = tmp_path / "cache"
    monkeypatch.setenv("HARNESS_CACHE", str(cache))
    monkeypatch.delenv("SERVING_BIN", raising=False)
    # Nothing answers there, so no test depends on the vendor's host.
    monkeypatch.setenv("SERVING_DOWNLOAD_URL", f"http://127.0.0.1:{free_port()}")
    return cache


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def vendor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A web server in the place of the vendor's; gives the folder it serves."""
    folder = tmp_path / "vendor"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("SERVING_DOWNLOAD_URL", f"http://127.0.0.1:{server.server_port}")
    yield folder
    server.shutdown()
    server.server_close()


def publish(vendor: Path, tmp_path: Path, member: str = "serving") -> str:
    """A real ELF program (this machine's `true`) packed as the vendor packs the server."""
    name = f"serving-{official.build_name('cpu')}-{official.VERSION}"
    with tarfile.open(vendor / f"{name}.tar.gz", "w:gz") as tar:
        tar.add(Path("/bin/true").resolve(), arcname=f"{name}/{member}")
    return name


def test_serving_bin_is_used_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVING_BIN", "/bin/true")
    for asked in ("auto", "official", "embedded"):
        binary = choose(asked)
        assert (binary.kind, str(binary.path)) == ("given", "/bin/true")
        assert "SERVING_BIN" in str(binary)


def test_a_serving_bin_that_is_not_there_is_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVING_BIN", "/no/such/serving")
    with pytest.raises(BadInput, match="SERVING_BIN=/no/such/serving is not an executable"):
        choose("auto")


def test_auto_ends_at_the_embedded_engine_and_says_why() -> None:
    binary = choose("auto")
    assert binary.kind == "embedded"
    assert binary.path == Path(sys.prefix) / "bin" / "embedded-serving"
    assert "not in the cache and 127.0.0.1" in str(binary)
    assert "does not answer" in str(binary)


def test_insisting_on_the_official_one_says_why_it_cannot_be_had() -> None:
    with pytest.raises(BadInput, match="does not answer"):
        choose("official")


def test_a_silent_host_does_not_hold_up_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("SERVING_DOWNLOAD_URL", url)
        assert official.unreachable_because("cpu", timeout_s=0.3) is not None


def test_an_unknown_choice_names_the_known_ones() -> None:
    with pytest.raises(BadInput, match="auto, embedded, official"):
        choose("offical")


@pytest.mark.parametrize("asked", ["auto", "official"])
def test_the_official_one_is_fetched_cured_and_kept(
    vendor: Path, tmp_path: Path, empty_cache: Path, asked: str
) -> None:
    name = publish(vendor, tmp_path)
    said: list[str] = []
    binary = choose(asked, say=said.append)
    assert binary.kind == "official"
    assert "downloaded" in str(binary)
    assert binary.path == empty_cache / "serving" / name / "serving-cured"
    assert any(name in line for line in said)
    # It runs, through a shell and from another folder, as the launcher starts it.
    done = subprocess.run(binary.environment_value, shell=True, cwd="/", check=False)
    assert done.returncode == 0
    (vendor / f"{name}.tar.gz").unlink()
    assert "found in the cache" in str(choose(asked))


@pytest.mark.parametrize("content", [b"", b"<html>not here</html>", b"\x1f\x8b\x08cut"])
def test_a_damaged_download_is_refused_and_nothing_is_kept(
    vendor: Path, empty_cache: Path, content: bytes
) -> None:
    name = f"serving-{official.build_name('cpu')}-{official.VERSION}"
    (vendor / f"{name}.tar.gz").write_bytes(content)
    with pytest.raises(BadInput, match="damaged"):
        choose("official")
    assert official.cached("cpu") is None
    assert [p.name for p in (empty_cache / "serving").iterdir()] == ["lock"]


@pytest.mark.parametrize("member", ["../outside", "lib/../../../outside"])
def test_a_member_that_leaves_the_folder_is_refused(
    vendor: Path, tmp_path: Path, empty_cache: Path, member: str
) -> None:
    publish(vendor, tmp_path, member)
    with pytest.raises(BadInput, match="does not belong"):
        choose("official")
    assert not list(empty_cache.rglob("outside"))


def test_a_path_with_a_space_is_quoted_for_the_launchers_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "my server" / "serving"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("SERVING_BIN", str(program))
    binary = choose("auto")
    assert shlex.split(binary.environment_value) == [str(program)]
    assert os.system(binary.environment_value) == 0
