"""The page of all faults: ``python -m harness.faults.page > docs/faults.md``."""

from __future__ import annotations

from .base import Fault, parameters
from .registry import CLOCK, DISK, NETWORK, PROCESS

_HEAD = """\
# Faults

For engineers who write scenarios or break a set-up by hand. After this page you know all faults,
what each fault does, and what the history of a run says about a fault.

A *fault* breaks one part of a run on purpose, for a known time. The *target* is the part that the
fault breaks. When the fault ends, the target works again. The
[glossary](architecture.md#glossary) explains the other terms.

A scenario causes a fault with the step [`fault`](scenarios.md#fault). In Python,
`harness.faults.registry.make` makes a fault. If the name or a parameter is unknown, the error
message lists the known ones:

```python
from harness.faults.registry import make

fault = make("cut", {"target": "datanode", "after": 5000})
```

The [history](history.md) of the run gets an event `fault` with the name, the target, the parameters
and the times `since` and `until`. Unless the target is the producer, the history also gets an event
`outage` for the same time. The checker gives a release more time if an outage delays the release.
Requests may fail only in an outage of the server.

Some faults use random values (a jitter, a size, a bit). The run's seed determines these values. The
seed does not determine the order in which processes work, so two runs can still differ.

`python -m harness.faults.page > docs/faults.md` makes this page from the code of the faults.
"""
_NETWORK = """\
A [gate](remotes.md#gates) is a small relay before each service of a remote on this machine. All
connections to the remote pass through a gate, also the connections of the producer. With FTP these
include the passive data ports. HDFS has two services, `namenode` and `datanode`. Remotes in
containers have no gate.

*Answers* are the bytes that come from the remote. *Requests* are the bytes that go to the
remote."""
_PROCESSES = """\
These faults work for local processes, and for remote, server and monitor in containers. When
`kill` or `restart` ends, the run starts the process again and waits until the process is ready."""
_DISK = """\
The run gives the monitor a small disk of its own: a tmpfs in a mount namespace. The disk needs
util-linux, and root or user namespaces. Without them the command reports an error before the run
starts."""
_CLOCK = """\
A small library (`LD_PRELOAD`) shifts the clock of one process and of all processes that this
process starts. The machine's clock does not change. The library needs a C compiler. Without
a compiler the command reports an error before the run starts."""
_GROUPS: tuple[tuple[str, tuple[type[Fault], ...], str], ...] = (
    ("Network", NETWORK, _NETWORK),
    ("Processes", PROCESS, _PROCESSES),
    ("Disk", DISK, _DISK),
    ("Clock", CLOCK, _CLOCK),
)


def page() -> str:
    """Return the text of ``docs/faults.md``."""
    lines = [_HEAD]
    for title, faults, text in _GROUPS:
        lines += [f"## {title}", "", text, ""]
        for fault in faults:
            about = "\n".join(line.strip() for line in (fault.__doc__ or "").strip().splitlines())
            lines += [f"### {fault.name}", "", about, ""]
            lines += ["| parameter | default | meaning |", "| --- | --- | --- |"]
            lines += [
                f"| `{one.name}` | `{one.default}` | {one.metadata['doc']} |"
                for one in parameters(fault)
            ]
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    print(page(), end="")
