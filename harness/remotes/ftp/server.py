"""The FTP server's process: ``python -m harness.remotes.ftp.server --help``.

User and password come from the environment (FTP_SERVER_USER, FTP_SERVER_PASSWORD), because the
process list shows arguments.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from typing import Any

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer

from . import habits as ftp_habits

# Everything but changing times and modes: list, read, append, delete, rename, make, store.
_RIGHTS = "elradfmw"


def main() -> int:
    """Serves until a signal."""
    parser = argparse.ArgumentParser(prog="python -m harness.remotes.ftp.server")
    parser.add_argument("--folder", required=True, help="what is served")
    parser.add_argument("--address", default="127.0.0.1", help="to listen on (%(default)s)")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--masquerade", help="the address that clients are told for data")
    parser.add_argument("--passive_ports", help="for data connections: 2001,2002,…")
    parser.add_argument("--like", help="serve as this class of harness.remotes.ftp.habits does")
    options = parser.parse_args()
    user, password = os.environ.get("FTP_SERVER_USER"), os.environ.get("FTP_SERVER_PASSWORD")
    if not user or not password:
        parser.error("set FTP_SERVER_USER and FTP_SERVER_PASSWORD in the environment")
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout, force=True
    )
    authorizer = DummyAuthorizer()
    authorizer.add_user(user, password, options.folder, perm=_RIGHTS)

    base = getattr(ftp_habits, options.like) if options.like else FTPHandler
    # pyftpdlib is configured by class attributes.
    Handler: Any = type("Handler", (base,), {})
    Handler.authorizer = authorizer
    Handler.masquerade_address = options.masquerade
    if options.passive_ports:
        Handler.passive_ports = [int(port) for port in options.passive_ports.split(",")]
    try:
        server = FTPServer((options.address, options.port), Handler)
    except OSError as error:
        print(
            f"ftp server: cannot listen on {options.address}:{options.port}: {error.strerror}",
            file=sys.stderr,
        )
        return 2
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
