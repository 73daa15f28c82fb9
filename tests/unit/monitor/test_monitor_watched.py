"""The monitor warns when the server watches another time file than the one it writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.live.watched import watched_time_files

from .fixtures import MODEL, Site
from .processes import Here, general


def start_server(folder: Path, meta: str, port: int = 9292) -> Path:
    """Write what the launcher writes about the watched file."""
    path = folder / f"workdir_{port}" / "GeneralInferOp_0" / "model_toolkit.prototxt"
    path.parent.mkdir(parents=True)
    path.write_text(
        f'engines {{\n  name: "GeneralInferOp_0"\n  reloadable_meta: "{meta}"\n'
        f'  reloadable_type: "timestamp_ne"\n  model_dir: "{MODEL}"\n}}\n'
    )
    return path


@pytest.mark.parametrize("meta", [f"{MODEL}/fluid_time_file", f"./{MODEL}//fluid_time_file"])
def test_the_watched_file_is_found_beside_the_live_directory(tmp_path: Path, meta: str) -> None:
    path = start_server(tmp_path, meta)
    assert watched_time_files(str(tmp_path / MODEL)) == {"fluid_time_file": str(path)}


def test_the_watched_file_is_found_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models" / MODEL).mkdir(parents=True)
    (tmp_path / "server").mkdir()
    start_server(tmp_path / "server", f"{tmp_path}/models/{MODEL}/fluid_time_file")
    monkeypatch.chdir(tmp_path / "server")
    assert list(watched_time_files(str(tmp_path / "models" / MODEL))) == ["fluid_time_file"]


def test_a_server_of_another_model_and_a_damaged_file_count_for_nothing(tmp_path: Path) -> None:
    start_server(tmp_path, "other_model/fluid_time_file")
    start_server(tmp_path, "x", port=9293).write_bytes(b'\xff reloadable_meta: "')
    assert watched_time_files(str(tmp_path / MODEL)) == {}


def test_a_time_file_that_no_server_watches_is_warned_of_once(
    here: Here, site: Site, tmp_path: Path
) -> None:
    path = start_server(tmp_path / "local", f"{MODEL}/fluid_time_file")
    site.publish(1)
    wrong = ["--once", "--local_timestamp_file=fluid_time_stamp"]
    code, _, said = here(*general(site, tmp_path), *wrong)
    assert code == 0, said
    warning = (
        f"the server will not reload: {path} says that it watches fluid_time_file, and "
        "--local_timestamp_file is fluid_time_stamp; use --local_timestamp_file=fluid_time_file"
    )
    assert said.count(warning) == 1, said
    code, _, said = here(*general(site, tmp_path), "--once")
    assert code == 0, said
    assert "will not reload" not in said
