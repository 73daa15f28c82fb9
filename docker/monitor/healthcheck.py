"""Asks the monitor whether it is healthy: it is when its last polls reached the remote."""

import os
import urllib.request

direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
address = f"http://127.0.0.1:{os.environ.get('METRICS_PORT', '9464')}/healthz"
with direct.open(address, timeout=4) as answer:
    assert answer.status == 200, answer.status
