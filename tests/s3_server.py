"""The S3 server of the tests: moto's, in an environment of its own, behind a gate."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Optional

import requests

from harness.faults.gate import INSIDE, Gate
from harness.support.ports import free_port
from harness.support.process import Process
from harness.support.waits import wait_for

ROOT = Path(__file__).parents[1]
ENVIRONMENT = ROOT / ".venv-s3"
PYTHON = ENVIRONMENT / "bin" / "python"
BUCKET = "models"
FOLDER = "housing"


def set_up() -> None:
    """Make the environment, unless it is there (7 s with what uv keeps, else a download)."""
    command = [sys.executable, "harness/setup/bootstrap.py", "s3"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"no S3 server: {done.stdout}{done.stderr}"


class S3:
    """A server with one bucket. What it holds is gone when it ends.

    Attributes:
        gate: What clients connect to.
        url: The server's address.
        remote_url: The folder that releases are published to, for ``--remote_url``.
    """

    def __init__(self, log: Path) -> None:
        self.port = free_port()
        self.gate = Gate([self.port])
        self.url = f"http://127.0.0.1:{self.port}"
        self.remote_url = f"s3://{BUCKET}/{FOLDER}"
        self._inside = f"http://{INSIDE}:{self.port}"
        words = [str(ENVIRONMENT / "bin" / "moto_server"), "-H", INSIDE, "-p", str(self.port)]
        self._process = Process("moto's S3 server", words, log=log)
        self._session = requests.Session()
        # moto lets a client with this header replace an object. It reads the header if guarded.
        scope = "any/20260101/us-east-1/s3/aws4_request"
        self._session.headers["Authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=any"
        )

    def __enter__(self) -> S3:
        self._process.start()
        self.gate.open()
        wait_for(
            lambda: self.call("PUT", BUCKET),
            "moto's S3 server",
            60,
            retry_on=(requests.ConnectionError,),
            alive=self._process.check,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()
        self.gate.close()
        self._process.stop()

    def call(self, method: str, path: str, data: object = b"") -> requests.Response:
        """Send a request past the gate, and return the answer, which is no error."""
        answer = self._session.request(method, f"{self._inside}/{path}", data=data, timeout=30)  # type: ignore[arg-type]
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer

    def put(self, name: str, content: bytes) -> None:
        """Put an object into the folder. Needs no credentials while nothing is ``guarded``."""
        self.call("PUT", f"{BUCKET}/{FOLDER}/{name}", content)

    def remove(self, name: str) -> None:
        """Remove an object from the folder."""
        self.call("DELETE", f"{BUCKET}/{FOLDER}/{name}")

    def last_modified(self, name: str) -> str:
        """Return the time of an object of the folder, in whole seconds, as S3 writes it."""
        return self.call("HEAD", f"{BUCKET}/{FOLDER}/{name}").headers["Last-Modified"]

    def requests(self, method: str, name: str) -> int:
        """Return how many such requests for an object of the folder came."""
        return self._process.log.read_text().count(f"{method} /{BUCKET}/{FOLDER}/{name} ")

    def guarded(self, unsigned: str) -> None:
        """Check the credentials of each request after the next ``unsigned`` ones."""
        self.call("POST", "moto-api/reset-auth", unsigned)

    def environment(self, key: Optional[tuple[str, str]] = ("any", "any")) -> dict[str, str]:
        """Return an environment for clients: with this key, or with no key."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        added = {"AWS_ENDPOINT_URL": self.url, "AWS_DEFAULT_REGION": "us-east-1"}
        if key is not None:
            added.update(AWS_ACCESS_KEY_ID=key[0], AWS_SECRET_ACCESS_KEY=key[1])
        return {**kept, **added}
