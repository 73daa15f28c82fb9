"""A disk without inodes, and folders that ignore case: the sentence names the cause."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.release import case

from .filesystems import mounted

WATCHED = """
import subprocess
from monitor import log, remotes
from monitor.decisions.machine import Event, State
from monitor.stop import Stop
from monitor.watch.watch import Watch
from monitor.errors import BadOption
from tests.unit.monitor.fixtures import (
    MODEL, TARBALL, Site, closing_all, manifest_of, model_files, options_for, tarball,
)
from tests.unit.monitor.stepping import poll, release_in, until

def watched(local, site, **given):
    stop = Stop()
    options = options_for(local, general_host=site.url, **given)
    return Watch(options, remotes.create(options, stop), stop)
"""


def test_without_inodes_a_sentence_says_so_and_the_release_comes_later(
    tmp_path: Path,
) -> None:
    mounted(
        WATCHED
        + """
local = tmp / "local"
local.mkdir()
subprocess.run(["mount", "-t", "tmpfs", "-o", "nr_inodes=100", "none", str(local)], check=True)

def fill():
    number = 0
    while os.statvfs(local).f_favail:
        (local / f"filler-{number}").touch()
        number += 1

def free():
    for path in local.glob("filler-*"):
        path.unlink()

site = Site(tmp / "remote")
with closing_all(site):
    fill()
    try:
        watched(local, site).begin()
    except BadOption as error:
        assert "no inodes are left" in str(error), error
        assert f"df -i {local}" in str(error), error
    else:
        raise AssertionError("it started")
    free()
    one = watched(local, site, backoff_max="0.1")
    one.begin()
    site.publish(1)
    assert poll(one) is Event.SWAPPED
    many = {**model_files(2), **{f"words/{n}": b"x" for n in range(60)}}
    site.publish(2, tarball(many))
    # Room for the tarball and for a part of what is in it; then for nothing at all.
    for left in (20, 0):
        fill()
        for number in range(left):
            (local / f"filler-{number}").unlink()
        assert until(one, Event.MACHINE_FAILED)
        assert "no inodes are left" in str(one.reporter.error), one.reporter.error
        assert f"df -i {local}" in str(one.reporter.error), one.reporter.error
        assert release_in(local / MODEL) == 1
    free()
    assert until(one, Event.SWAPPED)
    assert release_in(local / MODEL) == 2
    one.end()
""",
        tmp_path,
    )


# The first filesystem that the kernel and the installed programs can make.
IGNORING_CASE = """
def ignoring_case():
    folder, image = tmp / "disk", tmp / "image"
    folder.mkdir()
    made = f"mkdir {folder}/f"
    flagged = f"{made} && chattr +F {folder}/f"
    loop = f"mount -o loop {image} {folder}"
    for way in (
        f"mount -t tmpfs -o casefold none {folder} && {flagged}",
        f"mkfs.ext4 -q -F -O casefold {image} && {loop} && {flagged}",
        f"mkfs.vfat {image} && {loop} && {made}",
        f"mkntfs -q -F {image} && lowntfs-3g -o ignore_case {image} {folder} && {made}",
    ):
        image.write_bytes(b"")
        os.truncate(image, 32 << 20)
        if not subprocess.run(["sh", "-c", way], capture_output=True).returncode:
            return folder
        subprocess.run(["umount", str(folder)], capture_output=True)
    print("no filesystem that ignores case can be mounted", file=sys.stderr)
    sys.exit(77)
"""


def test_names_that_differ_only_in_case_are_a_bad_release_where_case_is_ignored(
    tmp_path: Path,
) -> None:
    mounted(
        WATCHED
        + IGNORING_CASE
        + """
disk = ignoring_case()
site = Site(tmp / "remote")
with closing_all(site):
    for number, names in enumerate((("words", "Words"), ("labels/a", "Labels/b")), 1):
        local = disk / "f" / str(number)
        extra = {name: name.encode() for name in names}
        one = watched(local, site)
        one.begin()
        packed = tarball({**model_files(1), **extra})
        site.publish(1, packed)
        assert poll(one) is Event.BAD_RELEASE
        first, second = (name.partition("/")[0] for name in names)
        for word in (f"{first!r} and {second!r} are one name", "ignores case", str(local)):
            assert word in str(one.reporter.error), one.reporter.error
        assert poll(one) is Event.QUARANTINED
        site.publish(2)
        assert poll(one) is Event.SWAPPED
        assert release_in(local / MODEL) == 2
        one.end()
    # A folder release: pulled to that disk, or to another and moved there.
    for tmp_place in ("_tmp", str(tmp / "elsewhere")):
        local = disk / "f" / f"tree-{len(tmp_place)}"
        given = {"remote_model_name": MODEL, "unpacked_filename": "", "local_tmp_path": tmp_place}
        for name, content in {**model_files(3), "words": b"1", "Words": b"2"}.items():
            site.put(f"{MODEL}/{name}", content)
        site.put("donefile", b"")
        one = watched(local, site, **given)
        one.begin()
        assert poll(one) is Event.BAD_RELEASE
        assert "are one name" in str(one.reporter.error), one.reporter.error
        (site.root / MODEL / "Words").unlink()
        site.put("donefile", b"again")
        assert poll(one) is Event.SWAPPED
        one.end()
subprocess.run(["umount", str(disk)], check=True)
""",
        tmp_path,
    )


def test_where_case_counts_such_names_are_two(tmp_path: Path) -> None:
    assert not case.ignores_case(str(tmp_path))
    case.check("m", ["a/b", "A/b", "a/B"], str(tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("paths", "pair"),
    [
        (["a", "b", "A"], ("a", "A")),
        (["x/a", "X/b"], ("x", "X")),
        (["x/y/a", "x/Y/a"], ("x/y", "x/Y")),
        (["stra\u00dfe", "STRASSE"], ("stra\u00dfe", "STRASSE")),
        (["\u00e9", "E\u0301"], ("\u00e9", "E\u0301")),
        (["a", "ab", "a.b", "a/b"], None),
    ],
)
def test_the_first_two_paths_that_differ_only_in_case_are_named(
    paths: list[str], pair: object
) -> None:
    names = case.Names("m", "")
    found = [names.alike(path) for path in paths]
    assert found == [*[None] * (len(paths) - 1), pair]
