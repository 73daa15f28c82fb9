"""What operators use beside upstream's options: push, hooks, orders, delays, keys."""

from __future__ import annotations

import importlib.util
import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Optional

from harness.support.ports import free_port

from .. import judge
from ..controls import is_address
from ..observed import Asked, Told
from ..places.base import Place
from ..places.http import guarded_server
from ..receiver import Program, receiving
from ..releases import DONEFILE_NAME, Release
from ..settings import Settings
from ..stage import LIVE_NAME, Stage
from .base import Scenario

_WHOLE = judge.settles_whole
# Longer than any scenario waits (seconds).
_LONG = "600"
# How long a monitor may take to look and to install, in addition to a poll (seconds).
_LOOKS_S = 1.5
# A splay so long that the release does not arrive during the scenario (seconds). Only one of
# 100,000 servers gets a delay below 10 s.
_SPLAY = "1000000"


def _later(stage: Stage) -> int:
    """Return the second of the next donefile, in a later minute: some remotes list only minutes."""
    return stage.remote.second(DONEFILE_NAME) + 120


def _give_token(stage: Stage) -> str:
    """Set port and token for a POST, if the monitor knows these options. Return the token."""
    token = f"token-{stage.settings.seed}-to-look"
    file = stage.folder / "poll.token"
    file.write_text(f"{token}\n")
    given = {"metrics_port": str(free_port()), "poll_token_file": str(file)}
    stage.options.update({k: v for k, v in given.items() if k in stage.settings.knows})
    if "poll_token_file" in stage.settings.knows:
        stage.set_secret(token)
    return token


class LookAtOnce(Scenario):
    name = "look-at-once"
    title = "After a request to look, a monitor with a long interval installs the release at once."
    loss = "A release comes an interval late, or every monitor polls ten times a second."
    needs = ("look",)
    claims = (
        _WHOLE,
        judge.each_request_was_followed,
        judge.secret_stays_secret,
        judge.keeps_running,
    )

    def act(self, stage: Stage) -> None:
        token = _give_token(stage)
        stage.options["interval"] = _LONG
        stage.publish(stage.releases[1])
        stage.start_monitor()
        stage.expect_live(stage.releases[1])
        for number, way in enumerate(stage.settings.controls["look"], 2):
            release = stage.releases[number]
            stage.publish(release, second=_later(stage))
            stage.observed.asked.append(Asked(time.monotonic(), way, release.label))
            stage.ask(way, token=token)
            stage.expect_live(release, while_waiting=stage.runs.note_processes)


class PushNeedsToken(Scenario):
    name = "push-needs-its-token"
    title = "The monitor follows a request to look only if the request has the right token."
    loss = "Any program on the network can make the servers load, or keep the monitors busy."
    places = frozenset({"http"})
    needs = ("look", "poll_token_file")
    claims = (
        _WHOLE,
        judge.not_live_before_its_time,
        judge.ends_with("release 2"),
        judge.secret_stays_secret,
        judge.keeps_running,
    )

    def applies(self, place: str, settings: Settings) -> bool:
        fits = super().applies(place, settings)
        return fits and any(is_address(way) for way in settings.controls["look"])

    def act(self, stage: Stage) -> None:
        token = _give_token(stage)
        way = next(way for way in stage.settings.controls["look"] if is_address(way))
        stage.options["interval"] = _LONG
        stage.publish(stage.releases[1])
        stage.start_monitor()
        stage.expect_live(stage.releases[1])
        stage.publish(stage.releases[2])
        answers = [stage.ask(way, token=wrong) for wrong in ("", token[:-1], "another")]
        stage.let_time_pass(stage.place.poll_s + _LOOKS_S, stage.alive)
        stage.allow(stage.releases[2])
        answers.append(stage.ask(way, token=token))
        stage.observed.facts["answers"] = " ".join(answers)
        stage.expect_live(stage.releases[2], while_waiting=stage.runs.note_processes)


