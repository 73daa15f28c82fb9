"""The options of `harness run` for a set-up of one's own: what does not fit is one sentence."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from harness.__main__ import main
from harness.conformance.monitor.releases import unpacked
from tests.conftest import Releases


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--server", "here"], "--server here is no address; use HOST:PORT"),
        (["--server", "127.0.0.1:0"], "--server 127.0.0.1:0 is no address; use HOST:PORT"),
        (["--server", "127.0.0.1:9292"], "--server is given without --live-dir"),
        (["--live-dir", "."], "--live-dir is for a server that runs already; add --server"),
        (["--server-log", "x"], "--server-log is for a server that runs already; add --server"),
        (
            ["--server", "127.0.0.1:9292", "--live-dir", ".", "--port", "9292"],
            "leave out --serving-bin and --port",
        ),
        (["--server", "127.0.0.1:1", "--live-dir", "."], "each remote needs one of its own"),
        (["--remote", "gopher://x/"], "--remote is no URL of a remote; use webhdfs://"),
        (["--remote", "webhdfs://x/"], "give the port of WebHDFS"),
        (
            ["--remote", "https://x/"],
            "takes no uploads of our producer; name the folder that it serves",
        ),
        (
            ["--remote", "http://x/", "--publish-dir", "/proc/no"],
            "--publish-dir /proc/no is no folder",
        ),
        (["--remote", "ftp://x/", "--publish-dir", "."], "--publish-dir is for HTTP"),
        (["--publish-dir", "."], "add --remote URL"),
        (["--releases-from", "x", "--releases", "3"], "leave out --releases"),
        (["--claims", "luck"], "'luck' is no claim; use no request failed, "),
        (["--claims", ""], "no claim is named"),
        (["--tick", "0"], "--tick 0 is no interval"),
        (["--monitor-cmd", ""], "--monitor-cmd is empty"),
        (["--producer-cmd", ""], "--producer-cmd is empty; give the producer's command line"),
        (["--producer-cmd", "x {host}"], "has the placeholder {host}, which is not known; use one"),
        (["--producer-cmd", "x", "--releases-from", "y"], "leave out --releases-from"),
        (["--servers", "0"], "--servers 0 is no number of servers; use 1 or more"),
        (["--servers", "9999"], "--servers 9999 needs 6999.3 GB of memory and "),
        (["--servers", "2", "--port", "9292"], "leave out --port or --servers"),
        (["--servers", "2", "--serving", "docker"], "starts servers on this machine"),
        (["--monitor-on", "moon"], "--monitor-on=moon is not known; use one of local, docker"),
        (["--monitor-on", "docker", "--monitor-cmd", "sh"], "leave out --monitor-cmd, or --mon"),
        (["--serving", "embedded", "--serving-bin", "/nowhere"], "/nowhere is not an executable"),
    ],
)
def test_what_does_not_fit_is_told_before_anything_starts(
    options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "page", *options]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_monitor_in_a_container_has_no_disk_and_no_clock_of_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["run", "monitor-faults", "--monitor-on", "docker"]) == 2
    assert "the fault full-disk needs a monitor that is a process of" in capsys.readouterr().err


RUNNING = ("--remotes", "ftp", "--server", "127.0.0.1:1", "--live-dir", ".")


@pytest.mark.parametrize(
    ("scenario", "options", "said"),
    [
        ("server-restarts", RUNNING, "leave out --server"),
        ("monitor-faults", RUNNING, "load from a disk of the run"),
        ("network-faults", ("--remote", "ftp://x/"), "leave out --remote"),
        ("all-restart", ("--remote", "ftp://x/"), "leave out --remote"),
        ("producer-restarts", ("--producer-cmd", "x"), "runs only while it publishes a release"),
        ("bad-between-good", ("--producer-cmd", "x"), "leave out --producer-cmd"),
        ("bad-between-good", ("--releases-from", "x"), "leave out --releases-from"),
        ("rollback", ("--monitor-cmd", "x"), "leave out --monitor-cmd"),
    ],
)
def test_a_scenario_that_the_set_up_cannot_run_is_told_before_anything_starts(
    scenario: str, options: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", scenario, *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"harness: the scenario {scenario} ")
    assert said in error
    assert error.count("\n") == 1


def test_a_part_that_the_run_does_not_have_is_told_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for part, said in (
        ("namenode", "which ftp does not have; use monitor, server, producer or remote, "),
        ("monitor-3", "this run has 2 server(s); add --servers"),
    ):
        steps = f'[[step]]\ndo = "restart"\nparts = ["{part}"]\n[[step]]\ndo = "publish"\n'
        (tmp_path / "mine.toml").write_text(f'promise = "None."\n{steps}')
        file = str(tmp_path / "mine.toml")
        assert main(["run", file, "--remotes", "ftp", "--servers", "2"]) == 2
        assert said in capsys.readouterr().err


def test_fewer_releases_than_the_steps_publish_are_told_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = '[[step]]\ndo = "publish"\ncount = 5\n[[step]]\ndo = "publish"\n'
    (tmp_path / "mine.toml").write_text(f'promise = "None."\n{steps}')
    assert main(["run", str(tmp_path / "mine.toml"), "--remotes", "ftp"]) == 2
    error = capsys.readouterr().err
    assert "RELEASES=4 is too few, because the steps of mine publish 6 releases; use 6 or" in error
    assert error.count("\n") == 1


def test_steps_that_publish_more_releases_than_a_folder_holds_are_told(
    tmp_path: Path, releases: Releases, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = '[[step]]\ndo = "publish"\ncount = 3\n[[step]]\ndo = "publish"\n'
    (tmp_path / "mine.toml").write_text(f'promise = "None."\n{steps}')
    words = ["run", str(tmp_path / "mine.toml"), "--remotes", "ftp", "--serving", "embedded"]
    words += ["--serving-trial", "skip", "--runs", str(tmp_path / "runs")]
    assert main([*words, "--releases-from", str(releases.folder / "releases")]) == 2
    said = f"the scenario mine publishes 4 releases, and --releases-from {releases.folder}"
    assert said in capsys.readouterr().err


def test_a_wrong_releases_from_leaves_the_run_folders_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KEEP_RUNS", "1")
    before = ["20260101T000000Z-1", "20260102T000000Z-1"]
    for name in before:
        (tmp_path / name).mkdir()
    (tmp_path / "latest").symlink_to(before[0])
    words = ["run", "page", "--remotes", "ftp", "--serving", "embedded", "--serving-trial", "skip"]
    assert main([*words, "--runs", str(tmp_path), "--releases-from", "typo"]) == 2
    assert "--releases-from typo is no folder" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == [*before, "latest"]
    assert (tmp_path / "latest").resolve().name == before[0]


@pytest.mark.parametrize("name", ["model//tmp/elsewhere", "model/../elsewhere", "../elsewhere"])
def test_a_tarball_whose_names_lead_out_of_it_is_refused(name: str) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo(name))
    with pytest.raises(ValueError, match=r"it has the top folders|has the name"):
        unpacked(packed.getvalue())
