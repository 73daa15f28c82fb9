"""The claims about growth and cost, judged from generated histories."""

from __future__ import annotations

import random
from typing import Any, Callable

import pytest

from harness.checker import latency
from harness.checker.claims import CLAIMS
from harness.checker.growth import grows, slope_with_limits
from harness.checker.history import Event
from harness.checker.outcome import Claim, Outcome
from harness.checker.verdict import judge
from tests.unit.harness.checker.test_verdict import STORY_CLAIMS, Story

MB = 1_000_000
GROWTH = [name for name, rule in CLAIMS.items() if rule.statistical and "flat" in name]
COST = ["monitor stays idle", "polls stay few", "bytes stay few"]
Usage = Callable[[int, random.Random], float]


def flat(value: float, noise: float = 0.0) -> Usage:
    return lambda _, chance: value + chance.uniform(-noise, noise)


class LongStory(Story):
    """A run whose releases go in again and again, two seconds apart."""

    def __init__(self, reloads: int, seed: int = 1) -> None:
        super().__init__()
        self.chance = random.Random(seed)
        self.reload_times = [20.0 + 2.0 * n for n in range(reloads)]
        self.ends = 20.0 + 2.0 * reloads
        self.swapped += [self._at(t - 0.4, "swapped", digest="model-3") for t in self.reload_times]
        self.settings.update(
            # The requests of a story are not planned.
            claims=[name for name in CLAIMS if name != latency.NAME],
            required=STORY_CLAIMS,
            poll_s=1.0,
            memory_bound_bytes=100_000,
            monitor_cpu_bound=0.1,
            poll_bound_bytes=1000,
        )
        for release in self.published:
            release["size"] = 5000
        self.rss: Usage = flat(400 * MB, 0.3 * MB)
        self.fds: dict[str, Usage] = {"server": flat(60, 3), "monitor": flat(12)}
        self.threads: dict[str, Usage] = {"server": flat(30), "monitor": flat(2)}
        self.poll_every_s = 1.0
        self.cpu_share = 0.02
        self.bytes_a_poll = 700
        self.pids = {"server": 7, "monitor": 8}

    def samples(self) -> list[Event]:
        found = []
        for step in range(int((self.ends - 10) / 0.5)):
            t = 10.25 + 0.5 * step
            reload = int((t - 20) // 2)
            # The old worker lives on for half a second.
            twice = 2 if t > 20 and t % 2 < 0.5 else 1
            for part in ("server", "monitor"):
                fields: dict[str, Any] = {
                    "pid": self.pids[part],
                    "rss_bytes": twice * self.rss(reload, self.chance),
                    "fds": round(twice * self.fds[part](reload, self.chance)),
                    "threads": round(twice * self.threads[part](reload, self.chance)),
                    "cpu_s": 1 + self.cpu_share * t,
                }
                if part == "monitor":
                    fields["bytes"] = 50_000 + int(self.bytes_a_poll * t / self.poll_every_s)
                found.append(self._at(t, "resources", part=part, **fields))
        return found

    def events(self) -> list[Event]:
        polls = int((self.ends - 12) / self.poll_every_s)
        more = [
            *(
                self._at(t, "server_log", line="W… begin reload model[x].")
                for t in self.reload_times
            ),
            *(
                self._at(12 + self.poll_every_s * n, "monitor_log", line="… sleep 1s.")
                for n in range(polls)
            ),
            *self.samples(),
        ]
        return [*more, *super().events()]

    def claim(self, name: str) -> Claim:
        return next(claim for claim in judge(self.events()).claims if claim.name == name)


@pytest.mark.parametrize("seed", range(5))
def test_a_noisy_server_that_does_not_grow_is_valid(seed: int) -> None:
    verdict = judge(LongStory(40, seed).events())
    assert verdict.outcome is Outcome.VALID, verdict.broken
    assert not verdict.left_out, verdict.left_out


@pytest.mark.parametrize("seed", range(5))
def test_a_server_that_leaks_a_megabyte_a_reload_is_invalid(seed: int) -> None:
    story = LongStory(40, seed)
    story.rss = lambda reload, chance: 400 * MB + MB * reload + chance.uniform(-MB, MB)
    verdict = judge(story.events())
    assert [claim.name for claim in verdict.broken] == ["memory stays flat"]
    assert "grows by 1,0" in verdict.evidence or "grows by 9" in verdict.evidence
    assert [record["part"] for record in verdict.broken[0].records] == ["server", "server"]


def test_memory_with_too_much_noise_for_so_few_reloads_is_unknown() -> None:
    story = LongStory(20)
    story.rss = flat(400 * MB, 20 * MB)
    claim = story.claim("memory stays flat")
    assert claim.outcome is Outcome.UNKNOWN
    assert claim.why.endswith("more reloads would tell")


def test_memory_that_grows_only_at_the_start_is_valid() -> None:
    story = LongStory(100)
    story.rss = lambda reload, chance: 400 * MB + MB * min(reload, 8) + chance.uniform(-MB, MB)
    assert story.claim("memory stays flat").outcome is Outcome.VALID


@pytest.mark.parametrize("name", GROWTH)
def test_too_few_reloads_are_unknown_and_the_verdict_is_without_them(name: str) -> None:
    story = LongStory(19)
    verdict = judge(story.events())
    assert verdict.outcome is Outcome.VALID
    assert [claim.name for claim in verdict.left_out] == GROWTH
    claim = story.claim(name)
    assert claim.why == "the server was sampled over 19 reloads, 20 are needed"
    story.settings["required"] = [name]
    assert judge(story.events()).unknown == (story.claim(name),)


@pytest.mark.parametrize("field", ["fds", "threads"])
@pytest.mark.parametrize("part", ["server", "monitor"])
def test_one_more_at_each_reload_is_invalid(part: str, field: str) -> None:
    story = LongStory(30)
    getattr(story, field)[part] = lambda reload, _: 60 + reload
    (claim,) = judge(story.events()).broken
    assert claim.name == {"fds": "descriptors", "threads": "threads"}[field] + " stay flat"
    assert claim.why.startswith(f"the {part}'s ")


def test_what_this_user_may_not_see_is_unknown() -> None:
    story = LongStory(30)
    events = [
        {name: value for name, value in event.items() if name != "fds"} for event in story.events()
    ]
    (claim,) = judge(events).left_out
    assert (claim.name, claim.outcome) == ("descriptors stay flat", Outcome.UNKNOWN)


def test_a_server_that_was_restarted_is_judged_over_its_longest_life() -> None:
    story = LongStory(40)
    # It leaks, and each restart frees what it has leaked.
    story.rss = lambda reload, _: 400 * MB + MB * (reload % 30)
    events = story.events()
    for event in events:
        if event["event"] == "resources" and event["part"] == "server" and event["t"] > 80:
            event["pid"] = 9
    (claim,) = judge(events).broken
    assert claim.name == "memory stays flat"
    assert claim.records[-1]["t"] < 80


def test_a_monitor_that_is_busy_is_invalid() -> None:
    story = LongStory(40)
    story.cpu_share = 0.2
    (claim,) = judge(story.events()).broken
    assert claim.name == "monitor stays idle"
    assert claim.why.startswith("the monitor takes 20.0% of a core")


def test_a_monitor_that_polls_too_often_is_invalid() -> None:
    story = LongStory(40)
    story.poll_every_s = 0.5
    (claim,) = judge(story.events()).broken
    assert claim.name == "polls stay few"


def test_a_monitor_that_pulls_at_each_poll_is_invalid() -> None:
    story = LongStory(40)
    story.bytes_a_poll = 5700
    (claim,) = judge(story.events()).broken
    assert claim.name == "bytes stay few"


def test_an_outage_splits_what_a_monitor_cost() -> None:
    story = LongStory(40)
    outage = story._at(50.0, "outage", since=50.0, until=70.0, why="the remote is down")
    events = [*story.events(), outage]
    for event in events:
        if event["event"] == "resources" and event["t"] > 55:
            event["cpu_s"] += 100
    verdict = judge(events)
    assert verdict.outcome is Outcome.VALID, verdict.broken
    assert not verdict.left_out


@pytest.mark.parametrize("name", COST)
def test_the_cost_of_a_monitor_without_polls_is_unknown(name: str) -> None:
    story = LongStory(40)
    events = [event for event in story.events() if "sleep" not in event.get("line", "")]
    assert name in [claim.name for claim in judge(events).left_out]


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("memory_bound_bytes", "memory stays flat"),
        ("monitor_cpu_bound", "monitor stays idle"),
        ("poll_bound_bytes", "bytes stay few"),
    ],
)
def test_a_bound_that_is_not_set_leaves_its_claim_unknown(field: str, name: str) -> None:
    story = LongStory(40)
    del story.settings[field]
    (claim,) = judge(story.events()).left_out
    assert (claim.name, claim.why) == (name, f"the settings have no {field}")


