"""Donefiles as they arrive: re-encoded and compressed manifests, and what is no manifest at all."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.decisions.machine import Event
from monitor.errors import BadOption, RemoteError
from monitor.manifest import MAX_BYTES, parse

from .answers import Answer, Answers
from .fixtures import TARBALL, Site, closing_all, manifest_of, model_files, options_for, tarball
from .kinds import Kind, make
from .processes import Here
from .stepping import MakeWatch, live, poll, release_in, until

PLAIN = manifest_of(7, b"the tarball", note="größe 模型")


@pytest.fixture
def tmp_path(in_memory: Path) -> Path:
    return in_memory


@pytest.fixture
def server() -> Iterator[Answers]:
    server = Answers()
    with closing_all(server):
        yield server


@pytest.mark.parametrize("form", ["UTF-16", "gzip"])
def test_a_tarball_that_is_not_the_announced_one_stays_out_of_every_remote(
    kind: Kind, watch: MakeWatch, tmp_path: Path, form: str
) -> None:
    packed = tarball(model_files(1))
    text = manifest_of(1, packed).decode()
    donefile = gzip.compress(text.encode()) if form == "gzip" else text.encode("utf-16")
    kind.place.publish(1, tarball(model_files(2)), donefile=donefile)
    one = watch(**kind.options)
    assert poll(one) is Event.REMOTE_FAILED
    assert "manifest" in str(one.reporter.error)
    assert not live(tmp_path).exists()
    kind.place.put(TARBALL, packed)
    assert until(one, Event.SWAPPED)
    assert release_in(live(tmp_path)) == 1


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(PLAIN)),
        ("x-gzip", gzip.compress(PLAIN)),
        ("deflate", zlib.compress(PLAIN)),
        ("deflate", zlib.compress(PLAIN)[2:-4]),
        ("gzip, gzip", gzip.compress(gzip.compress(PLAIN))),
        ("Deflate, GZIP", gzip.compress(zlib.compress(PLAIN))),
        # The server names a coding that it does not use.
        ("gzip", PLAIN),
        ("deflate", PLAIN),
        ("br", PLAIN),
        ("aws-chunked", PLAIN),
        ("identity", PLAIN),
        ("utf-8", PLAIN),
    ],
    ids=range(12),
)
def test_what_a_web_server_encodes_is_decoded(
    server: Answers, tmp_path: Path, coding: str, body: bytes
) -> None:
    server.by_path["/donefile"] = Answer(200, body, {"Content-Encoding": coding})
    with make(tmp_path / "local", general_host=server.url) as remote:
        seen = remote.look("donefile")
    assert seen is not None
    assert parse(seen.content) == parse(PLAIN)


@pytest.mark.usefixtures("quiet")
def test_a_donefile_without_a_manifest_is_decoded_or_taken_as_it_is(
    server: Answers, tmp_path: Path
) -> None:
    with make(tmp_path / "local", general_host=server.url) as remote:
        for coding, body, content in [
            ("gzip", gzip.compress(b"done"), b"done"),
            ("gzip", b"done", b"done"),
            ("gzip", b"", b""),
            ("br", b"", b""),
        ]:
            server.by_path["/donefile"] = Answer(200, body, {"Content-Encoding": coding})
            seen = remote.look("donefile")
            assert seen is not None
            assert seen.content == content, (coding, body)
        for cut in (gzip.compress(PLAIN)[:-9], gzip.compress(PLAIN)[:40]):
            server.by_path["/donefile"] = Answer(200, cut, {"Content-Encoding": "gzip"})
            with pytest.raises(RemoteError, match="its gzip stream is cut short or damaged"):
                remote.look("donefile")
        server.by_path["/donefile"] = Answer(200, b"\x0b\x02\x80", {"Content-Encoding": "br"})
        with pytest.raises(RemoteError, match="with Content-Encoding br, which was not asked for"):
            remote.look("donefile")


def test_a_check_gets_the_decoded_manifest(watch: MakeWatch, site: Site, tmp_path: Path) -> None:
    packed = tarball(model_files(1))
    text = manifest_of(1, packed).decode()
    site.publish(1, packed, donefile=text.encode("utf-16"))
    out = tmp_path / "out"
    command = f"sh -c 'printf %s \"$MONITOR_MANIFEST\" > {out}'"
    assert poll(watch(check_command=command)) is Event.SWAPPED
    assert out.read_text() == text


NO_MANIFESTS = {
    "empty": b"", "text": b"done\n", "a number": b"20261123", "bytes": bytes(range(256)),
    "other JSON": b'{"format": 7}', "cut": PLAIN[:-5], "too long": PLAIN + b" " * MAX_BYTES,
    "a page": b"<html>Sign in</html>",
}  # fmt: skip


@pytest.mark.parametrize("what", NO_MANIFESTS)
def test_require_manifest_refuses_anything_else(
    watch: MakeWatch, site: Site, tmp_path: Path, lines: list[str], what: str
) -> None:
    site.publish(1, donefile=NO_MANIFESTS[what])
    one = watch(require_manifest=True)
    assert poll(one) is Event.BAD_RELEASE
    size = len(NO_MANIFESTS[what])
    assert f"cannot use donefile: its {size} bytes are no manifest" in str(one.reporter.error)
    assert [path for path, _ in site.seen] == ["/donefile"]
    assert poll(one) is Event.QUARANTINED
    assert not any("are not checked" in line for line in lines)
    if what == "empty":
        # Without the option the very same donefile announces a release, as ever.
        assert poll(watch()) is Event.SWAPPED
    site.publish(2)
    assert poll(watch(require_manifest=True)) is Event.SWAPPED
    assert release_in(live(tmp_path)) == 2


def test_require_manifest_needs_a_tarball(tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="--require_manifest is given, but the release is a folder"):
        options_for(
            tmp_path, general_host="http://h", remote_model_name="m", unpacked_filename="",
            require_manifest=True,
        )  # fmt: skip


def test_a_manifest_that_is_gone_is_said_of_each_donefile_with_bytes(
    watch: MakeWatch, site: Site, lines: list[str]
) -> None:
    def said() -> list[str]:
        return [line for line in lines if "that are no manifest, but" in line]

    site.publish(1)
    one = watch()
    assert poll(one) is Event.SWAPPED
    site.put(TARBALL, b"not uploaded whole, so that release 1 stays")
    site.put("donefile", b"")
    poll(one)
    assert said() == []
    for number, donefile in enumerate((b"done", b'{"release": 2}'), 1):
        site.put("donefile", donefile)
        for _ in range(3):
            poll(one)
        assert len(said()) == number
    assert said()[0] == (
        f"WARNING donefile(donefile) holds 4 bytes that are no manifest, but release 1 in "
        f"{one.options.live} came with one; --require_manifest refuses such a donefile"
    )
    site.publish(2, donefile=b"now it is")
    assert until(one, Event.SWAPPED)
    site.publish(3, donefile=b"the release before had none either")
    assert until(one, Event.SWAPPED)
    assert len(said()) == 3


def test_each_model_of_a_file_has_the_options_of_its_own(
    here: Here, site: Site, tmp_path: Path
) -> None:
    files = {**model_files(1), "spm.model": b"a vocabulary"}
    site.publish(1, tarball(files), donefile=b"")
    (tmp_path / "local").mkdir()
    config = tmp_path / "monitors.toml"
    common = (
        f'general_host = "{site.url}"\nremote_path = "/"\nremote_model_name = "{TARBALL}"\n'
        f'remote_donefile_name = "donefile"\nlocal_path = "{tmp_path}/local"\nonce = true\n'
        'unpacked_filename = "uci_housing_model"\n'
    )
    models = {
        "strict": "require_manifest = true\nallow_ambiguous_model = true",
        "plain": "",
        "lax": "allow_ambiguous_model = true",
    }
    tables = "".join(
        f'[[model]]\nlocal_model_name = "{name}"\n{more}\n' for name, more in models.items()
    )
    config.write_text(common + tables)
    code, _, err = here("--config", str(config))
    assert code == 1
    assert "its 0 bytes are no manifest" in err
    assert "it has model.pdmodel and spm.model, and the filesystem's order of files decides" in err
    assert {p.name for p in (tmp_path / "local").iterdir() if p.name in models} == {"lax"}
