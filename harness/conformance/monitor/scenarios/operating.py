"""What operators use beside upstream's options: push, hooks, orders, secrets, signatures."""

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
# How long a monitor that looks has time to install what it finds, beside a poll (seconds).
_LOOKS_S = 1.5


def _later(stage: Stage) -> int:
    """The second of another donefile, also for a remote that lists minutes only."""
    return stage.remote.second(DONEFILE_NAME) + 120


def _give_token(stage: Stage) -> str:
    """Give the monitor a port and a token for a POST, if it knows them; return the token."""
    token = f"token-{stage.settings.seed}-to-look"
    file = stage.folder / "poll.token"
    file.write_text(f"{token}\n")
    given = {"metrics_port": str(free_port()), "poll_token_file": str(file)}
    stage.options.update({k: v for k, v in given.items() if k in stage.settings.knows})
    stage.set_secret(token)
    return token


class LookAtOnce(Scenario):
    name = "look-at-once"
    title = "A monitor with a long interval that is asked to look installs the release at once."
    loss = "A release is late by an interval, or every server polls ten times a second."
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
            stage.expect_live(release)


class PushNeedsToken(Scenario):
    name = "push-needs-its-token"
    title = "A request to look without the right token changes nothing; with it, it is followed."
    loss = "Anybody on the network decides when the servers load, or keeps them busy."
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
        stage.expect_live(stage.releases[2])


class HookRunsAgain(Scenario):
    name = "hook-runs-again"
    title = (
        "A hook that fails is run again until it succeeds, in the order of the releases, also "
        "after a kill and a restart of the monitor."
    )
    loss = "A cache that nobody warms, or a balancer that never hears of a release."
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
        hook = Program(stage.folder)
        stage.options["on_swap"] = hook.command
        hook.fail()
        stage.publish(stage.releases[1])
        stage.start_monitor()
        try:
            stage.expect_live(stage.releases[1])
            stage.expect(lambda: hook.told, "the hook to be run")
            stage.publish(stage.releases[2])
            stage.expect_live(stage.releases[2])
            stage.expect(lambda: len(hook.told) > 1, "the hook to be run again")
            stage.runs.stop()
            stage.start_monitor()
            hook.take()
            stage.expect(lambda: Told(True, "2") in hook.told, "the hook to take release 2")
        finally:
            stage.observed.told = hook.told


class WebHookOnceMore(Scenario):
    name = "webhook-once-more"
    title = "A web hook that answers 500 gets the same JSON again until it answers 200."
    loss = "While the receiver restarts, it misses a release, and nobody notices."
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
            )


class _Order(Scenario):
    """An order keeps release 2 out, also over a restart, until another order ends it."""

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
    title = "While an operator holds releases back none is installed, also after a restart."
    loss = "A release goes live in the middle of an incident, or of a roll-out that was stopped."
    needs = ("hold", "resume")
    begins, ends = needs


class PinKeeps(_Order):
    name = "pin-keeps"
    title = "While a release is pinned no other one is installed, also after a restart."
    loss = "A server that must stay on one release for a test or an audit gets another one."
    needs = ("pin", "unpin")
    begins, ends = needs


class SecretRotated(Scenario):
    name = "secret-rotated"
    title = "A token that is replaced in its file is used without a restart."
    loss = "Each rotation of a token means a restart of every monitor, or no releases."
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
        _replace(file, old)
        with guarded_server(stage, {f"Bearer {old}": True}, port):
            stage.publish(stage.releases[1])
            stage.start_monitor()
            stage.expect_live(stage.releases[1])
        with guarded_server(stage, {f"Bearer {new}": True}, port) as refused:
            stage.publish(stage.releases[2])
            stage.expect(refused, "the old token to be refused", stage.settings.recovery)
            _replace(file, new)
            stage.expect_live(stage.releases[2], stage.settings.recovery)


def _replace(file: Path, text: str) -> None:
    beside = file.with_suffix(".new")
    beside.write_text(f"{text}\n")
    os.replace(beside, file)


class SignatureRefused(Scenario):
    name = "signature-refused"
    title = (
        "With a public key, only what its owner signed is installed: no release that is unsigned, "
        "stripped, changed, signed by another key, or older."
    )
    loss = "Everybody who may write to the remote decides what the servers answer."
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
        # What was signed once, and is not what the owner announces now.
        stage.publish(*first)
        stage.let_polls_pass(2)
        stage.publish(*third)
        stage.expect_live(third[0])


def _forged(release: Release, donefile: bytes) -> Iterator[tuple[Release, bytes]]:
    """Yield releases of somebody without the key. ``donefile`` is that of ``release``, signed."""
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
    SecretRotated,
    SignatureRefused,
)
