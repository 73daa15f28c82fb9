"""Asks a Paddle Serving server for a prediction over HTTP, each time over a new connection."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any
from urllib.parse import urlsplit

from ..decisions.probe import is_answer
from ..decisions.serving import Heard, Kind
from ..errors import reason

PATH = "/GeneralModelService/inference"
# A server that takes longer is stuck.
_TIMEOUT_S = 5.0
_MAX_ANSWER = 16 * 1024 * 1024


def ask(url: str, request: dict[str, Any], expected: dict[str, Any]) -> Heard:
    """Send one request.

    Args:
        url: The address of the service. Without a path: that of the general model service.
        request: What is sent, as JSON.
        expected: The prediction of the installed release.

    Returns:
        Which release answered, or how the request failed.
    """
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=_TIMEOUT_S)
    path = PATH if parts.path in ("", "/") else parts.path
    try:
        headers = {"Content-Type": "application/json", "Connection": "close"}
        connection.request("POST", path, json.dumps(request).encode(), headers)
        answer = connection.getresponse()
        body = answer.read(_MAX_ANSWER)
        status = answer.status
    except socket.timeout:
        return Heard(
            Kind.SILENT, f"the server at {url} is stuck: it does not answer within {_TIMEOUT_S:g} s"
        )
    except ConnectionRefusedError:
        return Heard(Kind.ENDED, f"no server answers at {url}: Connection refused")
    except (OSError, http.client.HTTPException) as error:
        return Heard(Kind.SILENT, f"no server answers at {url}: {reason(error)}")
    finally:
        connection.close()
    if status != 200:
        text = " ".join(body[:200].decode("utf-8", "replace").split())
        return Heard(Kind.FAILED, f"the server at {url} answers with {status}: {text}")
    try:
        content = json.loads(body)
    except ValueError:
        return Heard(Kind.FAILED, f"the server at {url} answers with no JSON")
    if is_answer(content, expected):
        return Heard(Kind.OURS, "")
    return Heard(Kind.OTHER, f"the server at {url} still answers as another release")
