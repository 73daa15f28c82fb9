"""A bare Debian 12, from nothing to containers: what `make docker-ready` says, and what it does.

The machine is a container with the capabilities that an engine of its own inside needs. It takes a
quarter of an hour and fetches what a new machine fetches: `make test-bare-docker`.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.containers import alive, authorities, bases, engine, sweep
from harness.containers.lifeline import Lifeline
from harness.support.paths import repository_root

pytestmark = [pytest.mark.docker, pytest.mark.proof, pytest.mark.timeout(2400)]

# What a person has to have for `make` itself (README); nothing of Docker among them.
PREREQUISITES = "make python3 python3-venv ca-certificates"
CAPABILITIES = ("SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "MKNOD")
# Where a company's machine has its authorities, and the variables for OpenSSL, pip and requests.
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
TRUST = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE")
CHECKOUT = "/root/hot-loading"


class Machine:
    """A container that behaves like a machine that is not set up yet."""

    def __init__(self, base: str, project: str) -> None:
        python = sys.base_prefix
        passed = [name for name in os.environ if name.lower().endswith("_proxy")]
        self.container = engine.docker(
            *("create", "--init", "--volume", "/var/lib/docker"),
            # The label of a Compose project, by which the lifeline finds the container.
            *("--label", f"{engine.PROJECT_LABEL}={project}"),
            # Not --privileged: a sandbox may refuse it because of a capability that is not needed.
            *(word for name in CAPABILITIES for word in ("--cap-add", name)),
            *("--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"),
            *("--security-opt", "systempaths=unconfined", "--cgroupns", "host"),
            *("--volume", "/sys/fs/cgroup:/sys/fs/cgroup"),
            # Debian 12 has no CPython 3.9, and this test is not about CPython.
            *("--volume", f"{python}:{python}:ro", "--env", f"PYTHON39={python}/bin/python3.9"),
            *(word for name in passed for word in ("--env", name)),
            *(word for name in TRUST for word in ("--env", f"{name}={BUNDLE}")),
            *(base, "sleep", "infinity"),
        )

    def run(self, command: str, deadline_s: float = 900) -> subprocess.CompletedProcess[str]:
        """Runs a shell command in the checkout."""
        argv = ["docker", "exec", "--workdir", CHECKOUT, self.container, "bash", "-c", command]
        return subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=deadline_s,
            check=False,
        )

    def do(self, command: str, deadline_s: float = 900) -> str:
        """Run a command that must succeed; return what it printed."""
        done = self.run(command, deadline_s)
        print(f"$ {command}\n{done.stdout}", flush=True)
        assert done.returncode == 0, f"`{command}` ended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def put(self, name: str, content: bytes) -> None:
        argv = ["docker", "exec", "--interactive", self.container]
        argv += ["sh", "-c", f'mkdir -p "$(dirname {name})" && cat > {name}']
        subprocess.run(argv, input=content, check=True, timeout=120)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    base = bases.ensure("bookworm", lambda _: None, False)
    project = engine.PROJECT_PREFIX + secrets.token_hex(5)
    alive.hold(project)
    # A container with such capabilities must not outlive a test run that was killed.
    line = Lifeline(project, tmp_path / "logs")
    try:
        made = Machine(base, project)
        engine.docker("start", made.container)
        files = subprocess.run(
            ["git", "ls-files", "-z"], cwd=repository_root(), capture_output=True, check=True
        ).stdout
        packed = subprocess.run(
            ["tar", "--null", "--files-from", "-", "--ignore-failed-read", "-cf", "-"],
            cwd=repository_root(),
            input=files,
            capture_output=True,
            check=True,
        ).stdout
        made.put("/tmp/checkout.tar", packed)
        engine.docker("exec", made.container, "mkdir", "-p", CHECKOUT)
        made.do("tar -xf /tmp/checkout.tar")
        # The company's authority, where Debian's administrators put it.
        bundle = authorities.bundle().encode()
        made.put("/usr/local/share/ca-certificates/company.crt", bundle)
        made.do(f"apt-get update -qq && apt-get install -y -qq {PREREQUISITES} >/dev/null 2>&1")
        made.put(BUNDLE, bundle)
        yield made
    finally:
        sweep.remove(engine.client(), project)
        line.let_go(done=not sweep.remove(engine.client(), project))
        alive.let_go(project)


def test_a_bare_machine_is_told_what_to_type_and_made_ready_on_demand(machine: Machine) -> None:
    refused = machine.run("make docker-ready")
    print(refused.stdout)
    assert refused.returncode == 2
    assert "type: apt-get install -y docker.io iptables debootstrap" in refused.stdout
    assert "make docker-ready ALLOW_INSTALL=1" in refused.stdout
    assert "Traceback" not in refused.stdout
    said = machine.do("make docker-ready ALLOW_INSTALL=1", 1500)
    assert "containers: ready in" in said
    assert "where the docs say `docker compose`, type `" in said
    # The second time there is nothing to do, and nothing is done.
    again = machine.do("make docker-ready")
    assert "installing" not in again
    machine.do(".venv/bin/python -m harness containers build http ftp", 600)
    up = "timeout --signal INT 60 .venv/bin/python -m harness containers up http ftp"
    shown = machine.run(f"{up}; true", 120).stdout
    assert "containers: up after" in shown, shown
    assert machine.do("docker ps --all --quiet") == ""
