"""Whether the server serves what is installed: decisions, the server's log, state, options."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Optional

import pytest

from monitor.decisions.identity import Identity
from monitor.decisions.machine import Event
from monitor.decisions.probe import Unfit, is_answer, request
from monitor.decisions.serving import Confirmation, Heard, Kind, Phase, served_within
from monitor.live.layout import Layout
from monitor.live.state import (
    Installed,
    Serving,
    read_installed,
    read_serving,
    write_installed,
    write_serving,
)
from monitor.served.log import Reload, ServerLog

from .fixtures import CONF, MODEL, Site, manifest_of, model_files, tarball
from .processes import Here, general
from .stepping import MakeWatch, live, poll

OURS, OTHER = Heard(Kind.OURS, ""), Heard(Kind.OTHER, "another")
PROBE: dict[str, Any] = {"feed": {"x": [[1.5] * 13]}, "expected": {"price": [[2.0]]}}


def conf(*feeds: str) -> str:
    return "".join(f"feed_var {{\n{feed}\n}}\n" for feed in feeds)


FLOATS = 'name: "x"\nalias_name: "x"\nis_lod_tensor: false\nfeed_type: 1\nshape: 13'


def test_a_release_is_served_after_answers_in_a_row() -> None:
    wait = Confirmation(3)
    wait.begin(10.0)
    heard = [OTHER, OURS, OURS, OTHER, OURS, OURS]
    assert [wait.hear(one, 11.0) for one in heard] == [None] * 6
    phases = [wait.phase]
    assert wait.hear(OURS, 12.5) == 2.5
    phases.append(wait.phase)
    assert wait.hear(OTHER, 13.0) is None
    phases.append(wait.phase)
    assert phases == [Phase.WAITING, Phase.SERVED, Phase.SERVED]


def test_a_newer_release_takes_the_place_of_the_wait() -> None:
    wait = Confirmation(2)
    wait.begin(0.0)
    wait.hear(OURS, 1.0)
    wait.begin(2.0)
    assert wait.hear(OURS, 3.0) is None
    assert wait.hear(OURS, 4.0) == 2.0


def test_a_release_is_late_once_and_may_still_be_served() -> None:
    wait = Confirmation(1)
    wait.begin(0.0)
    wait.hear(OTHER, 1.0)
    assert not wait.is_late(5.0, 5.0)
    assert wait.is_late(5.1, 5.0)
    assert not wait.is_late(9.0, 5.0)
    assert (wait.phase, wait.why) == (Phase.LATE, "another")
    assert wait.hear(OURS, 10.0) == 10.0
    assert (wait.phase, wait.why) == (Phase.SERVED, "")


def test_a_reload_in_the_log_confirms_at_once() -> None:
    wait = Confirmation(5)
    wait.begin(0.0)
    assert wait.hear(Heard(Kind.NOT_RELOADED, "no"), 1.0) is None
    assert wait.hear(Heard(Kind.RELOADED, ""), 2.0) == 2.0


def test_what_nothing_can_confirm_is_never_late() -> None:
    wait = Confirmation(1)
    wait.begin(0.0, blind="no probe")
    assert wait.hear(OURS, 1.0) is None
    assert not wait.is_late(1000.0, 1.0)
    assert (wait.phase, wait.why) == (Phase.UNKNOWN, "no probe")


@pytest.mark.parametrize(
    ("given", "tick", "interval", "load", "limit"),
    [
        (7.0, 1.0, 2.0, 3.0, 7.0),
        (0.0, 2.0, 1.0, 0.5, 6.5),
        (0.0, 0.0, 1.0, 0.5, 3.5),
        (0.0, 0.0, None, 0.0, 30.0),
    ],
    ids=["given", "tick", "from the log", "default"],
)
def test_when_a_release_is_late(
    given: float, tick: float, interval: Optional[float], load: float, limit: float
) -> None:
    assert served_within(given, tick, interval, load) == limit


def test_a_probe_that_fits_is_sent_as_the_service_takes_it() -> None:
    assert request(PROBE, conf(FLOATS)) == {
        "tensor": [
            {
                "float_data": [1.5] * 13,
                "elem_type": 1,
                "name": "x",
                "alias_name": "x",
                "shape": [1, 13],
            }
        ],
        "fetch_var_names": ["price"],
        "log_id": 0,
    }
    whole = conf('name: "n"\nalias_name: "x"\nfeed_type: 0\nshape: -1\nshape: 2')
    asked = request({**PROBE, "feed": {"x": [[1, 2], [3, 4]]}}, whole)
    assert asked["tensor"][0]["int64_data"] == [1, 2, 3, 4]
    assert asked["tensor"][0]["shape"] == [2, 2]


@pytest.mark.parametrize(
    ("feed", "text", "why"),
    [
        ({"y": [[1.0] * 13]}, conf(FLOATS), "feeds y, and the installed .* has the feeds x"),
        ({"x": [[1.0] * 13], "y": [[1]]}, conf(FLOATS), "feeds x, y"),
        ({"x": [[1.0] * 13]}, conf(FLOATS, FLOATS.replace('"x"', '"z"')), "the feeds x, z"),
        ({"x": [[1.0] * 14]}, conf(FLOATS), r"has the shape \[1, 14\], .* wants \[-1, 13\]"),
        ({"x": [1.0] * 13}, conf(FLOATS), r"has the shape \[13\]"),
        ({"x": [[]]}, conf(FLOATS), "no table of numbers"),
        ({"x": [[1.0] * 13, [1.0]]}, conf(FLOATS), "no table of numbers"),
        ({"x": [[True] * 13]}, conf(FLOATS), "no table of numbers"),
        ({"x": [[float("nan")] * 13]}, conf(FLOATS), "no table of numbers"),
        ({"x": [[1.5] * 13]}, conf(FLOATS.replace("type: 1", "type: 0")), "has fractions"),
        ({"x": [[1.0] * 13]}, conf(FLOATS.replace("type: 1", "type: 20")), "feed_type 20"),
        ({"x": [[1.0] * 13]}, conf(FLOATS.replace("false", "true")), "LoD tensor"),
        ({"x": [[1.0] * 13]}, conf(FLOATS.replace(": 13", ": many")), "cannot be read"),
        ({"x": [[1.0] * 13]}, "", "has the feeds none"),
    ],
)
def test_a_probe_that_does_not_fit_is_not_sent(feed: Any, text: str, why: str) -> None:
    with pytest.raises(Unfit, match=why):
        request({**PROBE, "feed": feed}, text)


@pytest.mark.parametrize("probe", [None, [], {}, {"feed": {"x": 1}}, {"feed": {}, "expected": {}}])
def test_a_manifest_without_a_probe_gives_no_request(probe: Any) -> None:
    with pytest.raises(Unfit, match="the manifest has no probe"):
        request(probe, conf(FLOATS))
    with pytest.raises(Unfit, match="not made of numbers"):
        request({**PROBE, "expected": {"price": "two"}}, conf(FLOATS))


def test_an_answer_is_the_release_s_within_rounding() -> None:
    def answer(value: Any, alias: str = "price") -> dict[str, Any]:
        tensor = {"float_data": value, "shape": [1, 1], "name": "n", "alias_name": alias}
        return {"outputs": [{"tensor": [tensor]}]}

    expected = PROBE["expected"]
    assert is_answer(answer([2.0]), expected)
    assert is_answer(answer([2.00001]), expected)
    assert not is_answer(answer([2.002]), expected)
    assert not is_answer(answer([2.0, 2.0]), expected)
    assert not is_answer(answer([2.0], "other"), expected)
    assert not is_answer(answer(["2.0"]), expected)
    odd: list[Any] = [None, [], {}, {"outputs": []}, {"outputs": [{"tensor": [1]}]}]
    for one in odd:
        assert not is_answer(one, expected)


def line(text: str, when: float) -> str:
    stamp = time.strftime("%m%d %H:%M:%S", time.localtime(when))
    return f"W{stamp}.{int(when % 1 * 1e6):06d} 77 infer.cpp:1] {text}\n"


def test_the_log_tells_interval_and_reloads_as_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "serving.INFO"
    log = ServerLog(str(path))
    assert log.new_reloads() == []
    assert "No such file" in log.trouble
    now = time.time()
    begin, done = "begin reload model[./a/model].", "Succ load engine, path: ./a/model"
    path.write_text(
        line("Succ load model:model", now - 9) + line("Entrence reload worker, interval_s: 7", now)
    )
    (first,) = log.new_reloads()
    assert (first.model, log.interval, log.trouble) == ("model", 7.0, "")
    with path.open("a") as file:
        file.write(line(begin, now) + line(done, now + 2)[:-9])
        file.flush()
        assert log.new_reloads() == []
        file.write(line(done, now + 2)[-9:])
    (reload,) = log.new_reloads()
    assert reload.model == "model"
    assert reload.ended - reload.begun == pytest.approx(2, abs=1e-3)
    assert reload.begun == pytest.approx(now, abs=1e-3)
    # Another file of the same name, as after a restart of the server; an older server's words.
    fresh = tmp_path / "fresh"
    fresh.write_text(line("Succ load clone model, path[other].", now))
    fresh.replace(path)
    assert log.starts == 0
    assert [one.model for one in log.new_reloads()] == ["other"]
    assert log.starts == 1


def test_a_reload_belongs_to_a_swap_before_it_in_any_zone() -> None:
    swapped = 1_800_000_000.0
    for zone in (0, 8 * 3600, -9.5 * 3600, 5.75 * 3600):
        after = Reload("m", swapped + zone + 0.4, 0)
        before = Reload("m", swapped + zone - 0.4, 0)
        assert after.began_after(swapped)
        assert not before.began_after(swapped)


def test_the_probe_is_kept_in_the_state_for_the_server_alone(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    def publish(number: int) -> None:
        packed = tarball(model_files(number))
        site.publish(number, packed, donefile=manifest_of(number, packed, probe=PROBE))

    publish(1)
    assert poll(watch()) is Event.SWAPPED
    state = json.loads((live(tmp_path) / ".monitor-state.json").read_text())
    assert set(state) == {"format", "identity", "second", "staging", "swapped", "tarball"}
    publish(2)
    assert poll(watch(server="http://127.0.0.1:1")) is Event.SWAPPED
    assert read_installed(str(live(tmp_path))).probe == PROBE
    # A later monitor without the option installs over it as ever.
    publish(3)
    assert poll(watch()) is Event.SWAPPED
    assert read_installed(str(live(tmp_path))).probe is None


def test_state_of_an_older_monitor_has_no_probe(tmp_path: Path) -> None:
    installed = Installed(Identity("k", 1), 5, 6.0, "t")
    write_installed(str(tmp_path), installed)
    assert read_installed(str(tmp_path)) == installed
    path = tmp_path / ".monitor-state.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "probe": "odd"}))
    assert read_installed(str(tmp_path)) == installed


def test_status_tells_installed_and_served_apart(here: Here, site: Site, tmp_path: Path) -> None:
    where = [f"--local_path={tmp_path}/local", f"--local_model_name={MODEL}"]
    site.publish(1)
    assert here(*general(site, tmp_path), "--once")[0] == 0
    assert "serving: not known\n" in here("status", *where)[1]
    layout = Layout(str(live(tmp_path)))
    installed = read_installed(layout.live)
    assert installed.identity is not None
    late = Serving(installed.identity, installed.second, Phase.LATE.name, "no server answers")
    write_serving(layout.serving, late)
    assert read_serving(layout.serving) == late
    assert "serving: not served: no server answers\n" in here("status", *where)[1]
    # What is known of another swap says nothing.
    write_serving(layout.serving, Serving(installed.identity, 1, Phase.SERVED.name, ""))
    assert json.loads(here("status", "--json", *where)[1])["serving"] == "not known"


@pytest.mark.parametrize(
    "server", ["127.0.0.1:9292", "ftp://h/x", "http://", "http://h:x/", "http://user@h/"]
)
def test_a_wrong_server_address_is_one_sentence(
    here: Here, site: Site, tmp_path: Path, server: str
) -> None:
    code, _, err = here(*general(site, tmp_path), "--once", f"--server={server}")
    assert code == 2
    assert "give http://HOST:PORT" in err


def test_the_feeds_of_an_installed_model_are_read() -> None:
    whole = {**PROBE, "feed": {"x": [[1] * 13]}}
    assert request(whole, CONF)["tensor"][0]["int64_data"] == [1] * 13
