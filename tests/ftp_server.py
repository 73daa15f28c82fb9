"""The FTP server of the tests: pyftpdlib on loopback, in a thread, with one user."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Optional


class FtpServer:
    """Serves ``folder`` until ``close``.

    Attributes:
        port: A free one.
        commands: What clients have sent, without arguments.

    Args:
        folder: What is served.
        user: Who may log in.
        password: The user's.
        rights: What the user may do, in pyftpdlib's letters; default: read.
        host: An IPv4 or IPv6 address.
        handler: The handler's class, such as one of ``harness.remotes.ftp.habits``; default:
            pyftpdlib's.
        settings: Attributes of the handler's class.
    """

    def __init__(
        self,
        folder: Path,
        user: str,
        password: str,
        *,
        rights: str = "elr",
        host: str = "127.0.0.1",
        handler: Optional[Any] = None,
        **settings: object,
    ) -> None:
        from pyftpdlib.authorizers import DummyAuthorizer
        from pyftpdlib.handlers import FTPHandler
        from pyftpdlib.ioloop import IOLoop
        from pyftpdlib.servers import FTPServer

        self._user = user
        self._authorizer = authorizer = DummyAuthorizer()
        authorizer.add_user(user, password, str(folder), perm=rights)
        base = handler or FTPHandler
        self.commands: list[str] = []
        commands = self.commands

        def process_command(handler: Any, cmd: str, *args: Any, **kwargs: Any) -> Any:
            commands.append(cmd)
            return base.process_command(handler, cmd, *args, **kwargs)

        attributes = {
            "authorizer": authorizer,
            "process_command": process_command,
            # pyftpdlib's own three seconds would only make the tests wait.
            "auth_failed_timeout": 0.05,
            **settings,
        }
        self._loop = IOLoop()
        made = type("Handler", (base,), attributes)
        self._server = FTPServer((host, 0), made, ioloop=self._loop)
        self.port: int = self._server.socket.getsockname()[1]
        self._ending = False
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while not self._ending:
            self._loop.loop(timeout=0.02, blocking=False)
        self._server.close_all()

    def drop_connections(self) -> None:
        """Closes every control connection, as an idle time-out does."""
        done = threading.Event()

        def close() -> None:
            for handler in list(self._loop.socket_map.values()):
                if handler is not self._server:
                    handler.close()
            done.set()

        self._loop.call_later(0, close)
        assert done.wait(30)

    def change_password(self, password: str) -> None:
        """Refuse the old password from now on, and end the sessions that used it."""
        self._authorizer.user_table[self._user]["pwd"] = password
        self.drop_connections()

    def close(self) -> None:
        self._ending = True
        self._thread.join()
        self._loop.close()
