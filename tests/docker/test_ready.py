"""What a machine that lacks something is told: what, why, what to type. No engine needed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Optional

import pytest

from harness.containers import bases, compose, engine, install
from harness.containers.hashing import content_hash
from harness.containers.packages import select
from harness.errors import BadInput
from tests.docker.fleet import cli

ONE_LINE = """\
# deb http://commented.example/debian bookworm main
deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian bookworm main
deb http://security.example/debian-security bookworm-security main
"""
DEB822 = """\
Types: deb
URIs: https://mirror.example/debian/
Suites: bookworm
Components: main
"""
LOCK = """\
# a comment
alpha==1.0 \\
    --hash=sha256:aa \\
    --hash=sha256:ab
    # via beta
beta==2 ; python_version < "3.10" \\
    --hash=sha256:ba
beta==3 ; python_version >= "3.10" \\
    --hash=sha256:bb
alphabet==9 \\
    --hash=sha256:cc
"""


def bare(tmp_path: Path, *programs: str) -> dict[str, str]:
    """An environment in which only these programs are found."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for program in programs:
        found = shutil.which(program)
        assert found is not None, program
        (folder / program).symlink_to(found)
    keep = {key: value for key, value in os.environ.items() if key.startswith("HARNESS_CACHE")}
    return {**keep, "PATH": str(folder), "HOME": str(tmp_path)}


def test_a_machine_without_docker_is_told_what_to_type(tmp_path: Path) -> None:
    done = cli("ready", environment=bare(tmp_path))
    assert done.returncode == 2
    assert "there is no docker command" in done.stderr
    assert "type: apt-get install -y docker.io iptables debootstrap" in done.stderr
    assert "ALLOW_INSTALL=1" in done.stderr
    assert "Traceback" not in done.stderr


def test_bringing_up_a_remote_without_docker_is_one_sentence(tmp_path: Path) -> None:
    done = cli("up", "http", environment=bare(tmp_path))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "make docker-ready" in done.stderr


def test_an_engine_on_another_machine_is_refused_because_folders_are_shared(
    tmp_path: Path,
) -> None:
    environment = {**bare(tmp_path, "true"), "DOCKER_HOST": "tcp://elsewhere.example:2375"}
    (tmp_path / "bin" / "docker").symlink_to("/bin/true")
    done = cli("up", "http", environment=environment)
    assert done.returncode == 2
    assert "tcp://elsewhere.example:2375 is another machine" in done.stderr


def test_an_unknown_remote_or_image_is_bad_input(tmp_path: Path) -> None:
    done = cli("build", "nosuch", environment=bare(tmp_path))
    assert (done.returncode, "no image 'nosuch'" in done.stderr) == (2, True)


def test_a_compose_that_is_too_old_or_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_COMPOSE", "/bin/true")
    with pytest.raises(BadInput, match="HARNESS_COMPOSE=/bin/true is not a Compose"):
        compose.command()


@pytest.mark.parametrize("text", [ONE_LINE, DEB822], ids=["one-line", "deb822"])
def test_the_mirror_is_the_one_of_this_machines_apt_sources(text: str) -> None:
    mirrors = bases.parse_sources(["# nothing\n", text])
    assert mirrors.archive.endswith("://mirror.example/debian")
    assert (mirrors.security is not None) == ("security" in text)


def test_without_a_debian_mirror_one_is_told_to_name_base_images() -> None:
    with pytest.raises(BadInput, match="BASE_IMAGE_BOOKWORM"):
        bases.parse_sources(["deb http://mirror.example/ubuntu jammy main\n"])


@pytest.mark.parametrize(
    ("policy", "version"),
    [
        ("docker-compose:\n  Candidate: 1.29.2-3\n", (1, 29)),
        ("docker-compose:\n  Candidate: 2.26.1-4\n", (2, 26)),
        ("x:\n  Candidate: 1:2.3.4\n", (2, 3)),
        ("x:\n  Candidate: (none)\n", None),
        ("", None),
    ],
)
def test_a_package_counts_by_its_candidates_version(
    policy: str, version: Optional[tuple[int, int]]
) -> None:
    assert install.candidate_version(policy) == version


def test_an_images_hash_changes_with_every_byte_and_not_with_the_place(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        (folder / "__pycache__").mkdir(parents=True)
        (folder / "run.sh").write_text("true\n")
        (folder / "__pycache__" / "x.pyc").write_text(folder.name)
    same = content_hash([(".", one)], ["base"])
    assert content_hash([(".", other)], ["base"]) == same
    assert content_hash([(".", one)], ["another base"]) != same
    (other / "run.sh").chmod(0o755)
    assert content_hash([(".", other)], ["base"]) != same
    (other / "run.sh").chmod(0o644)
    (other / "run.sh").write_text("true \n")
    assert content_hash([(".", other)], ["base"]) != same
    (one / "run.sh").rename(one / "walk.sh")
    assert content_hash([(".", one)], ["base"]) != same


def test_packages_are_taken_out_of_a_lock_with_all_their_hashes() -> None:
    chosen = select(LOCK, ["beta", "alpha"])
    assert "alphabet" not in chosen
    assert [f"sha256:{h}" in chosen for h in ("aa", "ab", "ba", "bb", "cc")] == [True] * 4 + [False]


def test_a_package_that_the_lock_does_not_pin_is_refused() -> None:
    with pytest.raises(BadInput, match=r"names gamma, which whole\.txt does not pin"):
        select(LOCK, ["gamma"], "whole.txt")


def test_a_build_certificate_that_is_not_there_is_bad_input(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from harness.containers import images

    monkeypatch.setenv("DOCKER_BUILD_CA", "/no/such.pem")
    with pytest.raises(BadInput, match=r"DOCKER_BUILD_CA=/no/such\.pem is not a file"):
        images.ca_bundle()


def test_what_an_engine_says_when_it_refuses_is_passed_on(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="exit code 3: it hurts"):
        engine.command(["sh", "-c", "echo it hurts >&2; exit 3"], 5)
