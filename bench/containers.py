"""What containers cost: building, starting and ending them, and the main job over them.

    python -m bench.containers                      builds, up and down (a quarter of an hour)
    python -m bench.containers --bases              and base images by debootstrap (root)
    python -m bench.containers --e2e 3              and the main job, 3 releases, here and in Docker

One table, in seconds. A cold build uses no cache. Its image has a name of its own, and is removed
after the timing. All other images stay. The numbers depend on what else the machine does: the table
shows the load.
"""

from __future__ import annotations

import argparse
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Optional

from rich.console import Console
from rich.table import Table

from docker.bootstrap.mirrors import machine_mirrors
from harness.cli.images import IMAGES
from harness.containers import bases, builder, engine, images
from harness.remotes.registry import REMOTES
from harness.support.errors import BadInput
from harness.support.paths import repository_root

Row = tuple[str, Optional[float], str]


class Watch:
    """``with Watch() as watch: …`` and then ``watch.seconds``."""

    seconds = 0.0

    def __enter__(self) -> Watch:
        self._begin = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.monotonic() - self._begin


def size_of(image: str) -> str:
    """Return an image's size as the engine counts it, with the layers of its base."""
    size = int(engine.docker("image", "inspect", "--format", "{{.Size}}", image))
    return f"{size / 1e6:.0f} MB"


@contextmanager
def scratch_tag(name: str) -> Iterator[str]:
    """A name for an image that is removed afterwards."""
    tag = f"hot-loading-bench/{name}:{secrets.token_hex(4)}"
    try:
        yield tag
    finally:
        engine.docker("image", "rm", "--force", tag, check=False, deadline_s=120)


def cold_bases() -> Iterator[Row]:
    """Yield the time of each base image by debootstrap; without root only the reason."""
    script = repository_root() / "docker/base/make-base.sh"
    for suite in bases.OFFICIAL:
        what = f"base {suite} by debootstrap"
        if os.geteuid() != 0:
            yield what, None, "only root can"
            continue
        with scratch_tag("base") as tag:
            words = ["sh", str(script), suite, machine_mirrors().archive, tag]
            with Watch() as watch:
                engine.command(words, 900)
            yield what, watch.seconds, size_of(tag)


def cold_builds() -> Iterator[Row]:
    """Yield the time of each image without cached layers. Jars and wheels are in host caches."""
    for name, image in IMAGES.items():
        base = images.ensure(image.on) if image.on else bases.ensure(image.suite, print, False)
        with scratch_tag(name) as tag, tempfile.TemporaryDirectory() as context:
            with Watch() as watch:
                images.copy_sources(image, Path(context))
                images.stage(image, Path(context))
                options = ["--no-cache", "--build-arg", f"BASE_IMAGE={base}"]
                builder.build(Path(context), tag, options)
            yield f"cold build of {name}", watch.seconds, size_of(tag)


def warm() -> Iterator[Row]:
    """Yield the times to find the images, and to start, use and stop each service."""
    for image in IMAGES.values():
        images.ensure(image)
    with Watch() as watch:
        for image in IMAGES.values():
            images.ensure(image)
    yield "nothing changed: all tags found", watch.seconds, f"{len(IMAGES)} images"
    for listed in REMOTES:
        if listed.container is None:
            continue
        name = listed.name
        with tempfile.TemporaryDirectory() as folder:
            remote = listed.container(Path(folder) / "run")
            try:
                with Watch() as watch:
                    remote.start()
                    remote.ready()
                yield f"up of {name}, warm", watch.seconds, "until a file was written and read"
            finally:
                with Watch() as watch:
                    remote.stop()
            yield f"down of {name}", watch.seconds, "containers, network; logs kept"


def main_job(releases: int) -> Iterator[Row]:
    """Yield the times of `make e2e` with local processes and with all parts in containers."""
    for what, words in (
        ("main job, local processes", ["--serving", "embedded"]),
        ("main job in containers, the server too", ["--on", "docker", "--serving", "docker"]),
    ):
        with tempfile.TemporaryDirectory() as runs:
            command = [sys.executable, "-m", "harness", "e2e", *words, "--runs", runs]
            command += ["--releases", str(releases)]
            with Watch() as watch:
                done = subprocess.run(command, capture_output=True, text=True, check=False)
            verdict = [line for line in done.stdout.splitlines() if "claims" in line][-1:]
            yield what, watch.seconds, (verdict or [f"exit code {done.returncode}"])[0].strip()


def main() -> int:
    """Prints the table. Exit code 2 where no container can be run."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.containers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--bases", action="store_true", help="time debootstrap as well")
    parser.add_argument("--e2e", type=int, metavar="RELEASES", help="time the main job as well")
    options = parser.parse_args()
    try:
        engine.require()
    except BadInput as error:
        print(f"bench.containers: {error}", file=sys.stderr)
        return 2
    parts = [cold_bases()] if options.bases else []
    parts += [cold_builds(), warm()]
    parts += [main_job(options.e2e)] if options.e2e else []
    table = Table("what", "seconds", "load", "beside")
    for part in parts:
        for what, seconds, beside in part:
            shown = "-" if seconds is None else f"{seconds:.1f}"
            table.add_row(what, shown, f"{os.getloadavg()[0]:.1f}", beside)
            print(f"{what}: {shown} s", file=sys.stderr)
    Console(width=110).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
