"""The pages for people: their links lead somewhere, and their commands and messages are real."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from harness.support.ports import free_port

ROOT = Path(__file__).parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md")])
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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name} links to {link}, which is not there"
        if anchor:
            assert anchor in anchors(target), f"{page.name} links to {link}: no such heading"


def test_without_a_network_the_external_links_count_as_not_checked() -> None:
    # Nothing listens there.
    proxy = f"http://127.0.0.1:{free_port()}"
    environment = {**os.environ, "HTTPS_PROXY": proxy, "HTTP_PROXY": proxy, "NO_PROXY": ""}
    for name in ("https_proxy", "http_proxy", "no_proxy", "ALL_PROXY", "all_proxy"):
        environment.pop(name, None)
    argv = [sys.executable, "-m", "tests.links"]
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=60, cwd=ROOT, env=environment, check=False
    )
    assert done.returncode == 2
    assert re.match(r"links: none of \d+ addresses answers, so no link is checked; ", done.stderr)
    assert done.stdout == ""


def test_every_page_is_in_the_index_and_in_the_site() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    site = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    folder = ROOT / "docs"
    docs = [page.relative_to(folder).as_posix() for page in folder.glob("**/*.md")]
    docs.remove("index.md")
    assert len(docs) > 30
    assert not [name for name in docs if f"]({name})" not in index]
    assert not [name for name in docs if f": {name}\n" not in site]


def test_the_readme_is_short_and_names_the_index() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 80
    assert "](docs/index.md)" in text


def test_the_generated_pages_are_those_of_the_code() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.pages", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr + "run: python -m tests.pages"


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
