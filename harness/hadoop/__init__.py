"""Hadoop on this machine without a Hadoop distribution: jars, a Java, and the ``hadoop`` command.

    fetch_jars()        the jars, from Maven artifacts, checked by SHA-256
    java()              a Java that Hadoop 3.4 runs on: the system's, or the one of a wheel
    hadoop_command()    an executable ``hadoop fs …``
    daemon_argv()       the command line of a NameNode or a DataNode

Everything that is made once and kept lies under the project's cache (``hadoop/`` there).
"""

from __future__ import annotations

from ._cds import keep as keep_archive
from ._cds import recorded as records_archive
from ._command import hadoop_command, train_shell
from ._daemon import daemon_argv, formatted_name_folder, site_xml
from ._jars import HADOOP_VERSION, fetch_jars
from ._java import java

__all__ = [
    "HADOOP_VERSION",
    "daemon_argv",
    "fetch_jars",
    "formatted_name_folder",
    "hadoop_command",
    "java",
    "keep_archive",
    "records_archive",
    "site_xml",
    "train_shell",
]
