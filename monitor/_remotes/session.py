"""The HTTP session of the remotes that speak HTTP."""

from __future__ import annotations

from typing import Any

import requests


class Session(requests.Session):
    """A session that trusts ``ca_file`` and asks ``proxy`` when they are given, whatever the
    environment says.

    Plain requests lets REQUESTS_CA_BUNDLE win over ``session.verify``. Proxies and, without a
    ``ca_file``, certificates still come from the usual variables.
    """

    def __init__(self, ca_file: str, proxy: str = "") -> None:
        super().__init__()
        self._proxy = proxy
        self._ca_file = ca_file
        self.headers["User-Agent"] = "serving-monitor"

    def merge_environment_settings(
        self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any
    ) -> Any:
        merged = super().merge_environment_settings(url, proxies, stream, verify, cert)
        if self._ca_file:
            merged["verify"] = self._ca_file
        if self._proxy:
            merged["proxies"] = {"http": self._proxy, "https": self._proxy}
        return merged
