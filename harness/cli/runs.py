"""``python -m harness run``, and ``e2e``, which runs the scenario ``page``."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

if TYPE_CHECKING:
    from rich.console import Console

    from harness.remotes.registry import RemoteType
    from harness.serving.running import RunningServing


def add_options(parser: argparse.ArgumentParser, *, any_scenario: bool = False) -> None:
    """Add the options of a run; ``any_scenario`` lets the user choose the scenario."""
    from harness.remotes.registry import NAMES

    option = parser.add_argument
    if any_scenario:
        option("scenario", help="a name that `harness scenarios` lists, or a TOML file")
    else:
        parser.set_defaults(scenario="page")
    # An option that is not given keeps the scenario's value.
    own = "the scenario's" if any_scenario else None
    option("--remotes", default=",".join(NAMES), help="the remotes, in this order (%(default)s)")
    option("--on", default="local", help="where the remotes run: local or docker (%(default)s)")
    option(
        "--monitor-on",
        default="local",
        help="where the monitor runs: local or docker, in a container of its own (%(default)s)",
    )
    option(
        "--serving",
        default="auto",
        help="the serving binary: auto, embedded or official (SERVING_BIN has priority); in a "
        "container: docker or official-docker (%(default)s)",
    )
    option(
        "--serving-trial",
        default="run",
        help="run: try the serving binary before the first leg; skip: use it untried (%(default)s)",
    )
    option(
        "--device",
        default="cpu",
        help="where producer and server compute: cpu or gpu (%(default)s)",
    )
    option("--releases", type=int, help=f"releases of each remote, at least 2 ({own or 4})")
    option("--seed", type=int, default=1, help="seed of the training (%(default)s)")
    option(
        "--rate",
        type=float,
        help=f"requests a second that all clients together plan ({own or '200.0'})",
    )
    option("--poll", type=float, help=f"seconds between two polls ({own or '1.0'})")
    option(
        "--margin",
        type=float,
        help="seconds for pull, swap and load of a release, in addition to two polls and two "
        f"ticks ({own or '30.0'})",
    )
    option("--fail-fast", action="store_true", help="end the run at the first broken claim")
    option("--port", type=int, help="the server's port (a free one)")
    if any_scenario:
        _add_set_up(parser.add_argument_group("a set-up of your own"))
    option(
        "--runs",
        type=Path,
        default=Path("runs"),
        help="the folder of the run folders (%(default)s)",
    )


def _add_set_up(group: argparse._ArgumentGroup) -> None:
    option = group.add_argument
    option(
        "--monitor-cmd",
        metavar="COMMAND",
        help="another monitor's command; the harness appends the options of Paddle Serving's own "
        "monitor, or fills in placeholders such as {ftp_host}",
    )
    option(
        "--producer-cmd",
        metavar="COMMAND",
        help="another producer's command, which publishes one release at each call; the harness "
        "fills in placeholders such as {ftp_host} and {release}",
    )
    option("--serving-bin", type=Path, metavar="PATH", help="another serving binary")
    option(
        "--servers",
        type=int,
        metavar="N",
        help="how many servers watch each remote, each with a monitor and clients of its own (1)",
    )
    option(
        "--server",
        metavar="HOST:PORT",
        help="a server that runs already; needs --live-dir and one remote",
    )
    option(
        "--live-dir", type=Path, metavar="FOLDER", help="the live directory of the running server"
    )
    option("--server-log", type=Path, metavar="FILE", help="the running server's serving.INFO")
    option("--tick", type=int, metavar="SECONDS", help="the server's reload interval (1)")
    option(
        "--remote",
        metavar="URL",
        help="a remote that runs already: webhdfs://user@host:port/path, "
        "ftp://user:password@host:port/path, http://… or https://… with --publish-dir or "
        "--producer-cmd",
    )
    option(
        "--publish-dir", type=Path, metavar="FOLDER", help="the folder that the HTTP remote serves"
    )
    option(
        "--releases-from",
        type=Path,
        metavar="FOLDER",
        help="publish the releases in FOLDER: subfolders with a .tar.gz and perhaps a donefile",
    )
    option("--claims", metavar="A,B", help="the claims to judge (the scenario's)")


def _set_up(args: argparse.Namespace) -> tuple[dict[str, Any], Optional[RunningServing]]:
    """Return the settings of the leg and the server from the options of ``_add_set_up``.

    Raises:
        BadInput: An option is wrong, or does not fit another one.
    """
    from harness.checker.claims import claims_named
    from harness.checker.completeness import SERVER_LOG, SERVER_PROCESSES
    from harness.conformance.monitor import command
    from harness.run import producer_command
    from harness.serving.running import RunningServing
    from harness.support.errors import BadInput

    leg: dict[str, Any] = {}
    if args.claims is not None:
        names = [name.strip() for name in args.claims.split(",") if name.strip()]
        leg["claims"] = tuple(claims_named(names))
    if args.monitor_cmd is not None:
        leg["monitor_cmd"] = command.resolved(args.monitor_cmd, Path.cwd())
    if args.producer_cmd is not None:
        leg["producer_cmd"] = producer_command.checked(args.producer_cmd, Path.cwd())
        # The command makes each release when the run asks for the release.
        leg["prepared"] = False
        if args.releases_from is not None:
            raise BadInput("--producer-cmd publishes the releases; leave out --releases-from")
    if args.servers is not None:
        leg["servers"] = args.servers
    if args.tick is not None:
        if args.tick < 1:
            raise BadInput(f"--tick {args.tick} is no interval; use whole seconds from 1 on")
        leg["tick_s"] = args.tick
    if args.releases_from is not None and args.releases is not None:
        raise BadInput("--releases-from says which releases there are; leave out --releases")
    if args.server is None:
        for name, value in (("--live-dir", args.live_dir), ("--server-log", args.server_log)):
            if value is not None:
                raise BadInput(f"{name} is for a server that runs already; add --server HOST:PORT")
        return leg, None
    host, _, port = args.server.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise BadInput(f"--server {args.server} is no address; use HOST:PORT")
    if args.live_dir is None:
        raise BadInput(
            "--server is given without --live-dir; name the folder that the server loads from"
        )
    if args.serving_bin is not None or args.port is not None:
        raise BadInput("--server names a server that runs; leave out --serving-bin and --port")
    log = args.server_log or Path("no-server-log")
    server = RunningServing(
        host, int(port), live_dir=args.live_dir.absolute(), log_file=log.absolute()
    )
    unseen = [] if args.server_log else [SERVER_LOG]
    if server.identity() is None:
        unseen.append(SERVER_PROCESSES)
    return {**leg, "server_runs": True, "unseen": tuple(unseen)}, server


def run(args: argparse.Namespace, console: Console) -> int:
    """Run the scenario. Return the exit code."""
    from harness import scenarios
    from harness.run import e2e
    from harness.support.errors import BadInput

    scenario = scenarios.read(args.scenario)
    if args.releases is not None and not scenario.open_count:
        raise BadInput(
            f"--releases {args.releases}: the steps of {scenario.name} say how many releases there "
            "are; leave the option out"
        )
    given = {"releases": args.releases, "rate": args.rate}
    given.update(poll_s=args.poll, margin_s=args.margin)
    server: Optional[RunningServing] = None
    if args.command == "run":
        set_up, server = _set_up(args)
        given.update(set_up)
    leg = replace(
        scenario.leg,
        seed=args.seed,
        device=args.device,
        **{name: value for name, value in given.items() if value is not None},
    )
    settings = e2e.RunSettings(
        scenario=scenario.name,
        steps=scenario.steps,
        remotes=_remotes(args),
        on=args.on,
        monitor_on=args.monitor_on,
        serving=args.serving,
        serving_trial=args.serving_trial,
        releases_from=args.releases_from if args.command == "run" else None,
        serving_bin=args.serving_bin if args.command == "run" else None,
        server=server,
        device=args.device,
        port=args.port,
        fail_fast=args.fail_fast,
        runs=args.runs.absolute(),
        command=_command(),
        leg=leg,
    )
    return e2e.run(settings, console)


def _command() -> tuple[str, ...]:
    """Return the command line of this process, as a person types it."""
    chosen = os.environ.get("SERVING_BIN")
    before = ("env", f"SERVING_BIN={chosen}") if chosen else ()
    return (*before, ".venv/bin/python", "-m", "harness", *sys.argv[1:])


def _remotes(args: argparse.Namespace) -> tuple[RemoteType, ...]:
    """Return the remotes of the run. Raises ``BadInput``."""
    from harness.remotes import existing, registry
    from harness.support.errors import BadInput

    if args.command == "run" and args.remote is not None:
        return (existing.existing(args.remote, args.publish_dir, args.producer_cmd is not None),)
    if args.command == "run" and args.publish_dir is not None:
        raise BadInput("--publish-dir is for an HTTP remote that runs already; add --remote URL")
    return registry.chosen([name.strip() for name in args.remotes.split(",") if name.strip()])


def show(page: Optional[Path]) -> int:
    """Print the scenarios and their promises, or write the page about them."""
    from harness.scenarios import listed
    from harness.scenarios import page as pages

    if page is not None:
        page.write_text(pages.text(), encoding="utf-8")
        return 0
    for scenario in listed():
        print(f"{scenario.name:18} {scenario.promise}")
    return 0
