"""Finds what a machine lacks for containers, says what to type, and installs it if allowed.

Installs nothing on a machine that has an engine and Compose and whose registry answers.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from harness.containers import bases, compose, engine, readiness
from harness.support.errors import BadInput, Failed
from harness.support.paths import cache_dir, repository_root
from harness.support.waits import tail, wait_for

from . import mirrors

_APT_DEADLINE_S = 600.0
_APT_LOCK_DEADLINE_S = 300.0
_DAEMON_DEADLINE_S = 60.0
#: One lock for all checkouts on the machine; only root installs.
_LOCK = Path("/run/hot-loading-install.lock")
_SUITES = tuple(bases.OFFICIAL)
#: The Debian release whose Compose is a version 2 that needs nothing but libc.
_COMPOSE_SUITE = "trixie"
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


@dataclass(frozen=True)
class Need:
    """Something that is missing, and how to get it."""

    # What is missing.
    what: str
    # Why the program takes it for missing.
    why: str
    # The command that a person can type.
    type_this: str
    # Installs it; the argument prints a line.
    do: Callable[[Callable[[str], None]], None]

    def __str__(self) -> str:
        return f"{self.what}: {self.why}\n    type: {self.type_this}"


def missing(suites: Sequence[str] = _SUITES) -> list[Need]:
    """Return what is missing, in the order in which it has to be installed.

    ``suites`` are those whose base images are needed. Without an engine the base images cannot be
    checked, and are left out.
    """
    reason = engine.why_unusable()
    needs = [] if reason is None else [_engine_need(reason)]
    try:
        compose.command()
    except BadInput as error:
        if os.environ.get("HARNESS_COMPOSE"):
            raise
        needs.append(Need("Compose", str(error).split(";")[0], _compose_words(), bring_compose))
    if reason is None:
        needs += [_base_need(suite) for suite in suites if bases.find(suite) is None]
    return needs


def ready(say: Callable[[str], None], allow_install: bool, suites: Sequence[str] = _SUITES) -> None:
    """Returns when everything is there. Raises ``BadInput`` that says what to type otherwise."""
    for _ in range(8):
        compose.forget()
        needs = missing(suites)
        if not needs:
            readiness.try_container(suites)
            return
        need = needs[0]
        if need.what.startswith("base image"):
            # A registry that answers needs no permission: this is what any build does.
            suite = need.what.split()[-1]
            say(f"pulling {bases.wanted(suite)}")
            refusal = bases.pull(suite)
            if refusal is None:
                continue
            say(f"no registry gave it: {refusal}")
        if not allow_install:
            raise BadInput(
                "not ready for containers; do this:\n"
                + "\n".join(map(str, needs))
                + "\nor, as root on Debian, let it be done: `make docker-ready ALLOW_INSTALL=1`"
                * _has_apt()
            )
        if os.geteuid() != 0:
            raise BadInput(
                f"{need.what} is missing and ALLOW_INSTALL=1 needs root; as root: {need.type_this}"
            )
        say(f"{need.what}: {need.why}")
        with _alone():
            compose.forget()
            # The run that held the lock before may have done it.
            if need.what in (still.what for still in missing(suites)):
                need.do(say)
    left = "; ".join(need.what for need in missing(suites))
    raise Failed(
        f"still missing after the installation: {left}; `make docker-ready` says what to type"
    )


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Keep a second run from installing, or starting an engine, at the same time."""
    with _LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


# -- the engine -----------------------------------------------------------------------------------


def _engine_need(reason: str) -> Need:
    if os.environ.get("DOCKER_HOST"):
        raise BadInput(f"{reason}; unset DOCKER_HOST, or mend what it names")
    if shutil.which("docker") is None or shutil.which("dockerd") is None:
        words = _install_words("Docker Engine", _engine_packages())
        return Need("Docker engine", reason, words, _install_engine)
    if "permission denied" in reason.lower():
        words = "sudo usermod -aG docker $USER, then log in again"
        return Need("Docker engine", reason, words, _start_engine)
    return Need("Docker engine", reason, _start_words(), _start_engine)


def _has_systemd() -> bool:
    return Path("/run/systemd/system").is_dir()


def _start_words() -> str:
    if _has_systemd():
        return "systemctl start docker"
    return "setsid dockerd >/var/log/dockerd.log 2>&1 </dev/null &   (as root)"


def _has_apt() -> bool:
    return shutil.which("apt-get") is not None


