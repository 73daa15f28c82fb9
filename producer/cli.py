"""The producer's command line. Imports no paddle: help and wrong options answer at once."""

from __future__ import annotations

import argparse
import math
import os
import re
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Optional
from urllib.parse import urlsplit

from . import __version__
from .errors import BadInput, ProducerError
from .loop import Settings, run
from .parser import Parser
from .publish import Access, parse

PASSWORD_VARIABLE = "PRODUCER_FTP_PASSWORD"

_DESCRIPTION = """\
Trains the uci_housing model and publishes each pass to a remote as a release.

The producer uploads the tarball first, then the donefile. It uploads each file
under a temporary name and renames it into place. The release number is one more
than the remote's donefile says. Only one producer may publish to a path.
"""
_EPILOG = f"""\
environment: {PASSWORD_VARIABLE} is the FTP password, unless the URL has one
(user:password@). The work folder then holds client/ (the client's prototxt) and
releases/N/ (model folder, tarball, donefile).
exit codes: 0 done, 1 failed, 2 a wrong option or a remote that does not answer
"""
_EXAMPLE = """\
example: python -m producer --remote ftp://user@127.0.0.1:2121/ --passes 3 \\
           --interval 10
"""


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command. Return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    signal.signal(signal.SIGTERM, _on_sigterm)
    try:
        run(_settings(words))
    except ProducerError as error:
        if debug:
            traceback.print_exc()
        print(f"producer: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        # The work folder or the events file: remotes have errors of their own.
        if debug:
            traceback.print_exc()
        where = f"{error.filename}: " if error.filename else ""
        print(f"producer: cannot write {where}{error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("producer: interrupted", file=sys.stderr)
        # If the signal came during an ``exec`` (``dataclass`` uses it), Python ends by the signal
        # instead of with this code. Another ``exec`` clears that.
        exec("")
        return 128 + signal.SIGINT
    except _Terminated:
        print("producer: terminated", file=sys.stderr)
        return 128 + signal.SIGTERM
    return 0


class _Terminated(BaseException):
    """SIGTERM came. Not an ``Exception``: no handler of errors may swallow it."""


def _on_sigterm(_signum: int, _frame: Optional[FrameType]) -> None:
    raise _Terminated


def _settings(words: Sequence[str]) -> Settings:
    parser = _parser()
    if "_ARGCOMPLETE" in os.environ:
        import argcomplete

        argcomplete.autocomplete(parser)
    options = parser.parse_args(words)
    name = options.name
    if options.sign_key and options.donefile_format == "empty":
        raise BadInput(
            "--sign_key signs a manifest, and --donefile_format is empty; leave one of them out"
        )
    return Settings(
        address=parse(options.remote, options.ftp_encoding),
        access=Access(
            hadoop_bin=options.hadoop_bin,
            fs_ugi=options.fs_ugi,
            hdfs_user=options.hdfs_user,
            ftp_password=os.environ.get(PASSWORD_VARIABLE),
            ftp_encoding=options.ftp_encoding,
            ca_file=options.ca_file,
        ),
        name=name,
        unpacked=options.unpacked_filename or f"{name}_model",
        donefile=options.donefile,
        manifest=options.donefile_format == "manifest",
        sign_key=options.sign_key,
        work=options.work or Path(f"{name}_producer"),
        passes=options.passes,
        interval=options.interval,
        step=options.step,
        seed=options.seed,
        device=options.device,
        table_mb=options.table_mb,
        events=options.events,
        notify=tuple(options.notify),
        notify_token_file=options.notify_token_file,
    )


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m producer",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        common=("--remote", "--name", "--interval", "--passes", "--seed", "--work"),
        example=_EXAMPLE,
    )
    add = parser.add_argument
    add("--version", action="version", version=f"%(prog)s {__version__}")
    add(
        "--remote",
        required=True,
        metavar="URL",
        help="where to publish: webhdfs://host:port/path, hdfs://host:port/path or afs://… (with "
        "--hadoop_bin), ftp://user@host:port/path, ftps://… (explicit TLS), ftps-implicit://…, "
        "file:///path",
    )
    add(
        "--name", type=_name, default="uci_housing", help="the tarball is NAME.tar.gz (%(default)s)"
    )
    add(
        "--unpacked_filename",
        type=_name,
        metavar="NAME",
        help="the tarball's one top folder (NAME_model)",
    )
    add(
        "--interval",
        type=_seconds,
        default=60.0,
        metavar="SECONDS",
        help="from release to release (60; fractions are allowed); the first release comes at once",
    )
    add(
        "--passes",
        type=_count,
        default=30,
        help="how many releases, each after one pass (%(default)s)",
    )
    add("--device", choices=("cpu", "gpu"), default="cpu", help="where to train (%(default)s)")
    add(
        "--table_mb",
        type=int,
        choices=range(1001),
        default=0,
        metavar="MB",
        help="add so many MB of weights, up to 1000, so that loading takes long (%(default)s)",
    )
    add("--seed", type=_seed, default=1, help="of weights and shuffles (%(default)s)")
    add(
        "--work",
        type=Path,
        metavar="FOLDER",
        help="where models and tarballs are made (./NAME_producer)",
    )
    add(
        "--donefile",
        type=_name,
        default="donefile",
        metavar="NAME",
        help="the donefile's name (%(default)s)",
    )
    add(
        "--donefile_format",
        choices=("manifest", "empty"),
        default="manifest",
        help="a JSON manifest with number, size, digest and probe, or nothing, as upstream's "
        "(%(default)s); with an empty one a restarted producer counts from 1 again",
    )
    add(
        "--sign_key",
        type=Path,
        metavar="FILE",
        help="Ed25519 private key (PEM) that signs each manifest that the producer makes",
    )
    add("--hadoop_bin", metavar="PATH", help="the hadoop command, for hdfs:// and afs://")
    add("--fs_ugi", metavar="USER,PASSWORD", help="hadoop.job.ugi, for clusters that ask for it")
    add("--hdfs_user", metavar="USER", help="HDFS user (the URL's, else the one logged in)")
    add(
        "--ftp_encoding",
        type=_encoding,
        default="utf-8",
        metavar="NAME",
        help="encoding of names at an FTP server, such as gbk or latin-1 (%(default)s)",
    )
    add(
        "--ca_file",
        type=_file,
        metavar="FILE",
        help="certificate authorities (PEM) to trust for ftps:// and ftps-implicit://",
    )
    add(
        "--step",
        action="store_true",
        help="wait for a line on standard input before each release, instead of --interval; a line "
        "that names a folder publishes the folder's tarball and donefile as they are; the producer "
        "ends with its input",
    )
    add(
        "--events",
        type=Path,
        metavar="FILE",
        help="append a JSON line for each release (times of CLOCK_MONOTONIC)",
    )
    add(
        "--notify",
        action="append",
        type=_url,
        default=[],
        metavar="URL",
        help="send a POST to this address after each donefile, such as "
        "http://host:9100/-/poll of a monitor; may be repeated; a failure is a warning",
    )
    add(
        "--notify_token_file",
        type=Path,
        metavar="FILE",
        help="file whose first line is the bearer token for all --notify",
    )
    add("--debug", action="store_true", help="print a traceback with an error")
    return parser


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no plain file name (letters, digits, '.', '_' and '-')"
        )
    return text


def _encoding(text: str) -> str:
    plain = "/ aZ09"
    try:
        if plain.encode(text) == plain.encode("ascii"):
            return text
    except (LookupError, ValueError):
        pass
    raise argparse.ArgumentTypeError(
        f"{text!r} is no encoding of file names; try gbk, latin-1 or utf-8"
    )


def _file(text: str) -> str:
    if not os.path.isfile(text):
        raise argparse.ArgumentTypeError(f"{text} is no file")
    return text


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise argparse.ArgumentTypeError("it is no address; give http://HOST:PORT/-/poll")
    return text


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 0 on")
    return seconds


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**31:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 to 2147483647")
    return int(text)
