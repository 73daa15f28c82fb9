"""Prints what this machine has and what is missing: ``make doctor``.

    python3 harness/cli/doctor.py whole|gpu

Runs before the set-up, on any Python 3.6 or newer, with the standard library only. It installs
nothing and waits at most 3 s for the network. If the environment exists, the rows of
``harness.cli.environment`` follow. The exit code is 2 if ``make e2e`` needs something that is
missing. The variables of ``make e2e`` count: with REMOTES=ftp nothing of HDFS is missing.
"""

import os
import platform
import shutil
import signal
import ssl
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, Dict, List, Optional, Tuple
from urllib import error, request

if __name__ == "__main__":
    # Python adds the script's folder to sys.path, but not the folder of its package.
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from harness.serving.proof import machine, official_row
from harness.setup import bootstrap, causes, hostname, sources
from harness.support import places

Check = Callable[[str], str]
_MEMORY = 2_000_000_000
_NETWORK_S = 3.0
# pip knows the public index. Debian keeps pip's wheel for venv in the last of these folders.
_PUBLIC_INDEX = """
import ensurepip, glob, os, sys
for folder in (os.path.dirname(ensurepip.__file__) + "/_bundled", "/usr/share/python-wheels"):
    sys.path += glob.glob(folder + "/pip-*.whl")
from pip._internal.models.index import PyPI
print(PyPI.simple_url)
"""


def _python(environment: str) -> str:
    return os.path.join(places.ROOT, environment, "bin", "python")


def _is_set_up(environment: str) -> bool:
    python = _python(environment)
    stamp = os.path.join(places.ROOT, environment, "lock.sha256")
    return os.path.exists(stamp) and bootstrap.works([python, "--version"])


def _system(_: str) -> str:
    why = bootstrap.wrong_platform() or bootstrap.wrong_path()
    # Not libc_ver(), which is wrong before Python 3.8.
    found = "{} {}".format(platform.machine(), machine("cpu")["libc"])
    return "MISSING: " + why if why else found


def _libgomp(environment: str) -> str:
    own = _is_set_up(environment)
    if bootstrap.finds_libgomp(_python(environment) if own else sys.executable):
        return "the system's"
    return "not on the system: `make setup` links a library of Paddle's wheel in its place"


def _host_name(_: str) -> str:
    why = hostname.unresolved()
    if why and places.wants_local_hdfs():
        return "MISSING for HDFS: " + why
    return "not for HDFS: " + why if why else platform.node() + " resolves"


def _memory(_: str) -> str:
    with open("/proc/meminfo") as file:
        kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in file}
    free = 1024 * kilobytes["MemAvailable"]
    if free < _MEMORY:
        needed = places.size(_MEMORY)
        return f"MISSING: {places.size(free)} free, a run needs {needed}; end other programs"
    return places.size(free) + " free"


def _disk(environment: str) -> str:
    lacking = places.too_small(environment)
    if lacking:
        return "MISSING: " + "; ".join(lacking)
    closed = places.unwritable(environment)
    if closed:
        return "MISSING: this user cannot write " + ", and ".join(map(places.named, closed))
    by_device: Dict[int, List[places.Place]] = {}
    for place in places.places(environment):
        by_device.setdefault(places.device(place.folder), []).append(place)
    return "; ".join(
        "{} free for {}".format(
            places.size(places.free_bytes(here[0].folder)), ", ".join(p.folder for p in here)
        )
        for here in by_device.values()
    )


def _certificates(_: str) -> str:
    found = sources.certificates()
    if found is None:
        return "no bundle on the system: the tools use their own (docs/setup.md)"
    if not os.path.exists(found.value):
        return f"MISSING: {found.where} names {found.value}, which is not there"
    return f"{found.value} ({found.where})"


def _mirrors(_: str) -> str:
    told = sources.uv_environment()
    names = ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_FIND_LINKS", "HTTPS_PROXY", "UV_INSECURE_HOST")
    said = [f"{name}={told[name]}" for name in names if name in told]
    maven = sources.maven_mirror()
    said += [f"Maven {maven.value} ({maven.where})"] if maven else []
    return sources.masked(", ".join(said)) or "none: the public index and Maven Central"


def _index() -> str:
    """Return the address of the package index, or an empty text if no setting and no pip knows."""
    told = dict(os.environ, **sources.uv_environment())
    given = told.get("UV_DEFAULT_INDEX") or told.get("UV_INDEX_URL") or told.get("UV_INDEX")
    if given:
        return given.split()[0]
    command = [sys.executable, "-c", _PUBLIC_INDEX]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    return done.stdout.decode().strip()


