"""Which images there are, what each is made from, and building those that changed.

    name = images.ensure("hdfs")        # "hot-loading/hdfs:3f2a…", built unless it is there

Jars and wheels are fetched and checked on the host (``staging``) and copied into the image, so
that a build needs nothing but an apt mirror.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from ..errors import BadInput
from ..paths import cache_dir, repository_root
from . import bases, engine, staging
from .hashing import IGNORED, content_hash
from .packages import Selection

_BUILD_DEADLINE_S = 900.0
#: On every image of ours; Compose gives containers labels of its own.
LABEL = "org.hot-loading.image"


@dataclass(frozen=True)
class Image:
    """One image: its folder under ``docker/`` is the build context.

    It stands on the base image of a Debian ``suite``, or ``on`` another image of ours.
    ``sources`` are further files of the checkout that go into the context (name inside, path
    from the root). ``stage`` puts what was fetched into the context and is called only when the
    image is built; ``recipe`` gives the words that stand for what it fetches in the hash.
    """

    name: str
    suite: str
    on: Optional[str] = None
    sources: tuple[tuple[str, str], ...] = ()
    stage: Optional[Callable[[Path], None]] = None
    recipe: Callable[[], list[str]] = field(default=list)

    @property
    def folder(self) -> Path:
        return repository_root() / "docker" / self.name

    def inputs(self) -> list[tuple[str, Path]]:
        """Everything of the checkout that the image is made from, by its name in the context."""
        root = repository_root()
        return [(".", self.folder), *((name, root / path) for name, path in self.sources)]


SERVING_PACKAGES = Selection("serving-packages", "whole.txt", "3.9")
MONITOR_PACKAGES = Selection("monitor", "monitor.txt", "3.11")
# The launcher and the engine without the rest of the harness, whose every change would otherwise
# make a new image; the producer, for docker/example.
_SERVING_SOURCES = (
    "harness/__init__.py",
    "harness/engine",
    "harness/serving/__init__.py",
    "harness/serving/launcher.py",
    "producer",
)

IMAGES = {
    image.name: image
    for image in (
        Image("hdfs", "bookworm", stage=staging.stage_jars, recipe=staging.jars_recipe),
        Image("ftp", "bookworm"),
        Image("http", "bookworm"),
        Image(
            "serving-packages",
            "bullseye",
            stage=SERVING_PACKAGES.stage,
            recipe=SERVING_PACKAGES.recipe,
        ),
        Image(
            "serving",
            "bullseye",
            on="serving-packages",
            sources=tuple((name, name) for name in _SERVING_SOURCES),
        ),
        Image(
            "monitor",
            "bookworm",
            sources=(("monitor", "monitor"),),
            stage=MONITOR_PACKAGES.stage,
            recipe=MONITOR_PACKAGES.recipe,
        ),
    )
}


def ca_bundle() -> Optional[Path]:
    """The certificate authorities to hand to a build: ``DOCKER_BUILD_CA``, or None.

    Only an apt mirror behind https needs them; certificates are public, so a layer may hold them.
    """
    given = os.environ.get("DOCKER_BUILD_CA")
    if not given:
        return None
    path = Path(given)
    if not path.is_file():
        raise BadInput(f"DOCKER_BUILD_CA={given} is not a file; name a PEM bundle or unset it")
    return path


def tag(image: Image, base: str) -> str:
    """The image's name with the hash of what it is made from.

    ``base`` is the base image's id, so that a newer base makes a newer image.
    """
    authorities = ca_bundle()
    inputs = image.inputs() + ([("ca/bundle.crt", authorities)] if authorities else [])
    return f"hot-loading/{image.name}:{content_hash(inputs, [base, *image.recipe()])}"


def ensure(
    name: str, say: Callable[[str], None] = lambda _: None, allow_install: Optional[bool] = None
) -> str:
    """The tag of an image that is there and up to date; builds it when it is not.

    Raises ``BadInput`` when a prerequisite is missing and ``Failed`` when the build fails.
    """
    engine.require()
    image = IMAGES[name]
    allow = bases.installing_allowed() if allow_install is None else allow_install
    if image.on is not None:
        base = ensure(image.on, say, allow)
    else:
        # Two runs at once must not bootstrap, nor build, the same image twice.
        with (cache_dir("docker") / f"{image.suite}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            base = bases.ensure(image.suite, say, allow)
    with (cache_dir("docker") / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = tag(image, engine.image_id(base) or base)
        if engine.image_id(wanted) is None:
            _build(image, base, wanted, say)
        return wanted


def _build(image: Image, base: str, wanted: str, say: Callable[[str], None]) -> None:
    say(f"building {wanted}")
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(dir=cache_dir("docker"), prefix=f"{image.name}-") as context:
        fill_context(image, Path(context))
        engine.docker(
            *("build", "--quiet", "--tag", wanted, "--label", f"{LABEL}={image.name}"),
            *("--build-arg", f"BASE_IMAGE={base}", context),
            deadline_s=_BUILD_DEADLINE_S,
        )
    # For people who type compose commands of their own, and for docker/example.
    engine.docker("tag", wanted, f"hot-loading/{image.name}:latest")
    say(f"built {wanted} in {time.monotonic() - begin:.0f} s")


def fill_context(image: Image, context: Path) -> None:
    """Puts together the build context: the image's folder, sources, what is staged, the CA."""
    ignored = shutil.ignore_patterns(*IGNORED)
    shutil.copytree(image.folder, context, dirs_exist_ok=True, ignore=ignored)
    for name, path in image.sources:
        source, target = repository_root() / path, context / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True, ignore=ignored)
        else:
            shutil.copy2(source, target)
    (context / "ca").mkdir(exist_ok=True)
    authorities = ca_bundle()
    if authorities is not None:
        shutil.copy(authorities, context / "ca" / "bundle.crt")
    if image.stage is not None:
        image.stage(context)
    # The services do not run as root: a checkout made with umask 077 must be readable all the same.
    for item in context.rglob("*"):
        if not item.is_symlink():
            mode = item.stat().st_mode
            item.chmod(mode | 0o444 | (0o111 if item.is_dir() or mode & 0o100 else 0))
