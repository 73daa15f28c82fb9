"""One remote's part of a run: remote, producer, monitor, server and clients, in order.

    remote up → producer publishes release 1 → monitor --once → server → monitor → clients
    → the steps of a scenario (harness.run.steps). Usually the producer publishes the next release
      when every client got the last release, or when the bound of the last release is over
    → clients, monitor, server, producer, remote down; no process may be left

If a release is not served in time, the leg records this and goes on. A part that ends by itself
ends the leg. All processes of the leg run under a guard. Everything that happens goes into the
history. ``harness.checker.verdict`` judges it afterwards.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Callable, Optional

from harness.checker.growth import MEMORY_BOUND_BYTES
from harness.checker.history import Event, History
from harness.conformance.monitor import command, damage, releases
from harness.load.asking import KINDS
from harness.remotes.base import Remote
from harness.serving.base import Serving
from harness.support.errors import BadInput, Failed
from harness.support.live_directory import look_once
from harness.support.process import Process, marked
from harness.support.waits import tail, wait_for
from monitor.mask import STARS

from .answers import Answers
from .equipment import Equipment
from .observe import TIME_FILE, Observer, Tail
from .ready_releases import ReadyRelease
from .resources import Sampler

Say = Callable[[str], None]

# Archives that no monitor may install: what a step may publish instead of a good release.
BAD_RELEASES = {
    kind.__name__: kind
    for kind in (
        damage.corrupt,
        damage.truncated,
        damage.without_trailer,
        damage.empty,
        damage.html,
        damage.traversal,
        damage.symlink_out,
        damage.hard_link,
        damage.wrong_top,
        damage.no_parameters,
        damage.empty_parameters,
    )
}
OUR_MONITOR = (sys.executable, "-m", "monitor")


@dataclass(frozen=True)
class LegSettings:
    """The settings of one leg. Times are seconds."""

    # How many releases are published, including bad releases.
    releases: int = 4
    # The releases to publish, if the producer makes none.
    ready: tuple[ReadyRelease, ...] = ()
    # Whether all releases are made before the first one is published.
    prepared: bool = False
    # Whether each release is published only after all clients got the release before.
    paced: bool = True
    # The claims to judge; None: all.
    claims: Optional[tuple[str, ...]] = None
    # How many MB the producer adds to the weights, so that loading takes long.
    table_mb: int = 0
    # The seed of the training.
    seed: int = 1
    device: str = "cpu"
    # The model's name; the tarball is NAME.tar.gz.
    name: str = "uci_housing"
    # The monitor's command.
    monitor: tuple[str, ...] = OUR_MONITOR
    # Another monitor's command line (harness.conformance.monitor.command); "": this project's.
    monitor_cmd: str = ""
    # Whether the server runs already, with its own model.
    server_runs: bool = False
    # What the run cannot see (harness.checker.completeness.SIGHTS).
    unseen: tuple[str, ...] = ()
    # How many clients of each kind there are.
    clients: int = 1
    # The monitor's --keep: how many old releases stay for a rollback; 0: no such option.
    keep: int = 0
    # The monitor's --type; None: the usual one of the remote.
    monitor_kind: Optional[str] = None
    # The monitor's --interval.
    poll_s: float = 1.0
    # The server's reload interval.
    tick_s: int = 1
    # How long pull, swap and load may take on a busy machine, in addition to polls and ticks.
    margin_s: float = 30.0
    # How long one request may take.
    latency_bound_s: float = 10.0
    # The switch window: how long the server's threads may take to switch to a release.
    switch_window_s: float = 0.5
    # The relative tolerance when predictions are compared, because of float32 rounding.
    rtol: float = 1e-5
    # The width of a swap window (docs/history.md): latency in it is compared with the rest.
    latency_window_s: float = 0.5
    # How much the latency may rise in a swap window.
    latency_rise_bound_s: float = 0.005
    # How long a release serves before the next release, so that there are requests to compare.
    calm_s: float = 1.5
    # Requests a second that all clients together plan.
    rate: float = 200.0
    # How long the producer may take for one release.
    train_deadline_s: float = 120.0
    # How long a client may take from its start to its first request.
    client_start_s: float = 60.0
    # How long the load of a release may take when a newer release follows.
    load_bound_s: float = 10.0
    # How much the server's memory may grow at each reload.
    memory_bound_bytes: int = MEMORY_BOUND_BYTES
    # The share of a core that the monitor may use, without programs such as `hadoop fs`.
    monitor_cpu_bound: float = 0.1
    # How many bytes the remote may send for each poll of the donefile.
    poll_bound_bytes: int = 4096

    @property
    def model(self) -> str:
        """Return the live directory's name."""
        return self.ready[0].model.name if self.ready else f"{self.name}_model"

    @property
    def bound_s(self) -> float:
        """Return the seconds from the end of a release's publishing until it must be served.

        It has two polls, because the monitor reads the donefile before and after its pull.
        """
        return 2 * self.poll_s + 2 * self.tick_s + self.margin_s


