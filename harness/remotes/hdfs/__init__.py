"""Hadoop on this machine without a Hadoop distribution: jars, a Java, and the ``hadoop`` command.

    fetch_jars()        the jars, from Maven artifacts, checked by SHA-256
    java()              a Java that Hadoop 3.4 runs on: the system's, or the one of a wheel
    require_host_name() this machine's name resolves, as the daemons need
    hadoop_command()    an executable ``hadoop fs …``
    daemon_argv()       the command line of a NameNode or a DataNode

Everything that is made once and kept lies under the project's cache (``hadoop/`` there).
"""

from __future__ import annotations

from ._cds import keep as keep_archive
from ._cds import recorded as records_archive
from ._command import hadoop_command, train_shell
from ._daemon import daemon_argv, formatted_name_folder, site_xml
from ._host import require_host_name
from ._jars import HADOOP_VERSION, fetch_jars, missing_jars, repository, where_jars_are
from ._java import java, java_environment

__all__ = [
    "HADOOP_VERSION",
    "daemon_argv",
    "fetch_jars",
    "formatted_name_folder",
    "hadoop_command",
    "java",
    "java_environment",
    "keep_archive",
    "missing_jars",
    "records_archive",
    "repository",
    "require_host_name",
    "site_xml",
    "train_shell",
    "where_jars_are",
]
