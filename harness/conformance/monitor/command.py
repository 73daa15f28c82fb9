"""The command line of the monitor under test, from what the user gave as ``--monitor-cmd``.

Values in, values out; ``resolved`` alone looks for files. If the command has no placeholders,
upstream's options are appended:

    python -m paddle_serving_server.monitor   →   … --type=ftp --remote_path=/x …

A command with placeholders is a template, for a monitor with other options. Each placeholder is an
option's name. A word is left out if its placeholder has no value on this remote (``{ftp_host}``
over HTTP), so one template serves all remotes:

    mymonitor --from={general_host}/{remote_path} --ftp={ftp_host} --into={local_path}
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.support.errors import BadInput

UPSTREAM = (
    "type",
    "remote_path",
    "remote_model_name",
    "remote_donefile_name",
    "local_path",
    "local_model_name",
    "local_timestamp_file",
    "local_tmp_path",
    "interval",
    "unpacked_filename",
    "general_host",
    "hadoop_bin",
    "fs_name",
    "fs_ugi",
    "ftp_host",
    "ftp_port",
    "ftp_username",
    "ftp_password",
    "webhdfs_url",
    "hdfs_user",
    "remote_url",
)
# Options beside upstream's that a scenario may give to a monitor, if the monitor has them.
BESIDE = (
    "http_token",
    "http_token_file",
    "metrics_port",
    "on_bad_release",
    "on_served",
    "on_swap",
    "poll_token_file",
    "recheck_interval",
    "served_within",
    "server",
    "splay",
    "tick",
    "verify_signature",
    "webhook",
)
OPTIONS = (*UPSTREAM, *BESIDE)
_PLACE = re.compile(r"\{([A-Za-z_]+)\}")


def words_of(
    command: str, *, option: str = "--monitor-cmd", known: Sequence[str] = OPTIONS
) -> list[str]:
    """Return the words of a command line.

    Args:
        command: The command line.
        option: The option that has it, for error messages.
        known: The names that placeholders may have.

    Raises:
        BadInput: The command is empty or unreadable, or has another placeholder.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise BadInput(f"{option} {command!r} cannot be read ({error}); check its quotes") from None
    if not words:
        raise BadInput(f"{option} is empty; give the {option[2:-4]}'s command line")
    for name in _PLACE.findall(command):
        if name not in known:
            raise BadInput(
                f"{option} has the placeholder {{{name}}}, which is not known; use one of "
                f"{', '.join(known)}"
            )
    return words


def resolved(
    command: str,
    folder: Path,
    *,
    option: str = "--monitor-cmd",
    known: Sequence[str] = OPTIONS,
) -> str:
    """Return the command, with each relative path to a file of ``folder`` made absolute.

    A monitor runs in a folder of its own. The program counts as a path if it has a slash. A word
    after ``-m`` is a module. The value of ``--option=path`` counts as well.
    """
    words = words_of(command, option=option, known=known)
    found = []
    for number, word in enumerate(words):
        name, equals, value = word.rpartition("=")
        on_path = number == 0 and "/" not in word
        module = number > 0 and words[number - 1] == "-m"
        if on_path or module or not (value and (folder / value).is_file()):
            found.append(word)
        else:
            found.append(f"{name}{equals}{folder / value}")
    return shlex.join(found)


def command_line(command: str, options: Mapping[str, str]) -> list[str]:
    """Return the argv to start, with the values of ``options`` (names without dashes)."""
    words = words_of(command)
    if not any(_PLACE.search(word) for word in words):
        return words + [f"--{name}={value}" for name, value in options.items()]
    return filled(command, options)


def filled(
    command: str,
    options: Mapping[str, str],
    *,
    option: str = "--monitor-cmd",
    known: Sequence[str] = OPTIONS,
) -> list[str]:
    """Return the argv to start: ``options`` fill the placeholders, and nothing is appended."""
    line = []
    for word in words_of(command, option=option, known=known):
        places = _PLACE.findall(word)
        if not all(options.get(name) for name in places):
            continue
        line.append(_PLACE.sub(lambda found: options[found.group(1)], word))
    return line
