"""The checker against small histories whose every record is in plain sight.

``test_generated`` breaks each claim in each way.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any, Optional

import pytest

from harness.checker.claims import CLAIMS
from harness.checker.completeness import SIGHTS
from harness.checker.history import SCHEMA, Event, read
from harness.checker.outcome import Outcome
from harness.checker.verdict import Verdict, judge

CLIENTS = ("brpc", "http", "grpc")
STORY_CLAIMS = [name for name, rule in CLAIMS.items() if rule.schema == 1]
PRICES = {1: 14.0, 2: 15.5, 3: 17.25}


def written_at(event: Event) -> float:
    """Return the time at which a process of the run writes an event."""
    return float(event["answered"] if "answered" in event else event["t"])


class Story:
    """A run in which three releases go in, two seconds apart, as it should be."""

    def __init__(self) -> None:
        self.settings: Event = {
            "event": "settings",
            "t": 0.0,
            "remote": "ftp",
            "clients": list(CLIENTS),
            # The others need more answers than a story has.
            "claims": STORY_CLAIMS,
            "releases": 3,
            "paced": True,
            "latency_bound_s": 1.0,
            "bound_s": 5.0,
            "switch_window_s": 0.5,
            "rtol": 1e-5,
        }
        self.published: list[Event] = [
            {
                "event": "published",
                "t": 2.0 * n,
                "remote": "ftp",
                "release": n,
                "digest": f"model-{n}",
                "expected": [price],
                "t_begin": 2.0 * n - 0.5,
                "t_end": 2.0 * n,
            }
            for n, price in PRICES.items()
        ]
        self.swapped = [self._at(2.0 * n + 0.2, "swapped", digest=f"model-{n}") for n in PRICES]
        self.reloads = [
            self._at(2.0 * n + 0.6, "server_log", line="W… begin reload model[uci_housing_model].")
            for n in PRICES
            if n > 1
        ]
        self.servers = [
            self._at(2.5, "server", identity="7@1"),
            self._at(9, "server", identity="7@1"),
        ]
        # A request every 0.1 s and client; release n answers from 2 n + 0.7 on.
        self.predictions: list[dict[str, Any]] = [
            self._at(
                2.7 + 0.1 * k,
                "prediction",
                client=client,
                n=k + 1,
                sent=2.69 + 0.1 * k,
                answered=2.7 + 0.1 * k,
                value=[PRICES[min(3, int((2.7 + 0.1 * k - 0.7 + 1e-9) // 2))]],
            )
            for k in range(60)
            for client in CLIENTS
        ]

    def _at(self, t: float, event: str, **fields: object) -> dict[str, Any]:
        return {"event": event, "t": t, "remote": "ftp", **fields}

    def answers(self, client: str) -> list[dict[str, Any]]:
        return [p for p in self.predictions if p["client"] == client]

    def events(self) -> list[Event]:
        ended = [
            self._at(9, "client_ended", client=client, asked=len(self.answers(client)))
            for client in CLIENTS
        ]
        run = {"event": "run", "t": 0.0, "schema": SCHEMA, "remotes": ["ftp"]}
        everything = [self.settings, *self.published, *self.swapped, *self.reloads, *self.servers]
        leg_ended = self._at(9.1, "leg_ended", seconds=9.0)
        end = {"event": "end", "t": 9.2}
        return [run, *everything, *self.predictions, *ended, leg_ended, end]


def outcomes(story: Story) -> dict[str, Outcome]:
    """Return the outcome of each claim about the story's leg."""
    return {c.name: c.outcome for c in judge(story.events()).claims if c.remote == "ftp"}


def broken(story: Story) -> list[str]:
    verdict = judge(story.events())
    return [claim.name for claim in verdict.broken]


def test_a_run_as_it_should_be_is_valid() -> None:
    verdict = judge(Story().events())
    assert verdict.outcome is Outcome.VALID, verdict.broken
    assert verdict.exit_code == 0
    assert len(verdict.claims) == 11


def test_each_claim_goes_by_its_name_in_the_table() -> None:
    assert list(outcomes(Story())) == STORY_CLAIMS


