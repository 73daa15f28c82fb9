"""The HTTP session of the remotes that speak HTTP: whom it trusts, and who is told what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import requests
from requests.auth import HTTPBasicAuth
from requests.utils import get_auth_from_url, get_netrc_auth


class Session(requests.Session):
    """A session that trusts ``ca_file`` and asks ``proxy`` when they are given, whatever the
    environment says, and sends ``secrets`` (headers) to the origin that it asks and to no other
    that this one leads to.

    Plain requests lets REQUESTS_CA_BUNDLE win over ``session.verify``, an account of ``.netrc``
    over an Authorization header and over what stands in the address, and takes no header but
    Authorization back where a redirect leads to another host. Proxies and, without a
    ``ca_file``, certificates still come from the usual variables.
    """

    def __init__(self, ca_file: str, proxy: str, secrets: Mapping[str, str]) -> None:
        super().__init__()
        self._proxy = proxy
        self._ca_file = ca_file
        self._secrets = secrets
        self.headers["User-Agent"] = "serving-monitor"
        self.headers.update(secrets)
        # With a callable here, requests leaves .netrc to it.
        self.auth = _log_in

    def merge_environment_settings(
        self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any
    ) -> Any:
        merged = super().merge_environment_settings(url, proxies, stream, verify, cert)
        if self._ca_file:
            merged["verify"] = self._ca_file
        if self._proxy:
            merged["proxies"] = {"http": self._proxy, "https": self._proxy}
        return merged

    def rebuild_auth(self, prepared_request: Any, response: requests.Response) -> None:
        """What a redirect takes with it; requests calls this at each."""
        old, new = response.request.url, prepared_request.url
        if self.should_strip_auth(old, new):  # type: ignore[no-untyped-call]
            for name in ("Authorization", *self._secrets):
                prepared_request.headers.pop(name, None)
        prepared_request.prepare_auth(self.auth)


def _log_in(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Basic authentication from the address, else from ``.netrc``, unless a header has one."""
    if "Authorization" not in request.headers and request.url:
        login = get_auth_from_url(request.url)
        if not any(login):
            login = get_netrc_auth(request.url) or login
        if any(login):
            HTTPBasicAuth(*login)(request)
    return request
