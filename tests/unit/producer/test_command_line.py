"""The producer's command line: what a person sees when something is wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Optional

import pytest

from harness.support.ports import free_port
from producer.cli import _settings
from producer.errors import BadInput
from producer.publish import connect

OPTIONS = """
--remote --name --unpacked_filename --interval --passes --device --seed --work --donefile
--donefile_format --sign_key --hadoop_bin --fs_ugi --hdfs_user --ftp_encoding --ca_file --step
--events --notify --notify_token_file --debug
"""
REMOTE = ["--remote", "file:///nowhere"]


def run(
    *words: str, cwd: Optional[Path] = None, python: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *python, "-m", "producer", *words],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=cwd,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_help_names_every_option_and_does_not_import_paddle() -> None:
    done = run("--help-all", python=("-X", "importtime"))
    assert done.returncode == 0
    for option in OPTIONS.split():
        assert option in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "producer.loop" in imported
    assert not {name for name in imported if name.partition(".")[0] == "paddle"}


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "--remote"),
        ([*REMOTE, "--interval", "-1"], "'-1' is no number of seconds"),
        ([*REMOTE, "--interval", "nan"], "'nan' is no number of seconds"),
        ([*REMOTE, "--interval", "soon"], "'soon' is no number of seconds"),
        ([*REMOTE, "--passes", "0"], "'0' is no whole number from 1 on"),
        ([*REMOTE, "--seed", "-3"], "'-3' is no whole number from 0"),
        ([*REMOTE, "--seed", "4294967296"], "is no whole number from 0"),
        ([*REMOTE, "--device", "tpu"], "invalid choice: 'tpu'"),
        ([*REMOTE, "--name", "../x"], "'../x' is no plain file name"),
        ([*REMOTE, "--donefile", ".hidden"], "'.hidden' is no plain file name"),
        ([*REMOTE, "--ftp_encoding", "utf-16"], "'utf-16' is no encoding of file names"),
        ([*REMOTE, "--ca_file", "/no/such"], "/no/such is no file"),
        ([*REMOTE, "--notify", "monitor:9100"], "it is no address; give http://HOST:PORT/-/poll"),
        ([*REMOTE, "--nosuch"], "--nosuch"),
    ],
)
def test_a_wrong_option_gives_one_sentence(words: list[str], complaint: str) -> None:
    with pytest.raises(BadInput) as caught:
        _settings(words)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_defaults_are_the_pages() -> None:
    settings = _settings(REMOTE)
    assert settings.name == "uci_housing"
    assert settings.unpacked == "uci_housing_model"
    assert settings.donefile == "donefile"
    assert (settings.interval, settings.passes) == (60.0, 30)
    assert settings.work == Path("uci_housing_producer")
    assert settings.manifest


def test_an_ftp_server_s_encoding_and_certificates_reach_it(tmp_path: Path) -> None:
    words = ["--remote", "ftps-implicit://h/%C4%A3%D0%CD", "--ftp_encoding", "gbk"]
    (tmp_path / "ca.pem").write_text("no certificate")
    settings = _settings([*words, "--ca_file", str(tmp_path / "ca.pem")])
    assert str(settings.address) == "ftps-implicit://h:990/模型"
    with pytest.raises(BadInput, match=r"ca\.pem has no certificate in it; give a PEM file"):
        connect(settings.address, settings.access).prepare()


def test_an_interval_may_have_a_fraction() -> None:
    assert _settings([*REMOTE, "--interval", "0.25"]).interval == 0.25


def test_a_remote_that_does_not_answer_ends_it_at_once_with_one_sentence(tmp_path: Path) -> None:
    port = free_port()
    done = run("--remote", f"webhdfs://127.0.0.1:{port}/x", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"producer: cannot reach webhdfs://127.0.0.1:{port}/x: Connection refused "
        "(is the NameNode's HTTP port right, and up?)"
    ]
    assert list(tmp_path.iterdir()) == [], "something was left behind"


def test_debug_adds_the_traceback(tmp_path: Path) -> None:
    done = run("--remote", f"ftp://127.0.0.1:{free_port()}/x", "--debug", cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("producer: cannot reach ftp://127.0.0.1:")


def test_a_gpu_that_is_not_there_gives_one_sentence(tmp_path: Path) -> None:
    remote = f"file://{tmp_path}/www"
    done = run("--remote", remote, "--device", "gpu", "--passes", "1", cwd=tmp_path)
    if done.returncode == 0:
        pytest.skip("this machine has a GPU and the environment its packages")
    assert done.returncode == 2
    *before, last = done.stderr.splitlines()
    assert last.startswith("producer: --device gpu"), done.stderr
    # Only in the GPU environment, Paddle's own warnings come before this line.
    assert not before or "GPU build" not in last, done.stderr
    assert "Traceback" not in done.stderr
    assert "--device cpu" in last
    assert not (tmp_path / "www" / "donefile").exists()


_WITHOUT_PADDLE = """
import sys
sys.modules["paddle"] = None  # as on a machine that does not have it
from {module} import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("module", ["producer.cli", "producer.trial_load"])
def test_an_environment_without_paddle_gives_one_sentence(module: str, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "serving_server_conf.prototxt").write_text("")
    words = [str(model)]
    if module == "producer.cli":
        words = ["--remote", f"file://{tmp_path}/www", "--work", str(tmp_path / "work")]
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_PADDLE.format(module=module), *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "Paddle cannot be imported here" in done.stderr
    assert "make setup" in done.stderr
    assert len(done.stderr.splitlines()) == 1
