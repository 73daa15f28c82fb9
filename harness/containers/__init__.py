"""The container side of the harness: the same remotes and servers, in Docker.

    from harness import containers
    with containers.remote("hdfs", run_folder / "hdfs") as hdfs:
        hdfs.ready()

``remote`` gives a ``Remote`` and ``serving`` a ``Serving``, with the same methods and faults as
the ones that run as local processes. ``python -m harness.containers`` is the command line.
"""

from __future__ import annotations

from .remotes import remote

__all__ = ["remote"]
