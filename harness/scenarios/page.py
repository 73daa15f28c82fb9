"""Makes ``docs/scenarios.md`` from the scenario files and the steps."""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Sequence
from dataclasses import MISSING, fields

from harness.run.steps import STEPS, Cause, Step

from .scenario import listed

_HEAD = """\
# Scenarios

<!-- made by `python -m harness scenarios --page docs/scenarios.md` -->

For engineers who want to know how a set-up behaves when more happens than one quiet release after
the other. After this page you can run a scenario, and write one of your own.

A scenario says what is published when, which parts break when, and what holds all the same. The
harness runs it on each remote, writes the [history](history.md), and judges its claims as for
`make e2e`:

```console
.venv/bin/python -m harness scenarios                        # the list below
.venv/bin/python -m harness run burst --remotes ftp          # one of them
.venv/bin/python -m harness run my-scenario.toml             # a file of yours
```

The exit codes are those of `make e2e`: 0 all claims hold, 1 a claim is broken, 2 bad input, 3 a
claim cannot be judged. `make e2e` is the scenario `page`.

## The scenarios

| scenario | promise | releases | steps after the first release |
| --- | --- | --- | --- |
"""

_FORM = """
## A set-up of your own

Each scenario also runs with parts of yours. History, claims, verdict, report and exit codes stay
the same:

```console
.venv/bin/python -m harness run page --monitor-cmd 'python -m paddle_serving_server.monitor'
.venv/bin/python -m harness run page --serving-bin /opt/serving/bin/serving
.venv/bin/python -m harness run page --remotes ftp --server 127.0.0.1:9292 \\
  --live-dir /srv/uci_housing_model --server-log /srv/log/serving.INFO --tick 10
.venv/bin/python -m harness run page --remote ftp://user:password@127.0.0.1:2121/models
```

- `--monitor-cmd COMMAND`: another monitor. Upstream's options follow the command, or take the
  places in it, such as `{ftp_host}`. The first release is unpacked by hand, as on upstream's page.
- `--serving-bin PATH`: another serving binary, instead of `SERVING_BIN`.
- `--server HOST:PORT`: a server that runs already, with `--live-dir DIR`. Its model becomes
  release 0 and has to be one of uci_housing. The run never stops the server.
- `--server-log FILE`: the log of that server.
- `--remote URL`: a remote that runs already: `webhdfs://user@host:port/path`,
  `ftp://user:password@host:port/path`, or `http://host:port/path`. The run publishes to it and
  leaves its releases there. An HTTP remote takes no uploads, so name the folder that it serves
  with `--publish-dir DIR`.
- `--releases-from DIR`: your releases. Each subfolder of DIR is one, in the order of the numbers in
  their names: a tarball NAME.tar.gz, and a donefile or none. If the donefile has no manifest, the
  harness computes the prediction with Paddle Inference. If two releases predict the same, the
  claims that tell releases apart are unknown.
- `--tick SECONDS`: the server's reload interval.
- `--claims A,B`: which claims are judged.

A claim that needs something that the run cannot see is *unknown*, and the report names what is
missing. Without `--server-log` this is the server's log. If the server runs on another machine, it
is the server's processes.

`make soak HOURS=8` runs the scenario `soak` on the first of `REMOTES` for eight hours.

## The form of a file

```toml
promise = "A monitor that is killed loses no release."   # one sentence
claims = ["nothing lost", "no request failed"]           # which claims are judged; default: all

[leg]
poll_s = 0.5        # the monitor's interval; the other fields of LegSettings in harness/run/leg.py

[[step]]            # the steps, in order; release 1 is served before the first one
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

Each publish step but the last needs a `count`. If the last one has none, `releases` in `[leg]` or
the option `--releases` says how many releases there are in all.

A restart of the server is a declared outage: requests may fail from the stop until each client
has been answered again. A gRPC client that finds no server waits longer before each new try to
connect, so this takes up to a minute. A restart of another part is no outage for the clients: no
request may fail.

## Scenarios drawn at random

`compose` draws scenarios of a few steps, among them each [fault](faults.md) that this machine can
cause, and runs them. A scenario counts as failing if a claim is broken in two of three runs. Then
`compose` makes it as small as it can and writes the smallest one as a scenario file. The exit code
is then 1. It ends after 40 runs or 30 minutes; `--tries` and `--minutes` change that. `--seed`
repeats the drawing.

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
    return _HEAD + "\n".join(rows) + "\n" + _FORM + steps


def _in_short(steps: Sequence[Step]) -> str:
    """Name the steps; those that cause faults together, by the faults' names."""
    words = []
    for kind, group in itertools.groupby(steps, type):
        if kind is Cause:
            found = dict.fromkeys(step.fault for step in group if isinstance(step, Cause))
            words.append(f"`faults ({', '.join(found)})`")
        else:
            words += map(_short, group)
    return ", ".join(words)


def _short(step: Step) -> str:
    """Name a step and the fields that are not the default."""
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
