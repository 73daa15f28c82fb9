"""What all tests share: releases made once by the real producer, and a certificate."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

# Last in the path: where the monitor is installed alone, the tests import the installed one. The
# harness's parts (ports, processes) always come from this checkout.
sys.path.append(str(Path(__file__).resolve().parents[1]))
# The runs of the tests are no part of the summary that GitHub shows of a workflow.
os.environ.pop("GITHUB_STEP_SUMMARY", None)
# A background job of a shell ignores SIGINT. The programs that a test starts inherit this.
signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass(frozen=True)
class Releases:
    """Three releases as the producer made them: ``folder/releases/N`` and ``folder/client``."""

    folder: Path
    # The producer's events.
    published: tuple[dict[str, Any], ...]

    def model(self, release: int) -> Path:
        """The model folder of a release, in Serving's format."""
        return self.folder / "releases" / str(release) / "uci_housing_model"


@pytest.fixture(scope="session")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Releases:
    """Trained and exported once in a test run, whatever the number of workers."""
    # Under pytest-xdist the parent of the base folder is the run's, common to its workers.
    shared = tmp_path_factory.getbasetemp()
    if "popen-gw" in shared.name:
        shared = shared.parent
    folder = shared / "producer-releases"
    folder.mkdir(exist_ok=True)
    events = folder / "events.jsonl"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not events.exists():
            command = [sys.executable, "-m", "producer", "--remote", f"file://{folder}/www"]
            command += ["--passes", "3", "--interval", "0", "--work", str(folder / "work")]
            command += ["--events", str(events)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
            assert done.returncode == 0, f"the producer failed: {done.stdout}{done.stderr}"
    published = tuple(json.loads(line) for line in events.read_text().splitlines())
    assert len(published) == 3
    return Releases(folder / "work", published)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificate and key for 127.0.0.1 in one PEM file."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl here to make a certificate with")
    folder = tmp_path_factory.mktemp("certificate")
    pem, key = folder / "both.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext",
         "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(pem)],
        check=True, capture_output=True,
    )  # fmt: skip
    pem.write_text(pem.read_text() + key.read_text())
    return pem
