"""Finding and removing what runs left in the engine: projects, and images built here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Optional

from harness.support.errors import BadInput, Failed

from . import alive, engine, images, sweep


def left_projects() -> list[str]:
    """Names of our Compose projects that still own a container, a network or a volume."""
    label = f'{{{{.Label "{engine.PROJECT_LABEL}"}}}}'
    names: set[str] = set()
    for listing in (("ps", "--all"), ("network", "ls"), ("volume", "ls")):
        found = engine.docker(
            *listing, "--filter", f"label={engine.PROJECT_LABEL}", "--format", label
        )
        names.update(name for name in found.split() if name.startswith(engine.PROJECT_PREFIX))
    return sorted(names)


def down(projects: Optional[Sequence[str]]) -> str:
    """Removes the projects named, or for None what runs have left; gives a sentence on that.

    A project that a run still uses is removed only if it is named. Raises ``BadInput`` for a name
    that is not one of ours.
    """
    engine.require()
    there = left_projects()
    for name in projects or ():
        if name not in there:
            raise BadInput(f"{name} is no project of the harness; there are: {there or 'none'}")
    kept = [name for name in there if alive.is_held(name)] if projects is None else []
    wanted = [name for name in there if name not in kept] if projects is None else list(projects)
    for name in wanted:
        sweep.remove(engine.client(), name)
    said = f"removed {', '.join(wanted)}" if wanted else "nothing was left to remove"
    return f"{said}; {', '.join(kept)} of a run that is still going stays" if kept else said


def clean() -> str:
    """Removes what runs have left and every image built here; gives a sentence on what was done.

    Raises ``BadInput`` while a run is going: it will need its images again.
    """
    engine.require()
    used = [name for name in left_projects() if alive.is_held(name)]
    if used:
        raise BadInput(
            f"a run that is still going uses {', '.join(used)} and the images; wait for its end, "
            f"or take its containers away first: `python -m harness containers down {used[0]}`"
        )
    return f"{down(None)}; {remove_images()}"


def remove_images() -> str:
    """Removes every image that ``images`` built; bases stay. Gives a sentence on what was done.

    Raises ``Failed`` when some are left, because a container of somebody else uses them.
    """
    before = built_images()
    # Newest first, one by one: an image can be removed only after the images built on it. Twice,
    # because the order of two images of the same second is not known.
    for _ in range(2):
        for image in built_images():
            engine.docker("image", "rm", "--force", image, deadline_s=120, check=False)
    left = built_images()
    if left:
        raise Failed(
            f"{len(left)} images could not be removed: {', '.join(left)}; "
            "remove the containers that use them"
        )
    return f"removed {len(before)} images"


def remove_superseded(newest: Iterable[images.Image]) -> str:
    """Remove our images that a newer build replaces, and return a sentence on that.

    ``newest`` are the images of today's code. An image stays if a container uses it, or if one of
    the newest is built on it.
    """
    latest = {engine.image_id(images.latest_of(image)) for image in newest}
    kept = 0
    removed = 0
    for name, image in _tagged():
        if image in latest:
            continue
        # By name and without force, so that the engine keeps an image that is in use.
        engine.docker("image", "rm", name, deadline_s=120, check=False)
        if engine.image_id(name) is None:
            removed += 1
        else:
            kept += 1
    words = f"removed {removed} superseded images" if removed else "no image is superseded"
    return f"{words}; {kept} are in use" if kept else words


def _tagged() -> list[tuple[str, str]]:
    """Name with tag, and id, of every image that ``images`` built, newest first."""
    filters = ["--filter", f"label={images.LABEL}", "--filter", "reference=hot-loading/*"]
    shape = "{{.Repository}}:{{.Tag}} {{.ID}}"
    found = engine.docker("image", "ls", "--no-trunc", *filters, "--format", shape)
    pairs = [line.split() for line in found.splitlines()]
    return [(name, image) for name, image in pairs if not name.endswith("<none>")]


def built_images() -> list[str]:
    """Ids of the images that ``images`` built, each once, newest first."""
    # By name too, because an image that a user built on ours has inherited the label.
    filters = ["--filter", f"label={images.LABEL}", "--filter", "reference=hot-loading/*"]
    found = engine.docker("image", "ls", "--quiet", *filters).split()
    return list(dict.fromkeys(found))
