"""What a run in containers needs before it starts: an engine, Compose and base images."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.support.errors import BadInput, Failed

from . import bases, bootstrap, compose, engine


def prepare(suites: Sequence[str], say: Callable[[str], None], allow_install: bool) -> None:
    """Return when engine, Compose and the base images of ``suites`` are there.

    Raises:
        BadInput: Something is missing; one sentence says what, and what to type.
    """
    if allow_install and not _has_programs():
        bootstrap.run(suites, say)
        compose.forget()
    engine.require()
    compose.command()
    for suite in suites:
        bases.ensure(suite, say, allow_install)
    try_container(suites)


def _has_programs() -> bool:
    try:
        engine.require()
        compose.command()
    except BadInput:
        return False
    return True


def try_container(suites: Sequence[str]) -> None:
    """Raise ``BadInput`` if the engine answers but cannot run a container, as in a sandbox.

    Without a base image there is nothing to try this with.
    """
    base = next(filter(None, map(bases.find, suites)), None)
    if base is None:
        return
    words = ("run", "--rm", "--network", "none", base, "true")
    try:
        engine.docker(*words, deadline_s=120)
    except Failed as error:
        raise BadInput(
            "the Docker engine answers, but cannot run a container here: "
            f"{str(error).splitlines()[0]}; use ON=local"
        ) from error
