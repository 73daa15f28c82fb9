"""A run: a scenario on every remote, one leg after the other, then the verdict and the report.

``python -m harness run SCENARIO`` starts a run. ``make e2e`` runs the scenario ``page``.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Callable, Optional

from rich.console import Console

from harness.checker import history as histories
from harness.checker.completeness import EXPECTED_PREDICTIONS
from harness.checker.history import History
from harness.checker.leg_history import same
from harness.checker.outcome import Outcome
from harness.checker.verdict import Verdict, judge
from harness.containers import monitor as container_monitor
from harness.faults.base import Fault
from harness.load.patched_client import patched_library
from harness.remotes.registry import REMOTES, RemoteType
from harness.report.badge import write_badge
from harness.report.environment import machine, versions, write_environment
from harness.report.files import append_summary, write_report
from harness.report.html.facts import facts as facts_of
from harness.report.masking import keep_secrets, masked, remember_environment, remember_secrets
from harness.report.summary import print_report
from harness.serving.base import Serving
from harness.serving.binary import ServingBinary
from harness.serving.running import RunningServing
from harness.support.errors import BadInput, Failed, HarnessError
from harness.support.ports import free_port, is_listening
from harness.support.process import new_mark
from harness.support.run_folder import kept, new_run_folder, point_latest_at, prune

from . import backend
from .backend import ServingSettings
from .equipment import Equipment, equipped
from .leg import Leg
from .leg_settings import LegSettings
from .ready_releases import flat, ready_releases
from .requirements import require_movable_monitor, require_parts, require_servers
from .steps import Cause, Publish, Step, counted

# Loading Paddle takes seconds; a driver that hangs takes for ever.
_TRIAL_S = 120
# What producer.trial_gpu puts before its sentence.
_TRIAL_SAYS = "trial gpu: "
SERVING_TRIALS = ("run", "skip")
DEVICES = ("cpu", "gpu")


@dataclass(frozen=True)
class RunSettings:
    """The settings of a run: ``remotes`` in order, where they run (``on``), the serving binary.

    ``serving_trial`` is ``run``, or ``skip`` for a binary that is known to fail its trial.
    ``steps`` are the steps of the scenario, which each leg takes.
    """

    scenario: str = "page"
    steps: tuple[Step, ...] = (Publish(),)
    remotes: tuple[RemoteType, ...] = REMOTES
    on: str = "local"
    # Where the monitor runs: local, or docker for a container of its own.
    monitor_on: str = "local"
    serving: str = "auto"
    serving_trial: str = "run"
    # A folder of releases to publish instead of the producer's.
    releases_from: Optional[Path] = None
    # A binary to use instead of what SERVING_BIN names.
    serving_bin: Optional[Path] = None
    # A server that runs already.
    server: Optional[RunningServing] = None
    # ``cpu`` or ``gpu``.
    device: str = "cpu"
    # The port of the first leg's server; None: a free one.
    port: Optional[int] = None
    # Whether the run ends at the first leg that fails.
    fail_fast: bool = False
    # Where the run folder is made.
    runs: Path = Path("runs")
    # The command that repeats the run; empty if the run was not started by a command.
    command: tuple[str, ...] = ()
    leg: LegSettings = field(default_factory=LegSettings)

    @property
    def faults(self) -> list[Fault]:
        """Return all faults that the steps cause."""
        return [step.made for step in self.steps if isinstance(step, Cause)]


def run(settings: RunSettings, console: Console) -> int:
    """Runs the whole job. Gives the exit code: 0 valid, 1 invalid, 3 unknown.

    Raises:
        BadInput: An option is wrong or a prerequisite is missing; usually before the first leg.
        Failed: A part failed. The verdict and the report come first; ``exit_code`` is the
            verdict's.
        KeyboardInterrupt: The run was interrupted. The verdict and the report come first.
    """
    begin = time.monotonic()
    check(settings)
    keep = kept()

    def say(text: str) -> None:
        console.print(f"[{time.monotonic() - begin:6.1f} s] {text}", markup=False, highlight=False)

    prepare(settings, say)
    if settings.monitor_on == "docker":
        image = container_monitor.prepare(say)
        settings = replace(settings, leg=replace(settings.leg, monitor_image=image))
    binary = serving_binary(settings, say)
    console.print(f"serving binary: {binary}", markup=False, highlight=False, soft_wrap=True)
    # Before the folder's name is printed, because the history must begin right after that.
    machine_facts = {"machine": machine(settings.device), "versions": versions()}
    folder = new_run_folder(settings.runs, settings.leg.seed)
    try:
        if settings.releases_from is not None:
            settings = _with_releases(settings, settings.releases_from, folder / "releases", say)
        point_latest_at(folder)
    except BaseException:
        # The run has not begun: remove its folder.
        shutil.rmtree(folder, ignore_errors=True)
        raise
    say(f"artefacts of this run: {folder}")
    gone = prune(settings.runs, keep)
    if gone:
        say(f"older runs removed: {len(gone)} ({keep} are kept; KEEP_RUNS names another number)")
    history = History(folder / "history.jsonl")
    cut_short: Optional[BaseException] = None
    try:
        history.record(
            "run",
            schema=histories.SCHEMA,
            scenario=settings.scenario,
            utc=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            seed=settings.leg.seed,
            remotes=[remote.name for remote in settings.remotes],
            on=settings.on,
            monitor_on=settings.monitor_on,
            servers=settings.leg.servers,
            serving=str(binary),
            device=settings.device,
            **machine_facts,
            **({"command": masked(list(settings.command))} if settings.command else {}),
        )
        cut_short = _all_legs(settings, binary, folder, history, say)
        history.record("end")
    except (HarnessError, KeyboardInterrupt) as error:
        cut_short = error
        with contextlib.suppress(HarnessError):  # a full disk: the first error is the one to tell
            history.record("cut_short", why=_first_line(error))
    finally:
        history.close()
    verdict, unwritten = _finish(settings, folder, binary=binary, console=console, begin=begin)
    cut_short = cut_short or unwritten
    if cut_short is None:
        return verdict.exit_code
    if isinstance(cut_short, HarnessError) and (
        isinstance(cut_short, Failed) or verdict.outcome is Outcome.INVALID
    ):
        # Without a report even a valid run ends with an error.
        cut_short.exit_code = verdict.exit_code or BadInput.exit_code
    raise cut_short


def serving_binary(settings: RunSettings, say: Callable[[str], None]) -> ServingBinary:
    """Return what serves. Raises ``BadInput`` if it cannot be had."""
    if settings.server is not None:
        return settings.server.binary
    serving = backend.of_serving(settings.serving)
    return serving.binary(
        settings.serving, settings.device, settings.serving_trial, say, settings.serving_bin
    )


def _with_releases(
    settings: RunSettings, folder: Path, work: Path, say: Callable[[str], None]
) -> RunSettings:
    """Return the settings with the releases of ``folder``.

    Raises:
        BadInput: They cannot be published, or the scenario needs more of them.
    """
    publishing = [step for step in settings.steps if isinstance(step, Publish)]
    ready = ready_releases(folder, work)
    count = settings.leg.releases if all(step.count for step in publishing) else len(ready)
    needed = max(count, counted(settings.steps))
    if needed > len(ready):
        raise BadInput(
            f"the scenario {settings.scenario} publishes {needed} releases, and "
            f"--releases-from {folder} holds {len(ready)}; add releases, or choose another scenario"
        )
    unseen = settings.leg.unseen
    alias = ready[0].content["fetches"][0]["alias"]
    expected = [flat(release.content["probe"]["expected"][alias]) for release in ready]
    for number, one in enumerate(expected):
        if any(same(one, other, settings.leg.rtol) for other in expected[:number]):
            say(f"{ready[number].folder} predicts what an earlier release does")
            unseen = (*unseen, EXPECTED_PREDICTIONS)
            break
    name = next(ready[0].folder.glob("*.tar.gz")).name[: -len(".tar.gz")]
    leg = replace(
        settings.leg, ready=ready, name=name, releases=count, prepared=False, unseen=unseen
    )
    return replace(settings, leg=leg)


def _first_line(error: BaseException) -> str:
    return "interrupted" if isinstance(error, KeyboardInterrupt) else str(error).splitlines()[0]


def check(settings: RunSettings) -> None:
    """Raise ``BadInput`` for a setting that is wrong."""
    for option, value, known in (
        ("ON", settings.on, backend.PLACES),
        ("--monitor-on", settings.monitor_on, backend.PLACES),
        ("SERVING", settings.serving, backend.SERVINGS),
        ("SERVING_TRIAL", settings.serving_trial, SERVING_TRIALS),
        ("DEVICE", settings.device, DEVICES),
    ):
        if value not in known:
            raise BadInput(f"{option}={value} is not known; use one of {', '.join(known)}")
    if settings.port is not None and not 1 <= settings.port <= 65535:
        raise BadInput(f"--port {settings.port} is no TCP port; use 1 to 65535")
    if not 0 < settings.leg.poll_s <= 3600:
        raise BadInput(f"--poll {settings.leg.poll_s:g} is no interval; use seconds up to 3600")
    if not 1 <= settings.leg.rate <= 100_000:
        raise BadInput(f"RATE={settings.leg.rate:g} is no rate; use 1 to 100000 requests a second")
    if not 0 < settings.leg.margin_s <= 86400:
        raise BadInput(f"--margin {settings.leg.margin_s:g} is no time; use seconds up to 86400")
    if not 0 <= settings.leg.seed < 2**31:
        raise BadInput(f"SEED={settings.leg.seed} is no seed; use 0 to {2**31 - 1}")
    if settings.port is not None and is_listening(settings.port):
        raise BadInput(f"port {settings.port} on 127.0.0.1 is in use; name another with --port")
    if settings.leg.releases < 2:
        raise BadInput(
            f"RELEASES={settings.leg.releases} shows no hot loading; publish at least 2 releases"
        )
    least = counted(settings.steps)
    # ``_with_releases`` counts the releases of a folder.
    if settings.releases_from is None and settings.leg.releases < least:
        raise BadInput(
            f"RELEASES={settings.leg.releases} is too few, because the steps of "
            f"{settings.scenario} publish {least} releases; use {least} or more"
        )
    require_servers(settings.leg.servers)
    require_parts(
        settings.scenario,
        settings.steps,
        settings.leg,
        settings.remotes,
        releases_given=settings.releases_from is not None,
    )
    if settings.monitor_on != "local":
        require_movable_monitor(settings.leg, settings.faults)
    if settings.leg.servers > 1:
        _require_own_servers(settings)
    if settings.server is not None and len(settings.remotes) > 1:
        raise BadInput(
            "--server names one server, and each remote needs one of its own; name one remote "
            "with --remotes"
        )
    if settings.device == "gpu" and not Path("/dev/nvidiactl").exists():
        raise BadInput(
            "DEVICE=gpu, but this machine has no NVIDIA GPU (no /dev/nvidiactl); use DEVICE=cpu"
        )


def _require_own_servers(settings: RunSettings) -> None:
    """Raise ``BadInput`` unless the run itself can start several servers on this machine."""
    if settings.server is not None:
        raise BadInput("--server names one server; leave out --servers")
    if settings.port is not None:
        raise BadInput("--port names the port of one server; leave out --port or --servers")
    if backend.of_serving(settings.serving).name != "local":
        raise BadInput(
            f"--servers starts servers on this machine; use SERVING=auto, embedded or official, "
            f"not {settings.serving}"
        )


def prepare(settings: RunSettings, say: Callable[[str], None]) -> None:
    """Make this process and machine ready for all legs.

    Raises:
        BadInput: A leg would miss something.
    """
    # All parts are on this machine, which the user's proxy does not reach.
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), "127.0.0.1", "localhost")))
    on = backend.of_remotes(settings.on)
    serving = backend.of_serving(settings.serving)
    for one in dict.fromkeys((on, serving)):
        one.prepare(
            settings.remotes if one is on else (),
            settings.serving if one is serving else None,
            settings.device,
            say,
        )
    for fault in settings.faults:
        fault.require()
        for need, one in (("gate", on), ("disk", serving)):
            if need in fault.needs and one.name != "local":
                raise BadInput(
                    f"the fault {fault.name} needs a {need}, and {one.name} has none; run the "
                    "remotes (ON=local) and the server on this machine"
                )
    if settings.device == "gpu":
        _try_gpu()


def _try_gpu() -> None:
    """Raise ``BadInput`` if Paddle cannot compute on the GPU here; Paddle itself only warns."""
    trial = [sys.executable, "-m", "producer.trial_gpu"]
    try:
        done = subprocess.run(trial, capture_output=True, text=True, check=False, timeout=_TRIAL_S)
    except subprocess.TimeoutExpired:
        raise BadInput(
            f"Paddle computes nothing on the GPU here within {_TRIAL_S} s; look at nvidia-smi, or "
            "use DEVICE=cpu"
        ) from None
    if done.returncode:
        # Paddle's own warnings stand around it.
        for line in done.stderr.splitlines():
            if line.startswith(_TRIAL_SAYS):
                raise BadInput(line[len(_TRIAL_SAYS) :])
        raise BadInput(
            f"Paddle cannot compute on the GPU here: `{' '.join(trial)}` ended with exit code "
            f"{done.returncode} ({(done.stderr.strip().splitlines() or ['no word'])[-1]}); use "
            "DEVICE=cpu"
        )


def _all_legs(
    settings: RunSettings,
    binary: ServingBinary,
    folder: Path,
    history: History,
    say: Callable[[str], None],
) -> Optional[Failed]:
    """Run all legs, even after a leg that was cut short.

    Returns:
        Why the first such leg was cut short; None if all legs ended well.
    """
    first: Optional[Failed] = None
    for listed in settings.remotes:
        name = listed.name
        began = time.monotonic()
        try:
            with equipped(settings.faults, folder / name) as equipment:
                leg = new_leg(
                    settings,
                    listed,
                    folder / name,
                    binary=binary,
                    history=history,
                    say=say,
                    equipment=equipment,
                    mark=new_mark(),
                )
                _one_leg(leg, settings)
        except (Failed, OSError) as error:
            failed = _first_failure(error)
            why = _first_line(failed)
            history.record("cut_short", remote=name, why=why)
            say(f"{name}: cut short: {why}")
            first = first or failed
            if settings.fail_fast:
                break
        else:
            history.record("leg_ended", remote=name, seconds=time.monotonic() - began)
    return first


def new_leg(
    settings: RunSettings,
    remote: RemoteType,
    folder: Path,
    *,
    binary: ServingBinary,
    history: History,
    say: Callable[[str], None],
    equipment: Equipment,
    mark: str,
) -> Leg:
    """Return the leg of a remote, not started; ``mark`` is in the environment of its processes."""
    servings: list[Serving] = [settings.server] if settings.server else []
    for number in range(len(servings) + 1, settings.leg.servers + 1):
        own = folder if settings.leg.servers == 1 else folder / str(number)
        model = settings.leg.model
        if number == 1 and equipment.disk is not None:
            # An absolute path leads out of the server's folder, to the monitor's own disk.
            model = str(equipment.disk.seen / model)
        servings.append(_serving(settings, binary, own / "serving", model, mark))
    made = backend.of_remotes(settings.on).remote(remote, folder / "remote", mark=mark)
    # A bundle that is made later must have none of these.
    secrets = made.producer_environment.values()
    commands = f"{settings.leg.monitor_cmd} {settings.leg.producer_cmd}"
    keep_secrets(folder.parent, secrets, commands)
    return Leg(
        made,
        servings,
        folder=folder,
        history=history,
        settings=settings.leg,
        mark=mark,
        say=say,
        equipment=equipment,
    )


def _serving(
    settings: RunSettings, binary: ServingBinary, folder: Path, model: str, mark: str
) -> Serving:
    """Return one server of a leg, not started."""
    server = ServingSettings(
        binary=binary,
        port=settings.port or free_port(),
        model=model,
        tick_s=settings.leg.tick_s,
        device=settings.device,
    )
    return backend.of_serving(settings.serving).serving(folder, server, mark=mark)


def _first_failure(error: BaseException) -> Failed:
    """Return the first error of a leg, not an error of stopping its parts afterwards.

    Raises ``KeyboardInterrupt`` if one of these errors was an interrupt.
    """
    first = error
    while first.__context__ is not None and not first.__suppress_context__:
        first = first.__context__
        if isinstance(first, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        if isinstance(first, (Failed, OSError)):
            error = first
    if isinstance(error, OSError):
        # For example a full disk or a folder that cannot be written.
        where = f": {error.filename}" if error.filename else ""
        return Failed(f"{error.strerror or error}{where}; mend that, and run again")
    assert isinstance(error, Failed)
    return error


def _one_leg(
    leg: Leg,
    settings: RunSettings,
) -> None:
    with leg:
        if settings.fail_fast:
            _require_no_finding(leg.history.path)
        for step in settings.steps:
            for _ in step.take(leg):
                if settings.fail_fast:
                    _require_no_finding(leg.history.path)
        leg.finish()
        if settings.fail_fast:
            _require_no_finding(leg.history.path)


def _require_no_finding(path: Path) -> None:
    """Raise ``Failed`` if the history so far breaks a claim."""
    for claim in judge(histories.read(path)).broken:
        raise Failed(f"--fail-fast: ended at the first broken claim, {claim.remote}: {claim.name}")


def _finish(
    settings: RunSettings,
    folder: Path,
    *,
    binary: ServingBinary,
    console: Console,
    begin: float,
) -> tuple[Verdict, Optional[Failed]]:
    """Judge the history; print and write the report.

    Returns:
        The verdict; and the error if the report could not be written.
    """
    path = folder / "history.jsonl"
    remember_environment()
    remember_secrets(folder)
    verdict = judge(histories.read(path))
    report = facts_of(histories.read(path), verdict)
    facts = {
        "scenario": settings.scenario,
        "serving binary": str(binary),
        "remotes": f"{', '.join(remote.name for remote in settings.remotes)} on {settings.on}",
        "monitor": f"on {settings.monitor_on}",
        "seed": str(settings.leg.seed),
        "device": settings.device,
    }
    started = os.environ.get("HARNESS_STARTED")
    run_s = time.monotonic() - begin
    if started:
        # Set by the Makefile before the set-up began, in seconds since the epoch.
        facts["set-up"] = f"{time.time() - float(started) - run_s:.1f} s"
    facts["run"] = f"{run_s:.1f} s"
    print_report(console, report.rows, verdict, str(binary))
    try:
        write_report(folder, report, verdict, facts)
        append_summary(folder)
        write_badge(folder, verdict, settings.scenario, str(binary))
        programs = {"client": patched_library()}
        if settings.server is None:
            programs["serving"] = binary.path
        write_environment(folder, programs, settings.device)
    except OSError as error:
        why = f"{error.strerror or error}: {error.filename or folder}"
        return verdict, Failed(
            f"the report cannot be written: {why}; mend that, then type "
            f"`.venv/bin/python -m harness report {folder}`"
        )
    times = ", ".join(f"{name} {facts[name]}" for name in ("set-up", "run") if name in facts)
    console.print(f"{times}; report: {folder / 'report.html'}", markup=False, highlight=False)
    return verdict, None