class Leg:
    """A running leg. ``start`` starts all parts, ``publish`` makes a release and waits.

    Args:
        remote: Is not started yet.
        serving: Is not started yet. Its live directory is ``settings.model`` in its own folder.
        folder: The folder for all other files of the leg.
        history: Receives all events.
        settings: How the leg is run.
        mark: A text in the environment of every process of the leg, also of ``remote`` and
            ``serving``. With it ``stop`` finds processes that are left.
        say: Called with a line for each step.
        equipment: Disks and clocks that faults need from the start of the leg.
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
        say: Say = lambda _: None,
        equipment: Optional[Equipment] = None,
    ) -> None:
        self.equipment = equipment or Equipment()
        self.remote = remote
        self.folder = folder
        self.history = history
        self.settings = settings
        self.say = say
        self.mark = mark
        self.serving = serving
        self.live_dir = serving.live_dir
        self.model = self.live_dir.name
        self.serving_folder = self.live_dir.parent
        self.monitor_log = folder / "monitor.log"
        self.published: list[Event] = []
        self._stack = contextlib.ExitStack()
        self._producer_events = Tail(folder / "producer.jsonl")
        self.observer = Observer(
            history,
            remote.name,
            live_dir=self.live_dir,
            monitor_log=self.monitor_log,
            server_log=self.serving.log_file,
            server_runs=settings.server_runs,
        )
        self.sampler = Sampler(
            history,
            remote.name,
            {"server": lambda: serving.pids, "monitor": lambda: self.monitor.pids},
            lambda: remote.bytes_sent,
        )
        self.clients: dict[str, Process] = {}
        # Without the monitor, which wait_until_served() checks only after the bound.
        self._started: list[Process] = []
        # The parts that a fault has ended on purpose.
        self.down: set[str] = set()
        self._serving = False
        self.answers = Answers(history.path, remote.name, settings.rtol)
        # The end of the last outage that a step has caused.
        self._outage_until = 0.0

    def _producer_options(self) -> list[str]:
        options = ["--remote", self.remote.url, *self.remote.producer_options, "--step"]
        return [*options, *self._training(), "--events", str(self.folder / "producer.jsonl")]

    def _training(self) -> list[str]:
        s = self.settings
        options = ["--name", s.name, "--passes", str(s.releases), "--seed", str(s.seed)]
        options += ["--table_mb", str(s.table_mb)] if s.table_mb else []
        return [*options, "--device", s.device, "--work", str(self.folder / "producer")]

    def monitor_command(self, *more: str) -> list[str]:
        """The page's own command line for this remote, and ``more``, which our monitor knows."""
        s = self.settings
        options = self.remote.monitor_options(s.monitor_kind)
        options += ["--remote_model_name", f"{s.name}.tar.gz", "--remote_donefile_name", "donefile"]
        options += ["--local_path", ".", "--local_model_name", self.model]
        options += ["--local_timestamp_file", "fluid_time_file", "--local_tmp_path", "_tmp"]
        options += ["--unpacked_filename", s.model, "--interval", f"{s.poll_s:g}"]
        if s.monitor_cmd:
            named = {name[2:]: value for name, value in zip(options[::2], options[1::2])}
            return command.command_line(s.monitor_cmd, named)
        options.append("--debug")
        options += ["--keep", str(s.keep)] if s.keep else []
        return [*s.monitor, *options, *more]

    def _start(self, process: Process) -> Process:
        process.start()
        self._stack.callback(process.stop)
        return process

    @cached_property
    def producer(self) -> Process:
        """The producer. Made at its first use, because only a started remote knows its ports."""
        return Process(
            f"the producer for {self.remote.name}",
            [sys.executable, "-m", "producer", *self._producer_options()],
            log=self.folder / "producer.log",
            cwd=self.folder,
            env={
                **os.environ,
                **self.remote.producer_environment,
                **self.equipment.environment("producer"),
            },
            stdin=subprocess.PIPE,
            mark=self.mark,
        )

    @cached_property
    def monitor(self) -> Process:
        """The monitor that polls; made at its first use, as the producer is."""
        return self._monitor(self.monitor_log)

    def _monitor(self, log: Path, *more: str) -> Process:
        return Process(
            f"the monitor of {self.remote.name} {' '.join(more)}".strip(),
            self.equipment.command(self.monitor_command(*more)),
            log=log,
            cwd=self.serving_folder,
            env={**_with_our_python(), **self.equipment.environment("monitor")},
            mark=self.mark,
        )

    def start(self) -> None:
        """Start all parts, and wait until release 1 is served to the clients.

        Raises:
            Failed: A part does not come up, or the first release is not installed.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.serving_folder.mkdir(exist_ok=True)
        self._stack.callback(self.remote.stop)
        self.remote.start()
        self.remote.ready()
        self.say(f"{self.remote.name}: up at {self.remote.url}")
        if self.settings.prepared:
            self._prepare_releases()
        self._start(self.producer)
        self._started.append(self.producer)
        self._record_settings()
        self.observer.start()
        self._stack.callback(self.observer.stop)
        self.announce()
        if self.settings.server_runs:
            self._note_installed()
        elif self.settings.monitor_cmd:
            self._install_by_hand()
        else:
            self._install_first()
        self._stack.callback(self.serving.stop)
        self.serving.start()
        self.serving.ready()
        self._serving = True
        self.say(f"{self.remote.name}: server ready on port {self.serving.port}")
        self.record_server()
        self._start(self.monitor)
        self.sampler.start()
        self._stack.callback(self.sampler.stop)
        self._start_clients()
        self.wait_until_served(self.published[-1])

    def _prepare_releases(self) -> None:
        """Make all releases in the producer's work folder; publish none of them."""
        argv = [sys.executable, "-m", "producer", "--remote", f"file://{self.folder / 'prepared'}"]
        making = Process(
            f"the producer that prepares releases for {self.remote.name}",
            [*argv, *self._training(), "--interval", "0"],
            log=self.folder / "producer-prepares.log",
            cwd=self.folder,
            mark=self.mark,
        )
        with making:
            if making.wait(self.settings.train_deadline_s * self.settings.releases) != 0:
                making.check()
        self.say(f"{self.remote.name}: {self.settings.releases} releases prepared")

    def _note_installed(self) -> None:
        """Record the release that a running server has from before, as release 0."""
        content = look_once(self.live_dir, TIME_FILE)
        if content is None:
            raise Failed(f"{self.live_dir} holds no model")
        feed = self.folder / "feed.json"
        feed.write_text(json.dumps(self.published[0]["manifest"]["probe"]["feed"]))
        asked = subprocess.run(
            [sys.executable, "-m", "producer.probe", str(self.live_dir), "--feed", str(feed)],
            capture_output=True,
            text=True,
            check=False,
        )
        if asked.returncode:
            raise Failed(f"the model in {self.live_dir} predicts nothing: {asked.stderr.strip()}")
        expected = json.loads(asked.stdout.splitlines()[-1])["expected"]
        alias = self.published[0]["manifest"]["fetches"][0]["alias"]
        before = self.published[0]["t_begin"]
        self.history.record(
            "published",
            t=before,
            remote=self.remote.name,
            release=0,
            digest=content.digest,
            expected=flat(expected[alias]),
            t_begin=before,
            t_end=before,
        )

    def _install_by_hand(self) -> None:
        """Unpack release 1 as a person does, because ``--once`` is our monitor's alone."""
        release = self.published[0]["release"]
        shutil.copytree(self._model(0, release), self.live_dir)
        (self.live_dir / TIME_FILE).touch()
        self.say(f"{self.remote.name}: release {release} installed by hand")

    def _install_first(self) -> None:
        once = self._monitor(self.folder / "monitor-once.log", "--once")
        bound = self.settings.bound_s
        why = ""
        with once:
            try:
                code = once.wait(bound)
            except Failed:
                why = f"`--once` was still running after {bound:g} s"
            else:
                if code != 0:
                    why = f"`--once` ended with exit code {code}"
                elif not self.live_dir.is_dir():
                    why = "`--once` ended with exit code 0, but there is no live directory"
        if why:
            # A dead remote is not the monitor's fault.
            self._check()
            release = self.published[0]["release"]
            self.history.record("install_failed", remote=self.remote.name, release=release, why=why)
            raise Failed(
                f"the monitor did not install release {release}, so no server can be started: "
                f"{why}\n--- last lines of {once.log}\n{tail(once.log)}"
            )
        self.say(f"{self.remote.name}: release 1 installed with --once")

    def _record_settings(self) -> None:
        s = self.settings
        self.history.record(
            "settings",
            remote=self.remote.name,
            clients=list(self._client_names()),
            # A running server has a release from before.
            releases=s.releases + s.server_runs,
            paced=s.paced,
            latency_bound_s=s.latency_bound_s,
            latency_window_s=s.latency_window_s,
            latency_rise_bound_s=s.latency_rise_bound_s,
            poll_s=s.poll_s,
            tick_s=s.tick_s,
            bound_s=s.bound_s,
            switch_window_s=s.switch_window_s,
            rtol=s.rtol,
            load_bound_s=s.load_bound_s,
            memory_bound_bytes=s.memory_bound_bytes,
            monitor_cpu_bound=s.monitor_cpu_bound + self.remote.programs_cpu(s.monitor_kind),
            poll_bound_bytes=s.poll_bound_bytes,
            serving=str(self.serving.binary),
            monitor_command=self._masked(self.monitor_command()),
            producer_command=self._masked(self.producer.argv),
            **({} if s.claims is None else {"claims": list(s.claims)}),
            **({"unseen": list(s.unseen)} if s.unseen else {}),
        )

    def _masked(self, argv: list[str]) -> list[str]:
        shown = list(argv)
        for secret in filter(None, self.remote.producer_environment.values()):
            shown = [word.replace(secret, STARS) for word in shown]
        return shown

    def record_server(self, **more: object) -> None:
        """Notes which processes serve, for the claim that they never change."""
        identity = self.serving.identity()
        self.history.record("server", remote=self.remote.name, identity=identity, **more)

    def _client_names(self) -> dict[str, str]:
        """Return the clients' names, each with its kind."""
        numbers = range(1, self.settings.clients + 1)
        return {
            kind if number == 1 else f"{kind}-{number}": kind
            for number in numbers
            for kind in KINDS
        }

    def _start_clients(self) -> None:
        manifest = self.published[-1]["manifest"]
        feed = self.folder / "feed.json"
        feed.write_text(json.dumps(manifest["probe"]["feed"]))
        ready = self.settings.ready
        client_config = ready[0].client if ready else self.folder / "producer" / "client"
        names = self._client_names()
        for name, kind in names.items():
            argv = [sys.executable, "-m", "harness.load.probe", kind, "--name", name]
            argv += [
                "--host",
                self.serving.host,
                "--port",
                str(self.serving.port),
                "--feed",
                str(feed),
            ]
            argv += ["--client_config", str(client_config)]
            argv += ["--fetch", manifest["fetches"][0]["alias"]]
            argv += ["--history", str(self.history.path), "--remote", self.remote.name]
            argv += ["--rate", str(self.settings.rate / len(names))]
            argv += ["--timeout", str(self.settings.latency_bound_s)]
            client = Process(
                f"the {name} client",
                argv,
                log=self.folder / f"client-{name}.log",
                grace_s=self.settings.latency_bound_s + 5,  # for the answer under way
                mark=self.mark,
            )
            self.clients[name] = self._start(client)
            self._started.append(client)

    def publish(self) -> Event:
        """Publish a release, wait until it is served or its bound is over; return its event."""
        event = self.announce()
        self.wait_until_served(event)
        return event

    def announce(self, bad: str = "") -> Event:
        """Publish a release and return its event, without waiting for the monitor.

        Args:
            bad: One of ``BAD_RELEASES``; "" for a good release.
        """
        begin = time.monotonic()
        number = int(self.published[-1]["release"]) + 1 if self.published else 1
        line = ""
        if bad:
            line = str(self._damaged(bad, number))
        elif self.settings.ready:
            line = str(self.settings.ready[len(self.published)].folder)
        elif self.settings.prepared:
            line = str(self.folder / "producer" / "releases" / str(number))
        # From now on the release may be public before it is recorded.
        self.history.record("publishing", remote=self.remote.name)
        # If the producer is gone, alive= below says why.
        with contextlib.suppress(BrokenPipeError):
            self.producer.stdin.write(f"{line}\n".encode())
            self.producer.stdin.flush()
        (line,) = wait_for(
            lambda: list(self._producer_events.new_lines()),
            f"the producer to publish release {number}",
            self.settings.train_deadline_s,
            every_s=0.01,
            alive=self._check,
            log=self.producer.log,
        )
        raw: dict[str, Any] = json.loads(line)
        manifest = raw["manifest"]
        if self.settings.ready:
            manifest = self.settings.ready[len(self.published)].content
        alias = manifest["fetches"][0]["alias"]
        event: Event = {
            "release": raw["release"],
            # No live directory and no answer may ever be a bad release's.
            "digest": "" if bad else self._digest(raw["release"]),
            "sha256": raw["sha256"],
            "size": manifest["size"],
            "expected": [] if bad else flat(manifest["probe"]["expected"][alias]),
            "t_begin": raw["t_begin"],
            "t_end": raw["t_end"],
            **({"good": False, "bad": bad} if bad else {}),
        }
        self.history.record("published", remote=self.remote.name, **event)
        self.published.append({**event, "manifest": manifest})
        took = time.monotonic() - begin
        kind = f" ({bad.replace('_', ' ')})" if bad else ""
        self.say(f"{self.remote.name}: release {raw['release']}{kind} published ({took:.1f} s)")
        return self.published[-1]

    def _damaged(self, kind: str, number: int) -> Path:
        """Make a bad release of the last good one; return its folder."""
        good = [event["release"] for event in self.published if event.get("good", True)]
        made = releases.read(self.folder / "producer" / "releases" / str(good[-1]))
        bad = BAD_RELEASES[kind](made.numbered(number))
        folder = self.folder / "bad-releases" / str(number)
        folder.mkdir(parents=True)
        (folder / releases.MODEL_NAME).write_bytes(bad.tarball)
        (folder / releases.DONEFILE_NAME).write_bytes(bad.donefile())
        return folder

    def _model(self, position: int, release: int) -> Path:
        """Return the unpacked model of a release by its position among all, or its number."""
        if self.settings.ready:
            return self.settings.ready[position].model
        return self.folder / "producer" / "releases" / str(release) / self.settings.model

    def _digest(self, release: int) -> str:
        model = self._model(len(self.published), release)
        content = look_once(model, TIME_FILE)
        if content is None:
            raise Failed(f"the producer left no {model}")
        return content.digest

    def wait(self, for_s: float) -> None:
        """Let the leg go on for some seconds. Raises ``Failed`` if a part ends by itself."""
        until = time.monotonic() + for_s
        wait_for(
            lambda: time.monotonic() >= until,
            f"{for_s:g} s",
            for_s + 1,
            every_s=min(0.05, for_s),
            alive=self._check,
        )

    def _wait_until_answered(self) -> None:
        """Wait until a request of each client that is sent from now on is answered.

        A gRPC client that finds no server waits longer before each new try to connect.
        """
        since = time.monotonic()

        def answered() -> bool:
            self.answers.read()
            good = self.answers.last_good_sent
            return all(good.get(client, 0.0) >= since for client in self.clients)

        # Later than that, the failures of a client are its own.
        with contextlib.suppress(Failed):
            wait_for(answered, "an answer to each client", self.settings.client_start_s)

    def rollback(self) -> None:
        """Go back to the release before, with the command of our monitor; wait until it serves.

        Raises:
            BadInput: The monitor is not ours.
            Failed: The command failed.
        """
        if self.settings.monitor_cmd or self.settings.monitor != OUR_MONITOR:
            raise BadInput("a rollback needs the command of our monitor; leave out --monitor-cmd")
        name = self.remote.name
        begin = time.monotonic()
        command = [*OUR_MONITOR, "rollback", "--local_path", ".", "--local_model_name", self.model]
        rolling = Process(
            f"the rollback of {name}",
            command,
            log=self.folder / "rollback.log",
            cwd=self.serving_folder,
            mark=self.mark,
        )
        with rolling:
            if rolling.wait(self.settings.bound_s) != 0:
                rolling.check()
        content = look_once(self.live_dir, TIME_FILE)
        digest = content.digest if content else ""
        release = next((e for e in self.published if e["digest"] == digest), None)
        if release is None:
            raise Failed(f"after the rollback {self.live_dir} holds no published release")
        self.history.record("rollback", remote=name, release=release["release"])
        self.say(f"{name}: rolled back to release {release['release']}")
        self.wait_until_served({**release, "t_begin": begin, "t_end": time.monotonic()})

    def wait_until_served(self, release: Event) -> bool:
        """Wait until this release is served to every client, or its bound is over.

        Returns:
            Whether the release was served to every client in time. If not, the history says so.

        Raises:
            Failed: A part ended by itself, so the leg cannot go on.
        """
        name = self.remote.name
        s = self.settings
        # A client's bound begins with its first request. The last request may itself end late.
        limit_s = s.client_start_s + s.bound_s + 2 * s.latency_bound_s
        self.answers.expect(release["expected"], release["t_begin"])
        wait_for(
            lambda: not self._waiting_for(release),
            f"every client of {name} to ask until the bound of release {release['release']} "
            "is over",
            limit_s,
            alive=self._check,
            last_seen=lambda: f"not by {self._waiting_for(release)}",
            log=self.monitor_log,
        )
        lacking = self._lacking()
        if not lacking:
            self.say(f"{name}: release {release['release']} served to all clients")
            self.let_each_client_ask(s.calm_s)
            return True
        self.history.record(
            "unserved", remote=name, release=release["release"], clients=lacking, bound_s=s.bound_s
        )
        self.say(
            f"{name}: release {release['release']} NOT served to {', '.join(lacking)} "
            f"within {s.bound_s:g} s"
        )
        # Only now: the server may still serve what the monitor swapped in before it ended.
        self._check_monitor()
        return False

    def _lacking(self) -> list[str]:
        """Return the clients that have not got the expected release yet."""
        self.answers.read()
        return sorted(set(self.clients) - self.answers.served)

    def _waiting_for(self, release: Event) -> list[str]:
        """Return the clients of ``_lacking`` whose bound is not over, judged by their answers."""
        waiting = []
        for client in self._lacking():
            first = self.answers.first_sent.get(client)
            if first is not None:
                begin = max(release["t_end"], first, self._outage_until)
                if self.answers.last_answered[client] >= begin + self.settings.bound_s:
                    continue
            waiting.append(client)
        return waiting

    def let_each_client_ask(self, for_s: float = 0.0) -> None:
        """Wait until every client has ended a request that it began ``for_s`` seconds from now.

        Gives up on a client that hangs.
        """
        since = time.monotonic() + for_s

        def asked() -> bool:
            self.answers.read()
            return all(self.answers.last_sent.get(client, 0.0) >= since for client in self.clients)

        with contextlib.suppress(Failed):
            wait_for(asked, "a request of each client", for_s + self.settings.latency_bound_s + 2)

    def finish(self) -> None:
        """Let the clients ask a little longer, to see a step back after the last release.

        Raises:
            Failed: A part ended by itself. The text has the end of its log.
        """
        self.let_each_client_ask(2 * self.settings.switch_window_s)
        self._check()
        self._check_monitor()

    def _check_monitor(self) -> None:
        if "monitor" not in self.down:
            self.monitor.check()

    def _check(self) -> None:
        for process in self._started:
            if process is self.producer and "producer" in self.down:
                continue
            # After its last pass the producer ends with exit code 0.
            if process is not self.producer or process.returncode != 0:
                process.check()
        self.remote.check()
        self.observer.check()
        if self._serving and "server" not in self.down:
            self.serving.check()

    def restart(self, part: str) -> None:
        """Start a part that a fault has ended, and wait until it is ready.

        Args:
            part: ``monitor``, ``producer``, ``server``, ``remote`` or a service of the remote.
        """
        if part == "monitor":
            self.monitor.start()
        elif part == "producer":
            self.producer.start()
        elif part == "server":
            self.serving.start()
            self.serving.ready()
            self.record_server(restarted=True)
            # An outage of the server lasts until its clients have noticed that it is back.
            self._wait_until_answered()
            self._outage_until = time.monotonic()
        else:
            self.remote.start(None if part == "remote" else part)
            self.remote.ready()
        self.down.discard(part)

    def _server_is_gone(self) -> bool:
        try:
            self.serving.check()
        except Failed:
            return True
        return False

    def stop(self) -> None:
        """End all parts in order. Raises ``Failed`` when a process is left."""
        try:
            if self.clients and self._server_is_gone():
                # The history must show the effect on the clients.
                self.let_each_client_ask()
            for client in self.clients.values():
                client.stop()
            if self.clients:
                self.record_server()
        finally:
            self._stack.close()
        left = marked(self.mark)
        if left:
            raise Failed(f"processes {left} of the {self.remote.name} leg are still running")
        self.say(f"{self.remote.name}: everything stopped, nothing left running")

    def __enter__(self) -> Leg:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _with_our_python() -> dict[str, str]:
    """Return the environment in which ``python`` is ours and finds the modules that are here."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    modules = os.pathsep.join(filter(None, (os.getcwd(), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PATH": path, "PYTHONPATH": modules}


def flat(value: Any) -> list[float]:
    """Return the numbers of nested lists in their order."""
    if isinstance(value, list):
        return [number for item in value for number in flat(item)]
    return [float(value)]
