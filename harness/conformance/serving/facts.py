"""The list of facts: each was measured on the real Paddle Serving 0.9.0.

A fact has an id, a check that looks at one server, and a sentence: the check's docstring. The check
returns when the fact holds and raises ``Differs`` when it does not. Where a stand-in may do better
than the real server, ``better`` says how. Such a check returns True for the better behaviour.
"""

from __future__ import annotations

from functools import partial
from typing import Callable, NamedTuple, Optional, Union

from . import (
    check_baidu_std,
    check_cli,
    check_clients,
    check_http,
    check_http2,
    check_life,
    check_log,
    check_reload,
    check_reload_load,
)
from .checks import Subject

Check = Union[Callable[[Subject], Optional[bool]], "partial[Optional[bool]]"]


class Fact(NamedTuple):
    """One fact.

    ``better`` is the sentence on what a stand-in may do better. ``own`` says that the check starts
    servers of its own only.
    """

    id: str
    check: Check
    better: str = ""
    own: bool = False

    @property
    def sentence(self) -> str:
        """Return what the check's docstring says, with the check's arguments filled in."""
        if isinstance(self.check, partial):
            return _plain(self.check.func).format(**self.check.keywords)
        return _plain(self.check)


def _plain(function: Callable[..., object]) -> str:
    return " ".join((function.__doc__ or "").split())


_FULL = check_http2.SERVICE
_INFERENCE = "/GeneralModelService/inference"

