"""Finds the signed part of a manifest, and checks whether a known key signed it.

A signed donefile is a manifest with ``, "signature": "BASE64"`` before its last brace. The
signature covers the bytes of the text (UTF-8) without this part. So any tool can make and check a
signature. A reader that knows no signatures can ignore this key.

Values in, values out.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Optional

from ..errors import ReleaseError
from ..manifest import Manifest, parse

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_SIGNED = re.compile(r'(.*), "signature": "([A-Za-z0-9+/]{86}==)"(\}\s*)\Z', re.DOTALL)
_OR = "or leave out --verify_signature"


def signed_manifest(
    found: Optional[Manifest], keys: Sequence[Ed25519PublicKey], donefile: str
) -> Manifest:
    """Return the manifest in the signed part of ``found``.

    Args:
        found: The donefile's manifest; None if it has none.
        keys: The keys that may sign.
        donefile: The donefile's name, for the message.

    Raises:
        ReleaseError: None of the keys signed the manifest.
    """
    if found is None:
        raise ReleaseError(
            "trust", donefile, "it is no manifest, so nothing in it is signed",
            f"publish a signed manifest, {_OR}",
        )  # fmt: skip
    parts = _SIGNED.match(found.text)
    if parts is None:
        raise ReleaseError(
            "trust", donefile, f"the manifest of release {found.release} has no signature",
            f"publish it signed, {_OR}",
        )  # fmt: skip
    text = (parts[1] + parts[3]).encode("utf-8", "surrogatepass")
    signed = parse(text)
    if signed is None or not any(_made(key, base64.b64decode(parts[2]), text) for key in keys):
        raise ReleaseError(
            "trust",
            donefile,
            f"none of the {len(keys)} known keys signed this text of release {found.release}",
            "publish it signed with a known key, or add the producer's public key to the file that "
            "--verify_signature names",
        )
    return signed


def _made(key: Ed25519PublicKey, signature: bytes, text: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(signature, text)
    except InvalidSignature:
        return False
    return True
