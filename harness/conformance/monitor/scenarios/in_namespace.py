"""Scenarios whose monitor runs in a mount namespace, on a disk of its own."""

from __future__ import annotations

from typing import ClassVar, Optional

from harness.faults.disk import Disk
from harness.faults.namespace import Namespace, why_not

from ..places.base import Place
from ..settings import Settings
from ..stage import Stage
from .base import Scenario


class InNamespace(Scenario):
    """Runs the monitor in a mount namespace of its own, with its local path on a small disk.

    ``size``: the disk's options.
    """

    size: ClassVar[str] = "size=16m"

    def cannot(self, place: Place, settings: Settings) -> Optional[str]:
        return why_not()

    def prepare(self, stage: Stage) -> None:
        self.namespace = Namespace(stage.folder / "namespace.log")
        self.disk = Disk(self.namespace, stage.local, self.size)
        stage.set_namespace(self.namespace.prefix, self.namespace.seen)
        stage.install(stage.releases[0])

    def clean(self, stage: Stage) -> None:
        namespace: Optional[Namespace] = getattr(self, "namespace", None)
        if namespace is not None:
            namespace.close()