@pytest.mark.parametrize("sight", SIGHTS)
def test_a_claim_that_needs_what_was_not_seen_is_unknown(sight: str) -> None:
    story = Story()
    story.settings["unseen"] = [sight]
    needing = {name for name, rule in CLAIMS.items() if sight in rule.needs}
    assert outcomes(story) == {
        name: Outcome.UNKNOWN if name in needing else Outcome.VALID for name in STORY_CLAIMS
    }
    for claim in judge(story.events()).unknown:
        assert claim.why == f"the run could not see: {sight}"


def test_what_was_not_seen_does_not_make_the_history_incomplete() -> None:
    story = Story()
    story.settings["unseen"] = ["live directory", "server processes"]
    story.swapped.clear()
    story.servers.clear()
    assert outcomes(story)["no torn prediction"] is Outcome.VALID
    assert broken(story) == []


def test_only_the_chosen_claims_are_judged() -> None:
    story = Story()
    story.settings["claims"] = ["same server", "no request failed"]
    assert outcomes(story) == dict.fromkeys(story.settings["claims"][::-1], Outcome.VALID)


@pytest.mark.parametrize(
    ("setting", "names", "why"),
    [
        ("claims", ["no request fails"], "'no request fails' is no claim; use no request failed,"),
        ("claims", [], "no claim is named"),
        ("unseen", ["the log"], "'the log' is no sight; use server log, monitor log,"),
    ],
)
def test_a_wrong_name_in_the_settings_is_unknown(setting: str, names: list[str], why: str) -> None:
    story = Story()
    story.settings[setting] = names
    (claim,) = judge(story.events()).claims
    assert claim.outcome is Outcome.UNKNOWN
    assert why in claim.why


def test_the_verdict_is_without_an_unknown_claim_that_is_not_required() -> None:
    story = Story()
    story.settings["unseen"] = ["server log"]
    assert judge(story.events()).outcome is Outcome.UNKNOWN
    story.settings["required"] = ["same server"]
    verdict = judge(story.events())
    assert verdict.outcome is Outcome.VALID
    assert [claim.name for claim in verdict.left_out] == ["reload in the log"]
    story.servers[1]["identity"] = None
    assert broken(story) == ["same server"]


def test_a_claim_that_is_not_required_counts_when_it_is_broken() -> None:
    story = Story()
    story.settings["required"] = ["same server"]
    del story.predictions[50]["value"]
    assert broken(story) == ["no request failed"]


@pytest.mark.parametrize("schema", [1, 2])
def test_both_schemas_can_be_read(schema: int) -> None:
    events = Story().events()
    events[0]["schema"] = schema
    assert judge(events).outcome is Outcome.VALID


def test_a_single_failed_request_is_seen_and_quoted() -> None:
    story = Story()
    request = story.predictions[50]
    del request["value"]
    request["error"] = "ConnectionError: refused"
    verdict = judge(story.events())
    (claim,) = verdict.broken
    assert claim.name == "no request failed"
    assert claim.records == (request,)
    assert verdict.exit_code == 1


@pytest.mark.parametrize("field", ["t", "sent", "answered", "t_end", "bound_s"])
def test_a_time_that_is_no_number_is_unknown(field: str) -> None:
    events = Story().events()
    where = next(event for event in events if field in event and event["event"] != "run")
    where[field] = float("nan")
    assert judge(events).outcome is Outcome.UNKNOWN


def test_the_order_of_the_lines_means_nothing() -> None:
    lost = Story()
    lost.answers("http")[-1]["value"] = [PRICES[2]]
    for story, outcome in ((Story(), Outcome.VALID), (lost, Outcome.INVALID)):
        expected = judge(story.events())
        assert expected.outcome is outcome
        for seed in range(20):
            events = story.events()
            random.Random(seed).shuffle(events)
            assert judge(events) == expected, f"seed {seed}"


def test_a_line_that_a_full_disk_cut_breaks_no_claim(tmp_path: Path) -> None:
    story = Story()
    # The observer could not write the reload any more; a client's shorter record still fitted.
    story.reloads.clear()
    lines = [json.dumps(event) for event in cut_off(story, 6.3)]
    path = tmp_path / "history.jsonl"
    path.write_text("\n".join(lines) + '\n{"event":"server_log","t"')
    verdict = judge(read(path))
    assert [claim.name for claim in verdict.broken] == []
    assert f"line {len(lines) + 1} of {path} is damaged" in verdict.unknown[0].why
    assert verdict.exit_code == 3


