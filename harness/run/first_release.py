"""Puts the first release into the live directory, before a server can start.

Our monitor installs the release with ``--once``. Another monitor has no such option, so the harness
unpacks the release. A server that runs already has a model from before.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Union

from harness.checker.history import Event
from harness.containers.monitor import ContainerMonitor
from harness.support.errors import Failed
from harness.support.live_directory import TIME_FILE, look_once
from harness.support.process import Process

from .ready_releases import flat


def install_once(once: Union[Process, ContainerMonitor], live_dir: Path, bound_s: float) -> str:
    """Install the release with our monitor's ``--once``.

    Returns:
        Why the release is not installed; "" if it is.
    """
    with once:
        try:
            code = once.wait(bound_s)
        except Failed:
            return f"`--once` was still running after {bound_s:g} s"
        if code != 0:
            return f"`--once` ended with exit code {code}"
        if not live_dir.is_dir():
            return "`--once` ended with exit code 0, but there is no live directory"
    return ""


def install_by_hand(model: Path, live_dir: Path) -> None:
    """Copy an unpacked release as a person does, because only our monitor has ``--once``."""
    shutil.copytree(model, live_dir)
    (live_dir / TIME_FILE).touch()


def installed_before(live_dir: Path, first: Event, feed: Path) -> dict[str, Any]:
    """Return the event ``published`` of the model that a running server has, as release 0.

    Args:
        live_dir: The live directory of the server.
        first: The first release of the run, with its manifest.
        feed: The file that takes the feed of the probe.

    Raises:
        Failed: There is no model, or the model predicts nothing.
    """
    content = look_once(live_dir)
    if content is None:
        raise Failed(
            f"{live_dir} holds no model; name the folder from which the server loads its model"
        )
    feed.write_text(json.dumps(first["manifest"]["probe"]["feed"]))
    asked = subprocess.run(
        [sys.executable, "-m", "producer.probe", str(live_dir), "--feed", str(feed)],
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.returncode:
        raise Failed(
            f"the model in {live_dir} predicts nothing: {asked.stderr.strip()}; start the "
            "server with a model that predicts"
        )
    expected = json.loads(asked.stdout.splitlines()[-1])["expected"]
    alias = first["manifest"]["fetches"][0]["alias"]
    before = first["t_begin"]
    return {
        "t": before,
        "release": 0,
        "digest": content.digest,
        "expected": flat(expected[alias]),
        "t_begin": before,
        "t_end": before,
    }
