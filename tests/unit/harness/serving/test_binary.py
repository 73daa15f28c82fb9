"""Which serving binary is chosen, and that it is said."""

from __future__ import annotations

import os
import shlex
import socket
import stat
import sys
import time
from pathlib import Path

import pytest

from harness.serving.choice import choose
from harness.support.errors import BadInput
from harness.support.ports import free_port
from tests.unit.harness.serving import vendor


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    cache = tmp_path / "cache"
    monkeypatch.setenv("HARNESS_CACHE", str(cache))
    monkeypatch.delenv("SERVING_BIN", raising=False)
    # Nothing answers there, so no test depends on the vendor's host.
    monkeypatch.setenv("SERVING_DOWNLOAD_URL", f"http://127.0.0.1:{free_port()}")
    return cache


def test_serving_bin_is_used_whatever_serving_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVING_BIN", "/bin/true")
    for asked in ("auto", "official", "embedded"):
        binary = choose(asked, tried="skip")
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
    assert "the official serving binary cannot be had: 127.0.0.1" in str(binary)
    assert "does not answer" in str(binary)
    assert "try again with `make serving-trial`" in str(binary)


def test_insisting_on_the_official_one_says_why_it_cannot_be_had() -> None:
    with pytest.raises(BadInput, match="does not answer"):
        choose("official")


def test_a_silent_host_does_not_hold_up_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("SERVING_DOWNLOAD_URL", url)
        begin = time.monotonic()
        binary = choose("auto")
    assert binary.kind == "embedded"
    assert "does not answer within 4 s" in binary.why
    assert time.monotonic() - begin < 60


def test_an_unknown_choice_names_the_known_ones() -> None:
    with pytest.raises(BadInput, match="auto, embedded, official"):
        choose("offical")


@pytest.mark.parametrize("member", ["../outside", "lib/../../../outside"])
def test_a_member_that_leaves_the_folder_is_refused(
    monkeypatch: pytest.MonkeyPatch, empty_cache: Path, member: str
) -> None:
    mirror = vendor.Mirror()
    mirror.content = vendor.archive({member: Path("/bin/true").resolve()})
    monkeypatch.setenv("SERVING_DOWNLOAD_URL", mirror.url)
    try:
        with pytest.raises(BadInput, match="does not belong"):
            choose("official")
    finally:
        mirror.close()
    assert not list(empty_cache.rglob("outside"))


def test_a_path_with_a_space_is_quoted_for_the_launchers_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "my server" / "serving"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("SERVING_BIN", str(program))
    binary = choose("auto", tried="skip")
    assert shlex.split(binary.environment_value) == [str(program)]
    assert os.system(binary.environment_value) == 0
