"""What is fetched on the host and copied into images: Hadoop's jars, Python packages.

The host has the company's certificates, proxies and caches; a build has none of them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from ..paths import cache_dir

#: Group, artifact, version, first 16 hexadecimal digits of the sha256.
JARS = (
    ("org.apache.hadoop", "hadoop-client-api", "3.4.2", "607c0299f4df3301"),
    ("org.apache.hadoop", "hadoop-client-runtime", "3.4.2", "18d071c7f72f8a94"),
    ("org.apache.hadoop", "hadoop-client-minicluster", "3.4.2", "ae2406c544825b77"),
    ("org.slf4j", "slf4j-api", "1.7.36", "d3ef575e3e497967"),
    ("org.slf4j", "slf4j-reload4j", "1.7.36", "ae6fdd5c95478961"),
    ("ch.qos.reload4j", "reload4j", "1.2.22", "222f90d3e6954121"),
    ("commons-logging", "commons-logging", "1.3.0", "66d3c980470b99b0"),
    # Without it every WebHDFS call answers 500.
    ("javax.xml.bind", "jaxb-api", "2.2.11", "273d82f8653b53ad"),
)


def jars_recipe() -> list[str]:
    """The jars by name and digest, for an image's hash."""
    return [" ".join(jar) for jar in JARS]


def stage_jars(context: Path) -> None:
    """Puts Hadoop's jars into ``context/jars``; fetched through jgo once, then from its cache."""
    target = context / "jars"
    target.mkdir()
    for jar in fetch_jars():
        link_or_copy(jar, target / jar.name)


def fetch_jars() -> list[Path]:
    """The jars in our cache, each checked against its digest. Raises ``Failed`` on a mismatch."""
    from jgo.maven import MavenContext

    from ..errors import Failed

    folder = cache_dir("docker", "jars")
    maven = MavenContext()
    found = []
    for group, artifact, version, digest in JARS:
        path = folder / f"{artifact}-{version}.jar"
        if not path.exists():
            resolved = maven.project(group, artifact).at_version(version).artifact().resolve()
            part = path.with_suffix(f".{os.getpid()}.part")
            shutil.copyfile(resolved, part)
            got = hashlib.sha256(part.read_bytes()).hexdigest()
            if not got.startswith(digest):
                part.unlink()
                raise Failed(
                    f"{path.name} from the Maven repository has the sha256 {got[:16]}… and not "
                    f"{digest}…; remove {resolved} and try again"
                )
            part.replace(path)
        found.append(path)
    return found


def link_or_copy(source: Path, target: Path) -> None:
    """A hard link where the filesystem allows, which spares a copy of 90 MB."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
