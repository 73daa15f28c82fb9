"""The command line of the suite: ``python -m harness conformance --monitor-cmd '…'``."""

from __future__ import annotations

import argparse
import fnmatch
import sys
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, Optional

from ..errors import BadInput, HarnessError
from . import report
from .command import words_of
from .places import PLACES
from .releases import trained_releases
from .results import (
    Expected,
    Result,
    against,
    as_json,
    exit_code,
    from_json,
    merged,
    read_expected,
)
from .scenarios import all_scenarios
from .scenarios.base import Scenario
from .stage import Settings
from .suite import Stock, run_place

_DESCRIPTION = """\
Runs every scenario on every remote against a monitor, as a black box, by its command line.
Without {places} upstream's options are appended to --monitor-cmd; with them it is a template:
  --monitor-cmd 'python -m paddle_serving_server.monitor'
  --monitor-cmd 'mymonitor --from={general_host}/{remote_path} --into={local_path}'
"""
_EPILOG = """\
exit codes: 0 every claim holds, or fails as --expected says; 1 a claim failed, or an expected
failure did not; 2 bad input; 3 something is unknown (it could not be run, or not to its end).
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message}; see python -m harness conformance --help")


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Runs the suite; gives the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(_parser().parse_args(words))
    except HarnessError as error:
        if "--debug" in words:
            traceback.print_exc()
        print(f"conformance: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("conformance: interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m harness conformance",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--monitor-cmd", metavar="COMMAND", help="the monitor's command line, or a template of it")
    add("--name", default="the monitor", help="what to call it in the report (%(default)s)")
    add(
        "--remotes",
        default="http,ftp,hdfs",
        help="which of http, ftp, hdfs (a hadoop command), webhdfs (only for a monitor that knows "
        "--type webhdfs) (%(default)s)",
    )
    add(
        "--scenarios",
        default="*",
        metavar="NAMES",
        help="names or patterns, separated by commas; one with ! in front is left out (all)",
    )
    add("--list", action="store_true", help="say which scenarios there are, and end")
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
        help="seconds after which a pull on which nothing comes must be given up (%(default)s)",
    )
    add("--count", type=_count, default=1000, help="releases of many-releases (%(default)s)")
    add(
        "--every-kill",
        metavar="REMOTES",
        default="http",
        help="remotes on which every system call is killed at, a sample elsewhere (%(default)s)",
    )
    add("--jobs", type=_count, default=1, help="remotes at a time (%(default)s)")
    add("--expected", type=Path, metavar="FILE", help="failures that are expected, with reasons")
    add("--json", type=Path, metavar="FILE", help="write the results there as well")
    add("--junit", type=Path, metavar="FILE", help="write JUnit XML there as well")
    add("--page", type=Path, metavar="FILE", help="write the documentation page there")
    add(
        "--beside",
        type=Path,
        metavar="FILE",
        action="append",
        default=[],
        help="results (--json) of other runs to stand beside on the page, one column a name; "
        "without --monitor-cmd nothing is run, and the page is made of these alone",
    )
    add("--run", type=Path, metavar="FOLDER", help="the run's folder (runs/<utc>-<seed>)")
    add(
        "--cache",
        type=Path,
        metavar="FOLDER",
        default=Path(".cache/conformance/releases"),
        help="where the trained releases are kept (%(default)s)",
    )
    add("--debug", action="store_true", help="tracebacks")
    return parser


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return value


def _run(options: argparse.Namespace) -> int:
    scenarios = pick(all_scenarios(), options.scenarios)
    if options.list:
        for scenario in scenarios:
            print(f"{scenario.name}\n    {scenario.title}\n    Otherwise: {scenario.loss}")
        return 0
    beside = [from_json(_text(path), str(path)) for path in options.beside]
    expected = _expected(options.expected)
    if not options.monitor_cmd and beside:
        return _report_only(options, beside, expected)
    if not options.monitor_cmd:
        raise BadInput("--monitor-cmd is missing: give the monitor's command line")
    words_of(options.monitor_cmd)
    names = [name.strip() for name in options.remotes.split(",") if name.strip()]
    for name in names:
        if name not in PLACES:
            raise BadInput(f"--remotes has {name!r}, which is none of {', '.join(PLACES)}")
    settings = Settings(
        options.monitor_cmd,
        interval=options.interval,
        patience=options.patience,
        recovery=options.recovery,
        silence=options.silence,
        short=options.short,
        seed=options.seed,
        count=options.count,
        every_kill_on=frozenset(options.every_kill.split(",")),
    )
    date = time.strftime("%Y-%m-%dT%H-%M-%SZ", time.gmtime())
    folder: Path = (options.run or Path("runs") / f"{date}-{options.seed}").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    print(f"conformance: {options.monitor_cmd}\nin {folder}", flush=True)
    stock = Stock(trained_releases(options.cache), settings)

    about = {
        "name": options.name,
        # As a person would type it here, not as it is on this machine.
        "command": options.monitor_cmd.replace(f"{Path.cwd()}/", ""),
        "date": date[:10],
        "seed": options.seed,
        "interval": options.interval,
        "short": options.short,
    }
    told: list[Result] = []

    def tell(result: Result) -> Result:
        result = against(result, expected)
        print(report.line(result), flush=True)
        told.append(result)
        # After each one: hours of a run that is interrupted are not lost.
        (folder / "conformance.json").write_text(as_json(told, about), encoding="utf-8")
        return result

    def one(name: str) -> list[Result]:
        with PLACES[name](folder / name) as place:
            # Scenarios of its own: they keep what they have to undo.
            own = pick(all_scenarios(), options.scenarios)
            return run_place(own, place, stock, folder, tell)

    with ThreadPoolExecutor(max_workers=options.jobs) as pool:
        results = [result for found in pool.map(one, names) for result in found]
    _write(folder, options, results, about, beside)
    print(report.summary(results))
    return exit_code(results)


def _report_only(
    options: argparse.Namespace,
    beside: Sequence[tuple[dict[str, Any], list[Result]]],
    expected: Sequence[Expected],
) -> int:
    """Results of earlier runs put together: ``--page`` of all, ``--json`` of those that have
    ``--name``, to which ``--expected`` applies."""
    runs = []
    for about, found in merged(beside):
        results = found
        own = about["name"] == options.name
        if own and expected:
            # What was expected when they ran may have been learnt better since.
            results = [against(replace(r, expected=None), expected) for r in found]
        runs.append((about, results))
        if own and options.json is not None:
            options.json.write_text(as_json(results, about), encoding="utf-8")
        print(f"{about['name']}: {report.summary(results)}")
    if options.page is not None:
        options.page.write_text(report.page(runs), encoding="utf-8")
    return exit_code(result for _, results in runs for result in results)


def pick(scenarios: Sequence[Scenario], patterns: str) -> list[Scenario]:
    """The scenarios that ``--scenarios`` names. Raises ``BadInput`` for a name of none."""
    words = [word.strip() for word in patterns.split(",") if word.strip()]
    for word in words:
        if not fnmatch.filter([s.name for s in scenarios], word.lstrip("!")):
            raise BadInput(f"--scenarios has {word!r}, which is no scenario: see --list")
    wanted = [word for word in words if not word.startswith("!")] or ["*"]
    unwanted = [word[1:] for word in words if word.startswith("!")]
    return [
        scenario
        for scenario in scenarios
        if any(fnmatch.fnmatch(scenario.name, word) for word in wanted)
        and not any(fnmatch.fnmatch(scenario.name, word) for word in unwanted)
    ]


def _expected(path: Optional[Path]) -> list[Expected]:
    if path is None:
        return []
    return read_expected(_text(path), (s.name for s in all_scenarios()), str(path))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise BadInput(f"{path} cannot be read: {reason}") from None


def _write(
    folder: Path,
    options: argparse.Namespace,
    results: Sequence[Result],
    about: dict[str, Any],
    beside: Sequence[tuple[dict[str, Any], list[Result]]],
) -> None:
    text = as_json(results, about)
    xml = report.junit(results, options.name)
    for path, content in (
        (folder / "conformance.json", text),
        (folder / "junit.xml", xml),
        (options.json, text),
        (options.junit, xml),
    ):
        if path is not None:
            path.write_text(content, encoding="utf-8")
    if options.page is not None:
        runs = merged([(about, list(results)), *beside])
        options.page.write_text(report.page(runs), encoding="utf-8")
