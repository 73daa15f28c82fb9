"""The reference pages say what the code does: the manifest's schema, the events of a history."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from harness.checker.events import EVENTS
from monitor import manifest as monitor_manifest
from producer import manifest, sign

ROOT = Path(__file__).parents[3]
VARIABLE = manifest.Variable("x", "x", "float32", [-1, 13])
GOOD: dict[str, Any] = manifest.manifest(
    release=3,
    tarball="uci_housing.tar.gz",
    size=1024,
    sha256="a" * 64,
    created=1.5,
    feeds=[VARIABLE],
    fetches=[VARIABLE],
    probe={"x": [[1.0, 2.0]]},
    expected={"price": [[4.25]]},
)
VALIDATOR = jsonschema.Draft202012Validator(
    manifest.schema(), format_checker=jsonschema.FormatChecker()
)


def test_a_manifest_of_the_producer_fits_the_schema_also_when_signed() -> None:
    jsonschema.Draft202012Validator.check_schema(manifest.schema())
    VALIDATOR.validate(json.loads(manifest.encode(GOOD)))
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    signed = sign.signed(manifest.encode(GOOD), Ed25519PrivateKey.generate())
    VALIDATOR.validate(json.loads(signed))
    assert list(manifest.schema()["properties"]) == list(GOOD), "each key has its place"


@pytest.mark.parametrize("key", ["format", "release", "tarball", "size", "sha256"])
def test_the_schema_refuses_what_the_monitor_takes_for_no_manifest(key: str) -> None:
    values: list[Any] = ["", "x", "A" * 64, None, True, -1, 0, 1, 2, 1.5, 2**64 - 1, 2**64, [], {}]
    for content in [
        {name: value for name, value in GOOD.items() if name != key},
        *({**GOOD, key: value} for value in values),
    ]:
        read = monitor_manifest.parse(json.dumps(content).encode())
        assert VALIDATOR.is_valid(content) == (read is not None), content.get(key, "absent")


def recorded() -> Iterator[tuple[str, set[str], str]]:
    """The name, the fields and the place of each event that the harness records."""
    for path in (ROOT / "harness").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and ast.unparse(node.func).endswith("istory.record")
                and isinstance(node.args[0], ast.Constant)
            ):
                fields = {one.arg for one in node.keywords if one.arg}
                yield str(node.args[0].value), fields, f"{path.relative_to(ROOT)}:{node.lineno}"


def test_the_table_of_events_has_each_event_and_field_that_the_code_records() -> None:
    page = (ROOT / "docs" / "history.md").read_text(encoding="utf-8")
    settings = page.partition("## Settings")[2].partition("\n## ")[0]
    found = list(recorded())
    assert len(found) > 20
    for name, fields, place in found:
        assert name in EVENTS, f"{place}: EVENTS lacks the event {name}"
        text = EVENTS[name].fields + (settings if name == "settings" else "")
        missing = {one for one in fields - {"t"} if f"`{one}`" not in text}
        assert not missing, f"{place}: EVENTS lacks {missing} of {name}"