def _install_words(what: str, packages: Sequence[str]) -> str:
    if _has_apt():
        return f"apt-get install -y {' '.join(packages)}"
    return f"install {what} with this system's own package manager (there is no apt-get)"


class _AptIsBusy(Failed):
    """Another process's apt holds a lock."""


def _apt(say: Callable[[str], None], *arguments: str) -> None:
    """Run apt-get; wait while another process uses it.

    For example, unattended-upgrades runs apt-get in a machine's first minutes. apt-get itself waits
    for dpkg's lock alone, and only if an option says so.
    """
    if not _has_apt():
        raise BadInput(
            "this is no Debian or Ubuntu (there is no apt-get); install Docker Engine and Compose "
            "with the system's own package manager"
        )
    said: list[str] = []

    def done() -> bool:
        try:
            engine.command(
                ["apt-get", *arguments],
                _APT_DEADLINE_S,
                environment={"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"},
            )
        except Failed as error:
            if "Could not get lock" not in str(error):
                raise
            if not said:
                said.append("another process uses apt: waiting for it")
                say(said[0])
            raise _AptIsBusy(str(error)) from None
        return True

    what = f"`apt-get {arguments[0]}` to find apt's locks free"
    wait_for(done, what, _APT_LOCK_DEADLINE_S, every_s=1.0, retry_on=(_AptIsBusy,))


def _engine_packages() -> list[str]:
    """Return the engine's packages; newer Debians package the client and BuildKit separately."""
    further = [name for name in ("docker-cli", "docker-buildx") if _candidate(name) is not None]
    return ["docker.io", "iptables", "debootstrap", *further]


def _install_engine(say: Callable[[str], None]) -> None:
    say("installing the Docker engine with apt-get")
    _apt(say, "update", "-qq")
    _apt(say, "install", "-y", "-qq", "--no-install-recommends", *_engine_packages())
    if engine.why_unusable() is not None:
        _start_engine(say)


