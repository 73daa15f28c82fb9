"""The HTTP session of the remotes that speak HTTP: whom it trusts, and who is told what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
from requests.auth import HTTPBasicAuth
from requests.utils import get_auth_from_url, get_netrc_auth

from .._mask import SHORTEST
from .._secrets import Secret


class Session(requests.Session):
    """A session that trusts ``ca_file`` and asks ``proxy`` when they are given, whatever the
    environment says, and sends ``secrets`` (headers) and a secret query to the origin that it asks
    and to no other that this one leads to.

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
        # What ``ask`` asked for last.
        self._first_url = ""
        self._query = Secret()
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

    def ask(
        self, url: str, query: Secret, headers: Mapping[str, str], timeout: float
    ) -> requests.Response:
        """GETs ``url`` with ``query``, which goes to this origin and to no other."""
        self._first_url, self._query = url, query
        whole = f"{url}?{query.reveal()}" if query else url
        return self.get(whole, headers=headers, stream=True, timeout=timeout)

    def rebuild_auth(self, prepared_request: Any, response: requests.Response) -> None:
        """What a redirect takes with it; requests calls this at each."""
        old, new = response.request.url, prepared_request.url
        if self.should_strip_auth(old, new):  # type: ignore[no-untyped-call]
            for name in ("Authorization", *self._secrets):
                prepared_request.headers.pop(name, None)
            if self._query:
                prepared_request.url = self._without_query(new)
        elif self._query and self._is_asked(new):
            prepared_request.url = self._with_query(new)
        prepared_request.prepare_auth(self.auth)

    def _is_asked(self, url: str) -> bool:
        """Whether ``url`` is of the origin that was asked first."""
        return not self.should_strip_auth(self._first_url, url)  # type: ignore[no-untyped-call]

    def _with_query(self, url: str) -> str:
        """``url`` of the origin that was asked; where it has a query, the server made it so."""
        parts = urlsplit(url)
        return url if parts.query else parts._replace(query=self._query.reveal()).geturl()

    def _without_query(self, url: str) -> str:
        """``url`` of another origin without what ``ask`` was given to keep secret.

        Raises ``RequestException`` when a part of the secret stands elsewhere in it.
        """
        ours = {unquote(pair) for pair in self._query.reveal().split("&")}
        parts = urlsplit(url)
        kept = [pair for pair in parts.query.split("&") if unquote(pair) not in ours]
        url = parts._replace(query="&".join(kept)).geturl()
        hidden = [part for part in self._query.hidden if len(part) >= SHORTEST]
        text, plain = "", url
        # An address inside an address inside this one is encoded as often.
        while plain != text:
            text, plain = plain, unquote(plain)
            if any(part in text for part in hidden):
                raise requests.RequestException(
                    "it redirects to another host, with the secret query in the address"
                )
        return url


def _log_in(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Basic authentication from the address, else from ``.netrc``, unless a header has one."""
    if "Authorization" not in request.headers and request.url:
        login = get_auth_from_url(request.url)
        if not any(login):
            login = get_netrc_auth(request.url) or login
        if any(login):
            HTTPBasicAuth(*login)(request)
    return request
