# ruff: noqa: RUF009 - _opt is dataclasses.field with what the documentation needs beside it.
"""The options of one watched model: every name, default and meaning in one place.

``Options`` is the value that everything else takes. The command line, the keys of
``--config monitors.toml`` and the table in ``docs/monitor.md`` are made from its fields.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, Callable, Optional
from urllib.parse import urlsplit

from ..decisions.schedule import default_cap
from ..errors import BadOption
from ..mask import without_password
from ..release import model
from ..release.stream import load_zstd
from . import values
from .keys import read_keys
from .secrets import (
    VARIABLE,
    Secret,
    address,
    endpoint,
    from_file,
    header,
    lines_of_file,
    query,
    ugi,
)
from .words import words

UPSTREAM, OURS = "upstream", "ours"
TYPES = ("general", "hdfs", "afs", "ftp", "webhdfs", "fsspec")
ZSTD = (".tar.zst", ".tzst")
ARCHIVES = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", *ZSTD, ".tar")
# The monitor refuses these archives with a sentence that names the kind.
_REFUSED = (".zip", ".7z", ".rar", ".tar.lzma", ".tar.lz4", ".tar.lz", ".tar.Z")


def _opt(
    default: Any,
    help: str,
    *,
    origin: str = OURS,
    parse: Callable[[Any], Any] = str,
    shown: Optional[str] = None,
    choices: Optional[Sequence[str]] = None,
    many: bool = False,
) -> Any:
    meta = {
        "help": help,
        "origin": origin,
        "parse": parse,
        "shown": shown,
        "choices": choices,
        "many": many,
    }
    if isinstance(default, type(MISSING)):
        return field(metadata=meta)
    return field(default=default, metadata=meta)


@dataclass(frozen=True)
class Options:
    """How one model is watched. Made by ``from_mapping``."""

    remote_model_name: str = _opt(
        MISSING, "the model's name at the remote: a tarball, or a folder", origin=UPSTREAM
    )
    remote_donefile_name: str = _opt(
        MISSING, "the file at the remote whose change announces a release", origin=UPSTREAM
    )
    local_path: str = _opt(MISSING, "the local folder that holds the model", origin=UPSTREAM)
    local_model_name: str = _opt(
        MISSING, "the live directory's name in --local_path", origin=UPSTREAM
    )
    remote_path: str = _opt(
        "", "the base path at the remote (needed by every type but fsspec)", origin=UPSTREAM
    )
    type: str = _opt("general", "the kind of remote", origin=UPSTREAM, choices=TYPES)
    local_timestamp_file: str = _opt(
        "fluid_time_file",
        "the file in the live directory whose time the server watches",
        origin=UPSTREAM,
    )
    local_tmp_path: str = _opt(
        "_serving_monitor_tmp",
        "the folder for pulled files, relative to --local_path; made if missing",
        origin=UPSTREAM,
    )
    interval: float = _opt(
        10.0,
        "seconds between two polls of the donefile; fractions are allowed",
        origin=UPSTREAM,
        parse=values.interval,
        shown="10",
    )
    unpacked_filename: str = _opt(
        "",
        "the model's top folder in the tarball; . if the files have none",
        origin=UPSTREAM,
        shown="the tarball's name without its suffixes",
    )
    debug: bool = _opt(False, "log in detail what is done", origin=UPSTREAM, parse=values.switch)

    general_host: Secret = _opt(
        Secret(),
        "general: http://, https://, ftp://, ftps:// or ftps-implicit:// address of the remote",
        origin=UPSTREAM,
        parse=address,
    )
    hadoop_bin: str = _opt("", "hdfs, afs: path of the hadoop command", origin=UPSTREAM)
    fs_name: str = _opt(
        "", "hdfs, afs: fs.default.name, unless the hadoop client has it", origin=UPSTREAM
    )
    fs_ugi: Secret = _opt(
        Secret(),
        "hdfs, afs: user,password or user,group, unless the hadoop client has it",
        origin=UPSTREAM,
        parse=ugi,
    )
    ftp_host: str = _opt("", "ftp: host name or address", origin=UPSTREAM)
    ftp_port: int = _opt(
        21,
        "ftp: port",
        origin=UPSTREAM,
        parse=values.port,
        shown="21, with --ftp_implicit_tls 990",
    )
    ftp_username: str = _opt("", "ftp: user; none for anonymous access", origin=UPSTREAM)
    ftp_password: Secret = _opt(
        Secret(), "ftp: password (prefer --ftp_password_file)", origin=UPSTREAM, parse=Secret
    )

    ftp_password_file: str = _opt("", "file whose first line is --ftp_password")
    fs_ugi_file: str = _opt("", "file whose first line is --fs_ugi")
    general_host_file: str = _opt("", "file whose first line is --general_host")
    ftp_tls: bool = _opt(False, "ftp: explicit TLS, certificate checked", parse=values.switch)
    ftp_implicit_tls: bool = _opt(
        False, "ftp: TLS from the first byte on, certificate checked", parse=values.switch
    )
    ftp_encoding: str = _opt(
        "utf-8",
        "ftp: encoding of names at the server, such as gbk or latin-1",
        parse=values.encoding,
    )
    webhdfs_url: Secret = _opt(
        Secret(),
        "webhdfs: http://namenode:9870; several separated by ; for high availability",
        parse=address,
    )
    webhdfs_url_file: str = _opt("", "file whose first line is --webhdfs_url")
    hdfs_user: str = _opt("", "webhdfs: user to act as")
    remote_url: Secret = _opt(
        Secret(), "fsspec: any URL that fsspec reads, such as s3://bucket/folder", parse=address
    )
    remote_url_file: str = _opt("", "file whose first line is --remote_url")
    http_header: tuple[Secret, ...] = _opt(
        (), "general: 'Name: value' sent with every request; may be repeated", many=True,
        parse=header,
    )  # fmt: skip
    http_header_file: str = _opt("", "file in which each line is a further --http_header")
    http_token: Secret = _opt(
        Secret(), "general: bearer token (prefer --http_token_file)", parse=Secret
    )
    http_token_file: str = _opt("", "file whose first line is --http_token")
    http_query: Secret = _opt(
        Secret(), "general: query of every address, such as a SAS (prefer --http_query_file)",
        parse=query,
    )  # fmt: skip
    http_query_file: str = _opt("", "file whose first line is --http_query")
    donefile_query: Secret = _opt(
        Secret(), "general: query of the donefile's address alone, in place of --http_query",
        parse=query,
    )  # fmt: skip
    donefile_query_file: str = _opt("", "file whose first line is --donefile_query")
    model_query: Secret = _opt(
        Secret(), "general: query of the tarball's address alone, in place of --http_query",
        parse=query,
    )  # fmt: skip
    model_query_file: str = _opt("", "file whose first line is --model_query")
    proxy: Secret = _opt(
        Secret(),
        "general, webhdfs: address of a proxy for all requests; overrides http_proxy and the like",
        parse=address,
    )
    proxy_file: str = _opt("", "file whose first line is --proxy")
    ca_file: str = _opt("", "certificate authorities (PEM) for https, webhdfs and ftp with TLS")
    timeout: float = _opt(
        30.0, "seconds of silence after which a remote counts as failed", parse=values.interval,
        shown="30",
    )  # fmt: skip
    rate_limit: int = _opt(
        0,
        "bytes a second that a pull may take (64K, 20M); 0 for no limit",
        parse=values.size,
    )
    backoff_max: float = _opt(
        0.0,
        "longest pause, in seconds, between a failure and the next try",
        parse=values.seconds,
        shown="ten intervals, at most 60",
    )

    once: bool = _opt(False, "install the announced release, then end", parse=values.switch)
    settle: float = _opt(
        0.0,
        "least seconds between two swaps (server tick plus load time); the newest release wins",
        parse=values.seconds,
        shown="0",
    )
    splay: float = _opt(
        0.0,
        "longest delay, in seconds, before an installation; differs by host and release",
        parse=values.seconds,
        shown="0",
    )
    keep: int = _opt(0, "how many old releases to keep for a rollback", parse=values.count)
    check_command: str = _opt(
        "",
        "program to run on the staging folder, its last argument; exit code 1 refuses the release",
    )
    check_timeout: float = _opt(
        300.0, "seconds that --check_command may take", parse=values.interval, shown="300"
    )
    on_swap: str = _opt(
        "",
        "program to run after a swap, until its exit code is 0; its last argument is the live "
        "directory",
    )
    on_served: str = _opt(
        "",
        "program to run when the server serves a release, like --on_swap; needs --server or "
        "--server_log",
    )
    webhook: Secret = _opt(
        Secret(), "address that gets a POST with JSON after a swap, until it answers 2xx",
        parse=endpoint,
    )  # fmt: skip
    webhook_file: str = _opt("", "file whose first line is --webhook")
    on_swap_timeout: float = _opt(
        60.0,
        "seconds that --on_swap, --on_served or --webhook may take; --webhook at most 60",
        parse=values.interval,
        shown="60",
    )
    allow_signature_change: bool = _opt(
        False, "install releases whose feeds or fetches differ from the running model's",
        parse=values.switch,
    )  # fmt: skip
    allow_ambiguous_model: bool = _opt(
        False, "install releases with several files that a server may take as graph or parameters",
        parse=values.switch,
    )  # fmt: skip
    require_manifest: bool = _opt(
        False, "refuse a donefile that is not a manifest", parse=values.switch
    )
    verify_signature: str = _opt(
        "", "file of Ed25519 public keys (PEM); a manifest must be signed with one of these keys"
    )
    quarantine_retry: float = _opt(
        600.0,
        "seconds until the monitor pulls a bad release without a manifest again",
        parse=values.interval,
        shown="600",
    )
    recheck_interval: float = _opt(
        300.0,
        "general: seconds until the monitor pulls and compares the tarball again, if a changed "
        "ETag or Last-Modified announced no release, or if both are missing",
        parse=values.interval,
        shown="300",
    )
    max_members: int = _opt(10000, "most files and folders in a release", parse=values.count)
    max_unpacked: int = _opt(
        64 * 1024**3,
        "most bytes that a release may unpack to",
        parse=values.size,
        shown="64G",
    )
    max_expansion: int = _opt(
        200,
        "how many times its size a tarball may unpack to, above 64 MiB",
        parse=values.count,
    )
    break_lock: bool = _opt(
        False,
        "on a filesystem without locks: take over the lock of another host, or of an owner that "
        "cannot be read",
        parse=values.switch,
    )
    log_format: str = _opt("text", "the log's format", choices=("text", "json"))
    server: str = _opt(
        "",
        "address of the server, such as http://127.0.0.1:9292: after a swap it is asked with the "
        "manifest's probe until it serves the release",
    )
    server_log: str = _opt(
        "", "the server's log/serving.INFO, which tells of a reload if no probe can be sent"
    )
    served_answers: int = _opt(
        5, "answers in a row, over new connections, that confirm a release", parse=values.positive
    )
    served_within: float = _opt(
        0.0,
        "seconds after a swap until a release counts as not served",
        parse=values.seconds,
        shown="three ticks and the load time seen",
    )
    tick: float = _opt(
        0.0,
        "the server's reload interval in seconds",
        parse=values.seconds,
        shown="what --server_log names, else 10",
    )
    on_bad_release: str = _opt(
        "ignore",
        "what happens if the server fails after a swap; rollback needs --server or --server_log",
        choices=("ignore", "rollback"),
    )
    probation: float = _opt(
        60.0,
        "seconds after a swap in which a failing server makes a release bad",
        parse=values.interval,
        shown="60",
    )
    event_file: str = _opt(
        "", "file to which the moments of each release are appended, one JSON object a line"
    )
    metrics_port: int = _opt(
        0,
        "port for /metrics, /healthz and /readyz (needs prometheus_client); 0 for none",
        parse=values.port_or_none,
    )
    metrics_host: str = _opt("127.0.0.1", "address that --metrics_port listens on")
    poll_token_file: str = _opt(
        "", "file whose first line is the token that POST /-/poll on --metrics_port asks for"
    )

    @property
    def secrets(self) -> list[Secret]:
        """The values of all options that may hold a secret."""
        found = [getattr(self, name) for name in SECRETS if name != "http_header"]
        return [*found, *self.http_header]

    @property
    def live(self) -> str:
        """The live directory's path."""
        return os.path.normpath(os.path.join(self.local_path, self.local_model_name))

    @property
    def tmp(self) -> str:
        """Where the tarball is pulled to: below ``local_path`` unless absolute, as upstream's."""
        return os.path.join(self.local_path, self.local_tmp_path)

    @property
    def speaks_ftp(self) -> bool:
        """Return whether ``--general_host`` is the address of an FTP server."""
        host = self.general_host.reveal().lower()
        return host.startswith(("ftp://", "ftps://", "ftps-implicit://"))

    @property
    def packed(self) -> bool:
        """Whether the release is a tarball."""
        ends = (*ARCHIVES, *_REFUSED)
        return bool(self.unpacked_filename) or self.remote_model_name.endswith(ends)

    @property
    def top(self) -> str:
        """The name of the tarball's top folder; "." if its files have none."""
        if self.unpacked_filename:
            return self.unpacked_filename
        name = self.remote_model_name.rpartition("/")[2]
        return next((name[: -len(end)] for end in ARCHIVES if name.endswith(end)), name)

    @property
    def largest_tarball(self) -> int:
        """The most bytes that a tarball may have.

        That is ``max_unpacked`` of data that does not compress, and what tar and packing add.
        """
        return self.max_unpacked + self.max_unpacked // 64 + 4096 * (self.max_members + 256)

    @property
    def longest_pause(self) -> float:
        return self.backoff_max or default_cap(self.interval)