def test_beside_a_damaged_line_only_what_is_there_is_judged(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"

    def judged(story: Story, number: int) -> Verdict:
        lines = [json.dumps(event) for event in story.events()]
        # As a full disk leaves it: another process went on in the middle of a line.
        lines[number - 1] = '{"event":"prediction","cli' + lines[number - 1]
        path.write_text("".join(f"{line}\n" for line in lines))
        return judge(read(path))

    failed = Story()
    failed.predictions[50]["error"] = "refused"
    # Whatever the line was: a release, a swap, a reload, a server, a prediction.
    for number in range(1, 15):
        verdict = judged(Story(), number)
        assert verdict.outcome is Outcome.UNKNOWN, (number, verdict.broken)
        assert f"line {number} of {path} is damaged" in verdict.unknown[0].why
        if number != 2:  # the settings, without which nothing can be judged
            assert [c.name for c in judged(failed, number).broken] == ["no request failed"]


def test_a_failed_request_in_a_declared_outage_is_excused() -> None:
    story = Story()
    request = story.predictions[50]
    del request["value"]
    request["error"] = "ConnectionError: refused"
    outage = {"event": "outage", "t": 0.0, "remote": "ftp"}
    window = {"since": request["sent"] - 0.1, "until": request["answered"] + 0.1}
    assert judge([*story.events(), {**outage, **window}]).outcome is Outcome.VALID
    elsewhere = {"since": 8.0, "until": 8.1}
    assert judge([*story.events(), {**outage, **elsewhere}]).outcome is Outcome.INVALID
    window["requests"] = False
    assert judge([*story.events(), {**outage, **window}]).outcome is Outcome.INVALID


def test_a_rollback_is_no_step_back() -> None:
    story = Story()
    story.swapped.append(story._at(7.5, "swapped", digest="model-2"))
    story.reloads.append(story._at(7.9, "server_log", line="W… begin reload model[m]."))
    for answer in story.predictions:
        if answer["answered"] > 8.0:
            answer["value"] = [PRICES[2]]
    # It does end on an older release than the last one published, and that is said.
    assert broken(story) == ["last one serves"]


def swapped_back_before_the_tick() -> Story:
    """Release 1 goes in again 0.2 s after release 2, before the server has seen release 2."""
    story = Story()
    story.swapped.insert(2, story._at(4.4, "swapped", digest="model-1"))
    story.reloads.insert(1, story._at(5.6, "server_log", line="W… begin reload model[m]."))
    for answer in story.predictions:
        if 5.7 <= answer["answered"] < 6.7:
            answer["value"] = [PRICES[1]]
    return story


def test_a_release_that_goes_in_again_before_the_tick_is_no_step_back() -> None:
    # The answers from 4.4 s to 4.7 s are those of release 1 before, those from 5.7 s on after.
    assert broken(swapped_back_before_the_tick()) == []


def test_a_step_back_behind_a_release_that_went_in_again_is_seen() -> None:
    story = swapped_back_before_the_tick()
    late = [answer for answer in story.predictions if 6.4 < answer["answered"] < 6.6]
    late[0]["value"] = [PRICES[2]]
    verdict = judge(story.events())
    assert [claim.name for claim in verdict.broken] == ["no step back"]
    assert verdict.broken[0].records == ({**late[0], "after_release": 1},)


def test_a_release_that_is_never_served_is_lost() -> None:
    story = Story()
    for answer in story.predictions:
        if answer["value"] == [PRICES[3]]:
            answer["value"] = [PRICES[2]]
    del story.swapped[2]
    story.settings["bound_s"] = 1.5
    assert broken(story) == ["nothing lost", "last one serves"]


def test_a_release_still_within_its_bound_at_the_end_is_neither_lost_nor_served() -> None:
    story = Story()
    for answer in story.predictions:
        if answer["value"] == [PRICES[3]]:
            answer["value"] = [PRICES[2]]
    del story.swapped[2]
    verdict = judge(story.events())
    assert verdict.outcome is Outcome.UNKNOWN
    lost, last = verdict.unknown
    assert (lost.name, last.name) == ("nothing lost", "last one serves")
    assert "release 3 was still within its bound" in lost.why


def test_a_release_that_a_newer_one_supersedes_in_time_is_not_lost() -> None:
    story = Story()
    for answer in story.predictions:
        if answer["value"] == [PRICES[2]]:
            answer["value"] = [PRICES[1]]
    assert broken(story) == []


def test_a_release_that_a_newer_one_supersedes_too_late_is_lost() -> None:
    story = Story()
    story.settings["bound_s"] = 1.0
    for answer in story.predictions:
        if answer["value"] == [PRICES[2]]:
            answer["value"] = [PRICES[1]]
    assert broken(story) == ["nothing lost"]


def test_a_server_that_takes_long_to_start_loses_no_release() -> None:
    story = Story()
    for event in (story.published[0], story.swapped[0]):
        for key in {"t", "t_begin", "t_end"} & set(event):
            event[key] -= 100
    assert broken(story) == []


def test_a_bad_release_supersedes_nothing() -> None:
    story = Story()
    story.settings["bound_s"] = 2.5
    story.published[2]["good"] = False
    for answer in story.predictions:
        if answer["value"] == [PRICES[2]]:
            answer["value"] = [PRICES[1]]
    assert "nothing lost" in broken(story)


def test_an_outage_lengthens_the_bound_by_what_it_took_of_it() -> None:
    story = Story()
    story.settings["bound_s"] = 0.5
    outage = {"event": "outage", "t": 0.0, "remote": "ftp"}
    during = [{**outage, "since": 2.0 * n, "until": 2.0 * n + 0.5} for n in PRICES]
    assert judge([*story.events(), *during]).outcome is Outcome.VALID
    before = [{**outage, "since": 2.0 * n - 0.5, "until": 2.0 * n} for n in PRICES]
    assert judge([*story.events(), *before]).outcome is Outcome.INVALID


def test_a_live_directory_that_is_no_release_is_seen() -> None:
    story = Story()
    story.swapped.insert(1, story._at(3.5, "swapped", digest="half of 1 and half of 2"))
    assert broken(story) == ["live directory is whole"]
    story.swapped[1]["moved"] = True
    assert broken(story) == []


def test_swaps_that_are_all_unknown_hide_nothing() -> None:
    story = Story()
    for swap in story.swapped:
        swap["digest"] = "?" + swap["digest"]
    story.reloads.clear()
    found = broken(story)
    assert {"live directory is whole", "served is swapped", "reload in the log"} <= set(found)


def test_a_bad_release_need_not_be_served() -> None:
    story = Story()
    for answer in story.predictions:
        if answer["value"] == [PRICES[3]]:
            answer["value"] = [PRICES[2]]
    del story.swapped[2]
    story.published[2]["good"] = False
    assert broken(story) == []


def test_a_restart_that_a_scenario_makes_is_allowed_and_another_one_is_seen() -> None:
    story = Story()
    restarted = {"event": "server", "t": 5.0, "remote": "ftp", "identity": "8@2"}
    story.servers[1:1] = [{**restarted, "restarted": True}]
    story.servers[-1]["identity"] = "8@2"
    # The server was started with release 2, and says nothing of a reload.
    story.reloads = story.reloads[1:]
    assert broken(story) == []
    story.servers[-1]["identity"] = "7@1"
    assert broken(story) == ["same server"]


def test_a_swap_while_the_server_starts_needs_no_line_about_the_load() -> None:
    story = Story()
    # The server reads release 1; release 2 goes in before the server is ready.
    story.published[1].update(t_begin=1.9, t_end=2.3)
    story.swapped[1]["t"] = 2.4
    assert broken(story) == []


def test_a_swap_while_the_server_starts_again_needs_no_line_either() -> None:
    story = Story()
    restart = {"event": "server", "t": 4.65, "remote": "ftp", "identity": "8@2", "restarted": True}
    story.servers[1:1] = [restart]
    story.servers[-1]["identity"] = "8@2"
    # The server reads release 2, which went in while there was no server.
    story.published[2].update(t_begin=4.2, t_end=4.5)
    story.swapped[2]["t"] = 4.6
    story.reloads = story.reloads[1:]
    outage = {"event": "outage", "t": 4.7, "remote": "ftp", "since": 4.1, "until": 4.7}
    assert judge([*story.events(), outage]).outcome is Outcome.VALID
    # A restart that begins after release 3 went in cannot have loaded release 2.
    outage["since"] = 4.63
    found = [claim.name for claim in judge([*story.events(), outage]).broken]
    assert found == ["reload in the log"]


@pytest.mark.parametrize("outage", [None, {"since": 3.9, "until": 8.1, "requests": False}])
def test_a_restart_without_an_outage_of_the_server_excuses_no_release(
    outage: Optional[Event],
) -> None:
    story = Story()
    restart = {"event": "server", "t": 8.0, "remote": "ftp", "identity": "8@2", "restarted": True}
    story.servers[1:1] = [restart]
    story.servers[-1]["identity"] = "8@2"
    # Release 2 was served from 4.7 s on, and release 3 from 6.7 s on.
    story.reloads = story.reloads[1:]
    outages = [] if outage is None else [{"event": "outage", "t": 8.1, "remote": "ftp", **outage}]
    found = [claim.name for claim in judge([*story.events(), *outages]).broken]
    assert found == ["reload in the log"]


@pytest.mark.parametrize(("which", "t"), [(0, 3.0), (1, 6.0)])
def test_a_server_recorded_too_late_or_too_early_is_unknown(which: int, t: float) -> None:
    story = Story()
    story.servers[which]["t"] = t
    assert judge(story.events()).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(("finished", "found"), [(6.3, []), (5.6, ["reload in the log"])])
def test_a_release_that_comes_while_the_server_loads_may_be_part_of_that_load(
    finished: float, found: list[str]
) -> None:
    story = Story()
    # Release 3 went in at 6.2 s and has no line of its own.
    story.reloads[1].update(t=finished, line="W… Finish reload engine[general_infer_0].")
    assert broken(story) == found


def test_reloads_that_no_swap_asked_for_are_seen() -> None:
    story = Story()
    idle = [
        story._at(9.0 + n, "server_log", line="W… begin reload model[m].")
        for n in range(len(story.swapped))
    ]
    assert [c.name for c in judge([*story.events(), *idle]).broken] == ["reload in the log"]


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("run", "0 records of a run"),
        ("leg_ended", "no end, or no record at all, of ftp"),
        ("end", "no end of the run"),
        ("settings", "no settings"),
        ("published", "no release"),
        ("swapped", "no swap"),
        ("prediction", "no prediction"),
        ("server", "processes were not recorded"),
        ("client_ended", "did not come to an end"),
    ],
)
def test_a_history_with_something_missing_is_unknown(kind: str, why: str) -> None:
    events = [event for event in Story().events() if event["event"] != kind]
    verdict = judge(events)
    assert verdict.outcome is Outcome.UNKNOWN
    assert verdict.exit_code == 3
    assert why in verdict.unknown[0].why


