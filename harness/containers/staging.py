"""What is fetched on the host and copied into images: Hadoop's jars, Python packages.

The host has the company's certificates, proxies and caches; a build has none of them.
"""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

from harness.remotes.hdfs import fetch_jars
from harness.remotes.hdfs._jars import JARS

_CORE_SITE = "<configuration/>\n"


def jars_recipe() -> list[str]:
    """What stands for ``stage_jars`` in an image's hash: each jar's name and digest."""
    return [*(f"{jar.coordinates} {jar.sha256}" for jar in JARS), _CORE_SITE]


def stage_jars(context: Path) -> None:
    """Puts Hadoop's jars, fetched and checked on the host, into ``context/jars``."""
    target = context / "jars"
    target.mkdir()
    for jar in fetch_jars():
        link_or_copy(jar, target / jar.name)
    # What Hadoop wants on its class path beside jars; a folder there would forbid class archives.
    with zipfile.ZipFile(target / "configuration.jar", "w") as archive:
        archive.writestr("core-site.xml", _CORE_SITE)
        archive.write(context / "log4j.properties", "log4j.properties")
    lines = [f"{jar.coordinates} sha256:{jar.sha256}\n" for jar in JARS]
    (context / "jars.txt").write_text("".join(lines))


def link_or_copy(source: Path, target: Path) -> None:
    """A hard link where the filesystem allows, which spares a copy of 90 MB."""
    try:
        os.link(source, target)
    except OSError:
        try:
            shutil.copyfile(source, target)
        except OSError as error:
            # A full disk is the target's, and copyfile names the source.
            raise OSError(error.errno, error.strerror, str(target)) from error