_NEEDS = {
    "general": ("remote_path", "general_host"),
    "ftp": ("remote_path", "ftp_host"),
    "hdfs": ("remote_path", "hadoop_bin"),
    "afs": ("remote_path", "hadoop_bin"),
    "webhdfs": ("remote_path", "webhdfs_url"),
    "fsspec": ("remote_url",),
}
# ``secrets`` also reads each of these from a file or from the environment.
SECRETS = (
    "general_host", "fs_ugi", "ftp_password", "webhdfs_url", "remote_url", "http_header",
    "http_token", "http_query", "donefile_query", "model_query", "proxy", "webhook",
)  # fmt: skip
QUERIES = ("http_query", "donefile_query", "model_query")


_TEXTS = (str, Secret, ugi, address, endpoint, query)


def option_fields() -> list[Field[Any]]:
    """Return the options in the order of the documentation."""
    return list(fields(Options))


def from_mapping(given: Mapping[str, Any], where: str = "") -> Options:
    """Return checked options from names and values (command line or one table of a TOML file).

    ``where`` is put in front of the sentence. Raises ``BadOption``.
    """
    lead = f"{where}: " if where else ""
    known = {option.name: option for option in option_fields()}
    parsed: dict[str, Any] = {}
    unknown = next((name for name in given if name not in known), None)
    if unknown is not None:
        raise BadOption(f"{lead}there is no option {unknown}; see --help")
    for name, raw in _with_secrets(given).items():
        if raw is None:
            continue
        meta = known[name].metadata
        try:
            if meta["many"]:
                parsed[name] = tuple(meta["parse"](one) for one in _as_list(raw))
            elif meta["parse"] in _TEXTS and not isinstance(raw, str):
                raise ValueError("a text is expected")
            elif isinstance(raw, str) and "\0" in raw:
                raise ValueError("there is a NUL in it")
            else:
                parsed[name] = meta["parse"](raw)
        except (ValueError, TypeError, OverflowError) as error:
            raise BadOption(f"{lead}--{name} is wrong: {error}; see --help") from None
        if meta["choices"] and parsed[name] not in meta["choices"]:
            allowed = ", ".join(meta["choices"])
            raise BadOption(f"{lead}--{name} is {parsed[name]}; choose one of {allowed}")
    if parsed.get("ftp_implicit_tls"):
        parsed.setdefault("ftp_port", 990)
    if parsed.get("on_bad_release") == "rollback":
        parsed["keep"] = max(1, parsed.get("keep", 0))
    missing = [o.name for o in known.values() if o.default is MISSING and not parsed.get(o.name)]
    kind = parsed.get("type", "general")
    missing += [name for name in _NEEDS[kind] if not parsed.get(name)]
    if missing:
        names = ", ".join(f"--{name}" for name in missing)
        raise BadOption(f"{lead}--type {kind} needs {names}; see --help")
    options = Options(**parsed)
    check(options, lead)
    return options


