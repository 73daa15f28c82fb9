"""`make docker-ready`: what it lists, what it does with ALLOW_INSTALL=1, also two of it at once."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

import pytest

from docker.bootstrap import install, mirrors
from harness.containers import bases, bootstrap, engine, readiness
from harness.support.errors import BadInput, Failed
from tests.docker.fleet import bootstrapped
from tests.unit.harness.containers.standins import HEALTHY, borrowed, docker, program

#: apt-cache of Debian 13, in short: the client and BuildKit are packages of their own.
TRIXIE = """\
case "$2" in
docker.io | docker-cli | docker-compose) echo "  Candidate: 26.1.5+dfsg1-9" ;;
docker-buildx) echo "  Candidate: 0.13.1+ds1-3" ;;
*) echo "  Candidate: (none)" ;;
esac"""


def ready(programs: Path) -> str:
    """What `ready` says on a machine with only these programs, where it ends with exit code 2."""
    # A cache of its own, where no Compose was brought to earlier.
    environment = {"PATH": str(programs), "HARNESS_CACHE": str(programs / "cache")}
    done = bootstrapped(environment)
    assert done.returncode == 2, done.stderr
    return done.stderr


def test_a_bare_debian_is_told_of_the_engine_and_of_compose_at_once(tmp_path: Path) -> None:
    borrowed(tmp_path, "uname")
    program(tmp_path, "apt-get", "exit 1")
    program(tmp_path, "apt-cache", TRIXIE)
    said = ready(tmp_path)
    words = "docker.io iptables debootstrap docker-cli docker-buildx"
    assert f"type: apt-get install -y {words}\n" in said
    assert "type: apt-get install -y docker-compose\n" in said
    assert "let it be done: `make docker-ready ALLOW_INSTALL=1`" in said


def test_a_system_without_apt_is_not_told_to_use_it(tmp_path: Path) -> None:
    borrowed(tmp_path, "uname")
    said = ready(tmp_path)
    assert "install Docker Engine with this system's own package manager" in said
    assert "install Docker Compose with this system's own package manager" in said
    assert "apt-get install" not in said
    assert "ALLOW_INSTALL" not in said


@pytest.mark.parametrize("has_debootstrap", [True, False])
def test_the_line_to_type_makes_the_same_base_image_as_the_harness_would(
    has_debootstrap: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = mirrors.Mirrors("http://mirror.example/debian", "http://security.example/security")
    monkeypatch.setattr(mirrors, "machine_mirrors", lambda: known)
    monkeypatch.setenv("PATH", str(tmp_path))
    if has_debootstrap:
        program(tmp_path, "debootstrap", "exit 1")
    ran: list[list[str]] = []
    monkeypatch.setattr(engine, "command", lambda argv, **_: ran.append(argv))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    typed = install._make_words("bookworm")
    program(tmp_path, "debootstrap", "exit 1")
    install.make_base("bookworm", lambda _: None)
    assert typed.endswith(" ".join(ran[0][2:]))
    assert ("apt-get install -y debootstrap && " in typed) is not has_debootstrap


def test_where_apt_names_no_debian_mirror_one_is_told_to_name_an_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none() -> mirrors.Mirrors:
        return mirrors.parse_sources(["deb http://mirror.example/ubuntu noble main\n"])

    monkeypatch.setattr(mirrors, "machine_mirrors", none)
    assert install._make_words("bullseye") == "name an image of yours in BASE_IMAGE_BULLSEYE"


def test_debian_13s_client_and_buildkit_are_installed_beside_its_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = docker(tmp_path / "installed", {**HEALTHY})
    log = tmp_path / "log"
    borrowed(tmp_path / "bin", "cp")
    copy = f'echo "$*" >>{log}; [ "$1" = update ] || cp {installed} {tmp_path}/bin/docker'
    program(tmp_path / "bin", "apt-get", copy)
    program(tmp_path / "bin", "apt-cache", TRIXIE)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    install._install_engine(lambda _: None)
    assert (
        log.read_text()
        .splitlines()[-1]
        .endswith(" docker.io iptables debootstrap docker-cli docker-buildx")
    )


def test_somebody_elses_apt_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The second time the lock is free.
    busy = "echo 'E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by 7' >&2; exit 100"
    times = f"echo >>{tmp_path}/times; [ -e {tmp_path}/free ] || {{ : >{tmp_path}/free; {busy}; }}"
    program(tmp_path, "apt-get", times)
    monkeypatch.setenv("PATH", str(tmp_path))
    said: list[str] = []
    install._apt(said.append, "update")
    assert said == ["another process uses apt: waiting for it"]
    assert len((tmp_path / "times").read_text().splitlines()) == 2


def test_an_apt_that_never_comes_free_is_named_with_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, "apt-get", "echo 'E: Could not get lock /l. It is held by 7' >&2; exit 100")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(install, "_APT_LOCK_DEADLINE_S", 0.0)
    with pytest.raises(Exception, match=r"(?s)to find apt's locks free.*It is held by 7"):
        install._apt(lambda _: None, "update")


def test_two_at_once_install_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "_LOCK", tmp_path / "lock")
    monkeypatch.setattr(readiness, "try_container", lambda _: None)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    both_saw_it = threading.Barrier(2, timeout=30)
    first_look = threading.local()
    done: list[str] = []

    def missing(_: object) -> list[install.Need]:
        if not hasattr(first_look, "over"):
            first_look.over = True
            both_saw_it.wait()
            return [need]
        return [] if done else [need]

    need = install.Need("an engine", "there is none", "…", lambda _: done.append("installed"))
    monkeypatch.setattr(install, "missing", missing)
    runs = [
        threading.Thread(target=install.ready, args=(lambda _: None, True), daemon=True)
        for _ in range(2)
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join(30)
        assert not run.is_alive()
    assert done == ["installed"]


def is_locked(suite: str, cache: Path) -> bool:
    """Whether somebody is getting the base image of that suite."""
    with (cache / "docker" / f"{suite}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_a_base_image_that_a_build_has_made_meanwhile_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    program(tmp_path / "bin", "debootstrap", "exit 1")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    looked: list[bool] = []
    made: list[str] = []

    def find(suite: str) -> str:
        looked.append(is_locked(suite, tmp_path))
        return bases.made_here(suite)

    monkeypatch.setattr(bases, "find", find)
    monkeypatch.setattr(install, "make_base", lambda suite, _: made.append(suite))
    install._base_need("bookworm").do(lambda _: None)
    assert (looked, made) == ([True], [])


def test_a_build_gets_its_base_image_under_the_same_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    looked: list[bool] = []

    def find(suite: str) -> str:
        looked.append(is_locked(suite, tmp_path))
        return bases.made_here(suite)

    monkeypatch.setattr(bases, "find", find)
    assert bases.ensure("bookworm", lambda _: None, False) == bases.made_here("bookworm")
    assert looked == [True]


@pytest.mark.parametrize("gives", [True, False], ids=["a-registry-gives-it", "none-gives-it"])
def test_a_base_image_that_is_named_is_pulled_before_anything_is_hashed(
    gives: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids: dict[str, str] = {bases.OFFICIAL["bookworm"]: "sha256:0"}
    monkeypatch.setenv("BASE_IMAGE_BOOKWORM", "registry.example/base:1")
    monkeypatch.setattr(engine, "image_id", ids.get)

    def pull(*words: str, **_: object) -> str:
        assert words == ("pull", "--quiet", "registry.example/base:1")
        if not gives:
            raise Failed("no such host")
        ids["registry.example/base:1"] = "sha256:1"
        return ""

    monkeypatch.setattr(engine, "docker", pull)
    found: Optional[str] = bases.find("bookworm")
    assert found is None
    if gives:
        assert bases.ensure("bookworm", lambda _: None, True) == "registry.example/base:1"
        assert bases.find("bookworm") == "registry.example/base:1"
        return
    for allow_install in (True, False):
        with pytest.raises(BadInput, match=r"BASE_IMAGE_BOOKWORM=registry\.example/base:1 is not"):
            bases.ensure("bookworm", lambda _: None, allow_install)


@pytest.fixture
def bare_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of PATH, for programs of a machine that has no engine."""
    borrowed(tmp_path / "bin", "uname")
    for name in ("HARNESS_COMPOSE", "DOCKER_HOST", "BASE_IMAGE_BOOKWORM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "bin"


def test_a_run_that_may_install_has_the_program_do_it(bare_path: Path) -> None:
    # On a system without apt the program can only say so.
    said: list[str] = []
    with pytest.raises(BadInput, match="no apt-get"):
        readiness.prepare(["bookworm"], said.append, True)
    # Only root gets as far as to begin.
    begun = any("Docker engine: there is no docker command" in line for line in said)
    assert begun == (os.geteuid() == 0)


def test_a_base_image_is_made_by_the_program_outside_the_lock(
    bare_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker(bare_path)
    asked: list[tuple[Sequence[str], bool]] = []

    def run(suites: Sequence[str], say: object) -> None:
        asked.append((suites, is_locked("bookworm", tmp_path / "cache")))

    monkeypatch.setattr(bootstrap, "run", run)
    bases.ensure("bookworm", lambda _: None, True)
    assert asked == [(["bookworm"], False)]


def test_the_program_refuses_a_suite_that_no_image_stands_on(bare_path: Path) -> None:
    with pytest.raises(BadInput, match="there is no base 'potato'; use some of bookworm"):
        bootstrap.run(["potato"], lambda _: None)