class HookRunsAgain(Scenario):
    name = "hook-runs-again"
    title = (
        "The monitor runs a failed hook again until the hook succeeds, in the order of the "
        "releases, even after a kill of the monitor."
    )
    loss = "A cache stays cold, or a load balancer never learns of a release."
    places = frozenset({"http"})
    needs = ("on_swap",)
    claims = (
        _WHOLE,
        judge.told_in_order("1", "2"),
        judge.told_again(2),
        judge.ends_with("release 2"),
        judge.keeps_running,
    )

    def act(self, stage: Stage) -> None:
        hook, recovery = Program(stage.folder), stage.settings.recovery
        stage.options["on_swap"] = hook.command
        hook.fail()
        stage.publish(stage.releases[1])
        stage.start_monitor()
        try:
            stage.expect_live(stage.releases[1])
            stage.expect(lambda: hook.told, "the hook to be run", recovery)
            stage.publish(stage.releases[2])
            stage.expect_live(stage.releases[2])
            stage.expect(lambda: len(hook.told) > 1, "the hook to be run again", recovery)
            stage.runs.stop()
            stage.start_monitor()
            hook.take()
            stage.expect(
                lambda: Told(True, "2") in hook.told, "the hook to take release 2", recovery
            )
        finally:
            stage.observed.told = hook.told


class WebHookOnceMore(Scenario):
    name = "webhook-once-more"
    title = "A receiver that answers 500 gets the same JSON again until it answers 200."
    loss = "A receiver misses a release while it restarts, and no message says so."
    places = frozenset({"http"})
    needs = ("webhook",)
    claims = (
        _WHOLE,
        judge.told_in_order("1", "2"),
        judge.told_again(2),
        judge.messages_are_right,
        judge.ends_with("release 2"),
        judge.keeps_running,
    )

    def act(self, stage: Stage) -> None:
        stage.observed.facts["model"] = LIVE_NAME
        with receiving(failures=2) as receiver:
            stage.options["webhook"] = receiver.url
            stage.observed.told = receiver.told
            stage.publish(stage.releases[1])
            stage.start_monitor()
            stage.expect_live(stage.releases[1])
            stage.publish(stage.releases[2])
            stage.expect_live(stage.releases[2])
            stage.expect(
                lambda: any(told.taken and told.release == "2" for told in receiver.told),
                "the web hook to take the notice of release 2",
                stage.settings.recovery,
            )


class _Order(Scenario):
    """An order keeps release 2 out until another order ends it, even after a restart."""

    places = frozenset({"http"})
    claims = (
        _WHOLE,
        judge.not_live_before_its_time,
        judge.ends_with("release 2"),
        judge.swaps_at_most(2),
        judge.keeps_running,
    )
    begins: ClassVar[str]
    ends: ClassVar[str]

    def act(self, stage: Stage) -> None:
        ways = stage.settings.controls
        stage.publish(stage.releases[1])
        stage.start_monitor()
        stage.expect_live(stage.releases[1])
        stage.ask(ways[self.begins][0], release="1")
        stage.publish(stage.releases[2])
        stage.let_polls_pass(2)
        stage.runs.stop(term=True)
        stage.start_monitor()
        stage.let_polls_pass(3)
        stage.allow(stage.releases[2])
        stage.ask(ways[self.ends][0])
        stage.expect_live(stage.releases[2])


class HoldKeeps(_Order):
    name = "hold-keeps"
    title = "During a hold the monitor installs no release, even after a restart."
    loss = "A release goes live during an incident, or after a person has stopped a roll-out."
    needs = ("hold", "resume")
    begins, ends = needs


class PinKeeps(_Order):
    name = "pin-keeps"
    title = "During a pin the monitor installs no other release, even after a restart."
    loss = "A server that must keep one release for a test or an audit gets another release."
    needs = ("pin", "unpin")
    begins, ends = needs


class SplayDelays(Scenario):
    name = "splay-delays"
    title = (
        "With a splay, the monitor delays a release by a part of the splay. A restart does not "
        "end the delay."
    )
    loss = "All servers pull and load a release at the same moment, also after they all restart."
    places = frozenset({"http"})
    needs = ("splay",)
    claims = (
        _WHOLE,
        judge.not_live_before_its_time,
        judge.ends_with("release 2"),
        judge.swaps_at_most(2),
        judge.keeps_running,
    )

    def act(self, stage: Stage) -> None:
        def start_again(splay: str) -> None:
            stage.runs.stop(term=True)
            stage.options["splay"] = splay
            stage.start_monitor()

        stage.publish(stage.releases[1])
        stage.start_monitor()
        stage.expect_live(stage.releases[1])
        start_again(_SPLAY)
        stage.let_polls_pass(1)
        stage.publish(stage.releases[2])
        stage.let_polls_pass(2)
        start_again(_SPLAY)
        stage.let_polls_pass(3)
        stage.allow(stage.releases[2])
        start_again("1")
        stage.expect_live(stage.releases[2])


