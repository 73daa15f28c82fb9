"""JUnit XML: the one writer for runs and for the conformance suites."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Optional
from xml.etree import ElementTree

from harness.checker.outcome import Outcome


@dataclass(frozen=True)
class Case:
    """One test case: an invalid outcome is a failure, an unknown one an error."""

    # What readers group by: a remote, or a suite and a group of it.
    group: str
    # The case's name in the group.
    name: str
    # What came of it.
    outcome: Outcome
    # The reason, for a reader.
    why: str = ""
    # The case fails, and that is known, or cannot be judged and need not be: it counts as skipped,
    # and ``why`` is the reason.
    skipped: bool = False
    # How long it took; None if nothing says so.
    seconds: Optional[float] = None

    @property
    def _tag(self) -> Optional[str]:
        if self.outcome is Outcome.INVALID:
            return "failure"
        if self.skipped:
            return "skipped"
        return None if self.outcome is Outcome.VALID else "error"

    def element(self) -> ElementTree.Element:
        """Return the ``testcase``."""
        case = ElementTree.Element("testcase", classname=self.group, name=self.name)
        if self.seconds is not None:
            case.set("time", f"{self.seconds:.2f}")
        if self._tag:
            ElementTree.SubElement(case, self._tag, message=_printable(self.why))
        return case


def suite(name: str, cases: Sequence[Case]) -> ElementTree.Element:
    """Return a ``testsuite`` with its counts."""
    elements = [case.element() for case in cases]
    counts = {"tests": len(cases)}
    for tag in ("failure", "error", "skipped"):
        plural = tag if tag == "skipped" else f"{tag}s"
        counts[plural] = sum(1 for element in elements if element.find(tag) is not None)
    found = ElementTree.Element("testsuite", {"name": name, **{k: str(counts[k]) for k in counts}})
    found.extend(elements)
    return found


def several(suites: Iterable[ElementTree.Element]) -> ElementTree.Element:
    """Return a ``testsuites`` of these suites."""
    root = ElementTree.Element("testsuites")
    root.extend(suites)
    return root


def text(root: ElementTree.Element) -> str:
    """Return the whole file."""
    written: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return written.decode() + "\n"


def _printable(why: str) -> str:
    """Return the text without the control characters that XML does not allow."""
    return "".join(char for char in why if char in "\n\t" or ord(char) >= 32)
