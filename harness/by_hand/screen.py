"""The live screen: panels over a ``Desk``, and a key for everything that one can do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ClassVar, Optional

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Footer, Static
from textual.worker import get_current_worker

from . import panels
from .desk import DAMAGE, FAULT, Desk
from .recording import Recording

_READ_EVERY_S = 0.2
_STATE_EVERY_S = 1.0
_FRAME_EVERY_S = 0.5


class LiveScreen(App[None]):
    """The live screen of a run by hand."""

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    Static { border: round $primary; border-title-align: left; padding: 0 1; }
    #title { border: none; height: 1; text-style: bold; }
    #top { height: 4; }
    #remote, #server { width: 1fr; height: 4; }
    #monitor { height: 4; }
    #chart { height: 1fr; min-height: 6; }
    #bottom { height: 7; }
    #clients { width: 34; height: 7; }
    #happened { width: 1fr; height: 7; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "publish", "publish"),
        Binding("b", "bad", "bad one"),
        Binding("x", "break", "break"),
        Binding("m", "mend", "mend"),
        Binding("k", "kill", "kill monitor"),
        Binding("r", "rollback", "roll back"),
        Binding("q", "quit", "quit"),
    ]

    def __init__(
        self,
        desk: Desk,
        clock: Callable[[], float] = time.monotonic,
        recording: Optional[Recording] = None,
    ) -> None:
        """Show a desk.

        Args:
            desk: What is shown.
            clock: Gives the time, as in the history.
            recording: Takes a frame whenever something has happened.
        """
        super().__init__()
        self._desk = desk
        self._clock = clock
        self._recording = recording
        self._recorded = 0

    def compose(self) -> ComposeResult:
        yield Static(id="title")
        with Horizontal(id="top"):
            yield _panel("remote")
            yield _panel("server")
        yield _panel("monitor")
        yield _panel(
            "chart", "predictions of the probe, a second a column: the mark is the release"
        )
        with Horizontal(id="bottom"):
            yield _panel("clients")
            yield _panel("happened", "what happened")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self.set_interval(_READ_EVERY_S, self.show)
        self.set_interval(_FRAME_EVERY_S, self._record)
        self.run_worker(self._ask_again_and_again, thread=True)

    def _record(self) -> None:
        desk = self._desk
        if self._recording is not None and desk.state["ready"] and self._recorded != desk.count:
            self._recorded = desk.count
            self._recording.add(self.export_screenshot(title="make demo"))

    def _ask_again_and_again(self) -> None:
        worker = get_current_worker()
        while not worker.is_cancelled:
            self._desk.ask_state()
            if self._desk.due:
                self._desk.publish_next()
            time.sleep(_STATE_EVERY_S)

    def show(self) -> None:
        """Show the present state. End the screen if the parts are gone."""
        if not self.query("#title"):
            # The panels do not exist yet, or no longer.
            return
        desk, now = self._desk, self._clock()
        desk.read()
        if desk.error:
            self.exit()
            return
        view, state = desk.view, desk.state
        self._put("title", Text(f"hot loading, live: {desk.job}"))
        self._put("remote", panels.remote_panel(state, view))
        self._put("server", panels.server_panel(state, view, desk.ticks, now))
        self._put("monitor", panels.monitor_panel(state, view, now))
        chart = self.query_one("#chart", Static).content_size
        self._put("chart", panels.chart(view, now, chart.width, chart.height))
        self._put("clients", panels.clients_panel(view, now))
        height = self.query_one("#happened", Static).content_size.height
        self._put("happened", panels.happened(list(desk.happened), height))

    def _put(self, name: str, content: Text) -> None:
        panel = self.query_one(f"#{name}", Static)
        panel.update(panels.cropped(content, panel.content_size.width))

    def _ask(self, do: str, **fields: object) -> None:
        self.run_worker(lambda: self._desk.ask(do, **fields), thread=True, group="keys")

    def action_publish(self) -> None:
        self._ask("publish", bad="")

    def action_bad(self) -> None:
        self._ask("publish", bad=DAMAGE)

    def action_break(self) -> None:
        self._ask("break", fault=FAULT, parameters={})

    def action_mend(self) -> None:
        self._ask("mend")

    def action_kill(self) -> None:
        self._ask("restart", part="monitor")

    def action_rollback(self) -> None:
        self._ask("rollback")


def _panel(name: str, title: str = "") -> Static:
    panel = Static(id=name)
    panel.border_title = title or name
    return panel
