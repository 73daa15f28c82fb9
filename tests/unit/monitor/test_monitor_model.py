"""Which files of a release a server would load: one of each kind, and regular files only."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from monitor.decisions.machine import Event
from monitor.errors import BadOption, ReleaseError
from monitor.release import model

from .fixtures import Site, model_files, options_for, tarball
from .processes import Here
from .stepping import MakeWatch, live, nothing_left, poll, release_in
from .test_monitor_remotes_hadoop import command

CONF_SIZE = {model.CONF: 100}


@pytest.fixture
def tmp_path(in_memory: Path) -> Path:
    return in_memory


GRAPH = "a server loads as graph (any name that ends in .pdmodel, __model__ "
PARAMS = "a server loads as parameters (any name that ends in .pdiparams, "


@pytest.mark.parametrize(
    ("names", "rule"),
    [
        (("model.pdmodel", "model_int8.pdmodel", "p.pdiparams"), GRAPH),
        (("model.pdmodel", "spm.bpe.model", "p.pdiparams"), GRAPH),
        (("model.pdmodel", ".hidden.pdmodel", "__params__"), GRAPH),
        (("__model__", "a.pdiparams", "b.params"), PARAMS),
        (("model.pdmodel", "a.pdiparams", "__params__"), PARAMS),
        # A server that decrypts knows its three files by name; any other takes either.
        (("encrypt_model", "encrypt_params", "key", "m.pdmodel", "m.pdiparams"), GRAPH),
    ],
)
def test_two_files_that_a_server_may_take_are_refused_unless_allowed(
    names: tuple[str, ...], rule: str
) -> None:
    sizes = {**CONF_SIZE, **dict.fromkeys(names, 1)}
    with pytest.raises(ReleaseError) as refused:
        model.check_files("m", sizes)
    assert rule in str(refused.value)
    assert "--allow_ambiguous_model" in str(refused.value)
    model.check_files("m", sizes, allow_ambiguous=True)


@pytest.mark.parametrize(
    "names",
    [
        ("model.pdmodel", "params.pdiparams", "sub/other.pdmodel", "sub/other.pdiparams"),
        ("model.pdmodel", "params.pdiparams", "vocab.txt", "model.pdmodel.md5", "model.json"),
        ("__model__", "__params__"),
        ("encrypt_model", "encrypt_params", "key"),
        # Without a file of parameters a server loads the folder, each parameter by its name.
        ("__model__", "fc_0.w_0", "fc_0.b_0"),
        ("__model__", "embedding_of_a_model", "fc_0.b_0"),
    ],
    ids=str,
)
def test_what_every_server_loads_in_one_way_is_installed(names: tuple[str, ...]) -> None:
    model.check_files("m", {**CONF_SIZE, **dict.fromkeys(names, 1)})


def test_of_many_files_the_sentence_names_some() -> None:
    names = [f"{number}.model" for number in range(9)]
    with pytest.raises(ReleaseError, match=r"it has 0\.model, .*4\.model and 4 more, and the"):
        model.check_files("m", {**CONF_SIZE, **dict.fromkeys(names, 1), "params": 1})


def test_an_ambiguous_release_stays_out_until_it_is_allowed(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    site.publish(1)
    poll(watch())
    site.publish(2, tarball({**model_files(2), "sentencepiece.bpe.model": b"a vocabulary"}))
    one = watch()
    assert poll(one) is Event.BAD_RELEASE
    assert "it has model.pdmodel and sentencepiece.bpe.model, and the filesystem" in str(
        one.reporter.error
    )
    assert release_in(live(tmp_path)) == 1
    nothing_left(tmp_path)
    assert poll(watch()) is Event.QUARANTINED
    assert poll(watch(allow_ambiguous_model=True)) is Event.SWAPPED
    assert release_in(live(tmp_path)) == 2


@pytest.mark.parametrize("name", ["time_of_the_model", "params", "x.pdmodel"])
def test_a_time_file_that_a_server_may_take_for_the_model_is_refused(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(BadOption, match="a server may take a file of that name"):
        options_for(tmp_path, general_host="http://h", local_timestamp_file=name)


# --- links ----------------------------------------------------------------------------------


def link_all(folder: Path) -> None:
    """Makes each file of ``folder`` a link to a copy beside it, as in a folder of versions."""
    versions = folder.with_name("versions")
    shutil.copytree(folder, versions)
    for path in folder.iterdir():
        path.unlink()
        path.symlink_to(os.path.join("..", "versions", path.name))


def links_in(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_symlink()]


def test_a_live_directory_of_links_is_replaced_by_files(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    live(tmp_path).mkdir(parents=True)
    for name, content in model_files(0).items():
        (live(tmp_path) / name).write_bytes(content)
    link_all(live(tmp_path))
    site.publish(1)
    assert poll(watch()) is Event.SWAPPED
    assert release_in(live(tmp_path)) == 1
    assert links_in(live(tmp_path)) == []
    assert release_in(tmp_path / "local" / "versions") == 0


def test_an_installed_release_whose_files_became_links_is_installed_again(
    watch: MakeWatch, site: Site, tmp_path: Path, lines: list[str]
) -> None:
    site.publish(1)
    one = watch()
    assert poll(one) is Event.SWAPPED
    link_all(live(tmp_path))
    assert poll(one) is Event.SWAPPED
    assert links_in(live(tmp_path)) == []
    assert any("is a symbolic link, which a server does not load" in line for line in lines)
    assert poll(one) is Event.INSTALLED


def test_no_rollback_goes_to_a_release_of_links(
    watch: MakeWatch, site: Site, here: Here, tmp_path: Path
) -> None:
    live(tmp_path).mkdir(parents=True)
    for name, content in model_files(0).items():
        (live(tmp_path) / name).write_bytes(content)
    link_all(live(tmp_path))
    site.publish(1)
    assert poll(watch(keep="2")) is Event.SWAPPED
    where = [f"--local_path={live(tmp_path).parent}", f"--local_model_name={live(tmp_path).name}"]
    code, _, err = here("rollback", *where)
    assert code == 2
    assert "has a symbolic link for model.pdmodel, which a server does not load" in err
    assert release_in(live(tmp_path)) == 1


def folder_release(root: Path, number: int) -> None:
    for name, content in model_files(number).items():
        (root / "model_folder").mkdir(parents=True, exist_ok=True)
        (root / "model_folder" / name).write_bytes(content)
    (root / "donefile").write_bytes(b"%d" % number)


AS_FOLDER = {"remote_model_name": "model_folder", "unpacked_filename": ""}


def test_links_of_a_folder_release_are_copied_as_files_and_never_from_outside(
    watch: MakeWatch, tmp_path: Path
) -> None:
    pytest.importorskip("fsspec")
    remote, params = tmp_path / "there", tmp_path / "there" / "model_folder" / "params.pdiparams"
    kind = {"type": "fsspec", "remote_url": f"file://{remote}", **AS_FOLDER}
    folder_release(remote, 1)
    params.rename(remote / "params of 1")
    params.symlink_to("../params of 1")
    assert poll(watch(**kind)) is Event.SWAPPED
    assert release_in(live(tmp_path)) == 1
    assert links_in(live(tmp_path)) == []
    folder_release(remote, 2)
    secret = tmp_path / "a secret of this machine"
    params.rename(secret)
    params.symlink_to(secret)
    one = watch(**kind)
    assert poll(one) is Event.BAD_RELEASE
    assert "'params.pdiparams' in it is a symbolic link that leads out of" in str(
        one.reporter.error
    )
    assert release_in(live(tmp_path)) == 1
    folder_release(remote, 3)
    (remote / "model_folder" / "sub").symlink_to(".")
    one = watch(**kind)
    assert poll(one) is Event.BAD_RELEASE
    assert "'sub' in it is a symbolic link that leads to a folder" in str(one.reporter.error)
    nothing_left(tmp_path)


@pytest.mark.parametrize("elsewhere", [False, True], ids=["same disk", "other disk"])
def test_links_that_hadoop_brings_are_refused(
    watch: MakeWatch, tmp_path: Path, request: pytest.FixtureRequest, elsewhere: bool
) -> None:
    remote = tmp_path / "there"
    folder_release(remote, 1)
    (remote / "model_folder" / "params.pdiparams").rename(remote / "params")
    (remote / "model_folder" / "params.pdiparams").symlink_to("/etc/passwd")
    script = (
        f'cd {remote}; for last; do :; done\ncase "$2" in\n'
        "-stat) echo serving-monitor:1:1:regular file;;\n"
        "-ls) for f in model_folder/*; do\n"
        'echo "-rw-r--r--   1 root supergroup $(stat -c %s $f) 2020-04-02 10:11 /$f"; done;;\n'
        '-get) cp -a ".$3" "$last";;\nesac'
    )
    kind = {"type": "hdfs", "hadoop_bin": str(command(tmp_path, script)), **AS_FOLDER}
    if elsewhere:
        kind["local_tmp_path"] = str(request.getfixturevalue("tmp_path_factory").mktemp("disk"))
        if os.stat(kind["local_tmp_path"]).st_dev == os.stat(tmp_path).st_dev:
            pytest.skip("there is one filesystem here")
    one = watch(**kind)
    event = poll(one)
    assert event is Event.BAD_RELEASE, one.reporter.error
    assert "'params.pdiparams' in it is a symbolic link" in str(one.reporter.error)
    assert not live(tmp_path).exists()
    nothing_of_it = [p.name for p in live(tmp_path).parent.iterdir() if "staging" in p.name]
    assert nothing_of_it == []


def test_files_that_macos_adds_to_a_folder_are_left_out(
    watch: MakeWatch, site: Site, tmp_path: Path, lines: list[str]
) -> None:
    folder_release(site.root, 1)
    for name in ("._params.pdiparams", ".DS_Store", "sub/._x", "__MACOSX/._model.pdmodel"):
        site.put(f"model_folder/{name}", b"Mac OS X")
    assert poll(watch(**AS_FOLDER)) is Event.SWAPPED
    assert "INFO skipped in model_folder: 4 files that macOS added." in lines
    names = {p.name for p in live(tmp_path).iterdir()}
    assert names == {*model_files(1), "fluid_time_file", ".monitor-state.json"}


def test_a_link_inside_a_folder_that_is_itself_a_link_is_copied(
    watch: MakeWatch, tmp_path: Path
) -> None:
    """As in a folder of versions, of which one is the current one."""
    pytest.importorskip("fsspec")
    remote, versions = tmp_path / "there", tmp_path / "versions"
    folder_release(remote, 1)
    (remote / "model_folder").rename(versions)
    (remote / "model_folder").symlink_to(versions)
    (versions / "params.pdiparams").rename(versions / "weights")
    (versions / "params.pdiparams").symlink_to("weights")
    assert poll(watch(type="fsspec", remote_url=f"file://{remote}", **AS_FOLDER)) is Event.SWAPPED
    assert release_in(live(tmp_path)) == 1
    assert links_in(live(tmp_path)) == []
