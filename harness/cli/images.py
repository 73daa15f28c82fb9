"""The list of all container images."""

from __future__ import annotations

from harness.containers.images import APT, Image
from harness.containers.packages import Selection
from harness.remotes.registry import REMOTES
from harness.serving import container as serving

MONITOR_PACKAGES = Selection("monitor", "monitor.txt", "3.11")
# For docker/example; no run of the harness uses it.
MONITOR = Image(
    "monitor",
    "bookworm",
    sources=(APT, ("monitor", "monitor")),
    stage=MONITOR_PACKAGES.stage,
    recipe=MONITOR_PACKAGES.recipe,
)
_REMOTES = tuple(remote.container.image for remote in REMOTES if remote.container)
#: Each image by its name, after those that it stands on.
IMAGES: dict[str, Image] = {
    image.name: image for image in (*_REMOTES, serving.PACKAGES_IMAGE, serving.IMAGE, MONITOR)
}
