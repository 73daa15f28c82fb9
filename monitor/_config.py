"""``--config monitors.toml``: many models in one process.

Keys are the options' names without dashes. What stands above the tables holds for all models, a
``[[model]]`` table for one; options of the command line hold for all and win.

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

from ._options import Options, from_mapping
from .errors import BadOption

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def read(path: str, command_line: dict[str, Any]) -> list[Options]:
    """The models of a file. Raises ``BadOption``."""
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
        models.append(from_mapping({**content, **table, **over}, f"{path}, model {number}"))
    return models
