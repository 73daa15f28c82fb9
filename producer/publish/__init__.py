"""Publishes releases: one small class for each kind of remote behind one interface.

- ``address``: the --remote URL, taken apart and checked
- ``base``: what every remote can do, and the order of a publication
- ``webhdfs``: HDFS over HTTP
- ``hadoop``: HDFS or AFS through ``hadoop fs``
- ``ftp``: FTP
- ``folder``: a folder of this machine, for example of an HTTP server
"""

from __future__ import annotations

from .address import Address, parse
from .base import Publisher, publish
from .connect import Access, connect

__all__ = ["Access", "Address", "Publisher", "connect", "parse", "publish"]
