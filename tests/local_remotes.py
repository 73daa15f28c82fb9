"""The remotes of this machine for tests, each started once in a test run and healed in between.

An HDFS takes seconds to start, so every test that uses one carries the mark ``ONE_WORKER``. Under
pytest-xdist all of them then run in the same worker, with the same HDFS.
"""

from __future__ import annotations

import hashlib

import pytest

from harness.remotes.registry import REMOTES, named
from harness.remotes.services import LocalRemote

# Each remote with each of the monitor's types that reaches it. Type afs differs from hdfs in one
# option alone.
WAYS = tuple(
    (remote.name, kind)
    for remote in REMOTES
    for kind in remote.local.monitor_kinds
    if kind != "afs"
)
ONE_WORKER = pytest.mark.xdist_group("local-hdfs")
_STARTED = pytest.StashKey[dict[str, LocalRemote]]()


def healthy(name: str, request: pytest.FixtureRequest) -> LocalRemote:
    """The remote ``name``, up and well whatever the test before did to it.

    Its path is the asking test's own, so that it finds nothing of another test there.
    """
    session = request.session
    started = session.stash.setdefault(_STARTED, {})
    if name not in started:
        factory: pytest.TempPathFactory = request.getfixturevalue("tmp_path_factory")
        # A folder as people have them: with a space and a letter outside ASCII.
        remote = named(name).local(factory.mktemp(f"my {name} é"))
        assert isinstance(remote, LocalRemote)
        started[name] = remote
        session.addfinalizer(remote.stop)
    remote = started[name]
    remote.path = "/"
    remote.start()
    remote.resume()
    remote.ready(90)
    remote.path = "/" + hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12]
    return remote
