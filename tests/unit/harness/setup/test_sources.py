"""What pip, Maven and the system are told about mirrors and authorities reaches uv and requests."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import os
import ssl
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from harness.setup import sources
from harness.support.places import ROOT
from tests.http_server import HttpServer

UV = Path(sys.prefix) / "bin" / "uv"
DEAD = "http://127.0.0.1:9"  # the discard port: no server listens there
INSTALL = """
import sys
from harness.setup import bootstrap
bootstrap.run(sys.argv[1:], "the cause is unknown")
"""


def authority_and_server(folder: Path) -> tuple[Path, Path]:
    """A certificate authority's bundle, and key with certificate of a server on 127.0.0.1."""
    now = datetime.datetime.now(datetime.timezone.utc)

    def certificate(
        name: str, key: ec.EllipticCurvePrivateKey, issuer: str, signer: ec.EllipticCurvePrivateKey
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=name == issuer, path_length=None), True)
        )
        if name != issuer:
            address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
            builder = builder.add_extension(x509.SubjectAlternativeName([address]), False)
        return builder.sign(signer, hashes.SHA256())

    root, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    bundle, pair = folder / "authority.pem", folder / "server.pem"
    pem = serialization.Encoding.PEM
    bundle.write_bytes(certificate("Company", root, "Company", root).public_bytes(pem))
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pair.write_bytes(private + certificate("server", key, "Company", root).public_bytes(pem))
    return bundle, pair


class Index:
    """A package index behind TLS with one package, ``tiny`` 1.0, and a Maven repository."""

    def __init__(self, folder: Path) -> None:
        self.bundle, pair = authority_and_server(folder)
        site = folder / "site"
        (site / "simple" / "tiny").mkdir(parents=True)
        wheel = site / "simple" / "tiny" / "tiny-1.0-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("tiny.py", "")
            info = "tiny-1.0.dist-info"
            archive.writestr(
                f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n"
            )
            archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            archive.writestr(f"{info}/RECORD", "")
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        link = f'<a href="{wheel.name}#sha256={digest}">{wheel.name}</a>'
        (site / "simple" / "tiny" / "index.html").write_text(link)

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair)
        self._server = HttpServer(files=site)
        self._server.serve_tls(context)
        self.url = f"{self._server.url}/simple"

    def close(self) -> None:
        self._server.close()


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    made = Index(tmp_path_factory.mktemp("index"))
    yield made
    made.close()


