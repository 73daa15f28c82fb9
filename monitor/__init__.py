"""The drop-in replacement for ``python -m paddle_serving_server.monitor``.

``python -m monitor`` watches a donefile at a remote; whenever it announces a release that is not
installed, the release is pulled, verified, completed beside the live directory and swapped in.

A release takes this way through the modules: ``_remotes`` (where it is published) → ``_pull`` →
``_install``, which has ``_stream`` and ``_archive`` (strict unpacking), ``_model`` (is it a
model?), ``_live`` (made ready beside) and ``_swap``, with ``_state`` (what is installed).
``_watch`` carries out what ``_machine`` decides, with ``_trust`` (is an HTTP server's validator to
be believed?) and ``_lock`` (one monitor for a live directory); ``errors`` says what can go wrong,
``manifest`` reads what a donefile promises.
"""

from __future__ import annotations

__version__ = "0.1.0"
