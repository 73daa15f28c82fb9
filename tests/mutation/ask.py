"""Asks ``score`` whether the tests notice the change made to the module just now."""

import socket
import sys

with socket.socket(socket.AF_UNIX) as server:
    server.connect(sys.argv[1])
    sys.exit(int(server.recv(1) or b"1"))
