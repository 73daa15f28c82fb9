"""Every kind of remote that can be had in a test, with a place to publish to."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

from monitor import remotes
from monitor.remotes.base import Remote
from monitor.stop import Stop

from .fixtures import FtpSite, Place, Site, options_for


def ftp_options(site: FtpSite) -> dict[str, str]:
    return {
        "type": "ftp",
        "ftp_host": "127.0.0.1",
        "ftp_port": str(site.port),
        "ftp_username": site.USER,
        "ftp_password": site.PASSWORD,
    }


class Kind:
    """A place to publish to, and how the monitor is pointed at it."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.closing: Callable[[], None] = lambda: None
        if name == "http":
            site = Site(folder)
            self.place: Place = site
            self.options: dict[str, str] = {"general_host": site.url}
            self.closing = site.close
        elif name in ("ftp", "ftp-url", "ftp-old"):
            settings: dict[str, Any] = {}
            if name == "ftp-old":
                settings["handler"] = _without_rfc_3659()
            ftp = FtpSite(folder, **settings)
            self.place = ftp
            self.options = ftp_options(ftp)
            if name == "ftp-url":
                login = f"{ftp.USER}:{ftp.PASSWORD}@127.0.0.1:{ftp.port}"
                self.options = {"general_host": f"ftp://{login}"}
            self.closing = ftp.close
        else:
            self.place = Place(folder)
            self.options = {"type": "fsspec", "remote_url": f"file://{folder}"}


def _without_rfc_3659() -> Any:
    """A server that knows neither MLST nor MLSD, MDTM nor SIZE."""
    from pyftpdlib.handlers import FTPHandler

    commands = FTPHandler.proto_cmds
    known = {k: v for k, v in commands.items() if k not in ("MLST", "MLSD", "MDTM", "SIZE")}

    class Old(FTPHandler):  # type: ignore[misc]
        proto_cmds = known

    return Old


def make(local: Path, **options: object) -> Remote:
    return remotes.create(options_for(local, **options), Stop())