def cut_off(story: Story, t: float) -> list[Event]:
    """The history of the story's run that was cut short at a time, its leg in the middle."""

    events = [
        e for e in story.events() if written_at(e) < t and e["event"] not in ("leg_ended", "end")
    ]
    return [*events, story._at(t, "cut_short", why="the producer ended")]


def test_a_leg_that_was_cut_short_is_unknown_where_nothing_is_broken() -> None:
    for tenth in range(10, 90):
        verdict = judge(cut_off(Story(), tenth / 10))
        assert verdict.outcome is Outcome.UNKNOWN, (tenth, verdict.broken)
        assert not verdict.broken
        assert "cut short: the producer ended" in verdict.unknown[-1].why


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("no request failed", lambda story: story.predictions[50].update(error="refused")),
        ("no torn prediction", lambda story: story.predictions[50].update(value=[14.7])),
        ("live directory is whole", lambda story: story.swapped[1].update(digest="a mixture")),
        ("served is swapped", lambda story: story.swapped.pop(1)),
        ("no step back", lambda story: story.answers("brpc")[30].update(value=[PRICES[1]])),
        ("nothing lost", lambda story: story.settings.update(bound_s=0.5)),
        (
            "same server",
            lambda story: story.servers.insert(
                1, {**story.servers[0], "t": 5.0} | {"identity": "8@2"}
            ),
        ),
        ("reload in the log", lambda story: story.reloads.pop(0)),
    ],
)
def test_what_was_seen_is_invalid_in_a_leg_that_was_cut_short(name: str, spoil: Any) -> None:
    story = Story()
    spoil(story)
    # In the middle of release 3's way to the clients.
    verdict = judge(cut_off(story, 6.3))
    assert name in [claim.name for claim in verdict.broken]
    assert verdict.exit_code == 1
    assert verdict.unknown, "the rest of the leg was not looked at"


