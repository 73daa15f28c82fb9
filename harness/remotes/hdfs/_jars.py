"""The jars of a small Hadoop: one table, fetched as Maven artifacts, checked by SHA-256.

They are resolved by ``jgo``, in pure Python, into Maven's own local repository (``~/.m2``, or
``M2_REPO``), from Maven Central or the mirror that ``harness.setup.sources`` finds.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from harness.setup import causes, sources
from harness.support import places
from harness.support.errors import BadInput, MissingPart

HADOOP_VERSION = "3.4.2"


class Jar(NamedTuple):
    """One artifact. ``shell`` says whether ``hadoop fs`` needs it (the daemons need all)."""

    group: str
    artifact: str
    version: str
    sha256: str
    shell: bool = True

    @property
    def coordinates(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"

    @property
    def path(self) -> str:
        """Where it lies in a repository."""
        folder = f"{self.group.replace('.', '/')}/{self.artifact}/{self.version}"
        return f"{folder}/{self.artifact}-{self.version}.jar"


# jaxb-api is in no JDK since 11, and without it every WebHDFS call answers 500.
# fmt: off
JARS = (
    Jar("org.apache.hadoop", "hadoop-client-api", HADOOP_VERSION,
        "607c0299f4df33013bd0a0f37c8cf255c635bbaddd247b8fec68c210cc17d19f"),
    Jar("org.apache.hadoop", "hadoop-client-runtime", HADOOP_VERSION,
        "18d071c7f72f8a946677b398a57af9c7afa2dd41a81023c310f99373fec200b3"),
    Jar("org.slf4j", "slf4j-api", "1.7.36",
        "d3ef575e3e4979678dc01bf1dcce51021493b4d11fb7f1be8ad982877c16a1c0"),
    Jar("org.slf4j", "slf4j-reload4j", "1.7.36",
        "ae6fdd5c9547896114d5ec7fa7503733b7d2890573d3886fb548b3119c4d3f67"),
    Jar("ch.qos.reload4j", "reload4j", "1.2.22",
        "222f90d3e69541218ef6e70547749d693bd4c1846817e5bd7949b3e28950f99f"),
    Jar("commons-logging", "commons-logging", "1.3.0",
        "66d3c980470b99b0c511dad3dfc0ae7b265ec1fb144e96bc0253a8a175fd34d9"),
    Jar("org.apache.hadoop", "hadoop-client-minicluster", HADOOP_VERSION,
        "ae2406c544825b7734b8aad4f87eff60d9ec422284f0b16c2856032083b63c77", shell=False),
    Jar("javax.xml.bind", "jaxb-api", "2.2.11",
        "273d82f8653b53ad9d00ce2b2febaef357e79a273560e796ff3fcfec765f8910", shell=False),
)
# fmt: on


def fetch_jars(*, verbose: bool = False) -> list[Path]:
    """Paths of all jars in class path order, fetched where they are missing.

    With ``verbose`` a line for each and the time in all is printed.
    Raises ``BadInput`` if one cannot be fetched, or does not have the digest in the table.
    """
    start = time.monotonic()
    paths = []
    for jar in JARS:
        path = _resolve(jar)
        paths.append(path)
        if verbose:
            print(f"  {jar.coordinates}: {path.stat().st_size / 1e6:.1f} MB", flush=True)
    if verbose:
        total = sum(path.stat().st_size for path in paths) / 1e6
        print(f"Hadoop {HADOOP_VERSION}: {total:.0f} MB in {time.monotonic() - start:.1f} s")
    return paths


def shell_jars() -> list[Path]:
    """The jars that ``hadoop fs`` needs, in class path order."""
    return [_resolve(jar) for jar in JARS if jar.shell]


def repository() -> Path:
    """Maven's local repository."""
    return Path(places.maven_repository())


def missing_jars() -> list[Jar]:
    """Jars that are not in the local repository yet; nothing is fetched, no digest is compared."""
    return [jar for jar in JARS if not (repository() / jar.path).is_file()]


def where_jars_are() -> str:
    """Return a sentence on the jars; it holds MISSING if they cannot be fetched."""
    missing = missing_jars()
    if not missing:
        return f"all in {repository()}"
    import requests
    from jgo.maven import MavenContext

    mirror = sources.maven_mirror()
    base = mirror.value if mirror else next(iter(MavenContext().remote_repos.values()))
    os.environ.update(sources.requests_environment())
    try:
        requests.head(f"{base}/{missing[0].path}", timeout=5).raise_for_status()
    except requests.RequestException as error:
        why = causes.remedy(str(error), "go online once, or name a mirror in MAVEN_MIRROR")
        return (
            f"MISSING for HDFS: {len(missing)} are not in {repository()} and cannot be "
            f"fetched: {why}; REMOTES=ftp,http does without them"
        )
    return f"{len(missing)} are fetched when HDFS is first used"


@functools.cache
def _resolve(jar: Jar) -> Path:
    path = repository() / jar.path
    if not path.is_file():
        try:
            _fetch(jar, path)
        except Exception as error:  # jgo lets requests' and its own errors through
            why = sources.masked(str(error))
            remedy = causes.remedy(why, "go online once, or name a mirror in MAVEN_MIRROR")
            raise MissingPart(
                f"the artifact {jar.coordinates} for the local HDFS cannot be fetched into "
                f"{repository()} (M2_REPO names another folder): {remedy} ({why}); "
                "REMOTES=ftp,http does without HDFS"
            ) from None
    digest = _sha256(path)
    if digest != jar.sha256:
        raise BadInput(
            f"{path} is not {jar.coordinates}: its SHA-256 is {digest} instead of {jar.sha256}; "
            "remove the file and try again"
        )
    return path


def _fetch(jar: Jar, path: Path) -> None:
    # Imported only here, because jgo takes a third of a second to import.
    from jgo.maven import MavenContext

    for name, value in sources.requests_environment().items():
        # requests, which jgo calls, takes its authorities from nowhere else.
        os.environ[name] = value
    mirror = sources.maven_mirror()
    remotes = {"mirror": mirror.value} if mirror else None
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / ".harness-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.is_file():  # another process was first
            return
        # Beside its place first: a download that ends in the middle must not look like a jar.
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".new-") as new:
            context = MavenContext(repo_cache=Path(new), remote_repos=remotes, timeout=60)
            project = context.project(jar.group, jar.artifact)
            fetched = Path(project.at_version(jar.version).artifact().resolve())
            digest = _sha256(fetched)
            if digest != jar.sha256:
                raise ValueError(f"its SHA-256 is {digest} instead of {jar.sha256}")
            os.replace(fetched, path)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for chunk in iter(lambda: file.read(1 << 20), b""):
            digest.update(chunk)
    return digest.hexdigest()
