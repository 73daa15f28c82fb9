"""Options and secrets: what is read from where, and what is shown."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import pytest

from monitor.errors import BadOption
from monitor.options import fields, parser, words

from .fixtures import options_for


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0), ("500", 500), ("64K", 65536), ("2m", 2 << 20), ("1.5G", 3 << 29), ("1TB", 1 << 40)],
)
def test_bytes_may_have_a_unit(tmp_path: Path, text: str, value: int) -> None:
    assert options_for(tmp_path, general_host="http://h", rate_limit=text).rate_limit == value


@pytest.mark.parametrize("text", ["", "K", "-1", "inf", "nan", "5X", "ten"])
def test_other_bytes_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadOption, match="--rate_limit is wrong"):
        options_for(tmp_path, general_host="http://h", rate_limit=text)


@pytest.mark.parametrize(
    ("name", "unpacked", "packed", "top"),
    [
        ("m.tar.gz", "", True, "m"),
        ("m.tgz", "x", True, "x"),
        ("a/m.tar", "", True, "m"),
        ("m.tar.zst", "", True, "m"),
        ("m.tzst", "", True, "m"),
        ("m.tgz", ".", True, "."),
        ("m.zip", "", True, "m.zip"),
        ("m", "", False, "m"),
        ("m", "x", True, "x"),
    ],
)
def test_a_name_and_unpacked_filename_say_whether_a_release_is_packed(
    tmp_path: Path, name: str, unpacked: str, packed: bool, top: str
) -> None:
    options = options_for(
        tmp_path, general_host="http://h", remote_model_name=name, unpacked_filename=unpacked
    )
    assert (options.packed, options.top) == (packed, top)


@pytest.mark.parametrize(
    ("option", "value"),
    [("unpacked_filename", ".."), ("unpacked_filename", "./"), ("local_timestamp_file", ".")],
)
def test_a_name_is_no_path(tmp_path: Path, option: str, value: str) -> None:
    with pytest.raises(BadOption, match=f"--{option} is {value}; it has to be a plain name"):
        options_for(tmp_path, general_host="http://h", **{option: value})


def test_a_tarball_named_as_zstd_needs_its_package_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("compression.zstd", "backports.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(BadOption, match=r"pip install './monitor\[zstd\]'"):
        options_for(tmp_path, general_host="http://h", remote_model_name="m.tar.zst")
    options_for(tmp_path, general_host="http://h", remote_model_name="m.tar.gz")


def test_a_nested_model_name_is_taken_apart(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    options = options_for(tmp_path, general_host="http://h", local_model_name="sub/m")
    assert options.live == str(tmp_path / "sub" / "m")


@pytest.mark.parametrize("name", [".", "..", "/", "a/.."])
def test_a_model_name_has_to_name_a_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadOption):
        options_for(tmp_path, general_host="http://h", local_model_name=name, local_path="/")


def test_a_live_path_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m").write_text("x")
    with pytest.raises(BadOption, match="is no folder"):
        options_for(tmp_path, general_host="http://h", local_model_name="m")


@pytest.mark.parametrize("command", ["", "  ", "'open"])
def test_a_command_that_cannot_be_read_is_one_sentence(command: str) -> None:
    with pytest.raises(BadOption, match="--check_command"):
        words.words(command, "--check_command")


def test_a_command_that_cannot_be_read_is_refused_at_the_start(tmp_path: Path) -> None:
    for name in ("check_command", "on_swap"):
        with pytest.raises(BadOption, match=f"--{name} cannot be read"):
            options_for(tmp_path, general_host="http://h", **{name: "'open"})


def test_the_options_of_a_mapping_are_checked_like_those_of_a_command_line(tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="there: --interval is wrong"):
        fields.from_mapping({"interval": -1}, "there")
    with pytest.raises(BadOption, match="a list of texts is expected"):
        options_for(tmp_path, general_host="http://h", http_header="X: 1")


@pytest.mark.parametrize(
    ("option", "value", "why"),
    [
        ("keep", "x", "'x' is not a whole number"),
        ("max_members", "1.5", "'1.5' is not a whole number"),
        ("ftp_port", "ftp", "'ftp' is not a whole number"),
        ("metrics_port", "", "'' is not a whole number"),
        ("settle", "soon", "'soon' is not a number"),
        ("timeout", "1s", "'1s' is not a number"),
        ("max_unpacked", "5X", "'5X' is not a number of bytes"),
    ],
)
def test_a_value_that_is_no_number_is_named_in_plain_words(
    tmp_path: Path, option: str, value: str, why: str
) -> None:
    with pytest.raises(BadOption) as refused:
        options_for(tmp_path, general_host="http://h", **{option: value})
    assert f"--{option} is wrong: {why}" in str(refused.value)


def test_help_says_which_options_are_required_and_gives_no_default_twice() -> None:
    # What --help-all prints.
    whole = argparse.ArgumentParser.format_help(parser.build_parser())
    text = " ".join(whole.split())
    assert "(default: /)" not in text
    assert "(default: none)" not in text
    for help_of_one in text.split("--")[1:]:
        assert help_of_one.count("(default") <= 1, help_of_one
    for name in ("remote_model_name", "remote_donefile_name", "local_path", "local_model_name"):
        assert re.search(rf"--{name} {name.upper()} [^(]*\(required\)", text), name