def test_a_server_that_never_reloads_loses_each_release_by_name_and_client() -> None:
    story = Story()
    story.settings["bound_s"] = 1.5
    story.reloads.clear()
    for answer in story.predictions:
        answer["value"] = [PRICES[1]]
    broken = {claim.name: claim.why for claim in judge(story.events()).broken}
    assert set(broken) == {"nothing lost", "last one serves"}
    assert broken["nothing lost"] == (
        "release 2 was not served to brpc, http, grpc within 1.5 s; "
        "release 3 was not served to brpc, http, grpc within 1.5 s"
    )


def test_a_release_that_one_client_alone_is_not_served_is_lost_for_it() -> None:
    story = Story()
    story.settings["bound_s"] = 1.5
    for answer in story.answers("grpc"):
        answer["value"] = [PRICES[1]]
    broken = {claim.name: claim for claim in judge(story.events()).broken}
    assert {"nothing lost", "last one serves", "all clients agree"} <= set(broken)
    assert "release 2 was not served to grpc within" in broken["nothing lost"].why
    assert {record["client"] for record in broken["nothing lost"].records} == {"grpc"}


def test_a_client_that_ended_within_the_bound_loses_nothing() -> None:
    story = Story()
    for answer in story.answers("grpc"):
        if answer["value"] == [PRICES[3]]:
            story.predictions.remove(answer)
    verdict = judge(story.events())
    assert "nothing lost" not in [claim.name for claim in verdict.broken]
    assert "nothing lost" in [claim.name for claim in verdict.unknown]


