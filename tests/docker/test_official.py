"""Compose's service for the vendor's image, with an image of ours that has the same layout.

Not every machine can pull the vendor's image. Its install script puts the server binary in
``/usr/local/serving_bin`` and names it in root's ``.bashrc`` alone.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.containers import engine
from harness.serving import container as container_module
from harness.serving.container import ContainerServing, serving_binary
from harness.support.errors import Failed
from harness.support.paths import repository_root
from harness.support.ports import free_port
from harness.support.waits import wait_for
from tests.conftest import Releases
from tests.docker.fleet import is_well, left_in_engine
from tests.faults.test_servers import MODEL, READY_S, expected, predict

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("built")]

# Has no SERVING_BIN, and our own sources in a folder that the vendor's entrypoint does not know.
STAND_IN = """\
FROM {packages}
COPY --from={serving} /opt/hot-loading /opt/engine
COPY --from={serving} /usr/local/bin/embedded-serving /usr/local/serving_bin/serving
ENV PYTHONPATH=/opt/engine ENGINE_HOST=0.0.0.0
"""


@pytest.fixture
def stand_in(built: dict[str, str], tmp_path: Path) -> Iterator[str]:
    """The name of an image laid out like the vendor's."""
    name = f"hot-loading-test/{secrets.token_hex(4)}"
    context = tmp_path / "stand-in"
    context.mkdir()
    text = STAND_IN.format(packages=built["serving-packages"], serving=built["serving"])
    (context / "Dockerfile").write_text(text)
    engine.docker("build", "--quiet", "--tag", name, str(context))
    yield name
    engine.docker("image", "rm", "--force", name, check=False)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What is mounted, in a checkout that was made with umask 077."""
    root = tmp_path / "checkout"
    for path in container_module.MOUNTED.values():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(repository_root() / path, root / path)
        (root / path).chmod(0o600)
    return root


def test_the_vendors_image_serves_with_the_binary_that_its_install_script_left(
    stand_in: str,
    checkout: Path,
    tmp_path: Path,
    releases: Releases,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OFFICIAL_IMAGE", stand_in)
    monkeypatch.setattr(container_module, "repository_root", lambda: checkout)
    image = serving_binary("official-docker")
    folder = tmp_path / "serving"
    shutil.copytree(releases.model(1), folder / MODEL)
    made = ContainerServing(folder, model=MODEL, binary=image, port=free_port())
    assert isinstance(made, ContainerServing)
    before = os.umask(0o077)
    try:
        with made:
            made.ready(READY_S)
            release = releases.published[0]
            assert predict(made.port, release) == expected(release)
            (container,) = engine.containers(made.stack.project)
            wait_for(lambda: is_well(container), "the health check to succeed", 60, every_s=0.2)
            (made.live_dir / "serving_server_conf.prototxt").rename(folder / "away")
            assert not is_well(container)
    finally:
        os.umask(before)
    assert left_in_engine(made.stack.project) == []


@pytest.mark.parametrize("image", ["serving-packages", "http"])
def test_an_image_that_cannot_serve_is_one_sentence(image: str, built: dict[str, str]) -> None:
    lacks = {"serving-packages": "has no server binary", "http": "no Python 3.7 or newer"}
    script = repository_root() / "docker/official/entrypoint.sh"
    run = ("run", "--rm", "--volume", f"{script}:/e.sh:ro", "--entrypoint", "/bin/sh")
    with pytest.raises(Failed, match=r"exit code 2: entrypoint\.sh: .*") as failure:
        engine.docker(*run, "--user", "10001", built[image], "/e.sh", "--model", MODEL)
    (sentence,) = str(failure.value).splitlines()
    assert lacks[image] in sentence
    assert "OFFICIAL_IMAGE" in sentence
