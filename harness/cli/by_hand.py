"""``up``, ``publish``, ``predict``, ``break``, ``mend``, ``rollback``, ``status`` and ``down``.

They keep the parts of a run up between commands (docs/by-hand.md).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from harness.by_hand.follow import Follower
    from harness.by_hand.place import Place, Reply
    from harness.run.e2e import RunSettings

COMMANDS = ("up", "publish", "predict", "break", "mend", "rollback", "status", "down", "demo")
SUPERVISE = "supervise"
_START_S = 600.0
_STOP_S = 120.0
_HARNESS = (sys.executable, "-m", "harness")


def add_commands(
    commands: argparse._SubParsersAction[Any],
) -> None:
    """Add the commands to the harness's parser."""
    from harness.remotes.registry import NAMES

    add = commands.add_parser
    up = add("up", help="start the parts of a run by hand, and keep them up until `down`")
    demo = add("demo", help="the main job on a live screen, slowly; in plain lines if piped")
    demo.add_argument("--releases", type=int, default=4, help="how many releases (%(default)s)")
    demo.add_argument(
        "--every", type=float, default=10.0, help="seconds between two releases (%(default)s)"
    )
    demo.add_argument(
        "--record", type=Path, metavar="FILE", help="record the screen as SVG in FILE"
    )
    # Without a help text, because only `up` starts it.
    for parser in (up, add(SUPERVISE), demo):
        option = parser.add_argument
        option("--remotes", default="ftp", help=f"one of {', '.join(NAMES)} (%(default)s)")
        option("--serving", default="auto", help="auto, embedded or official (%(default)s)")
        option("--poll", type=float, default=1.0, help="seconds between two polls (%(default)s)")
        option("--tick", type=int, default=1, help="seconds between two ticks (%(default)s)")
        option(
            "--rate", type=float, default=3.0, help="requests a second of all clients (%(default)s)"
        )
        option("--port", type=int, help="the server's port (a free one)")
    demo.set_defaults(rate=30.0)
    publish = add("publish", help="publish a release, and wait until it is served")
    publish.add_argument(
        "--bad", default="", metavar="KIND", help="damage the release, such as corrupt"
    )
    publish.add_argument(
        "--wait",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="the longest wait, in seconds (%(default)s)",
    )
    add("predict", help="send one request with each client; print each value and its release")
    broken = add("break", help="cause a fault until `mend` (docs/faults.md lists the faults)")
    broken.add_argument("fault", help="the fault, such as refuse, silence or kill")
    broken.add_argument(
        "parameters", nargs="*", metavar="key=value", help="a parameter, such as target=server"
    )
    add("mend", help="end all faults")
    add("rollback", help="make the previous release live again")
    add("status", help="print what each part does now")
    add("down", help="end all parts")
    for name in (*COMMANDS, SUPERVISE):
        commands.choices[name].add_argument(
            "--runs",
            type=Path,
            default=Path("runs"),
            help="the folder that holds by-hand/ (%(default)s)",
        )


def run(args: argparse.Namespace, console: Console) -> int:
    """Run one of ``COMMANDS``. Return the exit code."""
    from harness.by_hand.place import Place

    place = Place(args.runs)
    if args.command == SUPERVISE:
        from harness.by_hand.supervisor import supervise

        return supervise(place, _settings(args))
    if args.command == "up":
        return _up(args, place, console)
    if args.command == "publish":
        return _publish(args, place, console)
    if args.command == "predict":
        return _predict(place, console)
    if args.command == "break":
        reply = place.ask("break", fault=args.fault, parameters=_parameters(args.parameters))
        print(f"broken: {reply['broken']}; `.venv/bin/python -m harness mend` ends the fault")
        return 0
    if args.command == "mend":
        print(f"mended: {'; '.join(place.ask('mend')['mended'])}")
        return 0
    if args.command == "rollback":
        place.ask("rollback")
        live = _followed(place).view.live
        print(f"release {live} is live again; the announced release is held back")
        return 0
    if args.command == "status":
        return _status(place, console)
    if args.command == "demo":
        return _demo(args, place, console)
    return _down(place)


def _settings(args: argparse.Namespace) -> RunSettings:
    """Return the settings of the parts. Raises ``BadInput`` for a wrong option."""
    from harness.remotes import registry
    from harness.run.e2e import RunSettings, check
    from harness.run.leg_settings import LegSettings
    from harness.support.errors import BadInput

    remotes = registry.chosen([name.strip() for name in args.remotes.split(",") if name.strip()])
    if len(remotes) != 1:
        raise BadInput("a run by hand has one remote; name one with --remotes")
    if args.tick < 1:
        raise BadInput(f"--tick {args.tick} is no interval; use whole seconds from 1 on")
    leg = LegSettings(
        # More than a person publishes. The producer trains each one only when it is asked to.
        releases=1_000_000,
        paced=False,
        rate=args.rate,
        poll_s=args.poll,
        tick_s=args.tick,
        keep=3,
        calm_s=0.0,
        # A broken remote delays a release as long as the user wants.
        train_deadline_s=30 * 86400.0,
    )
    settings = RunSettings(
        scenario="by-hand", remotes=remotes, serving=args.serving, port=args.port, leg=leg
    )
    check(settings)
    return settings


