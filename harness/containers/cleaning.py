"""Finding and removing what runs left in the engine: projects, and images built here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

from ..errors import BadInput, Failed
from . import engine, images, sweep


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
    """Removes the projects named (all of ours for None); gives a sentence on what was done.

    Raises ``BadInput`` for a name that is not one of ours.
    """
    engine.require()
    there = left_projects()
    for name in projects or ():
        if name not in there:
            raise BadInput(f"{name} is no project of the harness; there are: {there or 'none'}")
    wanted = there if projects is None else list(projects)
    for name in wanted:
        sweep.remove(engine.client(), name)
    return f"removed {', '.join(wanted)}" if wanted else "nothing was left to remove"


def remove_images() -> str:
    """Removes every image that ``images`` built; bases stay. Gives a sentence on what was done.

    Raises ``Failed`` when some are left, because a container of somebody else uses them.
    """
    before = built_images()
    # Newest first, one by one: an image goes only after those that stand on it. A second time,
    # because two of them may have been made within one second.
    for _ in range(2):
        for image in built_images():
            engine.docker("image", "rm", "--force", image, deadline_s=120, check=False)
    left = built_images()
    if left:
        raise Failed(f"{len(left)} images could not be removed: {', '.join(left)}")
    return f"removed {len(before)} images"


def built_images() -> list[str]:
    """Ids of the images that ``images`` built, each once, newest first."""
    # By name too: what somebody built on one of them has inherited the label.
    filters = ["--filter", f"label={images.LABEL}", "--filter", "reference=hot-loading/*"]
    found = engine.docker("image", "ls", "--quiet", *filters).split()
    return list(dict.fromkeys(found))
