"""Models that take turns in one process, as with ``--strict-compat`` and on a GPU."""

from __future__ import annotations

from tests.unit.engine.own_process import said_by

TURNS = """
from concurrent.futures import ThreadPoolExecutor

def ask(core, number):
    ((made, _),) = core.feed(ROW)
    assert made.item() == (92.0, 184.0)[number % 2], (made, number)

model = load(UCI)
with ThreadPoolExecutor(1) as reload_thread:
    for number in range(1, 61):
        new = reload_thread.submit(load, (UCI, UCI_2)[number % 2])
        while not new.done():
            ask(model, number - 1)
        old, model = model, new.result()
        closed = reload_thread.submit(old.close)
        while not closed.done():
            ask(model, number)
        ask(model, number)
print("served")
"""


def test_one_thread_runs_every_model_that_another_makes_and_closes() -> None:
    assert said_by(TURNS) == ["served"]
