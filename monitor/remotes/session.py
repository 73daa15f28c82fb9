"""The HTTP session of remotes: which certificates it trusts, and which hosts get secrets."""

from __future__ import annotations

import functools
from collections.abc import Hashable, Mapping
from typing import Any, Optional
from urllib.parse import unquote, urlsplit

import requests
import urllib3
from requests.auth import HTTPBasicAuth
from requests.utils import get_auth_from_url, get_netrc_auth

from ..mask import SHORTEST
from ..options.secrets import Secret

# A poll repeats one request or two.
_MOST_KEPT = 4


class Session(requests.Session):
    """A session that sends ``secrets`` (headers) and a secret query to one origin only.

    A redirect to another origin gets neither. ``ca_file`` and ``proxy``, if given, win over the
    environment. Otherwise certificates and proxies come from the usual variables.

    A plain session of requests differs. REQUESTS_CA_BUNDLE wins over ``session.verify``. An
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
        # The environment's settings by scheme and host. To read them at each request is slow.
        self._settings: dict[Any, dict[str, Any]] = {}
        # The last request and its settings, if urllib3 alone can repeat it.
        self._last: Optional[tuple[requests.PreparedRequest, dict[str, Any]]] = None
        # For each name that ``keep`` got: a function that sends the request once more.
        self._kept: dict[Hashable, functools.partial[urllib3.HTTPResponse]] = {}

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
    ) -> urllib3.HTTPResponse:
        """GET ``url`` with ``query``, which only this origin gets."""
        self._first_url, self._query = url, query
        whole = f"{url}?{query.reveal()}" if query else url
        name = (whole, *headers.items())
        answer = self.repeat(name)
        if answer is None:
            answer = self.get(whole, headers=headers, stream=True, timeout=timeout).raw
            self.keep(name)
        return answer

    def keep(self, name: Hashable) -> None:
        """Let ``repeat`` send the last request again, if that is possible."""
        if self._last is None:
            return
        request, given = self._last
        adapter: Any = self.get_adapter(request.url or "")
        pool = adapter.get_connection_with_tls_context(
            request, given["verify"], proxies=given["proxies"], cert=given["cert"]
        )
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        # The same call as in the adapter of requests.
        self._kept[name] = functools.partial(
            pool.urlopen, "GET", adapter.request_url(request, given["proxies"]),
            headers=request.headers, timeout=given["timeout"], retries=adapter.max_retries,
            redirect=False, assert_same_host=False, preload_content=False, decode_content=False,
        )  # fmt: skip

    def repeat(self, name: Hashable) -> Optional[urllib3.HTTPResponse]:
        """Send a kept request again through urllib3, which takes less CPU time than requests.

        Returns:
            The answer. None if there is no such request, or only requests can handle the answer.

        Raises:
            urllib3.exceptions.HTTPError: The request failed.
        """
        send = self._kept.get(name)
        if send is None:
            return None
        try:
            answer = send()
        except urllib3.exceptions.ClosedPoolError:
            # requests keeps only the pools of the last ten servers.
            del self._kept[name]
            return None
        cookie = "Set-Cookie" in answer.headers
        if answer.status == 200 and not cookie:
            return answer
        # After a refusal, read ``.netrc`` again. Some servers refuse with 404.
        self._kept.clear()
        # A cookie that was sent may be too old, which only requests knows.
        if cookie or answer.get_redirect_location() or "Cookie" in send.keywords["headers"]:
            answer.close()
            return None
        return answer

    def send(self, request: requests.PreparedRequest, **given: Any) -> requests.Response:
        """Send a request. Called by requests, also for each redirect."""
        self._last = None
        answer = super().send(request, **given)
        cookie = any("Set-Cookie" in one.headers for one in (answer, *answer.history))
        if cookie:
            # The kept requests carry the old cookies.
            self._kept.clear()
        # .netrc may have another login by the next request, and a redirect may lead elsewhere.
        plain = request.method == "GET" and answer.status_code == 200 and not answer.history
        simple = plain and not cookie and not get_netrc_auth(request.url or "")
        self._last = (request, given) if simple else None
        return answer

    def close(self) -> None:
        self._kept.clear()
        super().close()

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
