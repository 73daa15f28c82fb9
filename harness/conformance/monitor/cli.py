"""The command line of the suite: ``python -m harness conformance --monitor-cmd '…'``."""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import os
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Optional

from harness.conformance.options import (
    add_options,
    finish,
    keep,
    prepare,
    read,
    run_folder,
    write,
)
from harness.conformance.results import CaseResult, Column, Run, verdict
from harness.conformance.selection import selected
from harness.remotes.registry import REMOTES
from harness.support.errors import BadInput, Failed, HarnessError, interrupted
from harness.support.parser import Parser, complete
from harness.support.progress import Progress

from . import controls, report
from .command import BESIDE, resolved, words_of
from .controls import NAMES
from .first_start import require_start
from .lanes import Task, Work, run_all
from .monitors import Monitor, known, read_failures, read_monitor
from .places import PLACES
from .releases import Release, trained_releases
from .report import SUITE
from .results import Result, against
from .scenarios import all_scenarios
from .scenarios.base import Scenario
from .scenarios.throughout import WholeThroughout
from .settings import Settings
from .suite import Done, chosen, throughout

_DESCRIPTION = """\
Judges a monitor by its command line: runs every scenario on every remote.

Without {placeholders} the suite appends upstream's options to --monitor-cmd.
With {placeholders} the command is a template:
  --monitor-cmd 'python -m paddle_serving_server.monitor'
  --monitor-cmd 'mymonitor --from={general_host}/{remote_path} --into={local_path}'
The monitor runs in a folder of its own. The suite looks for a relative path to a
file, and for a Python module after -m, in the folder where you start the suite.
The suite starts the command once first. A command that ends before it asks the
remote anything is bad input.
--monitor, which may be repeated, runs the monitors of files side by side.
"""
_EPILOG = """\
exit codes: 0 every claim holds, or fails as --expected says; 1 a claim failed,
or an expected failure did not occur; 2 bad input; 3 a case did not come to its end
"""
_EXAMPLE = """example: python -m harness conformance --monitor-cmd 'python3 -m my_monitor' \\
           --remotes http --only happy-path
guide:   docs/how-to/own-parts.md
"""


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the suite; return the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        parser = _parser()
        complete(parser, skipped=1)
        return _run(parser.parse_args(words))
    except HarnessError as error:
        if "--debug" in words:
            traceback.print_exc()
        print(f"conformance: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("conformance: interrupted", file=sys.stderr)
        return interrupted()


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m harness conformance",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        common=(
            *("--monitor-cmd", "--remotes", "--scenarios", "--only", "--list", "--short"),
            *("--jobs", "--html", "--junit"),
        ),
        example=_EXAMPLE,
    )
    add = parser.add_argument
    add("--monitor-cmd", metavar="COMMAND", help="the monitor's command line, or a template of it")
    add(
        "--monitor",
        type=Path,
        metavar="FILE",
        action="append",
        default=[],
        help="a monitor's file: its command and what is expected of it; may be repeated",
    )
    add("--name", default="the monitor", help="what to call it in the report (%(default)s)")
    add(
        "--remotes",
        help="http, ftp, hdfs (a hadoop command), webhdfs or fsspec; the last two are for monitors "
        "with --type webhdfs and --type fsspec; default: those of the monitor's file, else "
        "http,ftp,hdfs",
    )
    add(
        "--scenarios",
        default="*",
        metavar="NAMES",
        help="names or patterns, separated by commas; one with ! in front is left out (all)",
    )
    add("--list", action="store_true", help="print all scenarios")
    add("--short", action="store_true", help="a sample of the scenarios, drawn by --seed")
    add("--seed", type=int, default=1, help="decides every sample and all noise (%(default)s)")
    add(
        "--interval",
        type=_seconds,
        default=1.0,
        help="the monitor's polling interval in seconds; a fraction needs a monitor that takes one "
        "(%(default)s)",
    )
    add(
        "--patience",
        type=_seconds,
        default=15.0,
        help="seconds a release may take to be live, beside two polls (%(default)s)",
    )
    add(
        "--recovery",
        type=_seconds,
        default=45.0,
        help="the same after a failure, where a monitor may back off (%(default)s)",
    )
    add(
        "--silence",
        type=_seconds,
        default=90.0,
        help="seconds after which a monitor must give up a pull that stands still (%(default)s)",
    )
    add(
        "--count",
        type=_count,
        default=1000,
        help="releases of many-releases (%(default)s; hdfs at most 25, fsspec 100)",
    )
    add(
        "--knows",
        metavar="OPTIONS",
        default="",
        help=f"options beside upstream's that --monitor-cmd has: {', '.join(BESIDE)}",
    )
    add(
        "--control",
        metavar="NAME=WAY",
        action="append",
        default=[],
        help="how the suite asks the running monitor: NAME is "
        + ", ".join(NAMES)
        + "; WAY is a signal, an address or a command; may be repeated",
    )
    add(
        "--every-kill",
        metavar="REMOTES",
        default="http",
        help="remotes on which the suite kills the monitor at every system call, not only at a "
        "sample (%(default)s)",
    )
    add("--jobs", type=_count, default=1, help="scenarios at a time (%(default)s)")
    add("--expected", type=Path, metavar="FILE", help="failures that are expected, with reasons")
    add_options(parser)
    add(
        "--cache",
        type=Path,
        metavar="FOLDER",
        default=Path(".cache/conformance/releases"),
        help="where the trained releases are kept (%(default)s)",
    )
    add("--debug", action="store_true", help="print a traceback with an error")
    return parser


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        value = float(text)
        if 0 < value < 1e6:
            return value
    raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")