def _unreachable(url: str) -> Optional[str]:
    """Return why no HTTP answer comes from ``url``, or None. Any answer counts."""
    told = sources.uv_environment()
    bundle = sources.certificates()
    context = ssl.create_default_context(cafile=bundle.value if bundle else None)
    proxies = {k[:-6].lower(): told[k] for k in told if k.endswith("_PROXY")}
    advice = "check the network, or name a mirror or a proxy (docs/setup.md)"
    said = [f"it does not answer within {_NETWORK_S:g} s; {advice}"]

    def ask() -> None:
        handlers = [request.ProxyHandler(dict(request.getproxies(), **proxies))]
        opener = request.build_opener(*handlers, request.HTTPSHandler(context=context))
        try:
            opener.open(request.Request(url, method="HEAD"), timeout=_NETWORK_S).close()
        except error.HTTPError:
            said.clear()
        except (OSError, ValueError) as why:
            said[0] = causes.remedy(str(why), str(why))
        else:
            said.clear()

    # A thread, because no timeout ends a look-up of a name.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_NETWORK_S)
    return said[0] if said else None


def _packages(environment: str) -> str:
    if _is_set_up(environment):
        return "not needed any more"
    url = _index()
    if not url:
        return "not tried: this Python has no pip that knows the public index"
    why = _unreachable(url)
    where = sources.masked(url)
    return f"MISSING: {where}: {why}" if why else where + " answers"


def _maven(_: str) -> str:
    mirror = sources.maven_mirror()
    if not places.wants_local_hdfs() or places.has_jars():
        return "not needed any more" if places.has_jars() else "not needed without HDFS"
    if mirror is None:
        return "Maven Central, tried after the set-up"
    why = _unreachable(mirror.value)
    where = sources.masked(mirror.value)
    return f"MISSING for HDFS: {where}: {why}" if why else where + " answers"


def _serving(_: str) -> str:
    given = os.environ.get("SERVING_BIN")
    if not given:
        return "SERVING=" + (os.environ.get("SERVING") or "auto")
    if os.path.isfile(given) and os.access(given, os.X_OK):
        return "SERVING_BIN=" + given
    return f"MISSING: SERVING_BIN={given} is not an executable file; unset it"


def _uv(_: str) -> str:
    found = bootstrap.uv_here()
    if found:
        return found
    for module in ("ensurepip", "pip"):
        if bootstrap.works([sys.executable, "-c", "import " + module]):
            return "not here: `make setup` brings it into " + os.path.join(places.CACHE, "uv")
    return f"MISSING: {sys.executable} has neither venv nor pip; `apt-get install python3-venv`"


def _python39(_: str) -> str:
    given = os.environ.get("PYTHON39")
    if given:
        why = bootstrap.not_python39(shutil.which(given) or given)
        return f"MISSING: PYTHON39={given}: {why}" if why else given
    return bootstrap.python39_here() or "not here: `make setup` has uv download one"


def _official(_: str) -> str:
    return official_row(os.path.join(places.CACHE, "serving"))


def _environment(environment: str) -> str:
    path = os.path.join(places.ROOT, environment)
    wrong = bootstrap.foreign_link(path)
    if wrong:
        return "MISSING: " + wrong
    if _is_set_up(environment):
        return path
    return "not made yet: `make setup` makes it, and `make doctor` then says more"


# In the order of the output. An answer begins with MISSING if `make e2e` cannot work.
CHECKS: Tuple[Tuple[str, Check], ...] = (
    ("system", _system),
    ("libgomp", _libgomp),
    ("host name", _host_name),
    ("disk", _disk),
    ("memory", _memory),
    ("certificates", _certificates),
    ("mirrors", _mirrors),
    ("uv", _uv),
    ("CPython 3.9", _python39),
    ("package index", _packages),
    ("Maven", _maven),
    ("serving binary", _serving),
    ("official binary", _official),
    ("environment", _environment),
)


def main(name: str = "whole") -> int:
    """Print one line for each part; return the exit code."""
    environment = bootstrap.ENVIRONMENTS.get(name)
    if environment is None:
        known = ", ".join(sorted(bootstrap.ENVIRONMENTS))
        print("doctor: name one environment: " + known, file=sys.stderr)
        return 2
    code = 0
    # At the same time, so that two servers that do not answer cost one wait.
    with ThreadPoolExecutor() as pool:
        answers = pool.map(lambda row: row[1](environment), CHECKS)
        for (title, _), found in zip(CHECKS, answers):
            if found.startswith("MISSING"):
                code = 2
            print(f"{title:16} {found}", flush=True)
    if not _is_set_up(environment):
        return code
    inside = [_python(environment), "-m", "harness.cli.environment"]
    return subprocess.call(inside, cwd=places.ROOT) or code


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        sys.exit(main(*sys.argv[1:2]))
    except KeyboardInterrupt:
        print("doctor: interrupted", file=sys.stderr)
        sys.exit(130)
