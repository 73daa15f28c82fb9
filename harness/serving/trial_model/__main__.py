"""Makes the trial's model again, from two passes of the producer."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

_HERE = Path(__file__).parent
_MODEL = "uci_housing_model"


def main() -> int:
    """Replace ``release-1``, ``release-2``, ``client`` and ``expected.json``."""
    with tempfile.TemporaryDirectory() as work:
        remote = Path(work, "remote")
        remote.mkdir()
        command = [sys.executable, "-m", "producer", "--remote", remote.as_uri(), "--passes", "2"]
        subprocess.run([*command, "--interval", "0", "--work", f"{work}/made"], check=True)
        releases = [Path(work, "made", "releases", number) for number in ("1", "2")]
        manifests = [json.loads((release / "donefile").read_text()) for release in releases]
        first, second = (release / _MODEL for release in releases)
        for name in ("release-1", "release-2", "client"):
            shutil.rmtree(_HERE / name, ignore_errors=True)
        shutil.copytree(first, _HERE / "release-1")
        (_HERE / "release-2").mkdir()
        for path in second.iterdir():
            if path.read_bytes() != (first / path.name).read_bytes():
                shutil.copy(path, _HERE / "release-2")
        shutil.copytree(Path(work, "made", "client"), _HERE / "client")
    expected = {
        "feed": manifests[0]["probe"]["feed"],
        "fetch": manifests[0]["fetches"][0]["alias"],
        "answers": [_flat(manifest) for manifest in manifests],
    }
    (_HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    return 0


def _flat(manifest: dict[str, dict[str, dict[str, list[list[float]]]]]) -> list[float]:
    (rows,) = manifest["probe"]["expected"].values()
    return [value for row in rows for value in row]


if __name__ == "__main__":
    sys.exit(main())
