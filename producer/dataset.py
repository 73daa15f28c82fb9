"""The training data: the Boston housing set, as upstream's uci_housing example reads it.

It has 506 rows of 13 features and a price (in 1,000 dollars). The first 80 % are for training, the
rest for tests. Each feature is centred and divided by its range over all rows. The price is
unchanged. ``paddle.text.datasets.UCIHousing`` does the same, but needs paddle.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple, Optional

import numpy as np
import numpy.typing as npt

from .errors import BadInput

FEATURES = 13
MD5 = "d4accdce7a25600298819f8e28e8d593"
_TRAINING_SHARE = 0.8
_FILE = Path(__file__).parent / "data" / "housing.data"

Array = npt.NDArray[np.float32]


class Rows(NamedTuple):
    """``x`` is [n, 13] float32, ``y`` is [n, 1] float32."""

    x: Array
    y: Array


class Housing(NamedTuple):
    """The two parts of the set."""

    train: Rows
    test: Rows


def load(path: Optional[Path] = None) -> Housing:
    """Read and normalise the set (the copy in this package, unless ``path`` names another).

    Raises ``BadInput`` when the file is missing or has another MD5.
    """
    path = path or _FILE
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise BadInput(
            f"{path} cannot be read: {error.strerror}; restore it from the repository"
        ) from None
    digest = hashlib.md5(raw).hexdigest()
    if digest != MD5:
        raise BadInput(f"{path} has MD5 {digest} instead of {MD5}; restore it from the repository")
    table = np.array(raw.split(), dtype=np.float64).reshape(-1, FEATURES + 1)
    features = table[:, :FEATURES]
    span = features.max(axis=0) - features.min(axis=0)
    features = (features - features.mean(axis=0)) / span
    first_test_row = int(len(table) * _TRAINING_SHARE)
    x, y = features.astype(np.float32), table[:, FEATURES:].astype(np.float32)
    return Housing(
        Rows(x[:first_test_row], y[:first_test_row]), Rows(x[first_test_row:], y[first_test_row:])
    )