def _count(text: str) -> int:
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")


def _run(options: argparse.Namespace) -> int:
    scenarios = pick(all_scenarios(), options.scenarios)
    if options.list:
        for scenario in scenarios:
            print(f"{scenario.name}\n    {scenario.title}\n    Otherwise: {scenario.loss}")
            if scenario.needs:
                print(f"    Needs: {', '.join(scenario.needs)}")
        return 0
    if options.results:
        earlier = read(options, SUITE)
        prepare(options)
        write(options, earlier, SUITE, options.results.parent)
        return _summarized(earlier)
    monitors = _monitors(options)
    prepare(options)
    settings = [_settings(options, monitor) for monitor in monitors]
    folder = run_folder(options, options.seed)
    cache: Path = options.cache.resolve()
    tasks = [
        Task(number, place, scenario.name, scenario.length * PLACES[place].length)
        for number, monitor in enumerate(monitors)
        for place in _remotes(options, monitor)
        for scenario in chosen(pick(scenarios, monitor.scenarios), place, settings[number])
        if not isinstance(scenario, WholeThroughout)
    ]
    only = selected(sorted({task.id for task in tasks}), options.only)
    tasks = [task for task in tasks if task.id in only]
    _require_starts(options, monitors, settings, folder, trained_releases(cache))
    for monitor in monitors:
        print(f"conformance: {monitor.said}")
    checks = f"{len(tasks)} check{'s' * (len(tasks) != 1)}"
    print(f"{checks}, {options.jobs} at a time, in {folder}", flush=True)
    told: list[tuple[Task, Done]] = []
    began = time.monotonic()

    def show(monitor: Monitor, result: Result) -> None:
        said = f"{monitor.name}: " if len(monitors) > 1 else ""
        print(said + report.line(result), flush=True)

    def tell(task: Task, done: Done) -> None:
        result = against(done.result, monitors[task.monitor].expected)
        show(monitors[task.monitor], result)
        told.append((task, replace(done, result=result)))
        progress.done(task.length)

    def judged() -> Run:
        columns = [
            Column(
                {
                    "name": monitor.name,
                    "command": monitor.said,
                    "options": _chosen_by(options, number),
                    "interval": settings[number].interval,
                    "short": options.short,
                },
                _in_order(monitor, [done for task, done in told if task.monitor == number]),
            )
            for number, monitor in enumerate(monitors)
        ]
        about = {
            "date": time.strftime("%Y-%m-%d", time.gmtime()),
            "seed": options.seed,
            "jobs": options.jobs,
            "seconds": round(time.monotonic() - began),
            "part": _part(options),
        }
        return Run(about, columns)

    try:
        with Progress("checks", sum(task.length for task in tasks)) as progress:
            run_all(tasks, Work(folder, cache, settings), options.jobs, tell)
        for number, monitor in enumerate(monitors):
            for result in _over_all(
                monitor, [done for task, done in told if task.monitor == number]
            ):
                show(monitor, result)
    finally:
        found = judged()
        keep(folder, found, SUITE)
    finish(folder, found)
    write(options, found, SUITE, folder)
    return _summarized(found)


def _summarized(run: Run) -> int:
    """Print a line for each monitor; return the exit code."""
    for column in run.columns:
        print(f"{column.name}: {report.summary(column.results)}")
    print(f"in {run.about['seconds']} s")
    return verdict(run.results).exit_code


def _require_starts(
    options: argparse.Namespace,
    monitors: Sequence[Monitor],
    settings: Sequence[Settings],
    folder: Path,
    releases: Sequence[Release],
) -> None:
    """Raise ``BadInput`` for a monitor whose command does not start.

    If a remote does not come up, each of its checks says so later.
    """
    # HDFS starts slowly, so it is used only if there is no other remote.
    quickest = sorted(PLACES, key=lambda name: PLACES[name].length)
    for number, monitor in enumerate(monitors):
        remotes = _remotes(options, monitor)
        for name in [name for name in quickest if name in remotes][:1]:
            with contextlib.ExitStack() as stack:
                try:
                    place = stack.enter_context(PLACES[name](folder / f"first-start-{name}"))
                except (Failed, OSError):
                    continue
                first = folder / f"first-start-{number}"
                require_start(monitor.said, place, releases, settings[number], first)


