"""``--verify_signature``: only what the owner of a known key published is installed."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from monitor.decisions.machine import Event
from monitor.errors import BadOption
from monitor.manifest import MAX_BYTES

from .fixtures import Site, manifest_of, model_files, options_for, tarball
from .processes import Here, Start, general
from .stepping import MakeWatch, live, poll, release_in

ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
from cryptography.hazmat.primitives import serialization as pem  # noqa: E402


class Signer:
    """A key, and the releases that its owner publishes."""

    def __init__(self, site: Site, keys: Path) -> None:
        """``keys`` is the file of the monitor's ``--verify_signature``."""
        self.site = site
        self.keys = keys
        self._key = ed25519.Ed25519PrivateKey.generate()
        self.public: bytes = self._key.public_key().public_bytes(
            pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo
        )

    def sign(self, text: bytes) -> bytes:
        signature = base64.b64encode(self._key.sign(text)).decode()
        head, brace, end = text.decode().rpartition("}")
        return f'{head}, "signature": "{signature}"{brace}{end}'.encode()

    def publish(self, number: int) -> bytes:
        """Publish a signed release, and return its donefile."""
        packed = tarball(model_files(number))
        donefile = self.sign(manifest_of(number, packed) + b"\n")
        self.site.publish(number, packed, donefile=donefile)
        return donefile


@pytest.fixture
def signer(site: Site, tmp_path: Path) -> Signer:
    made = Signer(site, tmp_path / "release.pub")
    made.keys.write_bytes(made.public)
    return made


def test_a_signed_release_is_installed(watch: MakeWatch, signer: Signer, tmp_path: Path) -> None:
    signer.publish(1)
    one = watch(verify_signature=str(signer.keys))
    assert poll(one) is Event.SWAPPED
    assert poll(one) is Event.INSTALLED
    assert release_in(live(tmp_path)) == 1
    assert one.reporter.figures.untrusted == 0


def stripped(donefile: bytes) -> bytes:
    content = json.loads(donefile)
    del content["signature"]
    return json.dumps(content).encode()


def swapped(donefile: bytes) -> bytes:
    """Another release under the signature of this one."""
    other = json.loads(manifest_of(2, b"other"))
    return json.dumps({**other, "signature": json.loads(donefile)["signature"]}).encode()


def added(donefile: bytes) -> bytes:
    """A key behind the signature, which the signature does not cover."""
    return donefile.replace(b'"}', b'", "release": 9}')


REFUSED = {
    "stripped": (stripped, "the manifest of release 2 has no signature"),
    "swapped": (swapped, "none of the 1 known keys signed this text of release 2"),
    "changed": (
        lambda text: text.replace(b'"release": 2', b'"release": 3'),
        "none of the 1 known keys signed this text of release 3",
    ),
    "reformatted": (
        lambda text: json.dumps(json.loads(text), indent=1).encode(),
        "the manifest of release 2 has no signature",
    ),
    "added to": (added, "the manifest of release 9 has no signature"),
    "empty": (lambda _: b"", "it is no manifest, so nothing in it is signed"),
    "too long": (
        lambda text: text + b" " * MAX_BYTES,
        "it is no manifest, so nothing in it is signed",
    ),
}


@pytest.mark.parametrize("how", REFUSED)
def test_a_donefile_without_a_right_signature_is_refused(
    watch: MakeWatch, signer: Signer, tmp_path: Path, lines: list[str], how: str
) -> None:
    site = signer.site
    signer.publish(1)
    one = watch(verify_signature=str(signer.keys))
    assert poll(one) is Event.SWAPPED
    good = signer.publish(2)
    change, sentence = REFUSED[how]
    site.put("donefile", change(good))
    pulled = one.reporter.figures.bytes_pulled
    for _ in range(2):
        assert poll(one) is Event.UNTRUSTED
    said = [line for line in lines if f"ERROR cannot trust donefile: {sentence}" in line]
    assert len(said) == 1, lines
    assert release_in(live(tmp_path)) == 1
    assert one.reporter.figures.bytes_pulled == pulled, "a refused release was pulled"
    assert one.reporter.figures.untrusted == 1
    assert one.reporter.figures.failures_release == 1
    # The refusal leaves nothing behind that keeps the same release out.
    site.put("donefile", good)
    assert poll(one) is Event.SWAPPED
    assert one.reporter.figures.untrusted == 0


def test_status_says_which_donefile_is_refused_and_why(
    here: Here, watch: MakeWatch, signer: Signer, tmp_path: Path
) -> None:
    where = [f"--local_path={tmp_path}/local", "--local_model_name=uci_housing_model"]

    def untrusted() -> Any:
        return json.loads(here("status", "--json", *where)[1])["untrusted"]

    signer.publish(1)
    one = watch(verify_signature=str(signer.keys))
    assert poll(one) is Event.SWAPPED
    assert untrusted() is None
    good = signer.publish(2)
    signer.site.put("donefile", stripped(good))
    assert poll(one) is Event.UNTRUSTED
    assert untrusted().startswith(
        "cannot trust donefile: the manifest of release 2 has no signature"
    )
    signer.site.put("donefile", b"")
    assert poll(one) is Event.UNTRUSTED
    assert "untrusted: cannot trust donefile: it is no manifest" in here("status", *where)[1]
    one.end()
    # Another run finds a trusted donefile.
    signer.site.put("donefile", good)
    assert poll(watch(verify_signature=str(signer.keys))) is Event.SWAPPED
    assert untrusted() is None


