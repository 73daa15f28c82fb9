"""Nothing is left in the engine, however a run ends; two runs do not meet; images are reused."""

from __future__ import annotations

import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import containers
from harness.containers import bases, cleaning, engine, images
from harness.containers.remotes import ContainerFtp, ContainerRemote
from harness.errors import BadInput, Failed
from harness.waits import wait_for
from tests.docker.fleet import left_in_engine

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("built")]


@pytest.fixture
def up(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """``python -m harness.containers up http`` in a process of its own."""
    command = [sys.executable, "-m", "harness.containers", "up", "http"]
    with (tmp_path / "output").open("w") as output:
        process = subprocess.Popen(
            [*command, "--folder", str(tmp_path / "run")],
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            # A shell's background job has it ignored, and so would all that it starts.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
        )
    yield process
    process.kill()
    process.wait(10)


def project_of(up: subprocess.Popen[str], tmp_path: Path) -> str:
    """The project that the process brought up, once it says that it is up."""
    output = tmp_path / "output"
    wait_for(
        lambda: "up after" in output.read_text(),
        "a remote to be up",
        60,
        last_seen=output.read_text,
    )
    settings = f"{tmp_path}/run/http"
    for project in cleaning.left_projects():
        (container,) = engine.containers(project)[:1] or [""]
        if container and any(
            mount["Source"].startswith(settings) for mount in engine.inspect(container)["Mounts"]
        ):
            return project
    raise AssertionError(f"no project shares {settings}")


def test_ctrl_c_leaves_nothing_and_keeps_the_logs(
    up: subprocess.Popen[str], tmp_path: Path
) -> None:
    project = project_of(up, tmp_path)
    assert left_in_engine(project)
    up.send_signal(signal.SIGINT)
    assert up.wait(60) == 128 + signal.SIGINT
    assert left_in_engine(project) == []
    assert "GET /.harness-ready" in (tmp_path / "run/http/logs/http.log").read_text()
    assert "Traceback" not in (tmp_path / "output").read_text()


def test_a_harness_that_was_killed_leaves_nothing_and_keeps_the_logs(
    up: subprocess.Popen[str], tmp_path: Path
) -> None:
    project = project_of(up, tmp_path)
    up.kill()
    wait_for(
        lambda: not left_in_engine(project),
        "the sweeper to remove what a killed harness left",
        60,
        every_s=0.3,
        last_seen=lambda: left_in_engine(project),
    )
    assert "GET /.harness-ready" in (tmp_path / "run/http/logs/http.log").read_text()


def test_a_failure_inside_leaves_nothing(tmp_path: Path) -> None:
    remote = containers.remote("http", tmp_path)
    assert isinstance(remote, ContainerRemote)

    def fail_inside() -> None:
        with remote:
            assert left_in_engine(remote.project)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_inside()
    assert left_in_engine(remote.project) == []


def test_a_paused_and_a_disconnected_remote_are_taken_down_as_well(tmp_path: Path) -> None:
    remote = containers.remote("ftp", tmp_path)
    assert isinstance(remote, ContainerRemote)
    with remote:
        remote.disconnect()
        remote.pause()
    assert left_in_engine(remote.project) == []


def test_two_runs_at_once_do_not_meet(tmp_path: Path) -> None:
    one, other = ContainerFtp(tmp_path / "one"), ContainerFtp(tmp_path / "other")
    with one, other:
        one.ready()
        other.ready()
        assert one.project != other.project
        assert one.port != other.port
        (tmp_path / "one/ftp/mine").write_text("1")
        one.stop()
        assert left_in_engine(one.project) == []
        other.ready()
        assert not (tmp_path / "other/ftp/mine").exists()
    assert left_in_engine(other.project) == []


def test_a_service_that_dies_at_its_start_is_reported_at_once_with_its_log(
    tmp_path: Path,
) -> None:
    remote = ContainerFtp(tmp_path)
    remote.stack.set("FTP_USER", "")
    begin = time.monotonic()
    with remote, pytest.raises(Failed) as failure:
        remote.ready(60)
    assert time.monotonic() - begin < 30
    assert "the container of ftp ended with exit code 1" in str(failure.value)
    assert "FTP_USER and FTP_PASSWORD must not be empty" in str(failure.value)
    assert left_in_engine(remote.project) == []


def test_a_folder_that_compose_would_misread_is_refused(tmp_path: Path) -> None:
    remote = containers.remote("http", tmp_path / "a:b")
    with pytest.raises(BadInput, match="cannot be shared with a container"):
        remote.start()


def test_images_are_found_again_when_nothing_changed() -> None:
    said: list[str] = []
    # Those that hold no sources of other folders, which somebody may be editing meanwhile.
    names = [name for name, image in images.IMAGES.items() if not image.sources]
    first = {name: images.ensure(name, lambda _: None) for name in names}
    assert {name: images.ensure(name, said.append) for name in names} == first
    assert said == []
    for name, tag in first.items():
        assert re.fullmatch(rf"hot-loading/{name}:[0-9a-f]{{12}}", tag)


def test_a_changed_file_makes_another_tag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = images.IMAGES["http"]
    before = images.tag(image, "base")
    assert images.tag(image, "base") == before
    authorities = tmp_path / "ca.pem"
    authorities.write_text("no certificate, but another byte in the context\n")
    monkeypatch.setenv("DOCKER_BUILD_CA", str(authorities))
    assert images.tag(image, "base") != before
    context = tmp_path / "context"
    context.mkdir()
    images.fill_context(image, context)
    assert (context / "ca/bundle.crt").read_text() == authorities.read_text()
    assert (context / "nginx.conf").is_file()


def test_only_projects_of_the_harness_are_taken_down() -> None:
    with pytest.raises(BadInput, match="is no project of the harness"):
        cleaning.down(["somebody-elses"])


def test_cleaning_removes_images_that_stand_on_one_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Under a label of its own, so that nobody has to build the real ones anew.
    label = f"org.hot-loading.test-{secrets.token_hex(4)}"
    monkeypatch.setattr(images, "LABEL", label)
    base = bases.ensure("bullseye", lambda _: None, False)
    for name in ("lower", "upper"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "Dockerfile").write_text(f"FROM {base}\nRUN echo {label} > /{name}\n")
        base = f"hot-loading/test-{name}:{label[-8:]}"
        engine.docker("build", "--quiet", "--tag", base, "--label", f"{label}={name}", str(folder))
    assert len(cleaning.built_images()) == 2
    assert cleaning.remove_images() == "removed 2 images"
    assert cleaning.built_images() == []
