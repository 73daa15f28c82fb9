"""Loads a model folder with Paddle Inference, in this process, and says whether it may serve.

    python -m producer.trial_load MODEL_DIR [--manifest FILE]

It serves as a monitor's ``--check_command``. The server aborts on a model that does not load, so
the monitor tries the model before it goes live. The manifest (a donefile of the producer) comes
from ``--manifest`` or, as JSON, from the environment variable MONITOR_MANIFEST. With a manifest,
the model must give the prediction that it promises for the probe. Without one, it must load.

Exit codes: 0 it may serve, 1 it may not, 2 a wrong option; one sentence each. A damaged model may
make Paddle end the process with a signal. That is a refusal as well.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np

from .errors import BadInput, ProducerError
from .manifest import FORMAT, RTOL, decode
from .paddle_import import reason
from .parser import Parser
from .predict import Predictor

VARIABLE = "MONITOR_MANIFEST"
_CONFIGURATION = "serving_server_conf.prototxt"


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command. Return its exit code."""
    try:
        print(f"trial load: {check(*_arguments(argv))}")
    except ProducerError as error:
        print(f"trial load: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def check(folder: Path, manifest: Optional[dict[str, Any]]) -> str:
    """Load the model, run the probe, and return the sentence to print.

    Raises ``ProducerError`` with the reason why the model must not serve.
    """
    if not folder.is_dir():
        raise ProducerError(f"{folder} is not a folder")
    if not (folder / _CONFIGURATION).is_file():
        raise ProducerError(f"{folder} has no {_CONFIGURATION}, without which nothing serves it")
    try:
        predictor = Predictor(folder)
    except ProducerError:
        raise
    except Exception as error:
        raise ProducerError(f"{folder} does not load: {reason(error)}") from None
    if manifest is None:
        return f"{folder} loads (no manifest, so no prediction to compare)"
    feeds, fetches = _names(manifest, "feeds"), _names(manifest, "fetches")
    if sorted(feeds.values()) != sorted(predictor.inputs):
        raise ProducerError(
            f"{folder} takes {predictor.inputs}, the manifest announces {sorted(feeds.values())}"
        )
    try:
        probe = manifest["probe"]
        feed = {feeds[alias]: np.array(rows, np.float32) for alias, rows in probe["feed"].items()}
        expected = {fetches[alias]: np.array(rows) for alias, rows in probe["expected"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ProducerError(f"the manifest's probe cannot be used: {error!r}") from None
    try:
        answers = predictor(feed)
    except Exception as error:
        raise ProducerError(f"{folder} does not answer the probe: {reason(error)}") from None
    for name, wanted in expected.items():
        if name not in answers:
            raise ProducerError(f"{folder} gives {sorted(answers)}, and no {name}")
        answer = answers[name]
        if answer.shape != wanted.shape or not np.allclose(answer, wanted, RTOL, 0.0):
            raise ProducerError(
                f"{folder} predicts {answer.tolist()} for the probe, the manifest promises "
                f"{wanted.tolist()}"
            )
    return f"{folder} loads and predicts what release {manifest['release']} promises"


def _arguments(argv: Optional[Sequence[str]]) -> tuple[Path, Optional[dict[str, Any]]]:
    parser = Parser(
        prog="python -m producer.trial_load",
        description="Loads a model folder with Paddle Inference and runs the manifest's probe.",
        epilog=f"Without --manifest, the environment variable {VARIABLE} has the manifest (JSON). "
        "Exit codes: 0 the model may serve, 1 it may not, 2 a wrong option.",
        allow_abbrev=False,
    )
    parser.add_argument("model_dir", type=Path, help="the folder with model and configuration")
    parser.add_argument("--manifest", type=Path, metavar="FILE", help="a donefile with a manifest")
    options = parser.parse_args(argv)
    if options.manifest is not None:
        try:
            raw = options.manifest.read_bytes()
        except OSError as error:
            raise BadInput(
                f"--manifest {options.manifest}: {error.strerror}; name another file"
            ) from None
        source = f"--manifest {options.manifest}"
    else:
        raw = os.environ.get(VARIABLE, "").encode()
        source = f"the environment's {VARIABLE}"
        if not raw.strip():
            return options.model_dir, None
    manifest = decode(raw)
    if manifest is None:
        raise BadInput(f"{source} is no manifest of format {FORMAT}; name our producer's donefile")
    return options.model_dir, manifest


def _names(manifest: dict[str, Any], key: str) -> dict[str, str]:
    """Return the names in the graph by their aliases."""
    try:
        return {str(entry["alias"]): str(entry["name"]) for entry in manifest[key]}
    except (KeyError, TypeError) as error:
        raise ProducerError(f"the manifest's {key} cannot be used: {error!r}") from None


if __name__ == "__main__":
    sys.exit(main())