def test_a_first_release_that_was_not_installed_is_lost_for_every_client() -> None:
    story = Story()
    story.predictions.clear()
    story.servers.clear()
    why = "`--once` ended with exit code 1"
    failed = story._at(3.0, "install_failed", release=1, why=why)
    verdict = judge([*cut_off(story, 3.0), failed])
    (lost,) = verdict.broken
    assert (lost.name, verdict.exit_code) == ("nothing lost", 1)
    assert lost.why == f"release 1 was not installed for brpc, http, grpc: {why}"


def test_a_release_that_is_out_before_it_is_recorded_is_not_torn() -> None:
    story = Story()
    events = cut_off(story, 8.0)
    events = [e for e in events if not (e["event"] == "published" and e["release"] == 3)]
    assert {"no torn prediction", "live directory is whole"} <= {
        claim.name for claim in judge(events).broken
    }
    begun = [story._at(2.0 * n - 1, "publishing") for n in PRICES]
    assert judge([*events, *begun]).outcome is Outcome.UNKNOWN


def test_what_nobody_watched_is_not_held_against_anybody() -> None:
    story = Story()
    blind = story._at(5.0, "observer_ended", why="OSError")
    del story.swapped[2]
    del story.reloads[1]
    verdict = judge([*story.events(), blind])
    assert verdict.outcome is Outcome.UNKNOWN, verdict.broken
    story.predictions[170]["error"] = "refused"
    (claim,) = judge([*story.events(), blind]).broken
    assert claim.name == "no request failed"


def test_a_leg_that_was_cut_short_takes_nothing_from_another() -> None:
    ftp, http = Story(), Story()
    events = [*ftp.events(), *({**e, "remote": "http"} for e in cut_off(http, 5.0)[1:])]
    events[0]["remotes"] = ["ftp", "http"]
    verdict = judge(events)
    assert {claim.remote for claim in verdict.unknown} == {"run", "http"}
    assert [c.outcome for c in verdict.claims if c.remote == "ftp"] == [Outcome.VALID] * 10


def test_a_run_that_was_cut_short_is_unknown() -> None:
    cut = {"event": "cut_short", "t": 9.0, "why": "the producer ended"}
    verdict = judge([*Story().events(), cut])
    assert verdict.outcome is Outcome.UNKNOWN
    assert "cut short: the producer ended" in verdict.unknown[0].why


