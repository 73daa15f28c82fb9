"""Images are reused as long as nothing changed, and go when they are superseded or not wanted."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

import pytest

from harness.cli.images import IMAGES
from harness.containers import bases, cleaning, engine, images
from harness.support.errors import BadInput

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("built")]


def test_images_are_found_again_when_nothing_changed() -> None:
    said: list[str] = []
    first = {name: images.ensure(image, lambda _: None) for name, image in IMAGES.items()}
    there = sorted(cleaning.built_images())
    again = {name: images.ensure(image, said.append) for name, image in IMAGES.items()}
    assert again == first
    assert said == []
    assert sorted(cleaning.built_images()) == there
    for name, tag in first.items():
        assert re.fullmatch(rf"hot-loading/{name}:[0-9a-f]{{12}}", tag)


def test_the_checkout_and_what_was_copied_of_it_have_one_hash(tmp_path: Path) -> None:
    for name, image in IMAGES.items():
        context = tmp_path / name
        context.mkdir()
        images.copy_sources(image, context)
        copied = images.tag(image, [(".", context)], "base")
        assert copied == images.tag(image, image.inputs(), "base"), name


def test_what_is_built_is_named_after_what_was_copied_not_after_what_was_hashed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "docker" / "test-race"
    folder.mkdir(parents=True)
    (folder / "Dockerfile").write_text("ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nCOPY word /word\n")
    (folder / "word").write_text("before\n")
    image = images.Image("test-race", "bookworm", sources=())
    monkeypatch.setattr(images, "repository_root", lambda: tmp_path)
    copy = images.copy_sources

    def saved_meanwhile(image: images.Image, context: Path) -> None:
        (folder / "word").write_text("after\n")
        copy(image, context)

    monkeypatch.setattr(images, "copy_sources", saved_meanwhile)
    try:
        base = bases.ensure("bookworm", lambda _: None, False)
        raced = images.ensure(image, lambda _: None)
        monkeypatch.setattr(images, "copy_sources", copy)
        base_id = engine.image_id(base) or base
        assert raced == images.tag(image, image.inputs(), base_id)
        assert engine.docker("run", "--rm", raced, "cat", "/word") == "after"
        # The image is found again, and gets the tag "latest" back from another image.
        engine.docker("tag", base, "hot-loading/test-race:latest")
        said: list[str] = []
        assert images.ensure(image, said.append) == raced
        assert said == [], "it was built again"
        assert engine.image_id("hot-loading/test-race:latest") == engine.image_id(raced)
    finally:
        for name in engine.docker(
            *("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "hot-loading/test-race")
        ).split():
            engine.docker("image", "rm", "--force", name)


def test_only_projects_of_the_harness_are_taken_down() -> None:
    with pytest.raises(BadInput, match="is no project of the harness"):
        cleaning.down(["somebody-elses"])


def test_cleaning_removes_images_that_stand_on_one_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Under a label of its own, so that the real images need not be built again.
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


def test_superseded_images_go_and_the_newest_and_those_in_use_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    label = f"org.hot-loading.test-{secrets.token_hex(4)}"
    name = f"test-{label[-8:]}"
    monkeypatch.setattr(images, "LABEL", label)
    newest = [images.Image(name, "bookworm")]
    base = bases.ensure("bookworm", lambda _: None, False)
    tags = [f"hot-loading/{name}:{number}" for number in range(3)]
    for tag in tags:
        (tmp_path / "Dockerfile").write_text(f"FROM {base}\nRUN echo {tag} > /tag\n")
        engine.docker("build", "--quiet", "--tag", tag, "--label", f"{label}=x", str(tmp_path))
    engine.docker("tag", tags[2], f"hot-loading/{name}:latest")
    container = engine.docker("create", tags[1], "true")
    try:
        assert cleaning.remove_superseded(newest) == "removed 1 superseded images; 1 are in use"
        there = [engine.image_id(tag) is not None for tag in tags]
        assert there == [False, True, True]
    finally:
        engine.docker("rm", container)
    assert cleaning.remove_superseded(newest) == "removed 1 superseded images"
    assert cleaning.remove_superseded(newest) == "no image is superseded"
    assert cleaning.remove_images() == "removed 1 images"
