"""Makes ``docs/scenarios.md`` from the scenario files and the steps."""

from __future__ import annotations

import inspect
import itertools
import re
import textwrap
from collections.abc import Sequence
from dataclasses import MISSING, fields

from harness.run.producer_command import PLACES
from harness.run.steps import STEPS, Cause, Step

from .scenario import listed

_HEAD = """\
# Scenarios

<!-- made by `python -m harness scenarios --page docs/scenarios.md` -->

For engineers who want to test a set-up with bursts, bad releases, rollbacks, restarts and faults.
After this page you can run a scenario, and write a scenario of your own.

A *scenario* is a small TOML file. The file says which releases are published, which parts break,
and what the set-up promises. The harness runs the scenario on each remote and writes the
[history](history.md) of the run. Then the harness judges the *claims*: statements about the run,
such as "no request failed". The [glossary](architecture.md#glossary) explains the other terms.

<!-- not run: `my-scenario.toml` stands for your file -->
```console
.venv/bin/python -m harness scenarios                        # list the scenarios
.venv/bin/python -m harness run burst --remotes ftp          # run the scenario burst on FTP
.venv/bin/python -m harness run my-scenario.toml             # run your own file
```

Exit codes:

- 0: all claims hold.
- 1: a claim is broken.
- 2: bad input.
- 3: a claim cannot be judged, and none is broken.

`make e2e` runs the scenario `page`: one release after the other, without faults.

## The scenarios

| scenario | promise | releases | steps after the first release |
| --- | --- | --- | --- |
"""

_FORM = """
`faults (…)` stands for several steps `fault` in a row, with the named faults.

## A set-up of your own

Each scenario also runs with your own parts. History, claims, verdict, report and exit codes are
the same:

<!-- not run: the monitor, server and remote stand for yours -->
```console
.venv/bin/python -m harness run page --monitor-cmd 'python -m paddle_serving_server.monitor'
.venv/bin/python -m harness run page --serving-bin /opt/serving/bin/serving
.venv/bin/python -m harness run page --remotes ftp --server 127.0.0.1:9292 \\
  --live-dir /srv/uci_housing_model --server-log /srv/log/serving.INFO --tick 10
.venv/bin/python -m harness run page --remote ftp://user:password@127.0.0.1:2121/models
.venv/bin/python -m harness run page --remotes ftp \\
  --producer-cmd './publish.sh {release} {ftp_host} {ftp_port} {remote_path}'
.venv/bin/python -m harness run page --remotes ftp --servers 3
```

- `--monitor-cmd COMMAND`: another monitor. The harness appends the options of Paddle Serving's own
  monitor to the command. If the command has placeholders, such as `{ftp_host}`, the harness fills
  in the placeholders and appends nothing. The harness itself installs the first release.
- `--serving-bin PATH`: another serving binary, instead of `SERVING_BIN`.
- `--server HOST:PORT`: a server that runs already. Name its live directory with `--live-dir DIR`.
  The server's model becomes release 0 and must be a `uci_housing` model. The run never stops the
  server.
- `--server-log FILE`: the log of the server that runs already.
- `--remote URL`: a remote that runs already: `webhdfs://user@host:port/path`,
  `ftp://user:password@host:port/path`, or `http://host:port/path`. The run publishes to it and
  leaves its releases there. Our producer cannot upload to an HTTP remote. So name the folder that
  the remote serves with `--publish-dir DIR`, or publish with `--producer-cmd`.
- `--producer-cmd COMMAND`: [another producer](#another-producer).
- `--servers N`: [several servers](#several-servers) for each remote.
- `--releases-from DIR`: your releases. Each subfolder of DIR is one release: a tarball NAME.tar.gz,
  with or without a donefile. The numbers in the subfolders' names give the order. If the donefile
  is no manifest, the harness computes the prediction with Paddle Inference. If two releases predict
  the same values, the claims that must distinguish releases are unknown.
- `--tick SECONDS`: the server's reload interval.
- `--claims A,B`: the claims to judge.

### Another producer

With `--producer-cmd COMMAND` the harness runs your command once for each release:

- Exit code 0 says that tarball and donefile are at the remote. Upload the tarball first. Another
  exit code ends the leg.
- The command gets no options. Placeholders say where to publish. `{release}` is the number of the
  release, from 1 on. `{publish_dir}` is the folder of an HTTP remote. The harness leaves out
  a word if the remote has no value for its placeholder. The placeholders are:
PLACEHOLDERS.
- The harness then reads donefile and tarball back from the remote. At least one of them must be
  new, and a monitor must be able to unpack the tarball.
- If the donefile is our [manifest](architecture.md#contracts), the manifest has the expected
  prediction. Otherwise the harness computes the prediction with Paddle Inference. The clients
  always ask with the feed of the first release. If two releases predict the same values, the
  claims that must distinguish releases are unknown.

The command runs only while it publishes. So a scenario that restarts the producer, or damages
releases, does not run with `--producer-cmd`.

### Several servers

With `--servers N` each remote has N servers. Each server has a live directory, a monitor and
clients of its own. The clients of all servers share `--rate`. The harness judges the claims for
each server. The verdict and the report name the server: `ftp/2` is the second server of the remote
`ftp`. The report has the spread of each *roll-out*: the seconds until the first, the median and
the last server serve the release.

In a step, the parts `server` and `monitor` are the first server and its monitor. `server-2` and
`monitor-2` are the second server and its monitor. N must fit into the memory of the machine: a
server with its monitor and clients takes 0.7 GB.

### What the run cannot see

Some claims need a log or a process that the run cannot see. Such a claim is *unknown*, and the
report names what is missing. For example, the server's log is missing without `--server-log`. The
server's processes are missing if the server runs on another machine.

`make soak HOURS=8` runs the scenario `soak` on the first of `REMOTES` for eight hours.

## The form of a file

```toml
promise = "A monitor that is killed loses no release."   # one sentence
claims = ["nothing lost", "no request failed"]           # the claims to judge; default: all

[leg]               # settings; LegSettings in harness/run/leg_settings.py has all of them
poll_s = 0.5        # the monitor's interval

[[step]]            # the steps, in order; release 1 is served before the first step
do = "publish"
count = 2

[[step]]
do = "restart"
parts = ["monitor"]
kill = true

[[step]]
do = "publish"
count = 1
```

Each publish step needs a `count`, except the last publish step. If the last publish step has no
`count`, `releases` in `[leg]` or the option `--releases` gives the number of all releases. Each
fault after that step needs `count = 0`.

During a restart of the server, requests may fail from the stop until each client gets an answer
again. This takes up to a minute, because a gRPC client waits longer after each failed connection.
During a restart of another part no request may fail.

## Scenarios drawn at random

`compose` makes random scenarios of a few steps and runs them. The steps can cause each
[fault](faults.md) that this machine supports. A scenario fails if two of three runs are not valid.
`compose` then removes and simplifies steps as long as the scenario still fails, and writes
the smallest failing scenario into a file. The exit code is 1 if a scenario fails, and 0 if not.

`compose` ends after 40 runs or 30 minutes; `--tries` and `--minutes` change these limits. `compose`
also stops a run that takes longer than all waits of its scenario together. The scenario then fails.
The same `--seed` gives the same scenarios.

<!-- not run: tries compositions for many minutes; tests compose and run short ones -->
```console
.venv/bin/python -m harness compose --seed 7 --remotes http --into runs/composed.toml
.venv/bin/python -m harness run runs/composed.toml --remotes http
```

## The steps

"""


