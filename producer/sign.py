"""Signs manifests, so that a monitor can check who published a release."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import BadInput, ProducerError
from .manifest import MAX_BYTES

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def read_key(path: Path) -> Ed25519PrivateKey:
    """Return the Ed25519 private key in a PEM file. Raises ``BadInput``."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise BadInput(
            f"--sign_key {path} cannot be read: {error.strerror}; name a private key in PEM"
        ) from None
    except Exception:
        # Broken base64, a passphrase, a kind of key that the library does not know.
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise BadInput(
            f"--sign_key {path} is no Ed25519 private key without a passphrase; make one with "
            f"`openssl genpkey -algorithm ed25519 -out {path}`"
        )
    return key


def signed(donefile: bytes, key: Ed25519PrivateKey) -> bytes:
    """Return a donefile with a signature in front of its last brace. It covers all other bytes.

    Args:
        donefile: A manifest that ends in a brace and a line end.
        key: The key that signs.

    Raises:
        ProducerError: The signed donefile is larger than a manifest may be.
    """
    signature = base64.b64encode(key.sign(donefile))
    whole = donefile.removesuffix(b"}\n") + b', "signature": "' + signature + b'"}\n'
    if len(whole) > MAX_BYTES:
        raise ProducerError(
            f"the signed manifest has {len(whole)} bytes, and a monitor reads {MAX_BYTES}; "
            "publish a model with a smaller probe"
        )
    return whole