def test_a_foreign_signature_is_refused(watch: MakeWatch, signer: Signer, tmp_path: Path) -> None:
    Signer(signer.site, signer.keys).publish(1)
    one = watch(verify_signature=str(signer.keys))
    assert poll(one) is Event.UNTRUSTED
    assert "none of the 1 known keys signed this text of release 1" in str(one.reporter.error)
    assert not live(tmp_path).exists()


def test_a_signed_manifest_with_another_tarball_is_pulled_in_vain(
    watch: MakeWatch, site: Site, signer: Signer
) -> None:
    packed = tarball(model_files(1))
    signed = signer.sign(manifest_of(1, packed))
    other = tarball(model_files(2))
    site.publish(2, other, donefile=signed)
    one = watch(verify_signature=str(signer.keys))
    assert poll(one) is Event.REMOTE_FAILED
    assert "manifest" in str(one.reporter.error)


def test_an_old_signed_release_is_refused_unless_a_pin_names_it(
    watch: MakeWatch, here: Here, signer: Signer, tmp_path: Path
) -> None:
    site = signer.site
    old = signer.publish(1)
    old_tarball = (site.root / "uci_housing.tar.gz").read_bytes()
    signer.publish(2)
    one = watch(verify_signature=str(signer.keys))
    assert poll(one) is Event.SWAPPED
    site.publish(1, old_tarball, donefile=old)
    assert poll(one) is Event.UNTRUSTED
    assert "it announces release 1 after release 2, as a replay would" in str(one.reporter.error)
    assert release_in(live(tmp_path)) == 2
    where = [f"--local_path={tmp_path}/local", "--local_model_name=uci_housing_model"]
    assert here("pin", "1", *where)[0] == 0
    assert poll(one) is Event.SWAPPED
    assert release_in(live(tmp_path)) == 1


def test_a_release_that_was_taken_out_cannot_be_replayed(
    watch: MakeWatch, here: Here, signer: Signer, tmp_path: Path
) -> None:
    site = signer.site
    one = watch(verify_signature=str(signer.keys), keep=1)
    signer.publish(1)
    assert poll(one) is Event.SWAPPED
    taken_out = signer.publish(2)
    tarball_of_2 = (site.root / "uci_housing.tar.gz").read_bytes()
    assert poll(one) is Event.SWAPPED
    where = [f"--local_path={tmp_path}/local", "--local_model_name=uci_housing_model"]
    assert here("rollback", *where)[0] == 0
    # A bad release 3 ends the hold.
    site.publish(3, b"no tarball", donefile=signer.sign(manifest_of(3, b"no tarball")))
    assert poll(one) is Event.BAD_RELEASE
    site.publish(2, tarball_of_2, donefile=taken_out)
    assert poll(one) is Event.UNTRUSTED
    assert release_in(live(tmp_path)) == 1


def test_after_a_pin_no_release_up_to_the_newest_is_replayed(
    watch: MakeWatch, here: Here, signer: Signer, tmp_path: Path
) -> None:
    site = signer.site
    kept = {}
    for number in (1, 2, 3):
        kept[number] = (
            signer.publish(number), (site.root / "uci_housing.tar.gz").read_bytes(),
        )  # fmt: skip
    one = watch(verify_signature=str(signer.keys))
    assert poll(one) is Event.SWAPPED
    where = [f"--local_path={tmp_path}/local", "--local_model_name=uci_housing_model"]
    assert here("pin", "1", *where)[0] == 0
    site.publish(1, kept[1][1], donefile=kept[1][0])
    assert poll(one) is Event.SWAPPED
    assert here("unpin", *where)[0] == 0
    site.publish(2, kept[2][1], donefile=kept[2][0])
    assert poll(one) is Event.UNTRUSTED
    assert release_in(live(tmp_path)) == 1


def test_a_refused_donefile_ends_a_row_of_failures_of_the_remote(
    watch: MakeWatch, site: Site, signer: Signer
) -> None:
    one = watch(verify_signature=str(signer.keys))
    one.reporter.figures.failures_in_a_row = 6
    signer.publish(1)
    site.put("donefile", b"unsigned")
    assert poll(one) is Event.UNTRUSTED
    assert one.reporter.figures.failures_in_a_row == 0
    (site.root / "donefile").unlink()
    assert poll(one) is Event.NO_DONEFILE
    assert one.reporter.figures.untrusted == 0