def text() -> str:
    """Return the page."""
    rows = [
        f"| `{scenario.name}` | {scenario.promise} | {scenario.leg.releases} | "
        f"{_in_short(scenario.steps)} |"
        for scenario in listed()
    ]
    steps = "\n".join(_reference(name, kind) for name, kind in STEPS.items())
    places = textwrap.fill(
        ", ".join(f"`{{{name}}}`" for name in PLACES),
        width=98,
        initial_indent="  ",
        subsequent_indent="  ",
    )
    form = _FORM.replace("PLACEHOLDERS", places)
    return _HEAD + "\n".join(rows) + "\n" + form + steps


def _in_short(steps: Sequence[Step]) -> str:
    """Name the steps. Neighbouring faults share one entry with their names."""
    words = []
    for kind, group in itertools.groupby(steps, type):
        if kind is Cause:
            found = dict.fromkeys(step.fault for step in group if isinstance(step, Cause))
            words.append(f"`faults ({', '.join(found)})`")
        else:
            words += map(_short, group)
    return ", ".join(words)


def _short(step: Step) -> str:
    """Name a step and its fields with other values than the default."""
    given = [
        f"{field.name} {_value(getattr(step, field.name))}"
        for field in fields(step)  # type: ignore[arg-type]  # every step is a dataclass
        if getattr(step, field.name) != field.default
    ]
    words = " ".join([step.do, f"({', '.join(given)})" if given else ""]).strip()
    return f"`{words}`"


def _value(value: object) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value).lower()


def _reference(name: str, kind: type[Step]) -> str:
    doc = inspect.getdoc(kind) or ""
    said, _, attributes = doc.partition("\n\nAttributes:\n")
    lines = [f"### `{name}`", "", " ".join(said.split()), ""]
    if attributes:
        lines += ["| key | default | meaning |", "| --- | --- | --- |"]
        defaults = {
            field.name: {} if field.default_factory is dict else field.default
            for field in fields(kind)  # type: ignore[arg-type]
        }
        for key, meaning in re.findall(r"^    (\w+): (.*?)(?=^    \w|\Z)", attributes, re.M | re.S):
            default = "required" if defaults[key] is MISSING else f"`{_toml(defaults[key])}`"
            words = " ".join(meaning.split()).replace("``", "`")
            lines.append(f"| `{key}` | {default} | {words} |")
        lines.append("")
    return "\n".join(lines)


def _toml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value).replace("'", '"')
