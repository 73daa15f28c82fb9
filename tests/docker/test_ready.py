"""What a machine that lacks something is told: what, why, what to type. No engine needed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Optional

import pytest

from docker.bootstrap import install, mirrors
from harness.containers import authorities, builder, compose, engine
from harness.containers.hashing import content_hash
from harness.containers.packages import select
from harness.support.errors import BadInput
from harness.support.paths import repository_root
from harness.support.waits import wait_for
from tests.docker.fleet import bootstrapped, cli

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
    environment = bare(tmp_path, "true")
    # A Debian whose package lists are empty, as they are in its images.
    (tmp_path / "bin" / "apt-get").symlink_to("true")
    (tmp_path / "bin" / "apt-cache").symlink_to("true")
    done = bootstrapped(environment)
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
    found = mirrors.parse_sources(["# nothing\n", text])
    assert found.archive.endswith("://mirror.example/debian")
    assert (found.security is not None) == ("security" in text)


def test_without_a_debian_mirror_one_is_told_to_name_base_images() -> None:
    with pytest.raises(BadInput, match="BASE_IMAGE_BOOKWORM"):
        mirrors.parse_sources(["deb http://mirror.example/ubuntu jammy main\n"])


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


@pytest.mark.parametrize(
    "sources",
    [
        ONE_LINE.replace("//mirror", "//somebody:hush@mirror"),
        ONE_LINE.replace("//security", "//somebody:hush@security"),
        DEB822.replace("//mirror", "//somebody@mirror"),
    ],
    ids=["archive", "security", "user-only"],
)
def test_a_mirror_with_a_password_in_its_address_is_refused_and_not_repeated(sources: str) -> None:
    with pytest.raises(BadInput, match=r"the mirror (mirror|security)\.example") as refusal:
        mirrors.parse_sources([sources])
    assert "hush" not in str(refusal.value)
    assert "somebody" not in str(refusal.value)


@pytest.mark.parametrize("where", [1, 3], ids=["archive", "security"])
def test_the_script_that_makes_bases_refuses_such_a_mirror_too(where: int) -> None:
    words = ["bookworm", "http://mirror.example/debian", "tag", "http://security.example/debian"]
    words[where] = "http://somebody:hush@mirror.example/debian"
    script = repository_root() / "docker/base/make-base.sh"
    done = subprocess.run(
        ["sh", str(script), *words], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 2
    assert "the image would hold the user or the password" in done.stderr
    assert "hush" not in done.stderr


def test_a_script_that_is_ended_while_it_makes_a_base_leaves_no_folder(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    # A debootstrap that never ends, with its folder half made.
    (programs / "debootstrap").write_text('#!/bin/sh\nmkdir "$3"\n: >"$3/made"\nsleep 300\n')
    (programs / "debootstrap").chmod(0o755)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    script = repository_root() / "docker/base/make-base.sh"
    process = subprocess.Popen(
        ["sh", str(script), "bookworm", "http://mirror.example/debian", "tag"],
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "TMPDIR": str(scratch)},
        start_new_session=True,
    )
    try:
        wait_for(lambda: list(scratch.glob("*/root/made")), "the base to be begun", 30)
        os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(30) == 128 + signal.SIGTERM
    finally:
        process.kill()
    assert list(scratch.iterdir()) == []


PEM = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----"


def test_the_authorities_of_the_host_are_found_in_the_usual_places_each_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def file(name: str, *words: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("# a comment\n" + "\n".join(PEM.format(word) for word in words))
        return path

    for variable in ("SSL_CERT_FILE", "PIP_CERT", "CURL_CA_BUNDLE", "DOCKER_BUILD_CA"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(authorities, "_SYSTEM", (file("system.crt", "AAAA", "BBBB"),))
    local = file("local/company.crt", "CCCC", "AAAA")
    (local.parent / "company.key").write_text("-----BEGIN PRIVATE KEY-----\nhush\n")
    monkeypatch.setattr(authorities, "_LOCAL", local.parent)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(file("requests.pem", "DDDD")))
    monkeypatch.setenv("NODE_EXTRA_CA_CERTS", str(tmp_path / "nowhere.pem"))
    found = authorities.bundle()
    assert sorted(re.findall("[A-D]{4}", found)) == ["AAAA", "BBBB", "CCCC", "DDDD"]
    assert "hush" not in found
    monkeypatch.setenv("DOCKER_BUILD_CA", str(file("named.pem", "EEEE")))
    assert authorities.bundle() == PEM.format("EEEE") + "\n"


@pytest.mark.parametrize("content", [None, "no certificate\n"], ids=["none", "something-else"])
def test_a_build_certificate_that_is_none_is_bad_input(
    content: Optional[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bundle.pem"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv("DOCKER_BUILD_CA", str(path))
    with pytest.raises(BadInput, match=re.escape(f"DOCKER_BUILD_CA={path} ")):
        authorities.bundle()


def test_a_proxy_on_the_loopback_address_is_reached_through_the_hosts_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in builder._PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    assert builder._proxies() == []
    monkeypatch.setenv("no_proxy", "localhost")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    plain = ["--build-arg", "HTTPS_PROXY", "--build-arg", "no_proxy"]
    assert builder._proxies() == plain
    monkeypatch.setenv("http_proxy", "127.0.0.1:3128")
    assert builder._proxies() == ["--build-arg", "http_proxy", *plain, "--network", "host"]


def test_what_an_engine_says_when_it_refuses_is_passed_on(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="exit code 3: it hurts"):
        engine.command(["sh", "-c", "echo it hurts >&2; exit 3"], 5)


@pytest.mark.docker
def test_a_full_disk_is_one_sentence_that_says_where(tmp_path: Path) -> None:
    # /dev/full takes no byte: a folder of a run whose settings cannot be written.
    (tmp_path / "ftp").mkdir()
    (tmp_path / "ftp" / "compose.env").symlink_to("/dev/full")
    done = cli("up", "ftp", "--folder", str(tmp_path), environment=dict(os.environ))
    assert done.returncode == 1
    (sentence,) = done.stderr.splitlines()
    assert "No space left on device" in sentence
    assert "--folder" in sentence