def install(home: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Installs ``tiny`` with uv as the set-up does, with these variables and nothing of ours."""
    home.mkdir(exist_ok=True)
    words = [str(UV), "pip", "install", "--python", sys.executable, "--target", f"{home}/t", "tiny"]
    return subprocess.run(
        [sys.executable, "-c", INSTALL, *words],
        cwd=ROOT,
        env={"HOME": str(home), "PATH": "/usr/bin:/bin", "UV_HTTP_RETRIES": "0", **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_uv_uses_the_index_and_the_bundle_of_pip_conf(index: Index, tmp_path: Path) -> None:
    conf = tmp_path / "home" / ".config" / "pip" / "pip.conf"
    conf.parent.mkdir(parents=True)
    conf.write_text(f"[global]\nindex-url = {index.url}\ncert = {index.bundle}\n")
    done = install(tmp_path / "home")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "home" / "t" / "tiny.py").exists()


def test_uv_uses_the_index_and_the_bundle_of_pips_variables(index: Index, tmp_path: Path) -> None:
    done = install(tmp_path / "home", PIP_INDEX_URL=index.url, PIP_CERT=str(index.bundle))
    assert done.returncode == 0, done.stderr
    trusting = install(
        tmp_path / "other",
        PIP_EXTRA_INDEX_URL=index.url,
        PIP_INDEX_URL=index.url,
        PIP_TRUSTED_HOST="127.0.0.1",
    )
    assert trusting.returncode == 0, trusting.stderr


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({}, "signed by an authority that is not known here: give the bundle"),
        ({"PIP_PROXY": DEAD}, "the proxy does not let this through or does not answer"),
        ({"HTTPS_PROXY": DEAD}, "does not answer: correct HTTPS_PROXY (docs/setup.md)"),
        ({"PIP_INDEX_URL": "https://no.such.host.invalid/simple"}, "the host's name is not res"),
        ({"PIP_INDEX_URL": "https://127.0.0.1:9/simple"}, "the other side does not answer: go on"),
        ({"PIP_INDEX_URL": "{url}/nothing", "PIP_CERT": "{bundle}"}, "the mirror or index does n"),
        ({"UV_CACHE_DIR": "/dev/null/no"}, "uv's cache in /dev/null/no ("),
    ],
)
def test_the_cure_is_for_the_cause(
    index: Index, tmp_path: Path, variables: dict[str, str], sentence: str
) -> None:
    given = {
        name: value.format(url=index.url, bundle=index.bundle) for name, value in variables.items()
    }
    done = install(tmp_path / "home", **{"PIP_INDEX_URL": index.url, **given})
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert sentence in last, done.stderr


@pytest.mark.parametrize("login", ["me:secret", "secret", "me:se@cret", "me:se%40cret"])
def test_a_login_in_an_address_is_masked(login: str) -> None:
    text = sources.masked(f"GET https://{login}@host/a?b=c@d and http://host/a@b?c")
    assert text == "GET https://***@host/a?b=c@d and http://host/a@b?c"


def test_no_password_of_an_index_is_printed(tmp_path: Path) -> None:
    done = install(tmp_path / "home", PIP_INDEX_URL="https://me:secret@127.0.0.1:9/simple")
    assert done.returncode == 2
    assert "secret" not in done.stdout + done.stderr


@pytest.fixture
def plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without settings; gives the home folder."""
    for name in list(os.environ):
        if name.startswith(("PIP_", "UV_", "SSL_", "MAVEN", "M2_", "XDG_")) or "PROXY" in name:
            monkeypatch.delenv(name)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    # Else the machine's own settings count.
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_what_the_user_says_to_uv_stays(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://pip.example/simple")
    assert sources.uv_environment()["UV_DEFAULT_INDEX"] == "https://pip.example/simple"
    assert sources.uv_environment()["UV_SYSTEM_CERTS"] == "true"
    monkeypatch.setenv("UV_INDEX_URL", "https://uv.example/simple")
    monkeypatch.setenv("SSL_CERT_FILE", "/my/bundle.pem")
    told = sources.uv_environment()
    assert not {"UV_DEFAULT_INDEX", "UV_SYSTEM_CERTS", "UV_NATIVE_TLS"} & set(told)
    assert told["REQUESTS_CA_BUNDLE"] == "/my/bundle.pem"


def test_an_index_in_uv_toml_goes_before_pips(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://pip.example/simple")
    (plain / ".config" / "uv").mkdir(parents=True)
    (plain / ".config" / "uv" / "uv.toml").write_text('index-url = "https://uv.example/simple"\n')
    assert "UV_DEFAULT_INDEX" not in sources.uv_environment()


def test_the_mirror_of_settings_xml_is_used_with_its_login(
    plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sources.maven_mirror() is None or sources.maven_mirror().where.startswith("/etc")  # type: ignore[union-attr]
    monkeypatch.setenv("MIRROR_PASSWORD", "s@cret")
    (plain / ".m2").mkdir()
    (plain / ".m2" / "settings.xml").write_text(
        '<settings xmlns="http://maven.apache.org/SETTINGS/1.0.0"><servers><server><id>ours</id>'
        "<username>me</username><password>${env.MIRROR_PASSWORD}</password></server></servers>"
        "<mirrors><mirror><id>other</id><mirrorOf>jboss</mirrorOf><url>https://no</url></mirror>"
        "<mirror><id>ours</id><mirrorOf>*,!internal</mirrorOf><url>https://maven.example/all/</url>"
        "</mirror></mirrors></settings>"
    )
    found = sources.maven_mirror()
    assert found is not None
    assert found.value == "https://me:s%40cret@maven.example/all"
    assert sources.masked(found.value) == "https://***@maven.example/all"
    monkeypatch.setenv("MAVEN_MIRROR", "https://mine.example/")
    assert sources.maven_mirror() == sources.Setting("https://mine.example", "MAVEN_MIRROR")
