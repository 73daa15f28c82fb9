"""Bad releases and failures, stepped against a real HTTP server: what stays out, what comes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from monitor.decisions.machine import Event
from monitor.live.layout import STATE

from .fixtures import TARBALL, Site, manifest_of, model_files, tarball
from .stepping import MakeWatch, live, nothing_left, poll, release_in, until


@pytest.fixture
def tmp_path(in_memory: Path) -> Path:
    return in_memory


def test_bytes_that_do_not_match_the_manifest_are_pulled_again_and_kept_out(
    watch: MakeWatch, site: Site, tmp_path: Path, lines: list[str]
) -> None:
    good = site.publish(1)
    one = watch()
    poll(one)
    other = tarball(model_files(2))
    site.put("donefile", manifest_of(2, other))
    assert poll(one) is Event.REMOTE_FAILED
    site.put(TARBALL, other[:-1] + bytes([other[-1] ^ 1]))
    assert until(one, Event.REMOTE_FAILED)
    assert release_in(live(tmp_path)) == 1
    assert any("sha256 is not the manifest's" in line for line in lines)
    assert good != other
    site.put(TARBALL, other)
    assert until(one, Event.SWAPPED)
    assert release_in(live(tmp_path)) == 2


def test_a_bad_release_with_a_manifest_is_quarantined_until_a_new_donefile(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    site.publish(1)
    one = watch()
    poll(one)
    site.publish(2, b"<html>not a tarball</html>")
    assert poll(one) is Event.BAD_RELEASE
    pulls = len(site.seen)
    assert poll(one) is Event.QUARANTINED
    assert poll(watch()) is Event.QUARANTINED
    assert [path for path, _ in site.seen[pulls:]] == ["/donefile", "/donefile"]
    assert release_in(live(tmp_path)) == 1
    nothing_left(tmp_path)
    site.publish(3)
    assert poll(watch()) is Event.SWAPPED


def test_a_bad_release_without_a_manifest_is_tried_again_after_a_long_pause(
    watch: MakeWatch, site: Site
) -> None:
    now = [1_800_000_000.0]
    site.publish(1, b"", donefile=b"")
    one = watch(clock=lambda: now[0], quarantine_retry="600")
    assert poll(one) is Event.BAD_RELEASE
    now[0] += 599
    assert poll(one) is Event.QUARANTINED
    now[0] += 2
    site.put(TARBALL, tarball(model_files(1)))
    assert poll(one) is Event.SWAPPED


def test_other_rules_take_a_release_out_of_quarantine(watch: MakeWatch, site: Site) -> None:
    site.publish(1)
    poll(watch())
    files = model_files(2)
    files["serving_server_conf.prototxt"] = files["serving_server_conf.prototxt"].replace(
        b'"price"', b'"cost"'
    )
    site.publish(2, tarball(files))
    assert poll(watch()) is Event.BAD_RELEASE
    assert poll(watch()) is Event.QUARANTINED
    assert poll(watch(allow_signature_change=True)) is Event.SWAPPED


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("params.pdiparams", None, "no parameters"),
        ("params.pdiparams", b"", "params.pdiparams is empty"),
        ("model.pdmodel", None, "no graph"),
        ("serving_server_conf.prototxt", None, "serving_server_conf.prototxt is missing"),
        ("serving_server_conf.prototxt", b"nothing", "names no feed"),
    ],
)
def test_a_folder_that_is_no_model_stays_out(
    watch: MakeWatch, site: Site, name: str, content: Any, why: str
) -> None:
    files = model_files(1)
    del files[name]
    if content is not None:
        files[name] = content
    site.publish(1, tarball(files))
    one = watch()
    assert poll(one) is Event.BAD_RELEASE
    assert why in str(one.reporter.error)


def test_a_clock_set_back_does_not_quarantine_for_years(watch: MakeWatch, site: Site) -> None:
    site.publish(1, b"", donefile=b"")
    assert poll(watch(clock=lambda: 1_800_000_000.0)) is Event.BAD_RELEASE
    site.put(TARBALL, tarball(model_files(1)))
    assert poll(watch(clock=lambda: 1_700_000_000.0)) is Event.SWAPPED


@pytest.mark.parametrize("name", ["fluid_time_file", STATE, f"{STATE}.new"])
def test_a_folder_in_the_place_of_a_file_of_ours_is_a_bad_release(
    watch: MakeWatch, site: Site, name: str
) -> None:
    site.publish(1, tarball({**model_files(1), f"{name}/x": b"x"}))
    one = watch()
    assert poll(one) is Event.BAD_RELEASE
    assert f"{name} in it is a folder" in str(one.reporter.error)


def test_a_manifest_proves_nothing_of_a_release_that_is_not_packed(
    watch: MakeWatch, site: Site
) -> None:
    now = [1_800_000_000.0]
    site.put("folder/model.pdmodel", b"half published")
    site.put("donefile", manifest_of(1, b"", tarball="folder"))
    one = watch(clock=lambda: now[0], remote_model_name="folder", unpacked_filename="")
    assert poll(one) is Event.BAD_RELEASE
    for name, content in model_files(1).items():
        site.put(f"folder/{name}", content)
    assert poll(one) is Event.QUARANTINED
    now[0] += 601
    assert poll(one) is Event.SWAPPED


def test_a_dead_remote_is_asked_again_until_it_answers(watch: MakeWatch, site: Site) -> None:
    site.status = 503
    one = watch()
    assert poll(one) is Event.REMOTE_FAILED
    assert poll(one) is Event.REMOTE_FAILED
    assert one.reporter.figures.failures_remote == 2
    site.status = None
    site.publish(1)
    assert poll(one) is Event.SWAPPED


def test_a_manifest_of_another_tarball_is_a_bad_release(
    watch: MakeWatch, site: Site, lines: list[str]
) -> None:
    packed = tarball(model_files(1))
    site.publish(1, packed, donefile=manifest_of(1, packed, tarball="other.tar.gz"))
    assert poll(watch()) is Event.BAD_RELEASE
    assert "the manifest is of 'other.tar.gz'" in lines[-1]


def test_a_full_disk_is_said_and_the_old_release_stays(
    watch: MakeWatch, site: Site, tmp_path: Path, lines: list[str]
) -> None:
    site.publish(1)
    poll(watch())
    site.publish(2)
    # A check command gets the tarball as a file.
    one = watch(local_tmp_path="/proc/nothing", check_command="true")
    assert poll(one) is Event.MACHINE_FAILED
    assert lines[-1].startswith("ERROR cannot write /proc/nothing/")
    assert release_in(live(tmp_path)) == 1


def test_a_check_command_sees_the_staged_release_and_may_refuse_it(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    check = tmp_path / "check"
    check.write_text(
        "#!/bin/sh\n"
        'test -s "$1/model.pdmodel" && test -s "$SERVING_MONITOR_TARBALL" || exit 2\n'
        'grep -q \'"release": 2\' "$SERVING_MONITOR_DONEFILE" && { echo no twos; exit 1; }\n'
        "exit 0\n"
    )
    check.chmod(0o755)
    one = watch(check_command=f"{check}")
    site.publish(1)
    assert poll(one) is Event.SWAPPED
    site.publish(2)
    assert poll(one) is Event.BAD_RELEASE
    assert "no twos" in str(one.reporter.error)
    assert release_in(live(tmp_path)) == 1
    site.publish(3)
    assert poll(one) is Event.SWAPPED
    nothing_left(tmp_path)


@pytest.mark.parametrize(
    ("command", "timeout_s", "event"),
    [
        ("/no/such/program", 100, Event.MACHINE_FAILED),
        ("sh -c 'exit 2'", 100, Event.MACHINE_FAILED),
        ("sh -c 'kill -SEGV $$'", 100, Event.BAD_RELEASE),
        ("sh -c 'kill -KILL $$'", 100, Event.MACHINE_FAILED),
        ("sh -c 'sleep 60'", 0.3, Event.MACHINE_FAILED),
    ],
)
def test_how_a_check_command_ends_says_whose_fault_it_is(
    watch: MakeWatch, site: Site, command: str, timeout_s: float, event: Event
) -> None:
    site.publish(1)
    assert poll(watch(check_command=command, check_timeout=str(timeout_s))) is event


def test_a_manifest_reaches_the_check_as_it_was_published_however_it_is_written(
    watch: MakeWatch, site: Site
) -> None:
    """With escapes the manifest would be longer than the kernel allows for a variable."""
    packed = tarball(model_files(1))
    fields = {**json.loads(manifest_of(1, packed)), "note": "é" * 30_000}
    site.publish(1, packed, donefile=json.dumps(fields, ensure_ascii=False).encode())
    script = 'printf %s "$MONITOR_MANIFEST" | cmp - "$SERVING_MONITOR_DONEFILE"'
    assert poll(watch(check_command=f"sh -c '{script}'")) is Event.SWAPPED


def test_a_release_that_does_not_fit_the_live_model_is_tried_without_that(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    site.publish(1)
    one = watch()
    poll(one)
    conf = model_files(2)["serving_server_conf.prototxt"].replace(b"price", b"cost")
    site.publish(2, tarball({**model_files(2), "serving_server_conf.prototxt": conf}))
    assert poll(one) is Event.BAD_RELEASE
    assert poll(one) is Event.QUARANTINED
    shutil.rmtree(live(tmp_path))
    assert poll(one) is Event.SWAPPED
    assert release_in(live(tmp_path)) == 2


def test_a_release_that_failed_on_this_machine_is_not_pulled_again(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    site.publish(1)
    now = tmp_path / "now"
    one = watch(check_command=f"sh -c 'test -e {now} || exit 3'")
    for _ in range(3):
        assert until(one, Event.MACHINE_FAILED)
    now.touch()
    assert until(one, Event.SWAPPED)
    assert [path for path, _ in site.seen].count(f"/{TARBALL}") == 1
    nothing_left(tmp_path)
