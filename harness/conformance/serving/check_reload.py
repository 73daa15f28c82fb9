"""Reloads: when there is one, what is logged, and what becomes of the clients."""

from __future__ import annotations

import functools
import os
import signal
from pathlib import Path
from typing import Callable, NamedTuple

from harness.support import waits
from harness.support.live_directory import TIME_FILE

from .by_hand import ByHand
from .check_http import predicted
from .check_log import BEGIN, IDLE, STAT_FAILED, lines_exactly, lines_in_order, tick_with
from .checks import PRICE, PRICE_2, Missing, Subject, holds, same
from .server import Launched


def set_second(server: Launched, second: float) -> None:
    """Set the time file of a server's live directory to this second."""
    os.utime(server.live / TIME_FILE, (second, second))


def ticks(server: Launched, count: int) -> str:
    """Wait for whole ticks; return the log since."""
    start = len(server.log())
    for _ in range(count + 1):
        seen = len(server.log())
        server.wait_for_log(BEGIN, start=seen)
    return server.log()[start:]


def new_second(subject: Subject) -> None:
    """Another second in the time file loads the model and logs these lines, in order.

    The index alternates from reload to reload.
    """
    with subject.launch() as server:
        same(predicted(server), PRICE, "before")
        for index, model, wanted in ((1, "uci_2", PRICE_2), (0, "uci", PRICE)):
            start = len(server.log())
            server.install(subject.models / model)
            text = tick_with(server, "infer.h:239] Succ load engine", start)
            same(predicted(server), wanted, f"after {model}")
            loading = r"W infer\.h:434\] tid:\d+ Loading clone model \.\.\."
            done = (
                r"W infer\.h:481\] \[\d+\] Reload clone model and cube cache done\. "
                rf"switching to current_idx\[{index}\]"
            )
            cloned = r"W infer\.h:474\] tid:\d+ clone caches done"
            lines_exactly(
                text,
                [
                    IDLE[0],
                    r"W infer\.cpp:134\] begin reload model\[uci_housing_model\]\.",
                    loading,
                    rf"W infer\.h:447\] create cube cache\[{index}\] done\.",
                    done,
                    *([loading, cloned, done] * server.threads),
                    r"W infer\.h:239\] Succ load engine, path: uci_housing_model",
                    r"I request_cache\.cpp:230\] Clear 0 key!",
                    *IDLE[1:],
                ],
            )


def older_second(subject: Subject) -> None:
    """An older second reloads too; the same second with another fraction does not.

    The server's process stays the same.
    """
    server = subject.server
    pid = server.pid
    before = server.reloads()
    set_second(server, 1_000_000_000.0)
    waits.wait_for(lambda: server.reloads() > before, "a reload", 15, log=server.log_file())
    same(server.reloads(), before + 1, "reloads for an older second")
    set_second(server, 1_000_000_000.7)
    ticks(server, 2)
    same(server.reloads(), before + 1, "reloads for another fraction")
    same(server.pid, pid, "the pid")


def directory_gone(subject: Subject) -> None:
    """The live directory gone: each tick logs `Failed stat`, and the old model serves on.

    Back with the same second: no reload.
    """
    server = subject.server
    before = server.reloads()
    away = server.live.with_name("away")
    server.live.rename(away)
    start = len(server.log())
    server.wait_for_log(STAT_FAILED, start=start)
    text = ticks(server, 1)
    holds(STAT_FAILED in text, "not on every tick")
    holds(STAT_FAILED in server.log("ERROR"), "it is not in serving.ERROR")
    same(predicted(server), PRICE, "while it is gone")
    away.rename(server.live)
    ticks(server, 1)
    text = ticks(server, 1)
    holds(STAT_FAILED not in text, text[-300:])
    same(server.reloads(), before, "reloads")


def _truncated(source: Path, target: Path) -> None:
    data = source.read_bytes()
    # Half of the last element: Paddle Inference itself refuses a file that is cut further back,
    # where the next tensor's description should be.
    target.write_bytes(data[:-2] if source.name == "params.pdiparams" else data)


