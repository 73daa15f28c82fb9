"""The pod of docs/examples/kubernetes without a cluster: each container in a mount namespace.

A container here is a mount namespace with the volumes, the read-only root, the user and the
arguments of ``deployment.yaml``. The monitor has to exchange the live directory in the mounted
parent, and the server has to see the exchange through its own mount. The images are tested with
Docker.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from harness.faults.namespace import why_not
from harness.support.ports import free_port
from harness.support.process import Process
from harness.support.waits import wait_for
from monitor.commands import NAMES
from monitor.decisions.probe import request
from monitor.decisions.serving import Kind
from monitor.served.ask import ask
from tests.contract.monitor.beside_a_server import ENGINE, probe, publish
from tests.unit.monitor.fixtures import Site

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "kubernetes"

ENTRYPOINT = ROOT / "docker" / "monitor" / "entrypoint.sh"


def missing() -> str:
    """Why no container can be made here; nothing if one can."""
    if os.geteuid() != 0:
        return "needs root, to become the pod's user"
    if not shutil.which("setpriv"):
        return "needs setpriv (package util-linux)"
    if not ENGINE.exists():
        return "needs the embedded engine"
    return why_not() or ""


# What the images hold: programs, Python, the project.
IMAGE = ["/usr", "/bin", "/lib", "/lib64", "/proc", "/dev", sys.base_prefix, sys.prefix, ROOT]
# $1 is the new root. Then come words: a source, a place, "ro" or "rw"; after "--" the command.
ENTER = """
set -eu
root=$1; shift
mount -t tmpfs -o mode=755 pod "$root"
# A copy, because a volume is mounted inside.
cp -a /etc "$root/etc"
while [ "$1" != -- ]; do
    mkdir -p "$root$2"
    mount --rbind "$1" "$root$2"
    [ "$3" = rw ] || mount -o remount,bind,ro "$root$2"
    shift 3
done
shift
mount -o remount,ro "$root"
exec chroot "$root" "$@"
"""


class Pod:
    """The volumes of the pod, and its containers."""

    def __init__(self, folder: Path) -> None:
        spec = yaml.safe_load((EXAMPLE / "deployment.yaml").read_text())["spec"]["template"]["spec"]
        self.containers = {one["name"]: one for one in spec["initContainers"] + spec["containers"]}
        self.security = spec["securityContext"]
        self.folder = folder
        self.volumes = {one["name"]: folder / one["name"] for one in spec["volumes"]}
        for volume in self.volumes.values():
            volume.mkdir()
            # What fsGroup does.
            os.chown(volume, 0, self.security["fsGroup"])
            volume.chmod(0o2775)

    def container(self, name: str, *command: str, workdir: str) -> Process:
        """Return the container ``name``, which runs ``command`` in place of the entry point."""
        about = self.containers[name]
        root = self.folder / f"root-{name}"
        root.mkdir()
        words: list[object] = []
        # First, because this checkout may lie below the mount of a volume, such as /tmp.
        for mount in about["volumeMounts"]:
            access = "ro" if mount.get("readOnly") else "rw"
            words += [self.volumes[mount["name"]], mount["mountPath"], access]
        for path in IMAGE:
            words += [path, path, "rw" if path in ("/proc", "/dev") else "ro"]
        user, group = self.security["runAsUser"], self.security["runAsGroup"]
        assert about["securityContext"]["readOnlyRootFilesystem"]
        assert about["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        drop = [
            "setpriv", f"--reuid={user}", f"--regid={group}",
            f"--groups={self.security['fsGroup']}",
            "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all",
        ]  # fmt: skip
        inside = f"cd {workdir} && exec {shlex.join(command)}"
        argv = ["unshare", "-m", "--propagation", "private", "sh", "-c", ENTER, "sh", root, *words]
        environment = {
            "PATH": f"{sys.prefix}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "SERVING_BIN": str(ENGINE),
            "HOME": "/tmp",
            "METRICS_PORT": str(free_port()),
        }
        return Process(
            name,
            [*map(str, argv), "--", *drop, "sh", "-c", inside],
            log=self.folder / f"{name}.log",
            env=environment,
        )


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    return Pod(tmp_path)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with contextlib.closing(Site(tmp_path / "site")) as one:
        yield one


@pytest.mark.skipif(bool(missing()), reason=missing())
def test_a_pod_serves_the_next_release_through_the_parent_volume(pod: Pod, site: Site) -> None:
    settings = (EXAMPLE / "monitors.toml").read_text()
    ours = {
        "https://models.example": site.url,
        '"/housing"': '"/"',
        "interval = 10": "interval = 1",
    }
    for old, new in ours.items():
        assert old in settings
        settings = settings.replace(old, new)
    (pod.volumes["config"] / "monitors.toml").write_text(settings)
    (pod.volumes["secrets"] / "token").write_text("t0k\n")
    publish(site, 1)
    first = pod.containers["first-release"]["args"]
    with pod.container("first-release", "sh", str(ENTRYPOINT), *first, workdir="/serving") as init:
        assert init.wait(60) == 0, (pod.folder / "first-release.log").read_text()
    live = pod.volumes["models"] / "uci_housing_model"
    assert live.stat().st_uid == pod.security["runAsUser"]
    assert site.seen[-1][1]["Authorization"] == "Bearer t0k"

    port = str(free_port())
    words = [port if word == "9292" else word for word in pod.containers["serving"]["args"]]
    launcher = [sys.executable, "-m", "harness.serving.launcher", "--reload_interval_s", "1"]
    server = pod.container("serving", *launcher, *words, workdir="/serving")
    args = pod.containers["monitor"]["args"]
    monitor = pod.container("monitor", "sh", str(ENTRYPOINT), *args, workdir="/serving")

    url = f"http://127.0.0.1:{port}"

    def heard(number: int) -> str:
        wanted = probe(number)
        conf = (live / "serving_server_conf.prototxt").read_text()
        answer = ask(url, request(wanted, conf), wanted["expected"])
        return answer.kind.name if answer.kind is Kind.OURS else answer.text

    def alive() -> None:
        server.check()
        monitor.check()

    with server, monitor:
        for number in (1, 2):
            publish(site, number)
            wait_for(
                partial(lambda number: heard(number) == Kind.OURS.name, number),
                f"an answer of release {number}", 60,
                alive=alive, last_seen=partial(heard, number), log=pod.folder / "serving.log",
            )  # fmt: skip
    log = (pod.folder / "monitor.log").read_text()
    for warning in ("mount point", "no exchange", "overlay layer"):
        assert warning not in log, f"the monitor could not exchange the folders:\n{log}"


@pytest.mark.parametrize("name", NAMES)
def test_the_entry_point_of_the_monitor_knows_each_command(name: str) -> None:
    done = subprocess.run(
        ["sh", str(ENTRYPOINT), name, "--help"],
        env={"PATH": f"{sys.prefix}/bin:/usr/bin:/bin", "METRICS_PORT": "1"},
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"monitor {name}" in done.stdout
