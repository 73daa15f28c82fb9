"""Several servers of one remote: each is judged by its own records and the remote's."""

from __future__ import annotations

from harness.checker.history import Event
from harness.checker.outcome import Outcome
from harness.checker.run_history import sort
from harness.checker.verdict import judge
from harness.report import rollout
from harness.report.summary import rows

from .test_verdict import Story

# These events belong to the remote, so they name no server.
SHARED = ("run", "published", "leg_ended", "end")


def together(*stories: Story) -> list[Event]:
    """Return the history of a run with one server a story; the first story has the releases."""
    events = [event for event in stories[0].events() if event["event"] in SHARED]
    events[0] = {**events[0], "servers": len(stories)}
    return events + [
        {**event, "server": str(number)}
        for number, story in enumerate(stories, 1)
        for event in story.events()
        if event["event"] not in SHARED
    ]


def late(story: Story) -> Story:
    """Let the second release be served 0.4 s later than planned."""
    for prediction in story.predictions:
        if 4.65 < prediction["answered"] < 5.05:
            prediction["value"] = [14.0]
    return story


def test_two_good_servers_are_valid_and_each_has_its_claims() -> None:
    verdict = judge(together(Story(), Story()))
    assert verdict.outcome is Outcome.VALID, verdict.evidence
    assert {claim.remote for claim in verdict.claims} == {"run", "ftp/1", "ftp/2"}


def test_the_verdict_names_the_server_whose_monitor_swaps_nothing() -> None:
    stuck = Story()
    stuck.swapped = stuck.swapped[:1]
    stuck.reloads = []
    stuck.settings["bound_s"] = 2.0
    for prediction in stuck.predictions:
        prediction["value"] = [14.0]
    verdict = judge(together(Story(), stuck, Story()))
    assert {claim.remote for claim in verdict.broken} == {"ftp/2"}
    assert "last one serves" in {claim.name for claim in verdict.broken}


def test_a_server_without_records_makes_the_run_incomplete() -> None:
    events = [event for event in together(Story(), Story()) if event.get("server") != "2"]
    verdict = judge(events)
    assert verdict.outcome is Outcome.UNKNOWN
    assert "no end, or no record at all, of ftp/2" in verdict.evidence


def test_the_report_has_the_spread_of_each_roll_out() -> None:
    table = rows(sort(together(Story(), late(Story()), Story())))
    second, third = rollout.rollouts(table)
    assert (second.release, second.servers) == (2, 3)
    assert second.cells[3:] == ["+0.70", "+0.70", "+1.10"]
    assert third.cells[2] == "3 of 3"
    assert "| ftp | 2 | 3 of 3 | +0.70 | +0.70 | +1.10 |" in rollout.markdown([second])
    (line,) = rollout.lines([second])
    assert line.endswith("first +0.70 s, median +0.70 s, last +1.10 s")


def test_a_server_that_never_serves_a_release_is_counted_in_the_spread() -> None:
    stuck = Story()
    for prediction in stuck.predictions:
        prediction["value"] = [14.0]
    second, _ = rollout.rollouts(rows(sort(together(Story(), stuck))))
    assert second.cells[2] == "1 of 2"


def test_an_outage_that_a_killed_run_never_ended_lasts_until_the_end() -> None:
    def cut(excused: bool) -> list[Event]:
        story = Story()
        begun = {"remote": "ftp", "since": 6.0, "why": "the fault kill of server", "requests": True}
        for prediction in story.predictions:
            if prediction["sent"] > 6.0:
                del prediction["value"]
                prediction["error"] = "refused"
        kept = [event for event in story.events() if event["event"] != "end"]
        return kept + [{"event": "outage_begins", "t": 6.0, **begun}] * excused

    assert [claim.name for claim in judge(cut(excused=False)).broken] == ["no request failed"]
    verdict = judge(cut(excused=True))
    assert not verdict.broken
    assert verdict.outcome is Outcome.UNKNOWN


def test_no_server_is_watched_after_the_observer_of_the_remote_has_ended() -> None:
    unseen = Story()
    del unseen.swapped[2]
    del unseen.reloads[1]
    blind = {"event": "observer_ended", "t": 5.0, "remote": "ftp", "why": "OSError"}
    verdict = judge([*together(Story(), unseen), blind])
    assert verdict.outcome is Outcome.UNKNOWN, verdict.broken


def test_answers_that_name_no_server_are_unknown() -> None:
    fields = {"remote": "ftp", "client": "http-w-1", "error": "refused"}
    failed = [
        {"event": "prediction", "t": 5.0 + n, "n": n, "sent": 5.0, "answered": 5.0 + n, **fields}
        for n in (1, 2)
    ]
    verdict = judge([*together(Story(), Story()), *failed])
    assert verdict.outcome is Outcome.UNKNOWN
    assert (
        "2 answers of ftp name no server, so they belong to none of ftp/1, ftp/2; "
        in (verdict.reasons[0])
    )
    named = [{**event, "server": "2"} for event in failed]
    assert {claim.remote for claim in judge([*together(Story(), Story()), *named]).broken} == {
        "ftp/2"
    }
