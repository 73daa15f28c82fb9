"""Asks every external address that a page names: ``python -m tests.links`` (``make docs-links``).

Prints one line for each wrong address, and ends with exit code 1 if there is one. If no address
answers at all, it says that there is no network, and the exit code is 2.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Optional

import httpx
from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[1]


def addresses() -> dict[str, list[str]]:
    """Return the pages that name each address that a link has."""
    found: dict[str, list[str]] = {}
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/README.md")]
    markdown = MarkdownIt("commonmark").enable("table")
    for page in sorted(pages):
        for token in markdown.parse(page.read_text(encoding="utf-8")):
            for part in token.children or ():
                address = str(part.attrs.get("href", ""))
                if address.startswith("http"):
                    found.setdefault(address, []).append(str(page.relative_to(ROOT)))
    return found


_SILENT = "does not answer"


def wrong(address: str) -> Optional[str]:
    """Return why an address does not answer well, or None."""
    try:
        answer = httpx.get(address, follow_redirects=True, timeout=20)
    except httpx.HTTPError as error:
        return f"{_SILENT} ({error})"
    return f"answers {answer.status_code}" if answer.status_code >= 400 else None


def main() -> int:
    """Ask all addresses. Return the exit code."""
    named = addresses()
    with ThreadPoolExecutor(8) as pool:
        answers = dict(zip(named, pool.map(wrong, named)))
    if all(why is not None and why.startswith(_SILENT) for why in answers.values()):
        address, why = next(iter(answers.items()))
        print(
            f"links: none of {len(answers)} addresses answers, so no link is checked; find a "
            f"network, or set HTTPS_PROXY. The first one: {address} {why}",
            file=sys.stderr,
        )
        return 2
    for address, why in answers.items():
        if why is not None:
            print(f"{address} {why}; named by {', '.join(named[address])}")
    bad = sum(why is not None for why in answers.values())
    print(f"{len(answers)} addresses, {bad} of them wrong")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