def truncated_parameters(subject: Subject) -> bool:
    """Truncated parameters are accepted, and answers are wrong."""
    # A server that has loaded the whole second model may still have its last bytes in memory.
    with subject.launch() as server:
        start = len(server.log())
        server.install(subject.models / "uci_2", place=_truncated)
        waits.wait_for(functools.partial(_reload_ended, server, start), "the reload to end", 20)
        text = server.log()[start:]
        if "Failed reload resource!" in text:
            holds("the file is truncated" in text, text)
            same(predicted(server), PRICE, "with truncated parameters in the live directory")
            server.reload(subject.models / "uci_2")
            same(predicted(server), PRICE_2, "with whole ones")
            return True
        holds("Succ load engine" in text, "the server has ended")
        seen = predicted(server)
        holds(seen != PRICE, "the model before serves on, though the log says that it was loaded")
        holds(seen != PRICE_2, "answers are right")
        return False


def time_file_elsewhere(subject: Subject) -> None:
    """A time file elsewhere, changed while the directory is gone: four lines.

    There is no retry until it changes again.
    """
    with subject.folder() as folder:
        tag = folder / "elsewhere"
        tag.touch()
        with subject.by_hand(time_file=str(tag)) as server:
            server.start()
            away = server.live.with_name("away")
            server.live.rename(away)
            start = len(server.log())
            os.utime(tag, (1_000_000_000, 1_000_000_000))
            text = server.wait_for_log("Failed reload resource!", start)
            lines_in_order(
                text,
                [
                    r"W infer\.cpp:134\] begin reload model\[uci_housing_model\]\.",
                    r"E paddle_engine\.h:167\] create paddle predictor failed, "
                    r"path not exits: .*",
                    r"E infer\.h:438\] Failed create model, path: .*",
                    r"E infer\.cpp:283\] Failed reload version engine: .*",
                    r"E server\.cpp:157\] Failed reload resource!",
                ],
            )
            same(predicted(server), PRICE, "meanwhile")
            away.rename(server.live)
            for _ in range(3):
                seen = len(server.log())
                server.wait_for_log("Finish reload 1 workflow(s)", seen)
            same(server.log()[start:].count("begin reload model"), 1, "tries")
            seen = len(server.log())
            os.utime(tag, (1_000_000_001, 1_000_000_001))
            server.wait_for_log("infer.h:239] Succ load engine", seen)
            same(predicted(server), PRICE, "afterwards")


def corrupt(live: Path) -> None:
    """Overwrite the parameters with bytes that are none."""
    params = live / "params.pdiparams"
    params.write_bytes(b"\xff" * params.stat().st_size)


def garbage(live: Path) -> None:
    """Overwrite the program with bytes that are none."""
    (live / "model.pdmodel").write_bytes(bytes(range(256)) * 8)


def no_params(live: Path) -> None:
    """Remove the parameters."""
    (live / "params.pdiparams").unlink()


def no_program(live: Path) -> None:
    """Remove the program."""
    (live / "model.pdmodel").unlink()


def _reload_ended(server: Launched, start: int) -> bool:
    if not server.process.running:
        return True
    text = server.log()[start:]
    return "Failed reload resource!" in text or "Succ load engine" in text


class Damage(NamedTuple):
    """One way to spoil a live model.

    It names the signal that ends the real server, and the words of a server that stays up and
    refuses the model.
    """

    spoil: Callable[[Path], None]
    signum: signal.Signals
    reason: str


DAMAGES = (
    Damage(corrupt, signal.SIGABRT, "no tensor"),
    Damage(garbage, signal.SIGSEGV, "the program "),
    Damage(no_params, signal.SIGABRT, "has no parameters"),
    Damage(no_program, signal.SIGABRT, "has no program"),
)
TERMINATED = "terminate called after throwing an instance of 'phi::enforce::EnforceNotMet'"


