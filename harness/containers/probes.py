"""Readiness as a client sees it: one file written, read back and removed, from the host.

Each returns true or raises whatever its protocol's library raises.
"""

from __future__ import annotations

import contextlib
import ftplib
import io
import secrets
from pathlib import Path

_TIMEOUT_S = 5.0
_NAME = ".harness-ready"


def namenode_answers(url: str) -> bool:
    """Whether the NameNode at ``url`` lists its root (safe mode does not keep it from that)."""
    import requests

    with requests.Session() as session:
        session.trust_env = False
        answer = session.get(f"{url}/webhdfs/v1/?op=LISTSTATUS", timeout=_TIMEOUT_S)
        return answer.status_code == 200


def webhdfs_works(url: str, user: str) -> bool:
    """Through the NameNode's HTTP port at ``url`` and the DataNode it leads to.

    As the ``user`` who comes afterwards: a DataNode keeps a connection to the NameNode for each,
    and the first call over one that a restarted NameNode has forgotten fails.
    """
    import requests

    # Straight to the loopback address, whatever proxy the machine's environment names.
    with requests.Session() as session:
        session.trust_env = False
        text = secrets.token_hex(8).encode()
        file = f"{url}/webhdfs/v1/{_NAME}-{text.decode()[:6]}"
        who = {"user.name": user}
        created = session.put(
            file,
            params={**who, "op": "CREATE", "overwrite": "true"},
            allow_redirects=False,
            timeout=_TIMEOUT_S,
        )
        created.raise_for_status()
        session.put(created.headers["Location"], data=text, timeout=_TIMEOUT_S).raise_for_status()
        read = session.get(file, params={**who, "op": "OPEN"}, timeout=_TIMEOUT_S)
        read.raise_for_status()
        removed = session.delete(file, params={**who, "op": "DELETE"}, timeout=_TIMEOUT_S)
        removed.raise_for_status()
        return read.content == text


def ftp_works(port: int, user: str, password: str) -> bool:
    """With passive data connections, as monitors and producers use it."""
    text = secrets.token_hex(8).encode()
    got = io.BytesIO()
    with ftplib.FTP() as ftp:
        ftp.connect("127.0.0.1", port, timeout=_TIMEOUT_S)
        ftp.login(user, password)
        ftp.storbinary(f"STOR {_NAME}", io.BytesIO(text))
        ftp.retrbinary(f"RETR {_NAME}", got.write)
        ftp.delete(_NAME)
    return got.getvalue() == text


def http_works(url: str, root: Path) -> bool:
    """A file put into ``root``, the folder that is served, and fetched by a range of it."""
    import requests

    text = secrets.token_hex(8).encode()
    file = root / _NAME
    file.write_bytes(text)
    # Another user serves it when the harness is root's, whatever root's umask.
    file.chmod(0o644)
    try:
        with requests.Session() as session:
            session.trust_env = False
            answer = session.get(
                f"{url}/{_NAME}", headers={"Range": "bytes=0-"}, timeout=_TIMEOUT_S
            )
            answer.raise_for_status()
            return answer.content == text and "ETag" in answer.headers
    finally:
        with contextlib.suppress(FileNotFoundError):
            file.unlink()
