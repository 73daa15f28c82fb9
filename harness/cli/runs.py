"""``harness run``, and ``harness e2e``, which is the scenario ``page`` of it."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from rich.console import Console


def add_options(parser: argparse.ArgumentParser, *, any_scenario: bool = False) -> None:
    """Add the options of a run; ``any_scenario`` lets the user choose the scenario."""
    from harness.remotes.registry import NAMES

    option = parser.add_argument
    if any_scenario:
        option("scenario", help="a name that `harness scenarios` lists, or a TOML file")
    else:
        parser.set_defaults(scenario="page")
    # The scenario's value holds for an option that is not given.
    own = "the scenario's" if any_scenario else None
    option("--remotes", default=",".join(NAMES), help="which, in this order (%(default)s)")
    option("--on", default="local", help="local or docker (%(default)s)")
    option(
        "--serving",
        default="auto",
        help="auto, embedded or official, which SERVING_BIN overrides; docker or official-docker "
        "(%(default)s)",
    )
    option(
        "--serving-trial",
        default="run",
        help="run: try the serving binary before the first leg; skip: use it untried (%(default)s)",
    )
    option("--device", default="cpu", help="cpu or gpu (%(default)s)")
    option("--releases", type=int, help=f"releases of each remote, 2+ ({own or 4})")
    option("--seed", type=int, default=1, help="seed of the training (%(default)s)")
    option(
        "--rate",
        type=float,
        help=f"requests a second that the clients plan, in all ({own or '200.0'})",
    )
    option("--poll", type=float, help=f"seconds between two polls ({own or '1.0'})")
    option(
        "--margin",
        type=float,
        help="seconds that pull, swap and load of a release may take beside two polls and two "
        f"ticks ({own or '30.0'})",
    )
    option("--fail-fast", action="store_true", help="end the run at the first broken claim")
    option("--port", type=int, help="the server's port (a free one)")
    option("--runs", type=Path, default=Path("runs"), help="where run folders go (%(default)s)")


def run(args: argparse.Namespace, console: Console) -> int:
    """Run the scenario. Return the exit code."""
    from harness import scenarios
    from harness.remotes import registry
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
    leg = replace(
        scenario.leg,
        seed=args.seed,
        device=args.device,
        **{name: value for name, value in given.items() if value is not None},
    )
    settings = e2e.RunSettings(
        scenario=scenario.name,
        steps=scenario.steps,
        remotes=registry.chosen([name.strip() for name in args.remotes.split(",") if name.strip()]),
        on=args.on,
        serving=args.serving,
        serving_trial=args.serving_trial,
        device=args.device,
        port=args.port,
        fail_fast=args.fail_fast,
        runs=args.runs.absolute(),
        leg=leg,
    )
    return e2e.run(settings, console)


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
