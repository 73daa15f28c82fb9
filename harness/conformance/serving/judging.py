"""Looks at one fact or one promise of a serving binary."""

from __future__ import annotations

import time

from harness.conformance.results import CaseResult
from harness.support.errors import Failed

from . import report
from .checks import Differs, Missing, Subject
from .facts import Fact
from .promises import Promise, page


def fact(one: Fact, subject: Subject) -> CaseResult:
    """Look at one fact."""
    began = time.monotonic()
    word, reason = _compared(one, subject)
    return CaseResult(
        one.id,
        word,
        report.WORDS[word].outcome,
        (reason,) if reason else (),
        one.better if word == "better" else "",
        time.monotonic() - began,
    )


def _compared(one: Fact, subject: Subject) -> tuple[str, str]:
    """Return one of ``report.WORDS``, and what was seen."""
    if subject.ended:
        # Why the server ended was an earlier check's question.
        subject.close()
    try:
        better = one.check(subject)
    except Missing as error:
        return "unknown", str(error)
    except Exception as error:
        # Every error of a check comes from the server, such as bytes that no client could read.
        return "DIFFERS", f"{type(error).__name__}: {error}"
    # The real server may die where a stand-in may do better.
    if (better or not one.better) and subject.ended:
        return "DIFFERS", "the server has ended"
    return ("better" if better else "same"), ""


def promise(one: Promise, subject: Subject) -> CaseResult:
    """Look at one promise."""
    began = time.monotonic()
    word, reason = "kept", ""
    try:
        one.check(subject)
    except Missing as error:
        word, reason = "unknown", str(error)
    except (Differs, Failed) as error:
        word, reason = "BROKEN", str(error)
    except Exception as error:
        # An unreadable answer is ``Differs``. So the server caused no other error.
        word, reason = "unknown", f"the suite itself failed: {type(error).__name__}: {error}"
    return CaseResult(
        one.id,
        word,
        page.WORDS[word].outcome,
        (reason,) if reason else (),
        "",
        time.monotonic() - began,
    )
