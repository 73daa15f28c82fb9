"""What is started and stopped as a context manager: processes, remotes, servers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Optional, TypeVar

S = TypeVar("S", bound="Startable")


class Startable(ABC):
    """``with thing:`` starts it, and stops it in any case: also when only half of it started."""

    @abstractmethod
    def start(self) -> None:
        """Starts it and returns without waiting for it to be ready."""

    @abstractmethod
    def stop(self) -> None:
        """Ends it in order. Safe to repeat."""

    def __enter__(self: S) -> S:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.stop()