def test_a_history_without_samples_is_judged_without_these_claims() -> None:
    story = Story()
    del story.settings["claims"]
    verdict = judge(story.events())
    assert verdict.outcome is Outcome.VALID
    assert {claim.name for claim in verdict.left_out} >= {*GROWTH, *COST}
    (descriptors,) = [one for one in verdict.left_out if one.name == "descriptors stay flat"]
    assert descriptors.why.startswith("the server was not sampled: it runs in a container")


def test_the_slopes_limits_cover_the_slope_as_often_as_they_say() -> None:
    chance = random.Random(3)
    missed = 0
    for _ in range(400):
        low, _, high = slope_with_limits([(n, 5.0 * n + chance.gauss(0, 30)) for n in range(25)])
        missed += not low <= 5.0 <= high
    # 10 % in all, 5 % on each side.
    assert 20 <= missed <= 60


def test_a_long_series_is_thinned() -> None:
    low, slope, high = slope_with_limits([(n, 2.0 * n) for n in range(5000)])
    assert low == slope == high == 2.0


@pytest.mark.parametrize(
    ("values", "growing"),
    [
        ([*range(20)], True),
        ([0] * 7 + [1] * 7 + [2] * 7, True),
        ([0] * 7 + [1] * 14, False),
        ([5] * 20, False),
        ([*range(10), *range(10)], False),
        ([*range(20, 0, -1)], False),
    ],
)
def test_growth_is_a_rise_in_each_third(values: list[float], growing: bool) -> None:
    assert grows(values) is growing