class SecretRotated(Scenario):
    name = "secret-rotated"
    title = "The monitor uses a new token from its token file without a restart."
    loss = "After each rotation of a token, every monitor needs a restart to install releases."
    places = frozenset({"http"})
    needs = ("http_token_file",)
    claims = (
        _WHOLE,
        judge.each_was_live("release 1", "release 2"),
        judge.ends_with("release 2"),
        judge.secret_stays_secret,
        judge.keeps_running,
    )

    def act(self, stage: Stage) -> None:
        old, new = (f"token-{stage.settings.seed}-{age}" for age in ("old", "new"))
        file, port = stage.folder / "token", free_port()
        stage.options["http_token_file"] = str(file)
        stage.set_secret(new)
        stage.observed.facts["old secret"] = old
        _replace(file, old)
        with guarded_server(stage, {f"Bearer {old}": True}, port):
            stage.publish(stage.releases[1])
            stage.start_monitor()
            stage.expect_live(stage.releases[1])
        with guarded_server(stage, {f"Bearer {new}": True}, port) as refused:
            stage.publish(stage.releases[2])
            stage.expect(refused, "the old token to be refused", stage.settings.recovery)
            _replace(file, new)
            stage.expect_live(
                stage.releases[2], stage.settings.recovery, while_waiting=stage.runs.note_processes
            )


def _replace(file: Path, text: str) -> None:
    beside = file.with_suffix(".new")
    beside.write_text(f"{text}\n")
    os.replace(beside, file)


class SignatureRefused(Scenario):
    name = "signature-refused"
    title = (
        "With a public key, the monitor refuses a release that is unsigned, stripped, changed, "
        "older, or signed by another key."
    )
    loss = "Any person who can write to the remote decides what the servers answer."
    places = frozenset({"http"})
    needs = ("verify_signature",)
    claims = (
        judge.never_a_bad_release,
        judge.each_was_live("release 1", "release 2", "release 3"),
        judge.ends_with("release 3"),
        # The fourth would be release 1, replayed.
        judge.swaps_at_most(3),
        judge.keeps_running,
    )

    def cannot(self, place: Place, settings: Settings) -> Optional[str]:
        found = importlib.util.find_spec("cryptography")
        return None if found else "needs the package cryptography"

    def act(self, stage: Stage) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        from producer.sign import signed

        ours, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
        public = ours.public_key()
        keys = stage.folder / "release.pub"
        keys.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        stage.options["verify_signature"] = str(keys)
        first, second, third = (
            (release, signed(release.donefile(), ours)) for release in stage.releases[1:4]
        )
        stage.publish(*first)
        stage.start_monitor()
        stage.expect_live(first[0])
        foreign = stage.releases[2].with_files({"labels.txt": b"foreign\n"})
        foreign = replace(foreign, label="a release by another key", good=False)
        stage.publish(foreign, signed(foreign.donefile(), other))
        stage.let_polls_pass(2)
        for release, donefile in _forged(stage.releases[2], second[1]):
            stage.publish(release, donefile)
            stage.let_polls_pass(2)
        stage.publish(*second)
        stage.expect_live(second[0])
        # A replay: the owner signed this release, but announces another release now.
        stage.publish(*first)
        stage.let_polls_pass(2)
        stage.publish(*third)
        stage.expect_live(third[0])


def _forged(release: Release, donefile: bytes) -> Iterator[tuple[Release, bytes]]:
    """Yield releases of a person without the key. ``donefile`` is the signed one of ``release``."""
    signature = json.loads(donefile)["signature"]

    def with_file(label: str) -> Release:
        made = release.with_files({"labels.txt": f"{label}\n".encode()})
        return replace(made, label=label, good=False)

    yield with_file("a release without a manifest"), b""
    stripped = with_file("a release without a signature")
    yield stripped, stripped.donefile()
    changed = with_file("a release with the signature of another one")
    text = changed.donefile().decode().rstrip()
    yield changed, f'{text[:-1]}, "signature": "{signature}"}}\n'.encode()


SCENARIOS: tuple[type[Scenario], ...] = (
    LookAtOnce,
    PushNeedsToken,
    HookRunsAgain,
    WebHookOnceMore,
    HoldKeeps,
    PinKeeps,
    SplayDelays,
    SecretRotated,
    SignatureRefused,
)
