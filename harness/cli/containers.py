"""``python -m harness containers``: images, remotes in containers, and cleaning up.

Commands:

    python -m harness containers build [IMAGE …]    builds the images that are not up to date
    python -m harness containers up [REMOTE …]      runs remotes until Ctrl-C, prints addresses
    python -m harness containers down [PROJECT …]   removes containers that runs left behind
    python -m harness containers prune              removes images that a newer image replaces
    python -m harness containers clean              does down, and removes all images built here
    python -m harness containers config             prints the compose file as Compose reads it
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Optional

from harness.containers import cleaning, compose, engine, images
from harness.remotes import registry
from harness.remotes.container import ContainerRemote
from harness.support.errors import BadInput, HarnessError, interrupted
from harness.support.parser import Parser, complete
from harness.support.progress import Progress

from .images import IMAGES


def _say(text: str) -> None:
    print(f"containers: {text}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m harness containers",
        description="Builds images, keeps remotes up, and cleans up.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--debug", action="store_true", help="print a traceback with an error")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    build = commands.add_parser("build", help="build the images that are not up to date")
    build.add_argument("images", nargs="*", metavar="IMAGE", help=", ".join(IMAGES))
    up = commands.add_parser("up", help="start remotes and keep them until Ctrl-C")
    up.add_argument("remotes", nargs="*", metavar="REMOTE", help=", ".join(registry.NAMES))
    up.add_argument("--folder", type=Path, help="the folder for data and logs (a temporary folder)")
    down = commands.add_parser("down", help="remove what a run left behind")
    down.add_argument(
        "projects", nargs="*", metavar="PROJECT", help="default: all projects that no run uses"
    )
    commands.add_parser("prune", help="remove images that a newer image replaces")
    commands.add_parser("clean", help="do down, and remove every image built here")
    commands.add_parser("config", help="print the compose file as Compose reads it")
    return parser


def _build(args: argparse.Namespace) -> None:
    for name in args.images:
        if name not in IMAGES:
            raise BadInput(f"there is no image {name!r}; use some of {', '.join(IMAGES)}")
    names = args.images or list(IMAGES)
    with Progress("images", len(names)) as progress:
        for name in names:
            _say(f"{name}: {images.ensure(IMAGES[name], _say)}")
            progress.done()


def _remote(name: str, folder: Path) -> ContainerRemote:
    container = registry.named(name).container
    if container is None:
        raise BadInput(f"the remote {name} does not run in containers; leave it out")
    return container(folder, say=_say)


def _up(args: argparse.Namespace) -> None:
    folder = args.folder or Path(tempfile.mkdtemp(prefix="hotloading-"))
    begin = time.monotonic()
    with ExitStack() as running:
        up = [_remote(name, folder / name) for name in args.remotes or registry.NAMES]
        for one in up:
            running.enter_context(one)
        for one in up:
            one.ready()
            _say(f"{one.name}: producer --remote {one.url} {' '.join(one.producer_options)}")
            for key, value in one.producer_environment.items():
                _say(f"{one.name}: producer's environment {key}={value}")
            for kind in one.monitor_kinds:
                _say(f"{one.name}: monitor {' '.join(one.monitor_options(kind))}")
        _say(f"up after {time.monotonic() - begin:.1f} s, files in {folder}; Ctrl-C ends it")
        signal.pause()


def _down(args: argparse.Namespace) -> None:
    _say(cleaning.down(args.projects or None))


def _prune(_: argparse.Namespace) -> None:
    engine.require()
    _say(cleaning.remove_superseded(IMAGES.values()))


def _clean(_: argparse.Namespace) -> None:
    _say(cleaning.clean())


def _config(_: argparse.Namespace) -> None:
    file = compose.compose_file()
    words = [*compose.command(), "--file", str(file), "config"]
    print(engine.command(words, 60, without=compose.variables(file)))


_COMMANDS = {
    "build": _build,
    "up": _up,
    "down": _down,
    "prune": _prune,
    "clean": _clean,
    "config": _config,
}


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command. Return its exit code: 0, 1 when something failed, 2 for bad input."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        parser = _parser()
        complete(parser, skipped=1)
        args = parser.parse_args(words)
        _COMMANDS[args.command](args)
    except HarnessError as error:
        if "--debug" in words:
            traceback.print_exc()
        print(f"containers: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        # A full disk, a folder that cannot be written: what failed, without a traceback.
        if "--debug" in words:
            traceback.print_exc()
        where = f" ({error.filename})" if error.filename else ""
        print(
            f"containers: {error.strerror or error}{where}; mend that, or name other folders in "
            "HARNESS_CACHE (builds), TMPDIR or --folder (runs)",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        _say("interrupted; everything was taken down")
        return interrupted()
    return 0
