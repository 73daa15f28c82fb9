"""``hold``, ``resume``, ``pin`` and ``unpin``, as their users type them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from monitor.decisions.identity import Identity
from monitor.decisions.machine import Event
from monitor.decisions.orders import OnHold, Orders, Pin
from monitor.live.layout import Layout
from monitor.live.state import read_hold, read_orders, write_orders
from monitor.options import values

from .fixtures import MODEL, TARBALL, Site
from .processes import ROOT, Here, general
from .stepping import MakeWatch, live, poll, release_in


@pytest.fixture
def tmp_path(in_memory: Path) -> Path:
    return in_memory


@pytest.fixture
def where(tmp_path: Path) -> list[str]:
    return [f"--local_path={tmp_path}/local", f"--local_model_name={MODEL}"]


def status(here: Here, where: list[str]) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(here("status", "--json", *where)[1])
    return facts


def test_a_hold_keeps_every_release_out_until_resume(
    here: Here, watch: MakeWatch, site: Site, where: list[str], tmp_path: Path, *, lines: list[str]
) -> None:
    one = watch()
    site.publish(1)
    assert poll(one) is Event.SWAPPED
    code, out, _ = here("hold", "--why", "the fair", *where)
    assert code == 0
    assert "is on hold until `resume`, because: the fair" in out
    for number in (2, 3):
        site.publish(number)
        assert poll(one) is Event.ON_HOLD
    assert poll(one) is Event.ON_HOLD
    assert release_in(live(tmp_path)) == 1
    assert len([line for line in lines if "because: the fair" in line]) == 1
    assert [path for path, _ in site.seen].count(f"/{TARBALL}") == 1
    assert one.reporter.figures.on_hold == 1
    assert "on hold: until `resume`, because: the fair\n" in here("status", *where)[1]
    # A restart changes nothing.
    one = watch()
    assert poll(one) is Event.ON_HOLD
    assert "no longer on hold" in here("resume", *where)[1]
    assert poll(one) is Event.SWAPPED
    assert release_in(live(tmp_path)) == 3
    assert one.reporter.figures.on_hold == 0
    assert status(here, where)["on_hold"] is None
    assert "was not on hold" in here("resume", *where)[1]


def test_a_hold_with_an_end_ends_by_itself(
    here: Here, watch: MakeWatch, site: Site, where: list[str], tmp_path: Path
) -> None:
    now = [time.time()]
    one = watch(clock=lambda: now[0])
    site.publish(1)
    assert here("hold", "--for", "2h", *where)[0] == 0
    held = status(here, where)["on_hold"]
    assert held["until"] - held["since"] == 7200
    assert poll(one) is Event.ON_HOLD
    now[0] += 7190
    assert poll(one) is Event.ON_HOLD
    now[0] += 20
    assert poll(one) is Event.SWAPPED
    assert one.reporter.figures.on_hold == 0


def test_a_hold_ends_at_a_moment_of_local_time(here: Here, where: list[str]) -> None:
    Path(where[0].partition("=")[2]).mkdir()
    assert here("hold", "--until", "2099-12-24T18:00", *where)[0] == 0
    assert status(here, where)["on_hold"]["until"] == datetime(2099, 12, 24, 18).timestamp()
    assert "on hold: until 2099-12-24 18:00:00\n" in here("status", *where)[1]
    # The newer order replaces the older one.
    assert here("hold", "--until", "2099-12-24T18:00Z", *where)[0] == 0
    assert (
        status(here, where)["on_hold"]["until"]
        == datetime(2099, 12, 24, 18, tzinfo=timezone.utc).timestamp()
    )


def test_a_hold_during_the_pull_keeps_the_release_out(
    here: Here, watch: MakeWatch, site: Site, where: list[str], tmp_path: Path
) -> None:
    one = watch()
    site.publish(1)
    assert poll(one) is Event.SWAPPED
    site.publish(2)
    codes: list[int] = []
    site.during_get = lambda: codes.append(here("hold", *where)[0])
    assert poll(one) is Event.ON_HOLD
    assert codes == [0]
    assert release_in(live(tmp_path)) == 1
    site.during_get = None
    assert here("resume", *where)[0] == 0
    assert poll(one) is Event.SWAPPED


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["hold", "--for", "soon"], "--for is wrong: 'soon' is not a time"),
        (["hold", "--for", "0"], "--for is wrong"),
        (["hold", "--for", "inf"], "--for is wrong"),
        (["hold", "--until", "soon"], "--until is wrong: 'soon' is not a time"),
        (["hold", "--until", "2020-01-01"], "which has passed; give a later time"),
        (["hold", "--for", "1h", "--until", "2099-01-01"], "exclude each other"),
        (["pin", "last"], "RELEASE is wrong: 'last' is not a whole number"),
        (["pin"], "RELEASE is missing"),
        (["pin", "--interval", "3"], "RELEASE is missing"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_order_changes_nothing_and_says_why(
    here: Here, where: list[str], tmp_path: Path, words: list[str], said: str
) -> None:
    (tmp_path / "local").mkdir()
    code, _, err = here(*words, *where)
    assert code == 2
    assert said in err
    assert err.count("\n") == 1
    assert list((tmp_path / "local").iterdir()) == []


def test_a_pin_keeps_every_other_release_out_until_unpin(
    here: Here, watch: MakeWatch, site: Site, where: list[str], tmp_path: Path, *, lines: list[str]
) -> None:
    one = watch()
    site.publish(1)
    assert poll(one) is Event.SWAPPED
    assert (
        "is pinned to release 1, because: it works"
        in here("pin", "1", *where, "--why=it works", "--interval", "5")[1]
    )
    site.publish(2)
    assert poll(one) is Event.NOT_PINNED
    assert len([line for line in lines if "pinned to release 1, because: it works" in line]) == 1
    assert one.reporter.figures.pinned == 1
    assert status(here, where)["pinned"]["release"] == 1
    assert "pinned: release 1, because: it works\n" in here("status", *where)[1]
    one = watch()
    assert poll(one) is Event.NOT_PINNED
    assert release_in(live(tmp_path)) == 1
    assert "no longer pinned" in here("unpin", *where)[1]
    assert "was not pinned" in here("unpin", *where)[1]
    assert poll(one) is Event.SWAPPED
    assert one.reporter.figures.pinned == -1


def test_a_pin_swaps_a_kept_release_in_and_unpin_follows_the_donefile_again(
    here: Here, watch: MakeWatch, site: Site, where: list[str], tmp_path: Path
) -> None:
    one = watch(keep="5")
    for number in (1, 2, 3):
        site.publish(number)
        assert poll(one) is Event.SWAPPED
    code, out, _ = here("pin", "1", *where)
    assert code == 0
    assert "is release 1 again, in place of release 3" in out
    assert release_in(live(tmp_path)) == 1
    assert poll(one) is Event.NOT_PINNED
    assert status(here, where)["kept"] == ["release 2", "release 3 (rolled back)"]
    code, _, err = here("rollback", *where)
    assert code == 2
    assert "release 1 is pinned, and release 2 is another one; type `python -m monitor unpin" in err
    assert here("unpin", *where)[0] == 0
    assert poll(one) is Event.SWAPPED
    assert release_in(live(tmp_path)) == 3


def test_a_pin_of_a_release_that_is_not_here_waits_for_its_announcement(
    here: Here, watch: MakeWatch, site: Site, where: list[str], tmp_path: Path
) -> None:
    one = watch()
    site.publish(1)
    assert poll(one) is Event.SWAPPED
    assert "installs it when it is announced" in here("pin", "3", *where)[1]
    site.publish(2)
    assert poll(one) is Event.NOT_PINNED
    site.publish(3)
    assert poll(one) is Event.SWAPPED
    site.publish(4)
    assert poll(one) is Event.NOT_PINNED
    assert release_in(live(tmp_path)) == 3


def test_a_hold_and_a_pin_end_apart(here: Here, where: list[str], tmp_path: Path) -> None:
    (tmp_path / "local").mkdir()
    assert here("hold", *where)[0] == 0
    assert here("pin", "3", *where)[0] == 0
    assert here("resume", *where)[0] == 0
    facts = status(here, where)
    assert (facts["on_hold"], facts["pinned"]["release"]) == (None, 3)


def test_a_rollback_under_a_hold_stays_until_the_hold_ends(
    here: Here, watch: MakeWatch, site: Site, where: list[str], tmp_path: Path
) -> None:
    one = watch(keep="5")
    for number in (1, 2):
        site.publish(number)
        assert poll(one) is Event.SWAPPED
    assert here("hold", *where)[0] == 0
    assert here("rollback", *where)[0] == 0
    site.publish(3)
    assert poll(one) is Event.ON_HOLD
    assert release_in(live(tmp_path)) == 1
    assert here("resume", *where)[0] == 0
    assert poll(one) is Event.SWAPPED
    assert release_in(live(tmp_path)) == 3


def test_once_says_which_order_keeps_the_release_out(
    here: Here, site: Site, where: list[str], tmp_path: Path
) -> None:
    site.publish(1)
    words = general(site, tmp_path)
    assert here("hold", *where)[0] == 0
    code, _, err = here(*words, "--once")
    assert code == 1
    assert "`hold` lets no release in" in err
    assert here("resume", *where)[0] == 0
    assert here("pin", "7", *where)[0] == 0
    code, _, err = here(*words, "--once")
    assert code == 1
    assert "another release is pinned" in err


def test_a_pin_that_is_killed_in_its_swap_can_be_typed_again(
    here: Here, site: Site, where: list[str], tmp_path: Path
) -> None:
    for number in (1, 2):
        site.publish(number)
        assert here(*general(site, tmp_path), "--once", "--keep=5")[0] == 0
    script = (
        "import os, signal, sys\nfrom monitor.__main__ import main\n"
        "def kill(event, args):\n"
        "    if event == 'os.utime': os.kill(os.getpid(), signal.SIGKILL)\n"
        "sys.addaudithook(kill)\nmain(sys.argv[1:])\n"
    )
    words = [sys.executable, "-c", script, "pin", "1", *where]
    assert subprocess.run(words, cwd=ROOT, check=False).returncode < 0
    assert status(here, where)["installed"] == "release 2"
    assert here("pin", "1", *where)[0] == 0
    facts = status(here, where)
    assert (facts["installed"], facts["pinned"]["release"]) == ("release 1", 1)
    assert facts["kept"] == ["release 2 (rolled back)"]


def test_an_older_monitor_reads_what_a_newer_one_leaves(
    here: Here, watch: MakeWatch, site: Site, where: list[str], tmp_path: Path
) -> None:
    """Orders are in a file that an older monitor does not read; no other file changes."""
    one = watch(keep="5")
    for number in (1, 2):
        site.publish(number)
        assert poll(one) is Event.SWAPPED
    assert here("rollback", *where)[0] == 0
    control = tmp_path / "local" / f".{MODEL}.monitor"
    before = {path.name: path.read_bytes() for path in control.glob("*.json")}
    assert here("hold", *where)[0] == 0
    assert here("pin", "1", *where)[0] == 0
    after = {path.name: path.read_bytes() for path in control.glob("*.json")}
    assert after.pop("orders.json")
    assert after == before
    hold = read_hold(str(control / "hold.json"))
    assert hold is not None
    assert hold.identity.release == 2


@pytest.mark.parametrize(
    "words",
    [["hold", "--fro", "30m"], ["hold", "30m"], ["pin", "1", "--for=2h"], ["rollback", "--too=1"]],
    ids=" ".join,
)
def test_a_word_that_is_no_option_is_refused(
    here: Here, site: Site, where: list[str], tmp_path: Path, words: list[str]
) -> None:
    site.publish(1)
    assert here(*general(site, tmp_path), "--once")[0] == 0
    code, out, err = here(*words, *where)
    assert (code, out) == (2, "")
    assert "unrecognized arguments" in err
    assert len(err.splitlines()) == 1
    assert read_orders(Layout(str(live(tmp_path))).orders) == Orders()


def test_a_command_takes_the_monitor_s_own_options(
    here: Here, site: Site, where: list[str], tmp_path: Path
) -> None:
    site.publish(1)
    assert here(*general(site, tmp_path), "--once")[0] == 0
    assert here("hold", *general(site, tmp_path), "--interval", "5", "--debug")[0] == 0
    assert status(here, where)["on_hold"]


def test_there_are_no_orders_beside_a_directory_of_an_older_monitor(tmp_path: Path) -> None:
    assert read_orders(Layout(str(tmp_path / MODEL)).orders) == Orders()


def test_orders_survive_a_file_and_a_damaged_file_holds_nothing_back(tmp_path: Path) -> None:
    path = tmp_path / "orders.json"
    for orders in (
        Orders(),
        Orders(OnHold(1.5, None, "")),
        Orders(OnHold(1.5, 2.5, "why"), Pin(3, 4.5, "because")),
    ):
        write_orders(str(path), orders)
        assert read_orders(str(path)) == orders
    for damaged in ("", "[]", '{"hold": 1, "pin": "x"}', '{"pin": {"release": "3"}}'):
        path.write_text(damaged)
        assert read_orders(str(path)) == Orders()


def test_orders_that_cannot_be_read_hold_every_release_back(
    here: Here, watch: MakeWatch, site: Site, where: list[str], tmp_path: Path, *, lines: list[str]
) -> None:
    one = watch(keep="1")
    for number in (1, 2):
        site.publish(number)
        assert poll(one) is Event.SWAPPED
    # Root may read a file without permissions, but not a folder as a file.
    orders = Path(one.layout.orders)
    orders.mkdir()
    site.publish(3)
    assert poll(one) is Event.ON_HOLD
    assert any("WARNING" in line and f"cannot read {orders}" in line for line in lines)
    hold = read_orders(str(orders)).hold
    assert hold is not None
    assert (hold.since, hold.until) == (0.0, None)
    assert f"cannot read {orders}" in here("status", *where)[1]
    for command in (["resume"], ["pin", "1"], ["rollback"]):
        code, _, err = here(*command, *where)
        assert code != 0
        assert f"{orders}: Is a directory" in err
    orders.rmdir()
    assert poll(one) is Event.SWAPPED


def test_the_monitor_s_user_may_read_the_orders_of_another_user(tmp_path: Path) -> None:
    folder = tmp_path / "control"
    folder.mkdir()
    folder.chmod(0o755)
    if os.geteuid() == 0:
        os.chown(folder, 4321, 4322)
    before = os.umask(0o077)
    try:
        write_orders(str(folder / "orders.json"), Orders())
    finally:
        os.umask(before)
    made, around = (folder / "orders.json").stat(), folder.stat()
    assert made.st_mode & 0o777 == 0o644
    assert (made.st_uid, made.st_gid) == (around.st_uid, around.st_gid)


def test_what_orders_forbid() -> None:
    one, no_number = Identity("k", 1), Identity("k")
    assert Orders().forbids(one, 0) is None
    hold = OnHold(0, 10, "")
    assert Orders(hold).forbids(one, 9.9) is Event.ON_HOLD
    assert Orders(hold).forbids(one, 10) is None
    assert Orders(hold).in_force(9.9).hold == hold
    assert Orders(hold, Pin(1, 0, "")).in_force(10) == Orders(None, Pin(1, 0, ""))
    pin = Orders(pin=Pin(1, 0, ""))
    assert pin.forbids(one, 0) is None
    assert pin.forbids(Identity("k", 2), 0) is Event.NOT_PINNED
    assert pin.forbids(no_number, 0) is Event.NOT_PINNED


def test_times_are_read_as_people_write_them() -> None:
    seen = [values.duration(text) for text in ("90", "90s", "1.5m", "2h", "1D")]
    assert seen == [90, 90, 90, 7200, 86400]
    with pytest.raises(ValueError, match="such as 90"):
        values.duration("h")