def test_an_old_signed_donefile_does_not_end_a_rollbacks_hold(
    watch: MakeWatch, here: Here, signer: Signer, tmp_path: Path
) -> None:
    site = signer.site
    one = watch(verify_signature=str(signer.keys), keep=1)
    old = signer.publish(1)
    assert poll(one) is Event.SWAPPED
    bad = signer.publish(2)
    assert poll(one) is Event.SWAPPED
    where = [f"--local_path={tmp_path}/local", "--local_model_name=uci_housing_model"]
    assert here("rollback", *where)[0] == 0
    for donefile in (old, stripped(bad), b"junk"):
        site.put("donefile", donefile)
        assert poll(one) is Event.UNTRUSTED
        site.put("donefile", bad)
        assert poll(one) is Event.HELD
    assert release_in(live(tmp_path)) == 1
    signer.publish(3)
    assert poll(one) is Event.SWAPPED


def test_keys_are_rotated_without_a_restart(
    watch: MakeWatch, signer: Signer, tmp_path: Path, lines: list[str]
) -> None:
    keys = signer.keys
    one = watch(verify_signature=str(signer.keys))
    signer.publish(1)
    assert poll(one) is Event.SWAPPED
    new = Signer(signer.site, keys)
    new.publish(2)
    assert poll(one) is Event.UNTRUSTED
    keys.write_bytes(signer.public + b"# the key of 2027\n" + new.public)
    assert poll(one) is Event.SWAPPED
    keys.unlink()
    new.publish(3)
    assert poll(one) is Event.SWAPPED
    assert any(
        "the last keys stay in use: cannot read --verify_signature" in line for line in lines
    )
    keys.write_bytes(new.public)
    signer.publish(4)
    assert poll(one) is Event.UNTRUSTED
    assert release_in(live(tmp_path)) == 3


def test_without_the_option_a_signature_changes_nothing(
    watch: MakeWatch, signer: Signer, tmp_path: Path
) -> None:
    Signer(signer.site, signer.keys).publish(2)
    one = watch()
    assert poll(one) is Event.SWAPPED
    signer.publish(1)
    assert poll(one) is Event.SWAPPED
    assert release_in(live(tmp_path)) == 1


def test_a_signed_manifest_may_be_compressed_or_in_utf_16(
    watch: MakeWatch, site: Site, signer: Signer
) -> None:
    signed = signer.publish(1)
    site.put("donefile", signed.decode().encode("utf-16"))
    assert poll(watch(verify_signature=str(signer.keys))) is Event.SWAPPED


def test_once_says_that_the_signature_is_wrong(
    start: Start, site: Site, signer: Signer, tmp_path: Path
) -> None:
    site.publish(1)
    one = start(*general(site, tmp_path), "--once", f"--verify_signature={signer.keys}")
    assert one.end() == 1
    assert one.text.count("cannot trust donefile: the manifest of release 1 has no signature") == 1


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "cannot read --verify_signature .*: No such file or directory; give a readable"),
        (b"", "has no public key; give Ed25519 public keys in PEM"),
        (
            b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
            "has a key that cannot be read",
        ),
        ("rsa", "has a key of another kind"),
    ],
    ids=["missing", "empty", "damaged", "another kind"],
)
def test_a_wrong_file_of_keys_is_one_sentence(
    tmp_path: Path, content: object, sentence: str
) -> None:
    file = tmp_path / "keys"
    if content == "rsa":
        from cryptography.hazmat.primitives.asymmetric import ec

        content = (
            ec.generate_private_key(ec.SECP256R1())
            .public_key()
            .public_bytes(pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo)
        )
    if isinstance(content, bytes):
        file.write_bytes(content)
    with pytest.raises(BadOption, match=sentence):
        options_for(tmp_path / "local", general_host="http://h", verify_signature=str(file))


def test_a_signature_needs_a_tarball(signer: Signer, tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="--verify_signature is given, but the release is a folder"):
        options_for(
            tmp_path, general_host="http://h", remote_model_name="m", unpacked_filename="",
            verify_signature=str(signer.keys),
        )  # fmt: skip


def test_openssl_and_sed_sign_as_the_page_says(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    """The commands of docs/how-to/sign.md, without the producer."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    page = Path(__file__).parents[3] / "docs" / "how-to" / "sign.md"
    blocks = [block.partition("```")[0] for block in page.read_text().split("```shell\n")[1:]]
    make, sign, check = (
        next(block for block in blocks if words in block)
        for words in ("genpkey", "pkeyutl -sign", "pkeyutl -verify")
    )
    site.publish(1)
    donefile = site.root / "donefile"
    shutil.copy(donefile, tmp_path / "donefile")
    for script in (make, sign, check):
        done = subprocess.run(
            ["sh", "-euc", script], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    assert "Signature Verified Successfully" in done.stdout
    one = watch(verify_signature=str(tmp_path / "release.pub"))
    assert poll(one) is Event.UNTRUSTED
    shutil.copy(tmp_path / "donefile", donefile)
    assert poll(one) is Event.SWAPPED
