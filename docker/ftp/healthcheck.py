"""Logs in, lists, writes a file, reads it back and removes it."""

import fcntl
import ftplib
import io
import os

NAME = ".health-ftp"


class _Here(ftplib.FTP):
    """Data connections go to the host we are on, whatever address the server tells its clients."""

    trust_server_pasv_ipv4_address = False


# One check at a time: a check by hand beside the engine's would delete the file of this one.
with open(__file__) as lock, _Here() as ftp:
    fcntl.flock(lock, fcntl.LOCK_EX)
    ftp.connect("127.0.0.1", int(os.environ.get("FTP_PORT", "2121")), timeout=4)
    ftp.login(os.environ["FTP_USER"], os.environ["FTP_PASSWORD"])
    ftp.storbinary(f"STOR {NAME}", io.BytesIO(b"well"))
    got = io.BytesIO()
    ftp.retrbinary(f"RETR {NAME}", got.write)
    ftp.delete(NAME)
    assert got.getvalue() == b"well", got.getvalue()
