"""The FTP server of the `ftp` image.

It reads these environment variables:

- FTP_USER, FTP_PASSWORD: the account, required
- FTP_PORT: the port (2121)
- FTP_PASSIVE_PORTS: the passive ports, the same inside and outside (`30000-30009`)
- FTP_ADDRESS: the address in the replies to PASV (127.0.0.1)
"""

import os
import signal
import sys

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        user, password = os.environ["FTP_USER"], os.environ["FTP_PASSWORD"]
    except KeyError as missing:
        sys.exit(f"ftp: {missing.args[0]} is not set; give it with `docker run -e` or in compose")
    if not user or not password:
        sys.exit("ftp: FTP_USER and FTP_PASSWORD must not be empty")
    first, last = os.environ.get("FTP_PASSIVE_PORTS", "30000-30009").split("-")

    authorizer = DummyAuthorizer()
    # Everything but changing modes: list, read, write, append, rename, delete, make folders.
    authorizer.add_user(user, password, "/data", perm="elradfmw")
    handler = FTPHandler
    handler.authorizer = authorizer
    handler.banner = "ready"
    handler.masquerade_address = os.environ.get("FTP_ADDRESS", "127.0.0.1")
    handler.passive_ports = range(int(first), int(last) + 1)
    FTPServer(("0.0.0.0", int(os.environ.get("FTP_PORT", "2121"))), handler).serve_forever()


if __name__ == "__main__":
    main()
