"""Command lines and configuration of the two daemons, NameNode and DataNode."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from xml.sax.saxutils import escape

from harness.support.errors import Failed
from harness.support.paths import cache_dir

from . import _cds
from ._jars import HADOOP_VERSION, fetch_jars
from ._java import java, java_environment

_CLASSES = {
    "namenode": "org.apache.hadoop.hdfs.server.namenode.NameNode",
    "datanode": "org.apache.hadoop.hdfs.server.datanode.DataNode",
}


def daemon_argv(daemon: str, configuration: Path, scratch: Path, *arguments: str) -> list[str]:
    """The command of a ``namenode`` or ``datanode`` with the given ``-conf`` file.

    ``scratch`` is a folder for what the JVM unpacks. The first daemon on a machine writes a class
    archive when SIGTERM ends it. Later ones start faster with the archive.
    """
    program = java()
    jars = [*fetch_jars(), _cds.configuration_jar()]
    archive = _cds.folder(program, jars) / f"{daemon}.jsa"
    sharing = _cds.flags(archive, program)
    if not sharing and not arguments:
        sharing = _cds.recording(archive, program)
    return [
        str(program),
        "-Xmx256m",
        *_cds.FLAGS,
        *sharing,
        f"-Djava.io.tmpdir={scratch}",
        "-Dhadoop.root.logger=INFO,console",
        "-cp",
        os.pathsep.join(map(str, jars)),
        _CLASSES[daemon],
        "-conf",
        str(configuration),
        *arguments,
    ]


def formatted_name_folder(target: Path, configuration: Path) -> None:
    """Makes ``target`` the folder of a fresh NameNode (``dfs.namenode.name.dir``).

    Formatting starts a JVM for four seconds and always gives the same few files. So a machine does
    it once, and copies the files from then on. Two runs then have the same cluster id. This is
    harmless, because a DataNode knows its NameNode by address.
    Raises ``Failed`` when the format fails.
    """
    keep = cache_dir("hadoop") / f"formatted-{HADOOP_VERSION}"
    if not keep.is_dir():
        with tempfile.TemporaryDirectory(dir=keep.parent, prefix=".format-") as scratch:
            made = Path(scratch) / "name"
            where = f"-Ddfs.namenode.name.dir={made.as_uri()}"
            argv = daemon_argv("namenode", configuration, Path(scratch), where)
            argv += ["-format", "-force", "-nonInteractive"]
            done = subprocess.run(
                argv,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=120,
                check=False,
                env=java_environment(),
            )
            if done.returncode != 0 or not (made / "current" / "VERSION").is_file():
                last = done.stderr.strip().splitlines()[-15:]
                raise Failed("the NameNode could not be formatted:\n" + "\n".join(last))
            if not keep.is_dir():
                os.replace(made, keep)
    shutil.copytree(keep, target)


def site_xml(properties: Mapping[str, object]) -> str:
    """A Hadoop configuration file."""
    lines = [
        f"<property><name>{escape(name)}</name><value>{escape(str(value))}</value></property>"
        for name, value in properties.items()
    ]
    return "\n".join(["<configuration>", *lines, "</configuration>", ""])
