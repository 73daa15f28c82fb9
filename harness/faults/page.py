"""The page of all faults: ``python -m harness.faults.page > docs/faults.md``."""

from __future__ import annotations

from .base import Fault, parameters
from .registry import CLOCK, DISK, NETWORK, PROCESS

_HEAD = """\
# Faults

For people who write scenarios or break a set-up by hand. After this page you know which faults
there are, what each does, and what a history says of it.

A fault has a name, a target and parameters. It starts and ends at known times. While it lasts, the
target is wrong in this way. Afterwards everything is as before. An unknown fault or parameter is an
error that names those there are.

In Python, `harness.faults.registry.make` makes a fault:

```python
from harness.faults.registry import make

fault = make("cut", {"target": "datanode", "after": 5000})
```

The history gets an event `fault` with the fault's name, target, parameters, `since` and `until`. It
also gets an `outage` for the same time, unless only the producer was hit. An outage gives a
release more time. Requests may fail in an outage of the server only ([history.md](history.md)).

A fault that draws something (jitter, sizes, a bit) draws it by the run's seed. The same seed
repeats the plan. It does not repeat the order in which processes do their work.

`python -m harness.faults.page > docs/faults.md` makes this page from the faults themselves.
"""
_NETWORK = """\
A gate stands before each remote on this machine. It meets all connections of the remote, also those
of the producer. With FTP this includes the passive data ports, with HDFS the ports of NameNode
(`namenode`) and DataNode (`datanode`). Remotes in containers have no gate.

*Answers* are the bytes that come from the remote, *requests* those that go to it."""
_PROCESSES = """\
They work for local processes and, for remotes and servers, also in containers. The fault's end
starts an ended process again and waits until it is ready."""
_DISK = """\
The run gives the monitor a small disk of its own: a tmpfs in a mount namespace. That needs
util-linux, and root or user namespaces. Without them the fault is refused before the run."""
_CLOCK = """\
A library that is loaded before the C library shifts the clock of one process and of those it
starts. The machine's clock stays. That needs a C compiler. Without one the fault is refused before
the run."""
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
