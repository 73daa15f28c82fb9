"""The public keys of ``--verify_signature``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..errors import BadOption

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_KEY = re.compile(rb"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", re.DOTALL)


def read_keys(path: str) -> list[Ed25519PublicKey]:
    """Return the Ed25519 public keys in a PEM file.

    Raises:
        BadOption: The file cannot be read, has no key or another kind of key, or cryptography is
            not installed.
    """
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ImportError:
        raise BadOption(
            "--verify_signature needs cryptography; in the checkout, type "
            "`pip install './monitor[signatures]'`"
        ) from None
    try:
        with open(path, "rb") as file:
            blocks = _KEY.findall(file.read(1024 * 1024))
    except OSError as error:
        raise BadOption(
            f"cannot read --verify_signature {path}: {error.strerror}; give a readable file"
        ) from None
    keys, wrong = [], "" if blocks else "no public key"
    for block in blocks:
        try:
            key = load_pem_public_key(block)
        except Exception as error:
            # Broken base64, a broken structure, a kind of key that the library does not know.
            wrong = f"a key that cannot be read ({type(error).__name__})"
            continue
        if isinstance(key, Ed25519PublicKey):
            keys.append(key)
        else:
            wrong = "a key of another kind"
    if wrong:
        raise BadOption(
            f"--verify_signature {path} has {wrong}; give Ed25519 public keys in PEM, as "
            "`openssl pkey -pubout` writes them"
        )
    return keys