FACTS = (
    Fact("cli/version-flag", check_cli.version_flag),
    Fact("cli/version-word", check_cli.version_word),
    Fact("cli/unknown-flag", check_cli.unknown_flag),
    Fact("cli/bad-value", check_cli.bad_value),
    Fact("cli/spellings", check_cli.spellings),
    Fact("cli/no-flags", check_cli.no_flags),
    Fact("start/busy-port", check_cli.busy_port),
    Fact("start/says-that-it-serves", check_life.says_that_it_serves),
    Fact("start/port-of-prototxt", check_life.port_of_prototxt),
    Fact(
        "start/underscored-file-names",
        partial(check_life.file_names, program="__model__", params="__params__"),
        own=True,
    ),
    Fact(
        "start/short-file-names",
        partial(check_life.file_names, program="model", params="params"),
        own=True,
    ),
    Fact("start/no-time-file", check_life.no_time_file),
    Fact("start/port-taken-meanwhile", check_life.port_taken),
    Fact(
        "start/addresses",
        check_life.addresses,
        better="on 127.0.0.1 unless ENGINE_HOST says otherwise",
        own=True,
    ),
    Fact("end/sigint", check_life.sigint),
    Fact("end/sigterm", check_life.sigterm),
    Fact("end/serve-stop", check_life.serve_stop, own=True),
    Fact("http/answer-headers", check_http.answer_headers),
    Fact("http/json-answer", check_http.json_answer),
    Fact("http/profile-server", check_http.profile_server),
    Fact("http/type-json", partial(check_http.json_type, name="application/json")),
    Fact("http/type-text", partial(check_http.json_type, name="text/plain")),
    Fact("http/type-form", partial(check_http.json_type, name="application/x-www-form-urlencoded")),
    Fact("http/no-type", check_http.no_content_type),
    Fact("http/type-octet-stream", check_http.octet_stream),
    Fact("http/type-proto", partial(check_http.protobuf_type, name="application/proto")),
    Fact("http/type-x-protobuf", partial(check_http.protobuf_type, name="application/x-protobuf")),
    Fact("http/method-put", partial(check_http.method, name="PUT")),
    Fact("http/method-get", partial(check_http.method, name="GET")),
    Fact("http/method-delete", partial(check_http.method, name="DELETE")),
    Fact("http/method-patch", partial(check_http.method, name="PATCH")),
    Fact("http/method-options", partial(check_http.method, name="OPTIONS")),
    Fact("http/trailing-slash", partial(check_http.path, name=f"{_INFERENCE}/")),
    Fact("http/double-slash", partial(check_http.path, name="/GeneralModelService//inference")),
    Fact("http/query-string", partial(check_http.path, name=f"{_INFERENCE}?a=b")),
    Fact("http/full-service-name", partial(check_http.path, name=f"/{_FULL}/inference")),
    Fact("http/version-1.0", check_http.http_1_0),
    Fact("http/chunked", check_http.chunked),
    Fact("http/expect-continue", check_http.expect_continue),
    Fact(
        "http/connection-close",
        check_http.connection_close,
        better="it is echoed, and the connection is closed",
    ),
    Fact("http/keep-alive", check_http.keep_alive),
    Fact("http/gzip-request", check_http.gzip_request),
    Fact("http/gzip-answer", check_http.gzip_answer),
    Fact("http/malformed-json", check_http.malformed_json),
    Fact("http/no-list", check_http.no_list),
    Fact("http/double-in-shape", check_http.double_in_shape),
    Fact("http/empty-object", partial(check_http.no_feed, what="an empty object", body=b"{}")),
    Fact("http/empty-body", partial(check_http.no_feed, what="an empty body", body=b"")),
    Fact("http/no-body", partial(check_http.no_feed, what="no body", body=b"", method="GET")),
    Fact("http/unknown-method", check_http.unknown_method),
    Fact("http/no-method", check_http.no_method),
    Fact("http/page-health", partial(check_http.page, name="/health")),
    Fact("http/page-status", partial(check_http.page, name="/status")),
    Fact("http/page-version", partial(check_http.page, name="/version")),
    Fact("http/no-page-metrics", partial(check_http.no_page, name="/metrics")),
    Fact("http/no-page-healthz", partial(check_http.no_page, name="/healthz")),
    Fact("http/unknown-fetch", check_http.unknown_fetch, own=True),
    Fact("http/no-fetch", check_http.no_fetch, own=True),
    Fact("http2/json", check_http2.json_over_h2c),
    Fact("http2/unknown-path", check_http2.unknown_path_over_h2c),
    Fact("grpc/full-service-name", partial(check_http2.grpc_service, name=_FULL)),
    Fact("grpc/short-service-name", partial(check_http2.grpc_service, name="GeneralModelService")),
    Fact("grpc/gzip-request", check_http2.grpc_gzip_message),
    Fact("grpc/gzip-answer", check_http2.grpc_gzip_answer),
    Fact("grpc/empty-request", check_http2.grpc_empty_request),
    Fact("grpc/unknown-method", check_http2.grpc_unknown_method),
    Fact("grpc/garbage", check_http2.grpc_garbage),
    Fact("baidu-std/answer", check_baidu_std.answer),
    Fact("baidu-std/gzip", partial(check_baidu_std.compressed, name="gzip")),
    Fact("baidu-std/zlib", partial(check_baidu_std.compressed, name="zlib")),
    Fact("baidu-std/snappy", partial(check_baidu_std.compressed, name="snappy")),
    Fact("baidu-std/attachment", check_baidu_std.attachment),
    Fact("baidu-std/short-service-name", check_baidu_std.short_name),
    Fact("baidu-std/many-in-flight", check_baidu_std.many_in_flight),
    Fact("baidu-std/debug", check_baidu_std.debug),
    Fact("baidu-std/log-id", check_baidu_std.log_id),
    Fact("baidu-std/unknown-service", check_baidu_std.unknown_service),
    Fact("baidu-std/unknown-method", check_baidu_std.unknown_method),
    Fact("baidu-std/garbage", partial(check_baidu_std.garbage, name="none")),
    Fact("baidu-std/garbage-as-snappy", partial(check_baidu_std.garbage, name="snappy")),
    Fact("baidu-std/garbage-as-unknown", partial(check_baidu_std.garbage, name="unknown")),
    Fact("baidu-std/empty-request", check_baidu_std.empty_request),
    Fact(
        "baidu-std/order-of-answers",
        check_baidu_std.order_of_answers,
        better="in the order of the requests",
    ),
    Fact("baidu-std/largest-body", check_baidu_std.largest_body, own=True),
    Fact(
        "baidu-std/meta-too-large",
        partial(check_baidu_std.closed, what="a meta larger than the body"),
    ),
    Fact(
        "baidu-std/meta-garbage", partial(check_baidu_std.closed, what="a meta that does not parse")
    ),
    Fact(
        "baidu-std/body-too-large",
        partial(check_baidu_std.closed, what="a body over max_body_size"),
    ),
    Fact("baidu-std/no-protocol", partial(check_baidu_std.closed, what="bytes in no protocol")),
    Fact("baidu-std/http-between", check_baidu_std.alternating),
    Fact("baidu-std/half-a-frame", check_baidu_std.half_a_frame),
    Fact("clients/compiled", check_clients.compiled_client),
    Fact("clients/outage", check_clients.outage, own=True),
    Fact("clients/json", partial(check_clients.http_client, mode="JSON")),
    Fact("clients/protobuf", partial(check_clients.http_client, mode="protobuf")),
    Fact("clients/json-gzip", partial(check_clients.http_client, mode="JSON with gzip")),
    Fact("clients/protobuf-gzip", partial(check_clients.http_client, mode="protobuf with gzip")),
    Fact("clients/grpc", partial(check_clients.http_client, mode="gRPC")),
    Fact("clients/curl-http1", partial(check_clients.curl, option="--http1.1")),
    Fact("clients/curl-h2c", partial(check_clients.curl, option="--http2-prior-knowledge")),
    Fact(
        "clients/wrong-shape",
        check_clients.wrong_shape,
        better="E-5100 with the reason, and the server stays up",
    ),
    Fact(
        "requests/wrong-feed",
        check_life.wrong_feed,
        better="E-5100 with the reason, and the server stays up",
    ),
    Fact("requests/too-few-values", check_life.too_few_values, better="E-5100 with the reason"),
    Fact("log/symlinks", check_log.symlinks),
    Fact("log/headers", check_log.headers),
    Fact("log/error-file", check_log.error_file, own=True),
    Fact("log/start", check_log.lines_at_start),
    Fact("log/workers", check_log.lines_of_workers),
    Fact("log/warning-file", check_log.warning_in_both_files),
    Fact("log/idle-tick", check_log.idle_tick),
    Fact("log/request", check_log.request),
    Fact("log/failed-request", check_log.failed_request),
    Fact("reload/new-second", check_reload.new_second, own=True),
    Fact("reload/older-second", check_reload.older_second),
    Fact("reload/directory-gone", check_reload.directory_gone),
    Fact(
        "reload/truncated-parameters",
        check_reload.truncated_parameters,
        better="they are refused, and the model at hand serves on",
        own=True,
    ),
    Fact("reload/time-file-elsewhere", check_reload.time_file_elsewhere, own=True),
    Fact(
        "reload/first-listed-file",
        check_reload.first_listed_file,
        better="such a model is refused, and links are followed",
        own=True,
    ),
    Fact(
        "reload/bad-model",
        check_reload.bad_model,
        better="it logs the reason, serves the model it has, and loads the next good one",
    ),
    Fact("reload/under-clients", check_reload_load.reloads_under_clients, own=True),
    Fact("reload/one-step", check_reload_load.one_step, better="one step for every client"),
    Fact("reload/exchanged-directories", check_reload_load.exchanged_directories, own=True),
    Fact(
        "reload/copied-releases",
        check_reload_load.copied_releases,
        better="no error, every answer is a whole release's, and the last one serves",
        own=True,
    ),
)
