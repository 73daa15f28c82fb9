"""The options that both suites have, and the files that they write."""

from __future__ import annotations

import argparse
import re
import tempfile
from pathlib import Path

from harness.support.errors import BadInput
from harness.support.run_folder import new_run_folder

from . import html, results
from .results import Run, Suite

_RESULTS = "conformance.json"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that both suites have."""
    add = parser.add_argument
    add(
        "--only",
        default="",
        metavar="IDS",
        help="cases by id, group, name or pattern, separated by commas (all)",
    )
    add("--json", type=Path, metavar="FILE", help="write the results there as well")
    add("--junit", type=Path, metavar="FILE", help="write JUnit XML there as well")
    add("--page", type=Path, metavar="FILE", help="write the documentation page there")
    add(
        "--html",
        type=Path,
        metavar="FOLDER",
        help="write the matrix there as a page, and a page for each cell with command, evidence "
        "and log",
    )
    add("--run", type=Path, metavar="FOLDER", help="the run's folder (a new one in runs/)")
    add(
        "--results",
        type=Path,
        metavar="FILE",
        help="run nothing: write --page and the other files from the conformance.json of a run",
    )


def run_folder(options: argparse.Namespace, last: object) -> Path:
    """Return the run's folder, ``runs/<utc>-<last>`` if none is given; make it.

    Raises:
        BadInput: The folder holds an earlier run.
    """
    if options.run is None:
        return new_run_folder(Path("runs").resolve(), last)
    folder: Path = options.run.resolve()
    if (folder / _RESULTS).exists():
        raise BadInput(
            f"--run {folder} holds an earlier run; name another folder, or remove that one"
        )
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def read(options: argparse.Namespace, suite: Suite) -> Run:
    """Return the run of ``--results``. Raises ``BadInput`` if the file cannot be read."""
    try:
        text = options.results.read_text(encoding="utf-8")
        return results.from_json(text, suite)
    except (OSError, ValueError) as error:
        raise BadInput(f"--results {options.results}: {error}; name a conformance.json") from None


def prepare(options: argparse.Namespace) -> None:
    """Make the folder of ``--html``. Raises ``BadInput`` if no page can be written there."""
    if options.html is None:
        return
    try:
        options.html.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=options.html):
            pass
    except OSError as error:
        raise BadInput(
            f"--html {options.html}: no page can be written there ({error.strerror}); "
            "name a folder that you may write to"
        ) from None


def keep(folder: Path, run: Run, suite: Suite) -> None:
    """Write ``conformance.json``, also of a run that was interrupted."""
    text = results.as_json(run, suite)
    (folder / _RESULTS).write_text(text, encoding="utf-8")


def finish(folder: Path, run: Run) -> None:
    """Write the files of a run that came to its end: ``junit.xml``, and a badge a column."""
    (folder / "junit.xml").write_text(results.junit_xml(run), encoding="utf-8")
    for name, text in results.badges(run).items():
        # A column's name may have characters that a file's name may not have.
        file = re.sub(r"[^\w.-]+", "-", name)
        (folder / f"badge-{file}.json").write_text(text, encoding="utf-8")


def write(options: argparse.Namespace, run: Run, suite: Suite, folder: Path) -> None:
    """Write the files that the options name. ``folder``: the run's, which has the logs."""
    for path, content in (
        (options.json, results.as_json(run, suite)),
        (options.junit, results.junit_xml(run)),
        (options.page, suite.page(run)),
    ):
        if path is not None:
            path.write_text(content, encoding="utf-8")
    if options.html is not None:
        html.write(options.html, run, suite, folder)
        print(f"pages: {options.html / 'index.html'}")
