"""Releases in a folder: what the harness must know about each release before it is published.

A manifest has the expected prediction. Without a manifest, Paddle Inference computes it.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from harness.conformance.monitor import releases
from harness.support.errors import BadInput


@dataclass(frozen=True)
class ReadyRelease:
    """One release.

    Attributes:
        folder: Holds the tarball and a donefile, which may be empty.
        model: The model, unpacked.
        client: The client's configuration.
        content: The keys ``probe``, ``fetches`` and ``size`` of a manifest.
    """

    folder: Path
    model: Path
    client: Path
    content: dict[str, Any]


def ready_releases(folder: Path, work: Path) -> tuple[ReadyRelease, ...]:
    """Return the releases in the subfolders of ``folder``, in the order of their numbers.

    Args:
        folder: Its subfolders hold a ``.tar.gz`` each, and a ``donefile`` or none.
        work: Takes what is unpacked.

    Raises:
        BadInput: There is none, or one of them cannot be published.
    """
    if not folder.is_dir():
        raise BadInput(f"--releases-from {folder} is no folder; name one with a folder a release")
    found = [path for path in folder.iterdir() if any(path.glob("*.tar.gz"))]
    found.sort(key=lambda path: [int(n) for n in re.findall(r"\d+", path.name)] or [0])
    if len(found) < 2:
        raise BadInput(
            f"--releases-from {folder} holds {len(found)} folders with a .tar.gz; a run needs 2"
        )
    if len({next(path.glob("*.tar.gz")).name for path in found}) > 1:
        raise BadInput(f"--releases-from {folder}: the tarballs have different names; use one name")
    made = [_made(path.absolute(), work / path.name) for path in found]
    silent = [release for release in made if not release.content.get("probe")]
    if silent:
        told = [release for release in made if release.content.get("probe")]
        feed = work / "feed.json"
        if told:
            feed.write_text(json.dumps(told[0].content["probe"]["feed"]))
        answers = _asked([release.model for release in silent], feed if told else None)
        for release, answer in zip(silent, answers):
            release.content.update(answer)
    return tuple(made)


def _made(folder: Path, work: Path) -> ReadyRelease:
    (tarball, *more) = folder.glob("*.tar.gz")
    if more:
        raise BadInput(f"{folder} holds several .tar.gz; leave one in each release")
    try:
        top, members = releases.unpacked(tarball.read_bytes())
    except (OSError, EOFError, ValueError, tarfile.TarError) as error:
        raise BadInput(f"{tarball} cannot be unpacked: {error}; pack it again") from None
    model, client = work / top, work / "client"
    for path, data in members.items():
        target = model / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    client.mkdir(parents=True, exist_ok=True)
    for suffix in ("prototxt", "stream.prototxt"):
        data = members.get(f"serving_server_conf.{suffix}", b"")
        # Upstream's exporter writes the same message for the server and for the client.
        (client / f"serving_client_conf.{suffix}").write_bytes(data)
    donefile = folder / releases.DONEFILE_NAME
    if not donefile.exists():
        # The folder may be somebody else's.
        (work / "published").mkdir(exist_ok=True)
        folder = work / "published"
        (folder / tarball.name).write_bytes(tarball.read_bytes())
        (folder / releases.DONEFILE_NAME).write_bytes(b"")
    content = _manifest(donefile)
    return ReadyRelease(folder, model, client, {**content, "size": tarball.stat().st_size})


def _manifest(donefile: Path) -> dict[str, Any]:
    """Return the manifest in a donefile; nothing if it is none of ours."""
    try:
        content = json.loads(donefile.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) and "probe" in content else {}


def _asked(models: Sequence[Path], feed: Optional[Path]) -> list[dict[str, Any]]:
    """Return what each model predicts, as a manifest has it. Raises ``BadInput``."""
    command = [sys.executable, "-m", "producer.probe", *map(str, models)]
    command += [] if feed is None else ["--feed", str(feed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise BadInput(f"a release of --releases-from predicts nothing: {said}")
    probes = [json.loads(line) for line in done.stdout.splitlines()[-len(models) :]]
    return [
        {"probe": probe, "fetches": [{"alias": alias} for alias in probe["expected"]]}
        for probe in probes
    ]


def flat(value: Any) -> list[float]:
    """Return the numbers of nested lists in their order."""
    if isinstance(value, list):
        return [number for item in value for number in flat(item)]
    return [float(value)]
