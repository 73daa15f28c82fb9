"""The engine under ``python -m paddle_serving_server.serve`` itself, as people start it."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.conformance.serving.check_http import JSON, price
from harness.conformance.serving.checks import JSON_BODY, PRICE
from harness.conformance.serving.server import models
from harness.conformance.serving.wire import http
from harness.support import waits
from harness.support.ports import free_port, is_listening
from harness.support.process import Process
from tests.contract.engine.conftest import ENGINE


@contextmanager
def served(folder: Path, port: int, *options: str, **env: str) -> Iterator[Process]:
    shutil.copytree(models() / "uci", folder / "uci_housing_model")
    command = [sys.executable, "-m", "paddle_serving_server.serve", "--model", "uci_housing_model"]
    with Process(
        "serve.py",
        [*command, "--port", str(port), *options],
        log=folder / "launcher.log",
        cwd=folder,
        env={**os.environ, "SERVING_HOME": str(folder), "SERVING_BIN": str(ENGINE), **env},
    ) as process:
        yield process


def test_it_answers_on_the_loopback_address(tmp_path: Path) -> None:
    port = free_port()
    # An empty ENGINE_HOST counts as unset.
    with served(tmp_path, port, "--thread", "10", ENGINE_HOST="") as process:
        waits.wait_for(
            lambda: is_listening(port),
            "the engine to listen",
            60,
            alive=process.check,
            log=tmp_path / "launcher.log",
        )
        assert price(http(port, JSON_BODY, headers=JSON)) == PRICE
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), 5)