def _dies_as_measured(subject: Subject, damage: Damage) -> None:
    def release_it(server: ByHand) -> None:
        damage.spoil(server.live)
        tag = server.live / TIME_FILE
        # The folder is a copy, with whatever second an earlier check has set.
        second = int(tag.stat().st_mtime) + 1
        os.utime(tag, (second, second))

    what = damage.spoil.__name__
    said, errors = subject.dies_of(damage.signum, release_it, what)
    same(TERMINATED in said, damage.signum == signal.SIGABRT, f"C++'s last words with {what}")
    same(errors, "", f"serving.ERROR with {what}")


def _is_refused(server: Launched, damage: Damage) -> bool:
    """Return whether the server still runs. Raise ``Differs`` if it runs and logged no reason."""
    start = len(server.log())
    damage.spoil(server.live)
    server.touch()
    waits.wait_for(
        functools.partial(_reload_ended, server, start), "the reload of a bad model to end", 20
    )
    if not server.process.running:
        return False
    lines_in_order(
        server.log()[start:],
        [
            r"W infer\.cpp:134\] begin reload model\[uci_housing_model\]\.",
            rf"E paddle_engine\.h:167\] create paddle predictor failed, .*{damage.reason}.*",
            r"E infer\.h:438\] Failed create model, path: uci_housing_model",
            r"E infer\.cpp:283\] Failed reload version engine: 18446744073709551615",
            r"E server\.cpp:157\] Failed reload resource!",
        ],
    )
    same(predicted(server), PRICE, f"with {damage.spoil.__name__} in the live directory")
    return True


def first_listed(live: Path, good: str, end: str, content: bytes) -> Path:
    """Put a file whose name ends in ``end`` before the file ``good`` in the filesystem's list.

    Raises ``Missing`` where that is impossible.
    """
    for number in range(64):
        # Some filesystems list by a hash of the name, some by age. Odd turns make ``good`` newer.
        other = live / f"._{number}{end}"
        other.write_bytes(content)
        if number % 2:
            whole = (live / good).read_bytes()
            (live / good).unlink()
            (live / good).write_bytes(whole)
        names = os.listdir(live)
        if names.index(other.name) < names.index(good):
            return other
        other.unlink()
    raise Missing(f"{live} lists {good} first, whatever the name of another file")


def _macos(live: Path) -> None:
    first_listed(live, "params.pdiparams", "params.pdiparams", b"\0\5\x16\7Mac OS X" + bytes(200))


def _links(live: Path) -> None:
    for name in ("model.pdmodel", "params.pdiparams"):
        (live / name).rename(live / f"{name}.1")
        (live / name).symlink_to(f"{name}.1")


def first_listed_file(subject: Subject) -> bool:
    """It loads the first listed file with the suffix of parameters: SIGABRT for a wrong file.

    Such a file is macOS's `._params.pdiparams`. It does not see links: SIGABRT as well.
    """
    with subject.launch() as server:
        if _is_refused(server, Damage(_macos, signal.SIGABRT, "no tensor")):
            for other in server.live.glob("._*"):
                other.unlink()
            _links(server.live)
            server.reload()
            same(predicted(server), PRICE, "with links")
            return True
    for spoil in (_macos, _links):
        _dies_as_measured(subject, Damage(spoil, signal.SIGABRT, ""))
    return False


def bad_model(subject: Subject) -> bool:
    """A bad model kills the server, and serving.ERROR stays empty.

    Corrupt or missing files end it with SIGABRT and EnforceNotMet, a garbage program with SIGSEGV.
    """
    server = subject.server
    for damage in DAMAGES:
        if not _is_refused(server, damage):
            for each in DAMAGES:
                _dies_as_measured(subject, each)
            return False
    server.reload(subject.models / "uci_2")
    same(predicted(server), PRICE_2, "after the next good model")
    server.reload(subject.models / "uci")
    return True
