"""The options of `harness run` for a set-up of one's own: what does not fit is one sentence."""

from __future__ import annotations

import io
import tarfile

import pytest

from harness.__main__ import main
from harness.conformance.monitor.releases import unpacked


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--server", "here"], "--server here is no address; use HOST:PORT"),
        (["--server", "127.0.0.1:0"], "--server 127.0.0.1:0 is no address; use HOST:PORT"),
        (["--server", "127.0.0.1:9292"], "--server needs --live-dir"),
        (["--live-dir", "."], "--live-dir is for a server that runs already; add --server"),
        (["--server-log", "x"], "--server-log is for a server that runs already; add --server"),
        (
            ["--server", "127.0.0.1:9292", "--live-dir", ".", "--port", "9292"],
            "leave out --serving-bin and --port",
        ),
        (["--server", "127.0.0.1:1", "--live-dir", "."], "each remote needs one of its own"),
        (["--remote", "gopher://x/"], "--remote is no URL of a remote; use webhdfs://"),
        (["--remote", "webhdfs://x/"], "needs the port of WebHDFS"),
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


@pytest.mark.parametrize("name", ["model//tmp/elsewhere", "model/../elsewhere", "../elsewhere"])
def test_a_tarball_whose_names_lead_out_of_it_is_refused(name: str) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo(name))
    with pytest.raises(ValueError, match=r"it has the top folders|has the name"):
        unpacked(packed.getvalue())