def _chosen_by(options: argparse.Namespace, number: int) -> list[str]:
    """Return the options that choose one monitor of the run."""
    if number < len(options.monitor):
        return ["--monitor", str(options.monitor[number])]
    words = ["--monitor-cmd", options.monitor_cmd, "--interval", f"{options.interval:g}"]
    words += ["--expected", str(options.expected)] * bool(options.expected)
    words += ["--knows", options.knows] * bool(options.knows)
    return words + [word for one in options.control for word in ("--control", one)]


def _part(options: argparse.Namespace) -> str:
    """Return the options that choose a part of the suite; empty for the whole suite."""
    words = [f"--remotes {options.remotes}"] * bool(options.remotes)
    words += [f"--scenarios {options.scenarios}"] * (options.scenarios != "*")
    words += [f"--only {options.only}"] * bool(options.only)
    return " ".join([*words, *["--short"] * options.short])


def _monitors(options: argparse.Namespace) -> list[Monitor]:
    names = [scenario.name for scenario in all_scenarios()]
    monitors = [read_monitor(path, names) for path in options.monitor]
    if options.monitor_cmd:
        expected = read_failures(options.expected, names) if options.expected else []
        own = {
            "knows": known(_words(options.knows), "--knows"),
            "controls": _controls(options.control),
        }
        said = options.monitor_cmd.replace(f"{Path.cwd()}/", "")
        monitors.append(
            Monitor(options.name, options.monitor_cmd, said, None, "*", own, tuple(expected))
        )
    if not monitors:
        raise BadInput("--monitor-cmd is missing; give the monitor's command line")
    for monitor in monitors:
        words_of(monitor.command)
        for name in _remotes(options, monitor):
            if name not in PLACES:
                raise BadInput(
                    f"there is no remote {name!r} for {monitor.name}; use one of "
                    f"{', '.join(PLACES)}"
                )
    return monitors


def _remotes(options: argparse.Namespace, monitor: Monitor) -> list[str]:
    asked = _words(options.remotes or "")
    if monitor.remotes is None:
        return asked or [remote.name for remote in reversed(REMOTES)]
    return [name for name in asked if name in monitor.remotes] if asked else list(monitor.remotes)


def _controls(words: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the ways of ``--control``, by name. Raises ``BadInput`` for a word without a way."""
    found: dict[str, tuple[str, ...]] = {}
    for word in words:
        name, equals, way = word.partition("=")
        if not equals:
            raise BadInput(f"--control {word} has no way; write NAME=WAY, as in look=SIGHUP")
        found[name] = (*found.get(name, ()), way)
    return found


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _settings(options: argparse.Namespace, monitor: Monitor) -> Settings:
    # The monitor runs in a folder of its own. It finds the files and modules of this folder.
    here = Path.cwd()
    modules = os.pathsep.join(filter(None, (str(here), os.environ.get("PYTHONPATH"))))
    chosen_here = Settings(
        resolved(monitor.command, here),
        environment={**os.environ, "PYTHONPATH": modules},
        interval=options.interval,
        patience=options.patience,
        recovery=options.recovery,
        silence=options.silence,
        short=options.short,
        seed=options.seed,
        count=options.count,
        every_kill_on=frozenset(_words(options.every_kill)),
    )
    own = replace(chosen_here, **monitor.settings)
    return replace(own, controls=controls.read(own.controls, here))


def _in_order(monitor: Monitor, done: Sequence[Done]) -> list[CaseResult]:
    """Return the cases in the page's order, with the case over all scenarios of each remote."""
    order = [scenario.name for scenario in all_scenarios()]
    results = [*(one.result for one in done), *_over_all(monitor, done)]
    places = list(PLACES)
    results.sort(key=lambda r: (order.index(r.scenario), places.index(r.place)))
    return [result.case for result in results]


def _over_all(monitor: Monitor, done: Sequence[Done]) -> list[Result]:
    """Return the result over all scenarios of each remote that was watched."""
    each = (throughout(place, [d for d in done if d.result.place == place]) for place in PLACES)
    return [against(over, monitor.expected) for over in each if over is not None]


def pick(scenarios: Sequence[Scenario], patterns: str) -> list[Scenario]:
    """Return the scenarios that ``--scenarios`` names. Raise ``BadInput`` for an unknown name."""
    words = [word.strip() for word in patterns.split(",") if word.strip()]
    for word in words:
        if not fnmatch.filter([s.name for s in scenarios], word.lstrip("!")):
            raise BadInput(f"--scenarios has {word!r}, which is no scenario; see --list")
    wanted = [word for word in words if not word.startswith("!")] or ["*"]
    unwanted = [word[1:] for word in words if word.startswith("!")]
    return [
        scenario
        for scenario in scenarios
        if any(fnmatch.fnmatch(scenario.name, word) for word in wanted)
        and not any(fnmatch.fnmatch(scenario.name, word) for word in unwanted)
    ]