def _parameters(words: list[str]) -> dict[str, object]:
    """Return the parameters of a fault from words such as ``after=5000``."""
    from harness.support.errors import BadInput

    found: dict[str, object] = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not sign:
            raise BadInput(f"{word} is no parameter; write key=value, such as target=server")
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    return found


def supervisor_command(args: argparse.Namespace) -> list[str]:
    """Return the command of a supervisor with the options of ``up``."""
    names = ("remotes", "serving", "poll", "tick", "rate", "port", "runs")
    given = [(name, getattr(args, name)) for name in names]
    return [
        *_HARNESS,
        SUPERVISE,
        *(f"--{name}={value}" for name, value in given if value is not None),
    ]


def _up(args: argparse.Namespace, place: Place, console: Console) -> int:
    from harness.by_hand.place import NothingUp
    from harness.run.observe import Tail
    from harness.support.errors import Failed

    _settings(args)
    place.make_ready()
    lines = Tail(place.log)
    with place.log.open("ab") as log:
        supervisor = subprocess.Popen(
            supervisor_command(args),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            # A Ctrl-C of the terminal must reach the supervisor only through this process.
            start_new_session=True,
        )
    last = ""
    try:
        end = time.monotonic() + _START_S
        while time.monotonic() < end:
            code = supervisor.poll()
            for line in lines.new_lines():
                last = line
                if not line.startswith("harness: "):
                    print(line, flush=True)
            if code is not None:
                why = last[len("harness: ") :] if last.startswith("harness: ") else ""
                error = Failed(
                    why or f"the supervisor ended with exit code {code}; see {place.log}"
                )
                error.exit_code = code or Failed.exit_code
                raise error
            with contextlib.suppress(NothingUp):
                reply = place.ask("status")
                if reply["ready"]:
                    _print_up(reply, place, console)
                    return 0
            time.sleep(0.1)
        raise Failed(f"the parts were not up after {_START_S:g} s; see {place.log}")
    except BaseException:
        if supervisor.poll() is None:
            supervisor.send_signal(signal.SIGTERM)
            supervisor.wait(_STOP_S)
        raise


def _print_up(reply: Reply, place: Place, console: Console) -> None:
    """Print where everything is, and what to type next."""
    from rich.table import Table

    def line(text: str = "") -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    def table(rows: list[tuple[str, str]]) -> None:
        shown = Table.grid(padding=(0, 2))
        for title, text in rows:
            shown.add_row("", title, text)
        console.print(shown, markup=False, highlight=False, soft_wrap=True)

    line(f"\nup: {reply['remote']} at {reply['url']}, server on 127.0.0.1:{reply['port']}\n")
    line("look into")
    table([(title, _short(path)) for title, path in reply["folders"].items()])
    line("type next (.venv/bin/python -m harness …)")
    table(
        [
            ("publish", "a new release; --bad corrupt damages the release"),
            ("predict", "ask with each client"),
            ("break refuse", "the remote refuses connections; mend ends the fault"),
            ("status", "what each part does now"),
            ("down", "end all parts"),
        ]
    )


def _short(path: str) -> str:
    """Return a path as it is seen from the working directory, if it lies below."""
    with contextlib.suppress(ValueError):
        return str(Path(path).relative_to(Path.cwd()))
    return path


def _followed(place: Place) -> Follower:
    """Return the follower of the run's history, with all that happened until now."""
    from harness.by_hand.follow import Follower

    follower = Follower(place.history)
    follower.update()
    return follower


def _publish(args: argparse.Namespace, place: Place, console: Console) -> int:
    """Publish a release. Return 1 if the release is not served in time."""
    follower = _followed(place)
    reply = place.ask("publish", bad=args.bad)
    if "pending" in reply:
        print(
            f"release {reply['pending']} is not public yet: the producer tries until the remote "
            "takes it; `.venv/bin/python -m harness mend` ends a fault"
        )
        return 1
    view = follower.view
    number = int(reply["release"])
    follower.update()
    published = view.published[number]
    print(f"{published.label} is published", flush=True)
    if published.bad:
        print(
            f"no monitor may install it: release {view.live} stays live, and "
            "`.venv/bin/python -m harness status` shows what the monitor says"
        )
        return 0
    end = time.monotonic() + args.wait
    live = loaded = False
    while time.monotonic() < end:
        follower.update()
        if not live and view.live == number:
            live = True
            print(
                f"{_after(view.swapped, published.t)}  the live directory is release {number}",
                flush=True,
            )
        if live and not loaded and view.loaded >= view.swapped:
            loaded = True
            print(f"{_after(view.loaded, published.t)}  the server has reloaded", flush=True)
        if view.served_by_all(number):
            last = max(client.last.t for client in view.clients.values() if client.last)
            print(f"{_after(last, published.t)}  the clients get release {number}")
            return 0
        time.sleep(0.05)
    print(
        f"release {number} is not served after {args.wait:g} s; "
        "`.venv/bin/python -m harness status` says what each part does"
    )
    return 1


