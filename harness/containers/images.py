"""What an image is made from, and building those that changed.

    name = images.ensure(image)         # "hot-loading/hdfs:3f2a…", built unless it is there

Jars and wheels are fetched and checked on the host and copied into the image, so that a build
needs nothing but an apt mirror. ``harness.cli.images`` lists all images.
"""

from __future__ import annotations

import fcntl
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from harness.support.paths import cache_dir, repository_root

from . import bases, builder, engine
from .hashing import IGNORED, content_hash

#: On every image of ours; Compose gives containers labels of its own.
LABEL = "org.hot-loading.image"

#: The script that installs packages in an image on a Debian base: name in the context, path.
APT = ("apt-install.sh", "docker/base/apt-install.sh")


@dataclass(frozen=True)
class Image:
    """One image: its folder under ``docker/`` is the build context.

    Attributes:
        suite: The Debian release of its base image.
        on: Another image of ours that it is built on instead.
        sources: Further files of the checkout for the context (name inside, path from the root).
        stage: Puts fetched files into the context. Called only when the image is built.
        recipe: Gives the words that stand for the fetched files in the hash.
    """

    name: str
    suite: str
    on: Optional[Image] = None
    sources: tuple[tuple[str, str], ...] = (APT,)
    stage: Optional[Callable[[Path], None]] = None
    recipe: Callable[[], list[str]] = field(default=list)

    @property
    def folder(self) -> Path:
        return repository_root() / "docker" / self.name

    def inputs(self) -> list[tuple[str, Path]]:
        """Everything of the checkout that the image is made from, by its name in the context."""
        root = repository_root()
        return [(".", self.folder), *((name, root / path) for name, path in self.sources)]


def tag(image: Image, inputs: Sequence[tuple[str, Path]], base: str) -> str:
    """The image's name with the hash of what it is made from.

    ``inputs`` are the checkout's files, or a context that holds them. ``base`` is the base image's
    id, so that a newer base makes a newer image.
    """
    return f"hot-loading/{image.name}:{content_hash(inputs, [base, *image.recipe()])}"


def latest_of(image: Image) -> str:
    """Return the name of the newest build, for people who type compose commands of their own."""
    return f"hot-loading/{image.name}:latest"


def ensure(
    image: Image, say: Callable[[str], None] = lambda _: None, allow_install: Optional[bool] = None
) -> str:
    """The tag of an image that is there and up to date; builds it when it is not.

    Raises ``BadInput`` when a prerequisite is missing and ``Failed`` when the build fails.
    """
    engine.require()
    allow = bases.installing_allowed() if allow_install is None else allow_install
    if image.on is not None:
        base = ensure(image.on, say, allow)
    else:
        base = bases.ensure(image.suite, say, allow)
    # Two runs at once must not build the same image twice.
    with (cache_dir("docker") / f"{image.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        base_id = engine.image_id(base) or base
        wanted = tag(image, image.inputs(), base_id)
        found = engine.image_id(wanted)
        if found is None:
            wanted = _build(image, base, base_id, say)
            found = engine.image_id(wanted)
        latest = latest_of(image)
        if engine.image_id(latest) != found:
            engine.docker("tag", wanted, latest)
        return wanted


def _build(image: Image, base: str, base_id: str, say: Callable[[str], None]) -> str:
    begin = time.monotonic()
    place = cache_dir("docker")
    # The lock keeps other builds out, so killed builds have left these contexts.
    for left in place.glob(f"context-{image.name}-*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=place, prefix=f"context-{image.name}-") as name:
        context = Path(name)
        copy_sources(image, context)
        # The tag of the copied files, because a file may have changed since ``ensure`` hashed it.
        made = tag(image, [(".", context)], base_id)
        say(f"building {made}")
        stage(image, context)
        options = ["--label", f"{LABEL}={image.name}", "--build-arg", f"BASE_IMAGE={base}"]
        builder.build(context, made, options)
    say(f"built {made} in {time.monotonic() - begin:.0f} s")
    return made


def copy_sources(image: Image, context: Path) -> None:
    """Fills a build context with the image's folder and its further sources."""
    ignored = shutil.ignore_patterns(*IGNORED)
    for name, source in image.inputs():
        target = context / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True, ignore=ignored)
        else:
            shutil.copy2(source, target)


def stage(image: Image, context: Path) -> None:
    """Adds what is fetched on the host, and makes all of it ready to be built."""
    if image.stage is not None:
        image.stage(context)
    # The services do not run as root: a checkout made with umask 077 must be readable as well.
    for item in context.rglob("*"):
        if not item.is_symlink():
            seen = item.stat()
            mode = seen.st_mode
            wanted = mode | 0o444 | (0o111 if item.is_dir() or mode & 0o100 else 0)
            if wanted == mode:
                continue
            if item.is_file() and seen.st_nlink > 1:
                # A hard link into a cache: the file in the cache must keep its mode.
                copied = item.with_name(f"{item.name}.copied")
                shutil.copy2(item, copied)
                copied.replace(item)
            item.chmod(wanted)
