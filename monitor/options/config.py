"""``--config monitors.toml``: many models in one process.

Keys are the options' names without dashes. What stands above the tables holds for all models, a
``[[model]]`` table for one; options of the command line hold for all and win. A secret and its
``_file`` option count as one: a table or command line that gives either overrides both.

    type = "webhdfs"
    webhdfs_url = "http://namenode:9870"
    local_path = "/models"

    [[model]]
    remote_path = "/housing"
    remote_model_name = "uci_housing.tar.gz"
    …
"""

from __future__ import annotations

import sys
from typing import Any

from ..errors import BadOption
from .fields import SECRETS, Options, from_mapping

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def read(path: str, command_line: dict[str, Any]) -> list[Options]:
    """Return the models of a file. Raise ``BadOption``."""
    try:
        with open(path, "rb") as file:
            content = tomllib.load(file)
    except OSError as error:
        raise BadOption(f"cannot read --config {path}: {error.strerror}; check the path") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadOption(f"--config {path} is not TOML: {error}; see docs/monitor.md") from None
    tables = content.pop("model", None)
    if not isinstance(tables, list) or not tables:
        raise BadOption(f"--config {path} names no model; give each a [[model]] table")
    over = {name: value for name, value in command_line.items() if value is not None}
    models = []
    for number, table in enumerate(tables, 1):
        if not isinstance(table, dict):
            raise BadOption(f"--config {path}: model {number} is no table; write [[model]]")
        models.append(from_mapping(_merged(content, table, over), f"{path}, model {number}"))
    return models


def _merged(*layers: dict[str, Any]) -> dict[str, Any]:
    """Return all layers as one. A later layer wins over those before."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for name in SECRETS:
            if name in layer or f"{name}_file" in layer:
                # Else a secret would go to the server of another model.
                merged.pop(name, None)
                merged.pop(f"{name}_file", None)
        merged.update(layer)
    return merged