def test_a_remote_that_was_to_be_run_and_was_not_is_unknown() -> None:
    events = Story().events()
    events[0]["remotes"] = ["ftp", "http"]
    verdict = judge(events)
    assert verdict.outcome is Outcome.UNKNOWN
    assert "http" in verdict.unknown[0].why


def test_fewer_releases_than_planned_is_unknown() -> None:
    story = Story()
    story.settings["releases"] = 4
    assert judge(story.events()).outcome is Outcome.UNKNOWN


def test_settings_without_clients_are_unknown() -> None:
    story = Story()
    story.settings["clients"] = []
    assert judge(story.events()).outcome is Outcome.UNKNOWN


def test_an_answer_missing_from_the_history_is_unknown() -> None:
    story = Story()
    events = story.events()
    events.remove(story.predictions[10])
    verdict = judge(events)
    assert verdict.outcome is Outcome.UNKNOWN
    assert "asked 60 times, the history has 59" in verdict.unknown[0].why


def test_an_empty_history_is_unknown() -> None:
    assert judge([]).outcome is Outcome.UNKNOWN


def test_a_history_of_another_schema_is_unknown() -> None:
    events = Story().events()
    events[0]["schema"] = SCHEMA + 1
    verdict = judge(events)
    assert verdict.outcome is Outcome.UNKNOWN
    assert "schema" in verdict.unknown[0].why


def test_a_record_the_checker_cannot_read_is_unknown() -> None:
    story = Story()
    del story.swapped[1]["digest"]
    assert judge(story.events()).outcome is Outcome.UNKNOWN


def skipping_story() -> Story:
    """Return a story whose server never serves release 2, which is live for two seconds."""
    story = Story()
    story.settings.update(
        claims=[*STORY_CLAIMS, "live is served"], paced=False, tick_s=0.5, load_bound_s=0.9
    )
    for prediction in story.predictions:
        if prediction["value"] == [PRICES[2]]:
            prediction["value"] = [PRICES[1]]
    return story


def test_a_release_that_was_live_over_ticks_and_never_served_is_seen() -> None:
    story = skipping_story()
    (claim,) = judge(story.events()).broken
    assert (claim.name, len(claim.records)) == ("live is served", 3)
    assert claim.records[0]["release"] == 2


def test_a_release_without_its_time_file_is_not_due_and_asks_for_no_reload() -> None:
    story = skipping_story()
    for swap in story.swapped:
        swap["second"] = 0 if swap["digest"] == "model-2" else 1
    assert not judge(story.events()).broken
    story = Story()
    idle = [
        story._at(9.0 + n, "server_log", line="W… begin reload model[m].")
        for n in range(len(story.swapped) - len(story.reloads) + 1)
    ]
    story.swapped.append(story._at(8.5, "swapped", digest="model-3", second=0))
    story.reloads += idle
    assert [claim.name for claim in judge(story.events()).broken] == ["reload in the log"]


def test_a_release_that_was_not_served_until_it_was_live_again_is_seen() -> None:
    story = skipping_story()
    story.swapped.append(story._at(7.5, "swapped", digest="model-2"))
    for prediction in story.predictions:
        if prediction["answered"] > 8.0:
            prediction["value"] = [PRICES[2]]
    rolled_back = story._at(7.5, "rollback", release=2)
    (claim,) = judge([*story.events(), rolled_back]).broken
    assert (claim.name, claim.records[0]["live_s"]) == ("live is served", 2.0)


@pytest.mark.parametrize(
    "change",
    [
        {"load_bound_s": 1.1},
        {"tick_s": 0.6},
    ],
)
def test_a_release_that_was_superseded_before_its_load_need_not_be_served(
    change: dict[str, float],
) -> None:
    story = skipping_story()
    story.settings.update(change)
    assert broken(story) == []


def test_a_release_need_not_be_served_during_an_outage() -> None:
    story = skipping_story()
    outage = {"event": "outage", "t": 5.0, "remote": "ftp", "since": 5.0, "until": 5.1, "why": "x"}
    assert judge([*story.events(), outage]).outcome is Outcome.VALID