def _start_engine(say: Callable[[str], None]) -> None:
    """Starts the daemon, which stays: it is a service of the machine, not of this run."""
    if _has_systemd():
        say("starting the Docker engine")
        engine.command(["systemctl", "start", "docker"], _DAEMON_DEADLINE_S)
        return
    log = Path("/var/log/dockerd.log")
    say(f"starting dockerd in the background; its log is {log}")
    with log.open("ab") as output:
        daemon = subprocess.Popen(
            ["dockerd"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def alive() -> None:
        if daemon.poll() is not None:
            raise Failed(
                f"dockerd ended with exit code {daemon.returncode}: this kernel or sandbox may "
                f"not allow containers\n--- last lines of {log}\n{tail(log, 6)}"
            )

    wait_for(
        lambda: engine.why_unusable() is None,
        "the Docker engine to answer",
        _DAEMON_DEADLINE_S,
        every_s=0.3,
        alive=alive,
        log=log,
    )


# -- Compose --------------------------------------------------------------------------------------


def candidate_version(policy: str) -> Optional[tuple[int, ...]]:
    """The candidate's version in the output of ``apt-cache policy PACKAGE``; None: no package."""
    found = re.search(r"Candidate:\s*(?:\d+:)?(\d+)\.(\d+)", policy)
    return None if found is None else tuple(int(part) for part in found.groups())


def _candidate(package: str) -> Optional[tuple[int, ...]]:
    """The version of a package that apt would install here, or None."""
    if shutil.which("apt-cache") is None:
        return None
    policy = engine.command(
        ["apt-cache", "policy", package], 60, check=False, environment={"LC_ALL": "C"}
    )
    return candidate_version(policy)


def _compose_package() -> Optional[str]:
    """The apt package that gives a Compose of version 2 here, or None."""
    for name in ("docker-compose-v2", "docker-compose-plugin", "docker-compose"):
        version = _candidate(name)
        if version is not None and version >= (2, 0):
            return name
    return None


def _compose_words() -> str:
    return _install_words("Docker Compose", [_compose_package() or "docker-compose"])


def bring_compose(say: Callable[[str], None]) -> None:
    """Install apt's Compose if that is version 2, else a newer Debian's, else apt's 1.29."""
    _apt(say, "update", "-qq")
    package = _compose_package()
    if package is not None:
        say(f"installing {package} with apt-get")
        _apt(say, "install", "-y", "-qq", "--no-install-recommends", package)
        return
    try:
        archive = mirrors.machine_mirrors().archive
        say(f"taking Compose 2 from Debian {_COMPOSE_SUITE} on this machine's mirror")
        _take_compose(archive)
    except (BadInput, Failed) as error:
        say(f"that did not work ({str(error).splitlines()[0]}); installing docker-compose 1.29")
        _apt(say, "install", "-y", "-qq", "--no-install-recommends", "docker-compose")


def _take_compose(mirror: str) -> None:
    """Takes one program out of a newer release's package, with apt's own signature checks.

    apt works on folders of its own here, so that the machine's package lists stay as they are.
    """
    if not _KEYRING.is_file():
        raise BadInput(
            f"{_KEYRING} is missing, so no signature can be checked; type as root: "
            "`apt-get install -y debian-archive-keyring`"
        )
    with tempfile.TemporaryDirectory(dir=cache_dir("docker"), prefix="apt-") as name:
        folder = Path(name)
        for inside in ("lists/partial", "cache/archives/partial", "root"):
            (folder / inside).mkdir(parents=True)
        sources = folder / "sources.list"
        sources.write_text(f"deb [signed-by={_KEYRING}] {mirror} {_COMPOSE_SUITE} main\n")
        options = {
            "Dir::Etc::SourceList": str(sources),
            "Dir::Etc::SourceParts": "/nonexistent",
            "Dir::State::Lists": str(folder / "lists"),
            "Dir::State::status": "/dev/null",
            "Dir::Cache": str(folder / "cache"),
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
        }
        apt = ["apt-get", "-qq"]
        for key, value in options.items():
            apt += ["-o", f"{key}={value}"]
        engine.command([*apt, "update"], _APT_DEADLINE_S)
        # `download` writes into the current folder and has no option for another one.
        engine.command(
            [
                "sh",
                "-c",
                'cd "$1" && shift && exec "$@"',
                "sh",
                name,
                *apt,
                "download",
                "docker-compose",
            ],
            _APT_DEADLINE_S,
        )
        package = next(folder.glob("docker-compose_*.deb"))
        engine.command(["dpkg-deb", "-x", str(package), str(folder / "root")], 60)
        program = folder / "root/usr/libexec/docker/cli-plugins/docker-compose"
        version = compose.version_of([str(program)])
        if version is None or version < (2, 0):
            raise Failed(f"the docker-compose of {_COMPOSE_SUITE} does not work on this machine")
        target = compose.brought()
        part = target.with_suffix(".part")
        shutil.copyfile(program, part)
        part.chmod(0o755)
        part.replace(target)


# -- base images ----------------------------------------------------------------------------------


def _base_need(suite: str) -> Need:
    def do(say: Callable[[str], None]) -> None:
        if shutil.which("debootstrap") is None:
            _apt(say, "update", "-qq")
            _apt(say, "install", "-y", "-qq", "--no-install-recommends", "debootstrap")
        # A build may be making it at this moment.
        with bases.locked(suite):
            if bases.find(suite) is None:
                make_base(suite, say)

    return Need(
        f"base image {suite}",
        f"the engine has neither {bases.wanted(suite)} nor {bases.made_here(suite)}",
        f"docker pull {bases.wanted(suite)}; where no registry answers, {_make_words(suite)}",
        do,
    )


def make_base(suite: str, say: Callable[[str], None]) -> str:
    """Makes the base with debootstrap (as root; about 40 s). Raises ``BadInput`` or ``Failed``."""
    if shutil.which("debootstrap") is None:
        raise BadInput("debootstrap is missing; as root: `apt-get install -y debootstrap`")
    name = bases.made_here(suite)
    if os.geteuid() != 0:
        raise BadInput(
            f"only root can make the base image {name} with debootstrap; {_make_words(suite)}"
        )
    sources = mirrors.machine_mirrors()
    say(f"making the base image {name} with debootstrap from this machine's mirror")
    script = repository_root() / "docker" / "base" / "make-base.sh"
    arguments = [suite, sources.archive, name]
    arguments += [sources.security] if sources.security else []
    engine.command(["sh", str(script), *arguments], deadline_s=900)
    return name


def _make_words(suite: str) -> str:
    """Return the command with which a person does what ``make_base`` does."""
    try:
        sources = mirrors.machine_mirrors()
    except BadInput:
        return f"name an image of yours in BASE_IMAGE_{suite.upper()}"
    words = [f"docker/base/make-base.sh {suite} {sources.archive} {bases.made_here(suite)}"]
    words += [sources.security] if sources.security else []
    first = "" if shutil.which("debootstrap") else "apt-get install -y debootstrap && "
    return f"as root: {first}{' '.join(words)}"
