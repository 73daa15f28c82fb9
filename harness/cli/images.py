"""The list of all container images."""

from __future__ import annotations

from harness.containers import monitor
from harness.containers.images import Image
from harness.remotes.registry import REMOTES
from harness.serving import container as serving

_REMOTES = tuple(remote.container.image for remote in REMOTES if remote.container)
#: Each image by its name, after the images that it is built on.
IMAGES: dict[str, Image] = {
    image.name: image for image in (*_REMOTES, serving.PACKAGES_IMAGE, serving.IMAGE, monitor.IMAGE)
}
