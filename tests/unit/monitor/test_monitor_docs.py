"""docs/monitor.md says what the code does."""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from monitor import docs
from monitor.options import parser

from .fixtures import MODEL, TARBALL, Site
from .processes import Here, general

PAGE = Path(__file__).parents[3] / "docs" / "monitor.md"


def test_the_tables_of_the_documentation_are_those_of_the_code() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name in docs.PARTS:
        assert f"<!-- {name}: generated -->" in page
    assert page.count("<!-- end -->") == len(docs.PARTS)
    assert page == docs.renewed(page), "run: python -m monitor.docs docs/monitor.md"


def test_every_option_of_the_command_line_is_in_the_documentation() -> None:
    page = PAGE.read_text(encoding="utf-8")
    actions = parser.build_parser()._actions
    flags = [flag for action in actions for flag in action.option_strings]
    assert len(flags) > 40
    for flag in flags:
        if flag not in ("-h", "--help", "--help-all", "--version"):
            assert f"`{flag}`" in page or f"{flag} monitors.toml`" in page, flag


def test_every_option_has_a_meaning() -> None:
    for action in parser.build_parser()._actions:
        if not isinstance(action, argparse._HelpAction):
            assert action.help and len(action.help) > 10, action.option_strings  # noqa: PT018


def blocks(language: str) -> list[str]:
    """The pieces of code of the page in one language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_the_signature_check_of_the_docs_lets_in_only_what_is_signed(
    here: Here, site: Site, tmp_path: Path
) -> None:
    openssl, curl = shutil.which("openssl"), shutil.which("curl")
    if openssl is None or curl is None:
        pytest.skip("the example needs openssl and curl, and one of them is not here")
    (script,) = [block for block in blocks("shell") if "openssl dgst" in block]
    key, public = tmp_path / "key.pem", tmp_path / "models.pub"
    for words in (
        ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(key)],
        ["pkey", "-in", str(key), "-pubout", "-out", str(public)],
    ):
        subprocess.run([openssl, *words], check=True, capture_output=True)
    program = tmp_path / "verify-release"
    for there, mine in (
        ("https://models.example", site.url), ("/etc/models.pub", str(public)),
    ):  # fmt: skip
        assert there in script
        script = script.replace(there, mine)
    program.write_text(script)
    program.chmod(0o755)
    tarball, signature = site.root / TARBALL, site.root / f"{TARBALL}.sig"

    def publish(number: int) -> None:
        site.publish(number)
        signing = [openssl, "dgst", "-sha256", "-sign", str(key), "-out", str(signature)]
        subprocess.run([*signing, str(tarball)], check=True)

    def install() -> tuple[int, str]:
        words = ["--once", "--check_command", str(program)]
        code, _, err = here(*general(site, tmp_path), *words)
        return code, err

    publish(1)
    code, err = install()
    assert code == 0, err
    publish(2)
    # A person without a key, who may write to the remote, publishes an unsigned release.
    site.publish(2)
    code, err = install()
    assert code == 1
    assert "--check_command refused it" in err
    publish(3)
    signature.unlink()
    code, err = install()
    assert code == 1
    assert "exit code 3" in err
    live = tmp_path / "local" / MODEL
    assert (live / "params.pdiparams").read_bytes()[:9] == b"%09d" % 1
    publish(3)
    assert install()[0] == 0
    assert (live / "params.pdiparams").read_bytes()[:9] == b"%09d" % 3
