"""The container side of the harness: the same remotes and servers, in Docker.

    from harness import containers
    with containers.remote("hdfs", run_folder / "hdfs") as hdfs:
        hdfs.ready()

``remote`` gives a ``Remote`` and ``serving`` a ``Serving``, with the same methods and faults as
the ones that run as local processes; ``serving_binary`` gives the image to serve from.
``python -m harness.containers`` is the command line.
"""

from __future__ import annotations

from .remotes import remote
from .server import serving, serving_binary

__all__ = ["remote", "serving", "serving_binary"]
