"""``--config``: many models in one process."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from harness.ports import free_port
from monitor.__main__ import main

from .fixtures import MODEL, TARBALL, Site
from .processes import Start


@pytest.fixture
def tmp_path(in_memory: Path) -> Path:
    return in_memory


def test_many_models_run_in_one_process_and_a_broken_remote_delays_no_other(
    start: Start, site: Site, tmp_path: Path, a_second: float
) -> None:
    site.publish(1)
    (tmp_path / "local").mkdir()
    config = tmp_path / "monitors.toml"
    config.write_text(
        f'general_host = "{site.url}"\nremote_path = "/"\nremote_model_name = "{TARBALL}"\n'
        f'remote_donefile_name = "donefile"\nlocal_path = "{tmp_path}/local"\ninterval = 0.2\n'
        f'unpacked_filename = "{MODEL}"\n'
        '[[model]]\nlocal_model_name = "dead"\n'
        f'general_host = "http://127.0.0.1:{free_port()}"\n'
        '[[model]]\nlocal_model_name = "one"\n[[model]]\nlocal_model_name = "two"\n'
    )
    monitor = start(f"--config={config}")
    monitor.saw("update model timestamp", 2)
    monitor.saw("dead: cannot read")
    site.publish(2)
    monitor.saw("update model timestamp", 4)
    for name in ("one", "two"):
        assert (tmp_path / "local" / name / "params.pdiparams").read_bytes()[:9] == b"%09d" % 2
    begun = time.monotonic()
    monitor.process.terminate()
    assert monitor.end() == 0
    assert time.monotonic() - begun < a_second


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "names no model"),
        ("model = 3", "names no model"),
        ("[[model]]\nno_such = 1", "model 1: there is no option no_such"),
        ("[[model]]\ninterval = 'x'", "model 1: --interval is wrong"),
        ("[[model]]\nlocal_path = 5", "model 1: --local_path is wrong"),
        ("[[model]]\ntype = 'gopher'", "choose one of"),
        ("[[model]]\ndebug = 'yes'", "--debug is wrong"),
        ("[[model", "is not TOML"),
    ],
    ids=range(8),
)
def test_a_wrong_config_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, sentence: str
) -> None:
    config = tmp_path / "monitors.toml"
    config.write_text(text)
    assert main([f"--config={config}"]) == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert sentence in err


def test_the_same_directory_twice_in_a_config_is_refused(
    tmp_path: Path, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "monitors.toml"
    table = '[[model]]\nremote_path = "/"\nremote_model_name = "m"\nlocal_model_name = "m"\n'
    table += 'remote_donefile_name = "d"\n'
    head = f'general_host = "{site.url}"\nlocal_path = "{tmp_path}"\n'
    config.write_text(head + 2 * table)
    assert main([f"--config={config}"]) == 2
    assert "is watched twice" in capsys.readouterr().err
