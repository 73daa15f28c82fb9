"""A monitor that installs the first release, with ``--once``, and no later one."""

import runpy
import signal
import sys

if "--once" in sys.argv:
    runpy.run_module("monitor", run_name="__main__")
print("watching", flush=True)
while True:
    signal.pause()
