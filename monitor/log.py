"""The monitor's log: upstream's format on standard error, or one JSON object a line.

Upstream's line is ``2020-04-02 10:12 INFO     [monitor.py:85] message``; file and line are those
of the code that logs. Secrets are masked in every line, tracebacks included.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from typing import Optional, TextIO

from .mask import mask

logger = logging.getLogger("serving_monitor")

FORMAT = "%(asctime)s %(levelname)-8s [%(filename)s:%(lineno)d] %(message)s"
# With many models in one process each line says whose it is.
FORMAT_MANY = "%(asctime)s %(levelname)-8s [%(filename)s:%(lineno)d] %(threadName)s: %(message)s"
DATE = "%Y-%m-%d %H:%M"


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return mask(super().format(record))


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname,
            "file": record.filename,
            "line": record.lineno,
            "model": getattr(_model, "name", ""),
            "message": mask(record.getMessage()),
        }
        if record.exc_info:
            line["traceback"] = mask(self.formatException(record.exc_info))
        return mask(json.dumps(line, ensure_ascii=False))


_model = threading.local()


def name_model(name: str) -> None:
    """Name the model that this thread logs for from now on."""
    _model.name = name
    threading.current_thread().name = name


def set_up(
    *, debug: bool, as_json: bool, many: bool = False, stream: Optional[TextIO] = None
) -> None:
    """Send the log to ``stream``, in place of what was set up before.

    Args:
        debug: Whether DEBUG lines are logged.
        as_json: One JSON object a line, in place of upstream's format.
        many: Whether each line names its model.
        stream: Where the log goes; standard error by default, as upstream's.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_Json() if as_json else _Text(FORMAT_MANY if many else FORMAT, DATE))
    logger.handlers[:] = [handler]
    logger.setLevel(logging.DEBUG if debug else logging.INFO)
    logger.propagate = False
    # urllib3's warnings name the address with its secret query, so they need the mask, too.
    library = logging.getLogger("urllib3")
    library.handlers[:] = [handler]
    library.setLevel(logging.WARNING)
    library.propagate = False
