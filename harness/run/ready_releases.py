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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Optional

from harness.conformance.monitor import releases
from harness.support.errors import BadInput
from monitor.errors import ReleaseError
from monitor.options.fields import Options
from monitor.release import archive
from monitor.release.model import added_by_macos


@dataclass(frozen=True)
class ReadyRelease:
    """One release.

    Attributes:
        folder: Holds the tarball and a donefile, which may be empty.
        model: The model, unpacked.
        top: The monitor's ``--unpacked_filename``: the tarball's top folder, or "." if the files
            have none.
        client: The client's configuration.
        content: The keys ``probe``, ``fetches`` and ``size`` of a manifest.
    """

    folder: Path
    model: Path
    top: str
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
            f"--releases-from {folder} holds {len(found)} folders with a .tar.gz; add "
            "folders, because a run needs 2 releases"
        )
    if len({next(path.glob("*.tar.gz")).name for path in found}) > 1:
        raise BadInput(f"--releases-from {folder}: the tarballs have different names; use one name")
    made = [_made(path.absolute(), work / path.name) for path in found]
    if len({(release.model.name, release.top) for release in made}) > 1:
        raise BadInput(
            f"--releases-from {folder}: the tarballs have different top folders, and a monitor "
            "takes one; pack all releases in the same way"
        )
    complete(made, work)
    return tuple(made)


def complete(made: Sequence[ReadyRelease], work: Path, feed: Optional[Any] = None) -> None:
    """Give each release the prediction for one feed, because the clients ask with one feed.

    A manifest with this feed has the prediction. Otherwise Paddle Inference computes it.

    Args:
        made: The releases.
        work: Takes the feed.
        feed: The feed; None: the feed of the first manifest.

    Raises:
        BadInput: A release predicts nothing.
    """
    fed = [release.content["probe"]["feed"] for release in made if release.content.get("probe")]
    feed = feed or (fed[0] if fed else None)
    silent = [
        release
        for release in made
        if not (release.content.get("probe") and release.content.get("fetches"))
        or release.content["probe"]["feed"] != feed
    ]
    if not silent:
        return
    file = work / "feed.json"
    file.write_text(json.dumps(feed))
    answers = _asked([release.model for release in silent], file if feed else None)
    # Without any manifest, each answer has the same feed, which is drawn with a fixed seed.
    for release, answer in zip(silent, answers):
        release.content.update(answer)


def _made(folder: Path, work: Path) -> ReadyRelease:
    (tarball, *more) = folder.glob("*.tar.gz")
    if more:
        raise BadInput(f"{folder} holds several .tar.gz; leave one in each release")
    manifest = manifest_in(folder / releases.DONEFILE_NAME)
    made = unpacked(tarball, work, proven=bool(manifest))
    donefile = folder / releases.DONEFILE_NAME
    if not donefile.exists():
        # The folder may belong to another user, so nothing is added there.
        (work / "published").mkdir(exist_ok=True)
        folder = work / "published"
        (folder / tarball.name).write_bytes(tarball.read_bytes())
        (folder / releases.DONEFILE_NAME).write_bytes(b"")
    made.content.update(manifest, size=tarball.stat().st_size)
    return replace(made, folder=folder)


def unpacked(tarball: Path, work: Path, *, proven: bool) -> ReadyRelease:
    """Unpack a release by the rules of our monitor; its content is still empty.

    Args:
        tarball: The file in the release's folder.
        work: Takes the model and the client's configuration.
        proven: A manifest's digest proves the tarball's bytes.

    Raises:
        BadInput: Our monitor would refuse the tarball.
    """
    try:
        top = _top(tarball)
        # A model without a top folder gets the name that Paddle Serving's example has.
        name = f"{_stem(tarball)}_model" if top == "." else top
        model, client = work / "model" / name, work / "client"
        model.mkdir(parents=True)
        archive.unpack(
            str(tarball),
            str(model),
            top=top,
            limits=archive.Limits(Options.max_members, Options.max_unpacked, Options.max_expansion),
            proven=proven,
            before_file=lambda _: None,
            alive=lambda: None,
        )
    except ReleaseError as error:
        raise BadInput(f"{tarball} cannot be unpacked: {error.cause}; {error.hint}") from None
    except (OSError, EOFError, ValueError, tarfile.TarError) as error:
        raise BadInput(f"{tarball} cannot be unpacked: {error}; pack it again") from None
    client.mkdir(parents=True, exist_ok=True)
    for suffix in ("prototxt", "stream.prototxt"):
        file = model / f"serving_server_conf.{suffix}"
        # Upstream's exporter writes the same message for the server and for the client.
        (client / f"serving_client_conf.{suffix}").write_bytes(
            file.read_bytes() if file.is_file() else b""
        )
    return ReadyRelease(tarball.parent, model, top, client, {})


def _stem(tarball: Path) -> str:
    return tarball.name[: -len(".tar.gz")]


def _top(tarball: Path) -> str:
    """Return the top folder of the files in a tarball; "." if a file has none.

    Of several folders, one named like the tarball counts, as in Paddle Serving's own monitor.
    """
    with tarfile.open(tarball) as packed:
        names = [entry.name for entry in packed if not entry.isdir()]
    plain = [name[2:] if name.startswith("./") else name for name in names]
    parts = [name.partition("/") for name in plain if not added_by_macos(name)]
    if not all(rest for _, _, rest in parts):
        return "."
    tops = sorted({top for top, _, _ in parts})
    if len(tops) > 1 and _stem(tarball) in tops:
        return _stem(tarball)
    if len(tops) != 1:
        raise ValueError(f"it has the top folders {tops}, and needs one")
    return tops[0]


def manifest_in(donefile: Path) -> dict[str, Any]:
    """Return the manifest in a donefile; nothing if the donefile is none of ours."""
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
        raise BadInput(
            f"a release of --releases-from predicts nothing: {said}; publish models that "
            "Paddle can load; if a feed is not float32, give the first a donefile with a probe"
        )
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
