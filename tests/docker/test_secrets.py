"""What is handed over while an image is built or run is in none of its layers.

Each search is first tried on an image that leaks on purpose. A search that finds nothing there
proves nothing.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.containers import bases, builder, engine
from harness.support.errors import Failed
from harness.support.paths import repository_root
from tests.docker.fleet import healthy
from tests.docker.layers import places
from tests.http_server import HttpServer

pytestmark = pytest.mark.docker

LEAKS = {
    "a file": "COPY secret /secret",
    "a file that the next layer removes": "COPY secret /secret\nRUN rm /secret",
    "a compressed file": "COPY secret /secret\nRUN gzip /secret",
    "an environment variable": "ENV PASSWORD={word}",
    "a build argument": "ARG PASSWORD={word}\nRUN true",
    "a command": "RUN echo {word} > /dev/null",
    "a label": "LABEL password={word}",
}
# The other leaks are long forms, because the search finds them in the same ways.
SHORT_LEAKS = {"a file that the next layer removes", "a compressed file", "a command"}


@pytest.fixture
def base() -> str:
    return bases.ensure("bookworm", lambda _: None, False)


@pytest.fixture
def tag() -> Iterator[str]:
    """Yield an image's name; the test's end removes it and all images with a label of that name."""
    name = f"hot-loading-test/{secrets.token_hex(4)}"
    yield name
    engine.docker("image", "rm", "--force", name, check=False)
    # The old builder keeps the steps before one that failed.
    for _ in range(9):
        left = engine.docker("image", "ls", "--quiet", "--filter", f"label={name}").split()
        if not left:
            break
        engine.docker("image", "rm", "--force", *left, check=False)


@pytest.mark.parametrize(
    "leak",
    [
        pytest.param(leak, marks=[] if leak in SHORT_LEAKS else [pytest.mark.proof])
        for leak in LEAKS
    ],
)
def test_the_search_finds_a_secret_that_an_image_leaks(
    leak: str, base: str, tag: str, tmp_path: Path
) -> None:
    word = secrets.token_hex(12)
    context = tmp_path / "context"
    context.mkdir()
    (context / "secret").write_text(f"password={word}\n")
    dockerfile = f"FROM {base}\n{LEAKS[leak].format(word=word)}\n"
    (context / "Dockerfile").write_text(dockerfile)
    builder.build(context, tag)
    assert places(tag, word.encode(), tmp_path), f"{leak} was not found"


def test_the_ftp_password_is_in_no_layer_and_in_no_file_that_others_can_read(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    remote = healthy("ftp", request)
    password = remote.producer_environment["PRODUCER_FTP_PASSWORD"]
    image = remote.stack.variables["FTP_IMAGE"]
    assert places(image, password.encode(), tmp_path) == []
    # A file that the container writes while it runs would be in an image of the container.
    (container,) = engine.containers(remote.project)
    changed = engine.docker("diff", container).splitlines()
    assert [line for line in changed if line.startswith("A ")] == []
    assert remote.stack.settings_file.stat().st_mode & 0o077 == 0
    assert all(password not in log.read_text() for log in remote.logs)


def test_a_build_is_lent_the_proxy_and_its_password_stays_in_no_layer(
    base: str, tag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = f"http://user:{secrets.token_hex(12)}@proxy.example:3128"
    monkeypatch.setenv("ftp_proxy", proxy)
    context = tmp_path / "context"
    context.mkdir()
    digest = hashlib.sha256(proxy.encode()).hexdigest()
    (context / "Dockerfile").write_text(
        f'FROM {base}\nRUN printf %s "$ftp_proxy" | sha256sum | grep -q {digest}\n'
    )
    builder.build(context, tag)
    assert places(tag, proxy.encode(), tmp_path) == []


# -- a company's own certificate authority --------------------------------------------------------


@dataclass(frozen=True)
class Mirror:
    """An apt mirror behind https, its certificate signed by an unknown authority."""

    # Where it listens.
    address: str
    authority: Path


def openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=60)


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    """It has one package source without packages, which is all that `apt-get update` asks for."""
    folder = tmp_path / "mirror"
    (folder / "www").mkdir(parents=True)
    (folder / "www" / "Packages").write_text("")
    key, authority = str(folder / "ca.key"), folder / "ca.crt"
    openssl(
        *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", key),
        *("-out", str(authority), "-subj", f"/CN=A Company {secrets.token_hex(6)}"),
    )
    request, own, certificate = (str(folder / name) for name in ("s.csr", "s.key", "s.crt"))
    openssl(
        *("req", "-newkey", "rsa:2048", "-nodes", "-keyout", own, "-out", request),
        *("-subj", "/CN=127.0.0.1"),
    )
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    openssl(
        *("x509", "-req", "-in", request, "-CA", str(authority), "-CAkey", key, "-days", "2"),
        *("-CAcreateserial", "-extfile", str(folder / "names"), "-out", certificate),
    )

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, own)
    server = HttpServer(files=folder / "www")
    server.serve_tls(context)
    yield Mirror(server.url, authority)
    server.close()


def context_for(mirror: Mirror, base: str, tag: str, folder: Path) -> Path:
    """A build that does what ours do, `apt-install.sh` under the secret, with that mirror alone."""
    context = folder / "context"
    context.mkdir()
    script = repository_root() / "docker/base/apt-install.sh"
    (context / "apt-install.sh").write_text(script.read_text())
    (context / "Dockerfile").write_text(
        f"FROM {base}\n"
        f"LABEL {tag}=1\n"
        f"RUN rm -rf /etc/apt/sources.list /etc/apt/sources.list.d && \\\n"
        f"    echo 'deb [trusted=yes] {mirror.address} ./' > /etc/apt/sources.list\n"
        "COPY apt-install.sh /usr/local/sbin/\n"
        # dpkg is there already: apt has to reach its mirror, and no more.
        f"RUN {builder.SECRET} sh /usr/local/sbin/apt-install.sh dpkg\n"
    )
    return context


def with_buildkit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes a docker client that has BuildKit, wherever this machine has one; skips without."""
    for folder in ("", "/usr/bin:", "/usr/local/bin:"):
        with monkeypatch.context() as tried:
            tried.setenv("PATH", folder + os.environ["PATH"])
            found = builder.find().is_buildkit
        if found:
            monkeypatch.setenv("PATH", folder + os.environ["PATH"])
            return
    pytest.skip("no docker client here has BuildKit: certificates cannot be passed as a secret")


