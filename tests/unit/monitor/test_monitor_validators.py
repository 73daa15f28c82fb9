"""HTTP servers whose validators say nothing about the file: no swap, and no release is lost."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from monitor.decisions.identity import Identity
from monitor.decisions.machine import Event
from monitor.decisions.trust import SIZE, Trust
from monitor.process import once
from monitor.watch.watch import Watch

from .fixtures import MODEL, TARBALL, Site, model_files, tarball
from .processes import Here
from .stepping import MakeWatch, live, poll, release_in, second, until

LYING = [{"etag"}, {"modified"}, {"etag", "modified"}]


@pytest.fixture
def tmp_path(in_memory: Path) -> Path:
    return in_memory


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def pulls(site: Site) -> int:
    """How often the whole tarball was asked for."""
    return sum(1 for path, headers in site.seen if path == f"/{TARBALL}" and "Range" not in headers)


def settled(one: Watch, site: Site) -> None:
    """Polls until the monitor has dropped the wrong validators."""
    quiet = 0
    for _ in range(30):
        before = pulls(site)
        event = poll(one)
        assert event in (Event.SAME, Event.INSTALLED), event
        quiet = quiet + 1 if pulls(site) == before else 0
        if quiet == 4:
            return
    raise AssertionError("it still pulls the same tarball after 30 polls")


@pytest.mark.parametrize("lies", LYING, ids=lambda lies: "+".join(sorted(lies)))
def test_releases_by_an_empty_donefile_are_installed_once_each(
    watch: MakeWatch, site: Site, tmp_path: Path, lines: list[str], lies: set[str]
) -> None:
    site.lies = lies
    clock = Clock()
    one = watch(clock=clock)
    seconds = []
    for number in (1, 2, 3):
        # The same size and the same second each time: neither tells them apart.
        site.publish(number, donefile=b"", packed=sized(number))
        for name in ("donefile", TARBALL):
            os.utime(site.root / name, (1_700_000_000, 1_700_000_000))
        clock.now += 301
        assert until(one, Event.SWAPPED), f"release {number} did not come"
        assert release_in(live(tmp_path)) == number
        seconds.append(second(live(tmp_path)))
        settled(one, site)
    assert len(set(seconds)) == 3
    assert one.reporter.figures.swaps == 3
    said = [line for line in lines if "ignored from now on" in line]
    names = [name for name in ("ETag", "Last-Modified") for line in said if f" {name} " in line]
    assert all(line.startswith("WARNING") for line in said)
    assert len(said) <= 4, said
    assert names or lies == {"etag"}, said


def sized(number: int) -> bytes:
    """A plain tar, so that each release has as many bytes as any other."""
    return tarball(model_files(number), mode="w")


def without_graph(number: int) -> bytes:
    """A bad release of the same size."""
    files = model_files(number)
    del files["model.pdmodel"]
    return tarball(files, mode="w")


def test_a_validator_is_dropped_after_two_pulls_of_the_installed_tarball(
    watch: MakeWatch, site: Site, lines: list[str]
) -> None:
    site.publish(1, donefile=b"")
    one = watch()
    assert poll(one) is Event.SWAPPED
    for turn in (1, 2):
        assert not [line for line in lines if "ignored from now on" in line]
        os.utime(site.root / "donefile", (turn, turn))
        assert poll(one) is Event.SAME
    said = [line for line in lines if "ignored from now on" in line]
    assert len(said) == 1
    assert "ETag and Last-Modified changed twice" in said[0]
    settled(one, site)
    before = pulls(site)
    for turn in (3, 4, 5):
        os.utime(site.root / "donefile", (turn, turn))
        assert poll(one) is Event.INSTALLED
    assert pulls(site) == before
    assert len([line for line in lines if "ignored from now on" in line]) == 1


def test_a_change_that_pulled_another_tarball_starts_the_count_again(
    watch: MakeWatch, site: Site, lines: list[str]
) -> None:
    site.publish(1, donefile=b"")
    one = watch()
    assert poll(one) is Event.SWAPPED
    for number in range(2, 6):
        os.utime(site.root / "donefile", (number, number))
        assert poll(one) is Event.SAME
        site.publish(number, donefile=b"")
        assert poll(one) is Event.SWAPPED
    assert not [line for line in lines if "ignored from now on" in line]


def test_then_the_tarball_s_own_validators_announce_a_release(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    site.publish(1, donefile=b"", packed=sized(1))
    one = watch()
    assert poll(one) is Event.SWAPPED
    for turn in (1, 2):
        os.utime(site.root / "donefile", (turn, turn))
        assert poll(one) is Event.SAME
    settled(one, site)
    site.put(TARBALL, sized(2))
    os.utime(site.root / TARBALL, (5, 5))
    assert poll(one) is Event.SWAPPED
    assert release_in(live(tmp_path)) == 2


def test_or_its_bytes_once_per_interval(watch: MakeWatch, site: Site, tmp_path: Path) -> None:
    site.lies = {"etag", "modified"}
    clock = Clock()
    site.publish(1, donefile=b"", packed=sized(1))
    one = watch(clock=clock, recheck_interval="60")
    assert until(one, Event.SWAPPED)
    settled(one, site)
    site.put(TARBALL, sized(2))
    before = pulls(site)
    clock.now += 59
    assert poll(one) is Event.INSTALLED
    assert pulls(site) == before
    clock.now += 1
    assert poll(one) is Event.SWAPPED
    assert release_in(live(tmp_path)) == 2
    clock.now += 60
    assert poll(one) is Event.SAME


def test_without_etag_and_last_modified_the_tarball_s_size_announces_a_release(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    site.validators = set()
    one = watch(clock=Clock())
    for number in (1, 2, 3):
        site.publish(number, donefile=b"", size=number * 1000)
        assert poll(one) is Event.SWAPPED
        assert release_in(live(tmp_path)) == number
        assert poll(one) is Event.INSTALLED
    assert pulls(site) == 3


def test_or_its_bytes_once_per_interval_also_after_a_restart(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    site.validators = set()
    clock = Clock()
    site.publish(1, donefile=b"", packed=sized(1))
    assert poll(watch(clock=clock, recheck_interval="60")) is Event.SWAPPED
    site.publish(2, donefile=b"", packed=sized(2))
    one = watch(clock=clock, recheck_interval="60")
    clock.now += 59
    assert poll(one) is Event.INSTALLED
    assert pulls(site) == 1
    clock.now += 1
    assert poll(one) is Event.SWAPPED
    assert release_in(live(tmp_path)) == 2
    clock.now += 60
    assert poll(one) is Event.SAME
    assert poll(one) is Event.INSTALLED
    assert pulls(site) == 3


def test_a_bad_tarball_of_such_a_server_is_not_pulled_at_every_poll(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    site.validators = set()
    clock = Clock()
    one = watch(clock=clock)
    site.publish(1, donefile=b"", packed=sized(1))
    assert poll(one) is Event.SWAPPED
    site.publish(2, donefile=b"", packed=without_graph(2))
    clock.now += 301
    assert [poll(one) for _ in range(4)] == [
        Event.BAD_RELEASE, Event.QUARANTINED, Event.INSTALLED, Event.INSTALLED,
    ]  # fmt: skip
    site.publish(3, donefile=b"", packed=sized(3))
    clock.now += 301
    assert poll(one) is Event.SWAPPED
    assert release_in(live(tmp_path)) == 3


def test_a_restart_pulls_nothing_and_forgets_nothing(
    watch: MakeWatch, site: Site, tmp_path: Path, lines: list[str]
) -> None:
    site.lies = {"etag", "modified"}
    site.publish(1, donefile=b"")
    one = watch(clock=Clock())
    assert until(one, Event.SWAPPED)
    settled(one, site)
    before, said = pulls(site), len([line for line in lines if "ignored from now on" in line])
    again = watch(clock=Clock())
    assert poll(again) is Event.INSTALLED
    assert once(again) == 0
    assert pulls(site) == before
    assert len([line for line in lines if "ignored from now on" in line]) == said
    state = tmp_path / "local" / ".uci_housing_model.monitor" / "validators.json"
    state.write_text("[" * 100)
    lost = watch(clock=Clock())
    swaps = second(live(tmp_path))
    settled(lost, site)
    assert second(live(tmp_path)) == swaps


def test_another_remote_is_believed_again(watch: MakeWatch, site: Site) -> None:
    site.publish(1, donefile=b"")
    one = watch()
    assert poll(one) is Event.SWAPPED
    for turn in (1, 2):
        os.utime(site.root / "donefile", (turn, turn))
        assert poll(one) is Event.SAME
    assert one._announcer.validators.trust.dropped
    site.put("other", b"")
    assert not watch(remote_donefile_name="other")._announcer.validators.trust.dropped


def test_a_tarball_that_came_after_its_donefile_is_late_and_not_lost(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    """As with a mirror that has the donefile already, and the tarball a moment later."""
    clock = Clock()
    site.publish(1, donefile=b"")
    one = watch(clock=clock)
    assert poll(one) is Event.SWAPPED
    os.utime(site.root / "donefile", (1, 1))
    assert poll(one) is Event.SAME
    site.publish(2, donefile=b"")
    os.utime(site.root / "donefile", (1, 1))
    assert poll(one) is Event.INSTALLED
    clock.now += 301
    assert poll(one) is Event.SWAPPED
    assert release_in(live(tmp_path)) == 2


def test_a_rollback_s_hold_ends_with_a_release_that_only_its_bytes_announce(
    watch: MakeWatch, here: Here, site: Site, tmp_path: Path
) -> None:
    site.lies = {"etag", "modified"}
    clock = Clock()
    one = watch(clock=clock, keep="5")
    for number in (1, 2):
        site.publish(number, donefile=b"", packed=sized(number))
        clock.now += 301
        assert until(one, Event.SWAPPED)
        settled(one, site)
    where = [f"--local_path={tmp_path}/local", f"--local_model_name={MODEL}"]
    assert here("rollback", *where)[0] == 0
    assert poll(one) is Event.HELD
    before = pulls(site)
    clock.now += 301
    assert poll(one) is Event.HELD
    assert poll(one) is Event.HELD
    assert pulls(site) == before + 1
    assert release_in(live(tmp_path)) == 1
    site.put(TARBALL, sized(3))
    assert poll(one) is Event.HELD
    clock.now += 301
    assert until(one, Event.SWAPPED)
    assert release_in(live(tmp_path)) == 3


@pytest.mark.parametrize("after", ["a good one", "none"])
def test_a_bad_release_is_pulled_a_few_times_and_not_at_every_poll(
    watch: MakeWatch, site: Site, tmp_path: Path, lines: list[str], after: str
) -> None:
    site.lies = {"etag", "modified"}
    clock = Clock()
    one = watch(clock=clock)
    if after == "a good one":
        site.publish(1, donefile=b"", packed=sized(1))
        assert until(one, Event.SWAPPED)
    site.publish(2, donefile=b"", packed=without_graph(2))
    assert until(one, Event.BAD_RELEASE)
    for _ in range(30):
        poll(one)
    before = pulls(site)
    for _ in range(5):
        assert poll(one) is Event.QUARANTINED
    assert pulls(site) == before
    assert len([line for line in lines if line.startswith("ERROR")]) == 1
    # Perhaps of the same size.
    site.publish(3, donefile=b"", packed=sized(3))
    clock.now += 301
    assert until(one, Event.SWAPPED)
    assert release_in(live(tmp_path)) == 3


def test_with_a_manifest_nothing_changes(watch: MakeWatch, site: Site) -> None:
    site.lies = {"etag", "modified"}
    one = watch()
    for number in (1, 2, 3):
        site.publish(number)
        assert poll(one) is Event.SWAPPED
        for _ in range(3):
            assert poll(one) is Event.INSTALLED
    assert pulls(site) == 3
    assert not one._announcer.validators.trust.dropped


LIVE, NEXT = Identity("live"), Identity("next")
SEEN = {"ETag": "a", "Last-Modified": "x", SIZE: "1"}


def test_a_size_is_never_dropped_nor_is_what_did_not_change() -> None:
    trust = Trust().after_swap(LIVE, b"", SEEN, 0)
    for turn in range(1, 5):
        now = {"ETag": str(turn), "Last-Modified": "x", SIZE: str(turn)}
        trust = trust.after_equal(LIVE, Identity(str(turn)), b"", now, 0)
    assert trust.dropped == ("ETag",)
    assert trust.mark({"ETag": "b", "Last-Modified": "y", SIZE: "7"}) == "|y|7"


def test_where_the_donefile_s_content_changed_no_validator_is_counted() -> None:
    trust = Trust().after_swap(LIVE, b"", SEEN, 0)
    for turn in range(1, 5):
        now = {**SEEN, "ETag": str(turn)}
        trust = trust.after_equal(LIVE, Identity(str(turn)), b"%d" % turn, now, 0)
    assert trust.dropped == ()


def test_what_is_known_holds_for_the_release_that_is_live() -> None:
    trust = Trust().after_swap(LIVE, b"", SEEN, 0).after_equal(LIVE, NEXT, b"", SEEN, 0)
    assert trust.last_announced(LIVE) == NEXT
    assert trust.last_announced(Identity("rolled back")) == Identity("rolled back")
    assert trust.last_announced(None) is None


@pytest.mark.parametrize("now", [99.0, 1100.0, 5000.0])
def test_a_comparison_is_due_after_the_interval_and_after_a_clock_set_back(now: float) -> None:
    trust = Trust(equal={"ETag": 2}, compared=100.0)
    assert trust.is_due(SEEN, now, 1000.0)
    assert not trust.is_due(SEEN, 1099.0, 1000.0)
    assert not Trust(compared=100.0).is_due(SEEN, now, 1000.0)


def test_trust_is_read_as_it_was_written_and_nonsense_as_nothing() -> None:
    trust = Trust("l", "s", "c", SEEN, {"ETag": 2}, 5.0, False)
    assert Trust.from_json(json.loads(json.dumps(trust.to_json()))) == trust
    odd: dict[str, object] = {
        "live": 1,
        "same": None,
        "seen": [],
        "equal": {"ETag": "2", "x": True},
        "compared": "1",
    }
    assert Trust.from_json(odd) == Trust()