def _after(t: float, since: float) -> str:
    return f"{t - since:+7.2f} s"


def _predict(place: Place, console: Console) -> int:
    """Ask once with each client. Return 1 if a request failed."""
    import tempfile

    from harness.checker.history import read
    from harness.load.asking import KINDS
    from harness.support.process import Process

    state = place.ask("status")
    if not state["ready"]:
        return _say_starting()
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        history = folder / "answers.jsonl"
        asking = []
        for kind in KINDS:
            argv = [sys.executable, "-m", "harness.load.probe", kind, "--count", "1"]
            argv += ["--port", str(state["port"]), "--client_config", state["client_config"]]
            argv += ["--feed", state["feed"], "--fetch", state["fetch"], "--timeout", "10"]
            argv += ["--history", str(history), "--remote", state["remote"], "--rate", "10"]
            asking.append(Process(f"the {kind} client", argv, log=folder / f"{kind}.log"))
        for client in asking:
            stack.enter_context(client)
        for client in asking:
            if client.wait(60) != 0:
                client.check()
        answers = {e["client"]: e for e in read(history) if e["event"] == "prediction"}
    view = _followed(place).view
    failed = False
    for kind in KINDS:
        answer = answers[kind]
        if "error" in answer:
            failed = True
            print(f"{kind:5} failed: {answer['error']}")
            continue
        release = view.release_of(answer["value"])
        value = " ".join(f"{number:.4f}" for number in answer["value"])
        print(f"{kind:5} {value}  {f'release {release}' if release else 'no known release'}")
    return 1 if failed else 0


def _say_starting() -> int:
    from harness.support.errors import BadInput

    raise BadInput(
        "the parts start or stop now; try again when `.venv/bin/python -m harness up` has ended"
    )


def _status(place: Place, console: Console) -> int:
    from rich.table import Table

    from harness.by_hand.place import NothingUp
    from harness.by_hand.rows import rows

    try:
        state = place.ask("status", announced=True)
    except NothingUp:
        if place.crashed:
            raise NothingUp(
                f"the supervisor of {place.folder} was killed, and all parts ended with it; "
                "`.venv/bin/python -m harness up` starts them again"
            ) from None
        raise
    if not state["ready"]:
        return _say_starting()
    table = Table.grid(padding=(0, 2))
    for title, text in rows(state, _followed(place).view, time.monotonic()):
        table.add_row(title, text)
    for title, path in state["folders"].items():
        table.add_row(title, _short(path))
    console.print(table, markup=False, highlight=False)
    return 0


def _down(place: Place) -> int:
    """End everything. Return 0, also if nothing is up."""
    from harness.by_hand.place import NothingUp
    from harness.support.waits import wait_for

    try:
        pid = int(place.ask("status")["pid"])
        place.ask("down")
    except NothingUp:
        if place.end_what_is_left():
            print(f"the supervisor of {place.folder} was killed before; nothing is left running")
        else:
            print(f"nothing is up in {place.folder}")
        return 0
    wait_for(lambda: not Path(f"/proc/{pid}").exists(), "the supervisor to end", _STOP_S)
    print(f"down: everything has stopped; logs and history stay in {_short(str(place.folder))}")
    return 0


def _demo(args: argparse.Namespace, place: Place, console: Console) -> int:
    """Do the main job on a live screen, or in plain lines. Return the verdict's exit code."""
    from harness.by_hand import plain
    from harness.by_hand.desk import Desk
    from harness.checker.history import read
    from harness.checker.verdict import judge
    from harness.report.summary import print_verdict
    from harness.support.errors import BadInput, Failed
    from harness.support.process import Process

    _settings(args)
    if args.releases < 1 or not args.every > 0:
        raise BadInput(
            f"--releases {args.releases} --every {args.every:g} publishes nothing; use at least 1 "
            "release, and more than 0 seconds"
        )
    place.make_ready()
    # Unlike the supervisor of `up`, this one ends with the screen, also after kill -9.
    supervisor = Process(
        "the supervisor",
        supervisor_command(args),
        log=place.log,
        grace_s=_STOP_S,
    )
    desk = Desk(place, releases=args.releases, every_s=args.every)
    with supervisor:
        if sys.stdout.isatty() and sys.stdin.isatty():
            from harness.by_hand.recording import Recording
            from harness.by_hand.screen import LiveScreen

            recording = Recording(args.record) if args.record else None
            LiveScreen(desk, recording=recording).run()
            if recording is not None:
                recording.write()
            if desk.error:
                raise Failed(desk.error)
            print("everything is being stopped …", flush=True)
        else:
            plain.watch(desk, args.every)
        place.ask("down")
        supervisor.wait(_STOP_S)
    verdict = judge(read(place.history))
    print_verdict(console, verdict)
    return verdict.exit_code
