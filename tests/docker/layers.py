"""Looking for a word in everything that an image is: each layer's files, configuration, history."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path


def places(image: str, words: bytes, scratch: Path) -> list[str]:
    """Return where an image has ``words``: ``LAYER: path``, or a file of its configuration.

    Files that a later layer removed count too, and so does the content of a gzip file.
    """
    saved = scratch / "image.tar"
    with saved.open("wb") as target:
        subprocess.run(["docker", "save", image], stdout=target, check=True, timeout=300)
    found = []
    try:
        with tarfile.open(saved) as outer:
            (manifest,) = json.load(_member(outer, "manifest.json"))
            layers = set(manifest["Layers"])
            for member in outer.getmembers():
                if not member.isfile() or member.name in layers:
                    continue
                # Configuration and history among them.
                if words in _member(outer, member.name).read():
                    found.append(member.name)
            for layer in manifest["Layers"]:
                found += [f"{layer}: {name}" for name in _in_layer(_member(outer, layer), words)]
    finally:
        saved.unlink()
    return found


def _member(outer: tarfile.TarFile, name: str) -> io.BufferedReader:
    file = outer.extractfile(name)
    assert file is not None, name
    return file  # type: ignore[return-value]


def _in_layer(layer: io.BufferedReader, words: bytes) -> Iterator[str]:
    # "r|*": a layer may be compressed, and is read once from its beginning to its end.
    with tarfile.open(fileobj=layer, mode="r|*") as tar:
        for member in tar:
            if words in member.name.encode() or words in member.linkname.encode():
                yield member.name
            elif member.isfile():
                file = tar.extractfile(member)
                assert file is not None
                content = file.read()
                if words in content or words in _unpacked(content):
                    yield member.name


def _unpacked(content: bytes) -> bytes:
    if not content.startswith(b"\x1f\x8b"):
        return b""
    try:
        return zlib.decompressobj(wbits=31).decompress(content)
    except zlib.error:
        return b""
