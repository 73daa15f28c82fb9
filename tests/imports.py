"""Contracts on the import graph beyond import-linter's own: no circle, no foreign private name.

``lint-imports`` reads them from pyproject.toml, ``[tool.importlinter]``.
"""

from __future__ import annotations

import graphlib
import re
from fnmatch import fnmatchcase
from typing import cast

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output

_PRIVATE_NAME = re.compile(r"\bimport\b.*\b_[a-z]")


class NoCircle(Contract):
    """No module imports itself by way of others."""

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Look for one circle; ``metadata["circle"]`` names its modules in order."""
        imported = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
        try:
            graphlib.TopologicalSorter(imported).prepare()
        except graphlib.CycleError as error:
            return ContractCheck(kept=False, metadata={"circle": error.args[1]})
        return ContractCheck(kept=True)

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print the circle as one line."""
        output.print_error(" is imported by ".join(cast("list[str]", check.metadata["circle"])))


class NoForeignPrivateName(Contract):
    """No package imports a private module or name of another package.

    Attributes:
        packages: The packages whose imports are judged, with all that they hold.
        ignore_imports: Imports that stay, as ``importer -> imported`` with wildcards, each with a
            reason beside it.
    """

    packages = fields.SetField(subfield=fields.StringField())
    ignore_imports = fields.SetField(subfield=fields.StringField(), required=False)

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """List what is wrong in ``metadata["lines"]``: such imports, and exceptions unused."""
        packages = cast("set[str]", self.packages)
        exceptions = cast("set[str]", self.ignore_imports or set())
        used: set[str] = set()
        lines = []
        for importer in sorted(graph.modules):
            if importer.partition(".")[0] not in packages:
                continue
            for imported in sorted(graph.find_modules_directly_imported_by(importer)):
                if not _is_foreign_and_private(graph, importer, imported):
                    continue
                words = f"{importer} -> {imported}"
                allowed = {one for one in exceptions if fnmatchcase(words, one)}
                used |= allowed
                if not allowed:
                    lines.append(words)
        lines += [f"{one}: an exception that is not needed" for one in sorted(exceptions - used)]
        return ContractCheck(kept=not lines, metadata={"lines": lines})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print one line for each import."""
        for line in cast("list[str]", check.metadata["lines"]):
            output.print_error(line)


def _is_foreign_and_private(graph: ImportGraph, importer: str, imported: str) -> bool:
    """Tell whether an import reaches for a private module, or a private name, of another package.

    The package of a module is the folder that it lies in.
    """
    parts = imported.split(".")
    private = next((n for n, part in enumerate(parts) if re.match("_[a-z]", part)), None)
    if private is not None:
        return not f"{importer}.".startswith(".".join(parts[:private]) + ".")
    if f"{importer}.".startswith((f"{imported}.", imported.rpartition(".")[0] + ".")):
        return False
    details = graph.get_import_details(importer=importer, imported=imported)
    return any(_PRIVATE_NAME.search(one["line_contents"]) for one in details)
