"""One server of a leg, with the monitor that installs its releases and the clients that ask it.

The server side also watches these parts. The observer looks at the live directory and the logs.
The sampler looks at processes, and ``answers`` at what the clients got.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from functools import cached_property
from pathlib import Path
from typing import Callable, Optional, Union

from harness.checker.history import Event, History
from harness.conformance.monitor import command
from harness.containers.monitor import ContainerMonitor
from harness.load.asking import KINDS
from harness.remotes.base import Remote
from harness.serving.base import Serving
from harness.support.errors import BadInput, Failed
from harness.support.live_directory import TIME_FILE, look_once
from harness.support.process import Process
from harness.support.startable import Startable

from .answers import Answers
from .equipment import Equipment
from .leg_settings import OUR_MONITOR, LegSettings
from .observe import Observer
from .recorded import masked, recorded
from .resources import Sampler

Monitor = Union[Process, ContainerMonitor]


class ServerSide:
    """The server, the monitor and the clients. ``Leg`` decides when they start and stop.

    Args:
        remote: The remote that the monitor polls.
        serving: Is not started yet.
        folder: The folder for the logs of monitor and clients.
        history: Receives all events.
        settings: The settings of the leg.
        mark: A text in the environment of every process.
        equipment: The private disk and clock of the monitor, if a fault needs them.
        number: Which of several servers of the leg; None if there is one.
    """

    def __init__(
        self,
        remote: Remote,
        serving: Serving,
        *,
        folder: Path,
        history: History,
        settings: LegSettings,
        mark: str,
        equipment: Equipment,
        number: Optional[int] = None,
    ) -> None:
        self.number = number
        # The field of the history that names the server.
        self.label = {} if number is None else {"server": str(number)}
        history = history.labelled(**self.label)
        self.remote = remote
        self.serving = serving
        self.folder = folder
        self.history = history
        self.settings = settings
        self.mark = mark
        self.equipment = equipment
        self.live_dir = serving.live_dir
        self.monitor_log = folder / "monitor.log"
        self._monitor_events = folder.absolute() / "monitor-events.jsonl"
        self.observer = Observer(
            history,
            remote.name,
            live_dir=self.live_dir,
            monitor_log=self.monitor_log,
            monitor_events=self._monitor_events,
            server_log=serving.log_file,
            server_runs=settings.server_runs,
        )
        self.sampler = Sampler(
            history,
            remote.name,
            {"server": lambda: serving.pids, "monitor": lambda: self.monitor.pids},
            # With several monitors, the bytes of each are not known.
            lambda: remote.bytes_sent if number is None else None,
        )
        self.clients: dict[str, Process] = {}
        # The parts that a fault has ended on purpose: ``server``, ``monitor``.
        self.down: set[str] = set()
        self.answers = Answers(
            history.path, remote.name, settings.rtol, self.label.get("server", "")
        )
        self._stack = contextlib.ExitStack()
        self._serves = False
        # When this side's last outage by a fault ended.
        self.outage_until = 0.0

    @property
    def name(self) -> str:
        """The name of the side in messages, as the checker has it: ``ftp``, or ``ftp/2``."""
        return f"{self.remote.name}/{self.number}" if self.number else self.remote.name

    @property
    def suffix(self) -> str:
        """What follows ``monitor`` and ``server`` in the names of the parts: "", or ``-2``."""
        return f"-{self.number}" if self.number and self.number > 1 else ""

    def observe(self) -> None:
        """Start to watch the live directory and the logs."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.serving_folder.mkdir(parents=True, exist_ok=True)
        self.observer.start()
        self._stack.callback(self.observer.stop)

    @property
    def serving_folder(self) -> Path:
        """The folder with the live directory: the monitor's ``--local_path``."""
        return self.live_dir.parent

    def monitor_command(self, *more: str) -> list[str]:
        """Return the monitor's command, with upstream's options; only ours also gets ``more``."""
        s = self.settings
        options = self.remote.monitor_options(self._monitor_kind)
        options += ["--remote_model_name", f"{s.name}.tar.gz", "--remote_donefile_name", "donefile"]
        options += ["--local_path", ".", "--local_model_name", self.live_dir.name]
        options += ["--local_timestamp_file", TIME_FILE, "--local_tmp_path", "_tmp"]
        options += ["--unpacked_filename", s.unpacked_filename, "--interval", f"{s.poll_s:g}"]
        if s.monitor_cmd:
            named = {name[2:]: value for name, value in zip(options[::2], options[1::2])}
            return command.command_line(s.monitor_cmd, named)
        options += ["--debug", "--event_file", str(self._monitor_events)]
        options += ["--keep", str(s.keep)] if s.keep else []
        return [*s.monitor, *options, *more]

    @property
    def _monitor_kind(self) -> Optional[str]:
        """The monitor's ``--type``; None: the usual one of the remote."""
        if not self.settings.monitor_image or self.settings.monitor_kind:
            return self.settings.monitor_kind
        # The image has no programs, such as `hadoop`, that a monitor could start.
        kinds = self.remote.monitor_kinds
        return next(kind for kind in kinds if not self.remote.programs_cpu(kind))

    @cached_property
    def monitor(self) -> Monitor:
        """The monitor that polls. Made at its first use: only a started remote knows its ports."""
        return self.new_monitor(self.monitor_log)

    def new_monitor(self, log: Path, *more: str) -> Monitor:
        """Return a monitor that is not started, with ``more`` options."""
        name = f"the monitor of {self.name} {' '.join(more)}".strip()
        if self.settings.monitor_image:
            return ContainerMonitor(
                name,
                self.monitor_command(*more)[len(OUR_MONITOR) :],
                image=self.settings.monitor_image,
                log=log,
                cwd=self.serving_folder,
                folders=[self.folder, self.serving_folder],
                place=self.folder / f"{log.stem}-container",
                mark=self.mark,
            )
        return Process(
            name,
            self.equipment.command(self.monitor_command(*more)),
            log=log,
            cwd=self.serving_folder,
            env={**_with_our_python(), **self.equipment.environment("monitor")},
            mark=self.mark,
        )

    def start_server(self) -> None:
        """Start the server, wait until it is ready, and record its processes."""
        self._stack.callback(self.serving.stop)
        self.serving.start()
        self.serving.ready()
        self._serves = True
        self.record_server()

    def start_monitor(self) -> None:
        """Start the monitor that polls, and the sampler."""
        self._start(self.monitor)
        self.sampler.start()
        self._stack.callback(self.sampler.stop)

    def start_clients(self, release: Event, client_config: Path) -> None:
        """Start the clients.

        Args:
            release: Its manifest has the feed and the fetches of all requests.
            client_config: The folder with the configuration of the compiled client.
        """
        manifest = release["manifest"]
        feed = self.folder / "feed.json"
        feed.write_text(json.dumps(manifest["probe"]["feed"]))
        names = self.client_names
        # The clients of all servers take turns.
        servers, first = self.settings.servers, (self.number or 1) - 1
        for number, (name, kind) in enumerate(names.items()):
            argv = [sys.executable, "-m", "harness.load.probe", kind, "--name", name]
            argv += ["--host", self.serving.host, "--port", str(self.serving.port)]
            argv += ["--feed", str(feed), "--client_config", str(client_config)]
            argv += ["--fetch", manifest["fetches"][0]["alias"]]
            argv += ["--history", str(self.history.path), "--remote", self.remote.name]
            argv += [] if self.number is None else ["--server", str(self.number)]
            argv += ["--rate", str(self.settings.rate / servers / len(names))]
            argv += ["--phase", str((number + first / servers) / len(names))]
            argv += ["--timeout", str(self.settings.latency_bound_s)]
            client = Process(
                f"the {name} client of {self.name}",
                argv,
                log=self.folder / f"client-{name}.log",
                grace_s=self.settings.latency_bound_s + 5,  # for the answer under way
                mark=self.mark,
            )
            self.clients[name] = client
            self._start(client)

    def _start(self, process: Startable) -> None:
        process.start()
        self._stack.callback(process.stop)

    @property
    def client_names(self) -> dict[str, str]:
        """The clients' names, each with its kind."""
        numbers = range(1, self.settings.clients + 1)
        return {
            kind if number == 1 else f"{kind}-{number}": kind
            for number in numbers
            for kind in KINDS
        }

    def record_settings(self, producer: list[str]) -> None:
        """Record the settings, with the command lines of monitor and producer."""
        s = self.settings
        secrets = self.remote.producer_environment.values()
        cpu = s.monitor_cpu_bound + self.remote.programs_cpu(self._monitor_kind)
        self.history.record(
            "settings",
            remote=self.remote.name,
            clients=list(self.client_names),
            **recorded(s),
            monitor_cpu_bound=cpu,
            serving=str(self.serving.binary),
            monitor_command=masked(self.monitor_command(), secrets),
            producer_command=masked(producer, secrets),
        )

    def record_server(self, **more: object) -> None:
        """Record which processes serve, for the claim that they never change."""
        identity = self.serving.identity()
        self.history.record("server", remote=self.remote.name, identity=identity, **more)

    def check(self) -> None:
        """Raise ``Failed`` if a part has ended by itself, except the monitor."""
        for client in self.clients.values():
            client.check()
        self.observer.check()
        if self._serves and "server" not in self.down:
            self.serving.check()

    def check_monitor(self) -> None:
        """Raise ``Failed`` if the monitor has ended by itself."""
        if "monitor" not in self.down:
            self.monitor.check()

    def restart(self, part: str, wait_until_answered: Callable[[], None]) -> None:
        """Start the server or the monitor again, after a fault has ended it.

        Args:
            part: ``server`` or ``monitor``.
            wait_until_answered: Waits until each client has an answer of the new server.
        """
        if part == "monitor":
            self.monitor.start()
        else:
            self.serving.start()
            self.serving.ready()
            self.record_server(restarted=True)
            # An outage of the server lasts until its clients have noticed that it is back.
            wait_until_answered()
        self.down.discard(part)

    def rollback(self, published: list[Event]) -> Event:
        """Go back to the release before, with the command of our monitor.

        Args:
            published: All releases so far.

        Returns:
            The release that the live directory holds now.

        Raises:
            BadInput: The monitor is not ours.
            Failed: The command failed.
        """
        if not self.settings.is_our_monitor:
            raise BadInput("a rollback needs the command of our monitor; leave out --monitor-cmd")
        command = [*OUR_MONITOR, "rollback", "--local_path", "."]
        rolling = Process(
            f"the rollback of {self.name}",
            [*command, "--local_model_name", self.live_dir.name],
            log=self.folder / "rollback.log",
            cwd=self.serving_folder,
            mark=self.mark,
        )
        with rolling:
            if rolling.wait(self.settings.bound_s) != 0:
                rolling.check()
        content = look_once(self.live_dir)
        digest = content.digest if content else ""
        release = next((e for e in published if e["digest"] == digest), None)
        if release is None:
            raise Failed(f"after the rollback {self.live_dir} holds no published release")
        self.history.record("rollback", remote=self.remote.name, release=release["release"])
        return release

    def all_answered(self, since: float) -> bool:
        """Whether each client has a good answer to a request that it sent at ``since`` or later."""
        self.answers.read()
        good = self.answers.last_good_sent
        return all(good.get(client, 0.0) >= since for client in self.clients)

    def all_asked(self, since: float) -> bool:
        """Whether each client has ended a request that it sent at ``since`` or later."""
        self.answers.read()
        return all(self.answers.last_sent.get(client, 0.0) >= since for client in self.clients)

    def lacking(self) -> list[str]:
        """Return the clients that have not got the expected release yet."""
        self.answers.read()
        return sorted(set(self.clients) - self.answers.served)

    def waiting_for(self, release: Event) -> list[str]:
        """Return the clients of ``lacking`` whose bound is not over, judged by their answers."""
        waiting = []
        for client in self.lacking():
            first = self.answers.first_sent.get(client)
            if first is not None:
                begin = max(release["t_end"], first, self.outage_until)
                if self.answers.last_answered[client] >= begin + self.settings.bound_s:
                    continue
            waiting.append(client)
        return waiting

    @property
    def server_is_gone(self) -> bool:
        """Whether the server has ended by itself."""
        try:
            self.serving.check()
        except Failed:
            return True
        return False

    def stop_clients(self) -> None:
        """End the clients, and record which processes serve now."""
        for client in self.clients.values():
            client.stop()
        if self.clients:
            self.record_server()

    def stop(self) -> None:
        """End all parts, the last started part first."""
        self._stack.close()


def _with_our_python() -> dict[str, str]:
    """Return an environment whose ``python`` is ours, and finds modules in the current folder."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    modules = os.pathsep.join(filter(None, (os.getcwd(), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PATH": path, "PYTHONPATH": modules}
