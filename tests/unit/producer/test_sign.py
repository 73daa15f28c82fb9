"""Signed manifests: the monitor trusts what the producer signs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization as pem
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from producer.cli import _settings
from producer.errors import BadInput
from producer.sign import read_key


def private(key: object, secret: bytes = b"") -> bytes:
    cipher = pem.BestAvailableEncryption(secret) if secret else pem.NoEncryption()
    text: bytes = key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, cipher)  # type: ignore[attr-defined]
    return text


def test_a_release_of_the_producer_is_installed_with_verify_signature(tmp_path: Path) -> None:
    key, www = Ed25519PrivateKey.generate(), tmp_path / "www"
    (tmp_path / "key").write_bytes(private(key))
    public = key.public_key().public_bytes(pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "pub").write_bytes(public)
    (tmp_path / "local").mkdir()
    produce = ["producer", f"--remote=file://{www}", "--passes=1", f"--work={tmp_path}/work"]
    install = [
        "monitor", "--once", "--type=fsspec", f"--remote_url=file://{www}",
        "--remote_model_name=uci_housing.tar.gz", "--remote_donefile_name=donefile",
        f"--local_path={tmp_path}/local", "--local_model_name=m",
        "--unpacked_filename=uci_housing_model", f"--verify_signature={tmp_path}/pub",
    ]  # fmt: skip
    for words in ([*produce, f"--sign_key={tmp_path}/key"], install):
        done = subprocess.run(
            [sys.executable, "-m", *words], capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "local" / "m" / "model.pdmodel").exists()


@pytest.mark.parametrize("what", ["missing", "text", "public", "another kind", "passphrase"])
def test_a_wrong_key_is_one_sentence(tmp_path: Path, what: str) -> None:
    path, key = tmp_path / "key", Ed25519PrivateKey.generate()
    content = {
        "text": b"no key",
        "public": key.public_key().public_bytes(
            pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo
        ),
        "another kind": private(X25519PrivateKey.generate()),
        "passphrase": private(key, b"secret"),
    }
    if what in content:
        path.write_bytes(content[what])
    with pytest.raises(BadInput) as caught:
        read_key(path)
    expected = "cannot be read: No such file" if what == "missing" else "is no Ed25519 private key"
    assert expected in str(caught.value)
    assert str(path) in str(caught.value)


def test_an_empty_donefile_cannot_be_signed() -> None:
    words = ["--remote=file:///nowhere", "--sign_key=key", "--donefile_format=empty"]
    with pytest.raises(BadInput, match="--sign_key signs a manifest"):
        _settings(words)
