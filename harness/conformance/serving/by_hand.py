"""Starts a serving binary without the launcher, on files that the launcher wrote for a server.

For what the launcher never does: a time file outside the model's directory, none at all, another
``-port`` than the one in infer_service.prototxt.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from harness.support.live_directory import TIME_FILE
from harness.support.ports import free_port
from harness.support.process import Process

from .server import MODEL_NAME, Launched, Server


class ByHand(Server):
    """One server in ``folder``, with a copy of the model and the settings of ``like``.

    ``time_file`` is the path that the server is told to watch, ``words`` go behind the flags.
    Nothing is started before ``start``; files may be changed until then.
    """

    def __init__(
        self,
        serving_bin: Path,
        like: Launched,
        folder: Path,
        *,
        time_file: str = f"{MODEL_NAME}/{TIME_FILE}",
        words: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.port = free_port()
        workdir = f"workdir_{like.port}"
        shutil.copytree(like.folder / workdir, folder / "workdir")
        shutil.copytree(like.live, self.live)
        for file in (folder / "workdir").glob("**/*.prototxt"):
            text = file.read_text().replace(workdir, "workdir")
            text = text.replace(f"port: {like.port}", f"port: {self.port}")
            text = text.replace(
                f'reloadable_meta: "{MODEL_NAME}/{TIME_FILE}"', f'reloadable_meta: "{time_file}"'
            )
            file.write_text(text)
        self.process = Process(
            "serving by hand",
            [
                str(serving_bin),
                *("-inferservice_path", "workdir", "-inferservice_file", "infer_service.prototxt"),
                *("-workflow_path", "workdir", "-resource_path", "workdir"),
                *("-resource_file", "resource.prototxt", "-workflow_file", "workflow.prototxt"),
                *("-enable_model_toolkit", "-num_threads", "4", "-reload_interval_s", "1"),
                *words,
            ],
            log=folder / "by_hand.log",
            cwd=folder,
        )

    def run(self, deadline_s: float = 60.0) -> int:
        """Start the server, wait for its end, and return the exit code.

        Raises ``Failed`` if it still runs then.
        """
        self.process.start()
        try:
            return self.process.wait(deadline_s)
        finally:
            self.process.stop()

    def __enter__(self) -> ByHand:
        return self
