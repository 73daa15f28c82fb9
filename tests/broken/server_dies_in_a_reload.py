"""A serving binary that is killed at its first reload: the embedded engine, and what kills it."""

import subprocess
import sys
import time
from pathlib import Path

LOG = Path("log/serving.INFO")

with subprocess.Popen(
    [Path(sys.executable).with_name("embedded-serving"), *sys.argv[1:]]
) as engine:
    while engine.poll() is None:
        if LOG.exists() and "begin reload model[" in LOG.read_text():
            engine.kill()
        time.sleep(0.01)
sys.exit(engine.returncode)
