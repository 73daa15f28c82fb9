"""Says what models predict for a probe: ``python -m producer.probe MODEL_DIR... [--feed FILE]``.

The last lines of standard output are JSON, one a model: ``feed`` and ``expected``, by alias, as in
a manifest's ``probe``. ``--feed`` has the feed. Without ``--feed``, the feed has random numbers of
a fixed seed, in the shapes of the model's configuration.

Exit codes: 0 done, 1 the model does not answer, 2 a wrong option; one sentence each.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np

from .errors import BadInput, ProducerError
from .paddle_import import reason
from .parser import Parser
from .predict import Predictor

_CONFIGURATION = "serving_server_conf.prototxt"
# The codes of FeedVar.feed_type (general_model_config.proto).
_TYPES = {0: "int64", 1: "float32", 2: "int32"}


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command. Return its exit code."""
    try:
        parser = Parser(prog="python -m producer.probe", allow_abbrev=False)
        parser.add_argument(
            "model_dir", type=Path, nargs="+", help="a folder with a model and its configuration"
        )
        parser.add_argument("--feed", type=Path, metavar="FILE", help="JSON: alias to rows")
        options = parser.parse_args(argv)
        for folder in options.model_dir:
            print(json.dumps(predicted(folder, options.feed)))
    except ProducerError as error:
        print(f"probe: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def predicted(folder: Path, feed_file: Optional[Path]) -> dict[str, Any]:
    """Return ``feed`` and ``expected`` for the model in ``folder``. Raises ``ProducerError``."""
    feeds, fetches = _configuration(folder)
    given = _given(feed_file)
    feed = {}
    for number, variable in enumerate(feeds):
        dtype = _TYPES.get(variable.feed_type)
        rows = given.get(variable.alias_name)
        if rows is None and (given or dtype != "float32"):
            raise BadInput(
                f"--feed has no rows for {variable.alias_name}; give each feed a key with its rows"
            )
        if rows is None:
            rows = np.random.RandomState(number).rand(1, *variable.shape).round(3).tolist()
        feed[variable.alias_name] = np.array(rows, dtype)
    try:
        answers = Predictor(folder)({v.name: feed[v.alias_name] for v in feeds})
        expected = {v.alias_name: answers[v.name].tolist() for v in fetches}
    except ProducerError:
        raise
    except Exception as error:
        raise ProducerError(f"{folder} does not answer: {reason(error)}") from None
    return {
        "feed": {alias: array.tolist() for alias, array in feed.items()},
        "expected": expected,
    }


def _configuration(folder: Path) -> tuple[Any, Any]:
    """Return the feeds and fetches of the model's own configuration."""
    from google.protobuf import text_format
    from paddle_serving_server.proto import general_model_config_pb2

    file = folder / _CONFIGURATION
    content = general_model_config_pb2.GeneralModelConfig()
    try:
        text_format.Parse(file.read_text(), content)
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror}; name a model's folder") from None
    except text_format.ParseError as error:
        raise BadInput(
            f"{file} is no configuration of Serving: {error}; export the model again"
        ) from None
    return content.feed_var, content.fetch_var


def _given(file: Optional[Path]) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        content: dict[str, Any] = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise BadInput(
            f"--feed {file} cannot be read: {error}; give a JSON file with the rows of each feed"
        ) from None
    return content


if __name__ == "__main__":
    sys.exit(main())
