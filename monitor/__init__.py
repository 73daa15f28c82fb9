"""The drop-in replacement for ``python -m paddle_serving_server.monitor``.

``python -m monitor`` polls a donefile at a remote. When the donefile announces a release that is
not installed, the monitor pulls, verifies and completes the release, and swaps it in.

Packages, top to bottom; each imports only from those below it:

    process, commands   the command line's work: watch models; ``status``, ``rollback``, ``hold`` …
    metrics             ``/metrics`` and ``/healthz``
    served              whether the server serves what is installed
    watch               one watched model, from the donefile to the swap
    remotes             where releases are published, one module a kind
    options             command line, configuration file, secrets
    release             what a good release is: archive and model files
    live                everything about the live directory
    decisions           what decides, without I/O: states, pauses, identities, trust

``errors`` says what can go wrong. ``manifest`` reads what a donefile promises.
"""

from __future__ import annotations

__version__ = "0.1.0"
