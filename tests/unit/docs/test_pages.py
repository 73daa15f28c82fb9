"""The pages for people: their links lead somewhere, and their commands and messages are real."""

from __future__ import annotations

import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from harness.support.ports import free_port

ROOT = Path(__file__).parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
TROUBLE = ROOT / "docs" / "troubleshooting.md"


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    found = set()
    for heading in re.findall(r"^#+ (.*)$", text, re.M):
        kept = (
            c for c in heading.lower() if c in " -_" or unicodedata.category(c)[0] in ("L", "N")
        )
        found.add("".join(kept).replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name} links to {link}, which is not there"
        if anchor:
            assert anchor in anchors(target), f"{page.name} links to {link}: no such heading"


def test_every_page_can_be_reached_from_the_readme() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    docs = [page.name for page in PAGES if page.parent.name == "docs"]
    missing = [name for name in docs if f"docs/{name}" not in text]
    assert not missing, f"README.md links to none of {missing}"


def test_the_refused_connection_is_logged_as_the_page_shows(tmp_path: Path) -> None:
    shown = re.search(r"^WARNING +(cannot read .*)$", TROUBLE.read_text(), re.M)
    assert shown is not None
    address = f"http://127.0.0.1:{free_port()}"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "monitor", "--once", f"--general_host={address}"),
            *("--remote_path=/", "--remote_model_name=m.tar.gz", "--remote_donefile_name=donefile"),
            *(f"--local_path={tmp_path}", "--local_model_name=m"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert shown[1].replace("http://models.example:8080", address) in done.stderr
