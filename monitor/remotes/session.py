"""The HTTP session of the remotes that use HTTP: which certificates it trusts, who gets secrets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional
from urllib.parse import unquote, urlsplit

import requests
from requests.auth import HTTPBasicAuth
from requests.utils import get_auth_from_url, get_netrc_auth

from ..mask import SHORTEST
from ..options.secrets import Secret


class Session(requests.Session):
    """A session that sends ``secrets`` (headers) and a secret query to one origin only.

    A redirect to another origin gets neither. ``ca_file`` and ``proxy``, if given, win over the
    environment. Otherwise certificates and proxies come from the usual variables.

    Plain requests does it in another way. REQUESTS_CA_BUNDLE wins over ``session.verify``. An
    account of ``.netrc`` wins over an Authorization header and over the address. A redirect to
    another host keeps all headers but Authorization.
    """

    def __init__(self, ca_file: str, proxy: str, secrets: Mapping[str, str]) -> None:
        super().__init__()
        self._proxy = proxy
        self._ca_file = ca_file
        self._secrets = secrets
        self.headers["User-Agent"] = "serving-monitor"
        self.headers.update(secrets)
        # The last address and query that ``ask`` was given.
        self._first_url = ""
        self._query = Secret()
        # With a callable here, requests does not read .netrc itself.
        self.auth = _log_in
        # Polls repeat one request. To prepare it and to read the environment is half of its cost.
        # The environment's settings by scheme and host, and the last request that is repeatable.
        self._settings: dict[Any, dict[str, Any]] = {}
        self._repeatable: Optional[tuple[Any, requests.PreparedRequest]] = None

    def merge_environment_settings(
        self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any
    ) -> Any:
        key = (urlsplit(url)[:2], stream, verify, cert)
        if key not in self._settings:
            merged: dict[str, Any] = {
                **super().merge_environment_settings(url, proxies, stream, verify, cert)
            }
            if self._ca_file:
                merged["verify"] = self._ca_file
            if self._proxy:
                merged["proxies"] = {"http": self._proxy, "https": self._proxy}
            self._settings[key] = merged
        return dict(self._settings[key])

    def ask(
        self, url: str, query: Secret, headers: Mapping[str, str], timeout: float
    ) -> requests.Response:
        """GET ``url`` with ``query``, which only this origin gets."""
        self._first_url, self._query = url, query
        whole = f"{url}?{query.reveal()}" if query else url
        return self.get(whole, headers=headers, stream=True, timeout=timeout)

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """Return the request as it is sent. Called by requests."""
        params, headers = dict(request.params or {}), dict(request.headers or {})
        key = (request.method, request.url, tuple(params.items()), tuple(headers.items()))
        if self._repeatable is not None and self._repeatable[0] == key and not self.cookies:
            return self._repeatable[1]
        prepared = super().prepare_request(request)
        # .netrc may have another login by the next request.
        simple = request.method == "GET" and not get_netrc_auth(request.url or "")
        self._repeatable = (key, prepared) if simple else None
        return prepared

    def send(self, request: requests.PreparedRequest, **given: Any) -> requests.Response:
        """Send a request. Called by requests."""
        answer = super().send(request, **given)
        if answer.status_code >= 400:
            # So that an account that was added to .netrc is found. Some servers answer 404 to
            # strangers.
            self._repeatable = None
        return answer

    def rebuild_auth(self, prepared_request: Any, response: requests.Response) -> None:
        """Remove secrets from a request that follows a redirect. Called by requests."""
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
        """Return whether ``url`` belongs to the origin that was asked first."""
        return not self.should_strip_auth(self._first_url, url)  # type: ignore[no-untyped-call]

    def _with_query(self, url: str) -> str:
        """Return ``url`` with the secret query, unless the server gave it another query."""
        parts = urlsplit(url)
        return url if parts.query else parts._replace(query=self._query.reveal()).geturl()

    def _without_query(self, url: str) -> str:
        """Return ``url`` of another origin without the secret query.

        Raises:
            RequestException: A part of the secret remains in another part of the address.
        """
        ours = {unquote(pair) for pair in self._query.reveal().split("&")}
        parts = urlsplit(url)
        kept = [pair for pair in parts.query.split("&") if unquote(pair) not in ours]
        url = parts._replace(query="&".join(kept)).geturl()
        hidden = [part for part in self._query.hidden if len(part) >= SHORTEST]
        text, plain = "", url
        # An address inside an address is encoded twice, and so on.
        while plain != text:
            text, plain = plain, unquote(plain)
            if any(part in text for part in hidden):
                raise requests.RequestException(
                    "it redirects to another host with the secret query in the address"
                )
        return url


def _log_in(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Add Basic authentication from the address, else from ``.netrc``, unless a header has one."""
    if "Authorization" not in request.headers and request.url:
        login = get_auth_from_url(request.url)
        if not any(login):
            login = get_netrc_auth(request.url) or login
        if any(login):
            HTTPBasicAuth(*login)(request)
    return request