# The mirror listens on this machine's loopback address, so the build uses the host's network.
ON_THIS_HOST = ["--network", "host", "--no-cache"]


def test_a_build_reaches_a_mirror_behind_an_authority_and_keeps_nothing_of_it(
    mirror: Mirror, base: str, tag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_buildkit(monkeypatch)
    context = context_for(mirror, base, tag, tmp_path)
    line = mirror.authority.read_text().splitlines()[1].encode()
    with pytest.raises(Failed, match="certificate"):
        builder.build(context, tag, ON_THIS_HOST)
    # The build finds the bundle by a variable of the host's programs, without DOCKER_BUILD_CA.
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(mirror.authority))
    builder.build(context, tag, ON_THIS_HOST)
    assert places(tag, line, tmp_path) == []
    assert engine.docker("run", "--rm", tag, "grep", "^dpkg=", "/usr/share/hot-loading/apt.txt")


def test_the_old_builder_gets_authorities_only_when_asked_and_keeps_them(
    mirror: Mirror, base: str, tag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = builder.Builder(("build", "--force-rm"), (("DOCKER_BUILDKIT", "0"),), False)
    monkeypatch.setattr(builder, "find", lambda: old)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(mirror.authority))
    line = mirror.authority.read_text().splitlines()[1].encode()
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    with pytest.raises(Failed, match="certificate") as failure:
        builder.build(context_for(mirror, base, tag, first), tag, ON_THIS_HOST)
    assert "name your company's authorities in DOCKER_BUILD_CA" in str(failure.value)
    # The old builder keeps the container of a step that failed, unless it is told not to.
    ended = engine.docker("ps", "--all", "--filter", "exited=100", "--format", "{{.Command}}")
    assert "apt-install.sh" not in ended
    monkeypatch.setenv("DOCKER_BUILD_CA", str(mirror.authority))
    builder.build(context_for(mirror, base, tag, second), tag, ON_THIS_HOST)
    assert places(tag, line, tmp_path)
