"""The ``hadoop`` command: an executable script that runs ``hadoop fs …`` as the real one does."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from shlex import quote
from typing import Optional

from harness.support.paths import cache_dir

from . import _cds
from ._jars import HADOOP_VERSION, shell_jars
from ._java import java, java_environment

_SCRIPT = """\
#!/bin/sh
# hadoop fs COMMAND …: the file system shell of Hadoop {version}, written by the harness.
case "$1" in
  fs|dfs) shift ;;
  version) echo "Hadoop {version}"; exit 0 ;;
  *) echo "hadoop: only 'hadoop fs' is here, not 'hadoop $1'" >&2; exit 1 ;;
esac
sharing=
[ -r {archive} ] && sharing=-XX:SharedArchiveFile={archives}
export LC_ALL=C.UTF-8
exec {java} -Xmx256m {flags} ${{sharing:+"$sharing"}} $HADOOP_OPTS \\
  -Dhadoop.root.logger=${{HADOOP_ROOT_LOGGER:-WARN,console}} \\
  -cp {class_path} org.apache.hadoop.fs.FsShell {configuration}"$@"
"""


def hadoop_command(folder: Optional[Path] = None, *, configuration: Optional[Path] = None) -> Path:
    """Writes an executable ``hadoop`` into ``folder`` (the cache without one) and gives its path.

    It takes ``fs`` (or ``dfs``) with Hadoop's generic options and commands. Of the real command's
    environment it reads ``HADOOP_USER_NAME``, ``HADOOP_OPTS`` and ``HADOOP_ROOT_LOGGER``.
    ``configuration`` is a site file that it reads first, as a cluster's client configuration;
    ``-D`` and ``-conf`` on the command line override it.
    """
    folder = folder or cache_dir("hadoop", "bin")
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / "hadoop"
    archive = _archive()
    text = _SCRIPT.format(
        version=HADOOP_VERSION,
        java=quote(str(java())),
        archive=quote(str(archive)),
        archives=quote(_cds.joined(archive, java())),
        flags=" ".join(_cds.FLAGS),
        class_path=quote(_class_path()),
        configuration=f"-conf {quote(str(configuration))} " if configuration else "",
    )
    beside = script.with_name(f".hadoop.{os.getpid()}")
    beside.write_text(text)
    beside.chmod(0o755)
    os.replace(beside, script)
    return script


def train_shell(configuration: Path, path: str) -> bool:
    """Record the class archive of ``hadoop fs`` once a machine.

    It reads ``path`` from a running HDFS, and returns whether it recorded an archive. Without an
    archive the command is only slower.
    """
    archive = _archive()
    if archive.is_file():
        return False
    sharing = _cds.recording(archive, java())
    argv = [str(java()), "-Xmx256m", *_cds.FLAGS, *sharing]
    argv += ["-Dhadoop.root.logger=WARN,console", "-cp", _class_path()]
    argv += ["org.apache.hadoop.fs.FsShell", "-conf", str(configuration), "-cat", path]
    environment = java_environment()
    done = subprocess.run(argv, capture_output=True, timeout=120, check=False, env=environment)
    if done.returncode == 0:
        _cds.keep(sharing)
    return done.returncode == 0


def _class_path() -> str:
    return os.pathsep.join(map(str, [*shell_jars(), _cds.configuration_jar()]))


def _archive() -> Path:
    return _cds.folder(java(), [*shell_jars(), _cds.configuration_jar()]) / "shell.jsa"