def _as_list(raw: Any) -> list[str]:
    if not isinstance(raw, list) or not all(isinstance(one, str) for one in raw):
        raise ValueError("a list of texts is expected")
    return raw


def _with_secrets(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``given`` with each secret that it lacks, from its file or from the environment."""
    whole = dict(given)
    for name in SECRETS:
        path, held = whole.get(f"{name}_file"), os.environ.get(f"{VARIABLE}{name.upper()}")
        if name == "http_header":
            more = lines_of_file(path, f"--{name}_file") if isinstance(path, str) and path else []
            more += held.splitlines() if held else []
            more = [line for line in more if line.strip()]
            if more:
                whole[name] = [*_as_list(whole.get(name) or []), *more]
        elif whole.get(name):
            # The option wins: the file must not be read again.
            whole[f"{name}_file"] = ""
        elif isinstance(path, str) and path:
            whole[name] = from_file(path, f"--{name}_file")
        elif held:
            whole[name] = held
    return whole


def check(options: Options, lead: str) -> None:
    """Raise ``BadOption`` if options do not fit together; ``lead`` is put in front of the text."""
    for name in ("local_timestamp_file", "unpacked_filename"):
        value = getattr(options, name)
        whole = name == "unpacked_filename" and value == "."
        if "/" in value or (value in (".", "..") and not whole):
            raise BadOption(f"{lead}--{name} is {value}; it has to be a plain name without /")
    if model.may_be_loaded(options.local_timestamp_file):
        raise BadOption(
            f"{lead}--local_timestamp_file is {options.local_timestamp_file}; a server may take a "
            "file of that name for the model; give another name"
        )
    if options.require_manifest and not options.packed:
        raise BadOption(
            f"{lead}--require_manifest is given, but the release is a folder and a manifest proves "
            "only a tarball; publish a tarball, or leave the option out"
        )
    if options.verify_signature:
        read_keys(options.verify_signature)
        if not options.packed:
            raise BadOption(
                f"{lead}--verify_signature is given, but the release is a folder and a signed "
                "manifest proves only a tarball; publish a tarball, or leave out the option"
            )
    if not options.local_timestamp_file:
        raise BadOption(f"{lead}--local_timestamp_file is empty; leave it out for its default")
    if os.path.basename(options.live) in ("", ".", "..") or options.live == "/":
        raise BadOption(
            f"{lead}--local_model_name is {options.local_model_name}; it has to name a folder "
            "below --local_path"
        )
    if options.ftp_tls and options.ftp_implicit_tls:
        raise BadOption(
            f"{lead}--ftp_tls and --ftp_implicit_tls exclude each other; give the option for the "
            "server's kind of TLS"
        )
    if options.remote_model_name.endswith(ZSTD):
        load_zstd()
    if options.type in ("hdfs", "afs") and shutil.which(options.hadoop_bin) is None:
        raise BadOption(
            f"{lead}--hadoop_bin {options.hadoop_bin} is not a program that can be run; give the "
            "path of the hadoop command itself"
        )
    _check_queries(options, lead)
    if options.type == "webhdfs" and "://" not in options.webhdfs_url.reveal():
        raise BadOption(
            f"{lead}--webhdfs_url {options.webhdfs_url} is no address; give http://HOST:PORT"
        )
    parent = os.path.dirname(options.live) or "."
    if not os.path.isdir(parent):
        raise BadOption(f"{lead}--local_path {parent} is no folder; make it, or start where it is")
    if os.path.lexists(options.live) and not os.path.isdir(options.live):
        raise BadOption(f"{lead}{options.live} is no folder; name the model's folder")
    for name in ("check_command", "on_swap", "on_served"):
        if getattr(options, name):
            words(getattr(options, name), f"{lead}--{name}")
    _check_server(options, lead)
    if options.poll_token_file and not options.metrics_port:
        raise BadOption(
            f"{lead}--poll_token_file is given, and /-/poll needs --metrics_port; give both"
        )
    if options.ca_file and not os.path.isfile(options.ca_file):
        raise BadOption(f"{lead}--ca_file {options.ca_file} is no file; give a PEM file")


def _check_server(options: Options, lead: str) -> None:
    if options.on_bad_release == "rollback" and not (options.server or options.server_log):
        raise BadOption(
            f"{lead}--on_bad_release=rollback needs --server or --server_log, which tell whether "
            "the server fails; give one of them"
        )
    if options.on_served and not (options.server or options.server_log):
        raise BadOption(
            f"{lead}--on_served needs --server or --server_log, which tell what the server serves; "
            "give one of them"
        )
    if not options.server:
        return
    try:
        parts = urlsplit(options.server)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or "@" in options.server:
        raise BadOption(
            f"{lead}--server is {without_password(options.server)}; give http://HOST:PORT, or the "
            "whole address of the service"
        )


def _check_queries(options: Options, lead: str) -> None:
    host = options.general_host.reveal()
    http = options.type == "general" and not options.speaks_ftp
    if http and any(mark in host.rpartition("@")[2] for mark in "?#"):
        raise BadOption(
            f"{lead}--general_host has a query; give the part after its ? as --http_query"
        )
    given = [name for name in QUERIES if getattr(options, name)]
    if given and not http:
        raise BadOption(
            f"{lead}--{given[0]} is for --type general over http and https; leave it out"
        )
    if options.model_query and not options.packed:
        raise BadOption(
            f"{lead}--model_query signs one file, and {options.remote_model_name} is a folder; use "
            "--http_query"
        )
