"""Every error says operation, path, cause and hint: looked up at every place that raises one."""

from __future__ import annotations

import ast
import functools
import inspect
from pathlib import Path

import pytest

import monitor
from monitor import errors
from monitor.errors import BadOption, MachineError, MonitorError, ReleaseError, RemoteError

SOURCES = sorted(Path(monitor.__file__).parent.rglob("*.py"))
FAMILIES = {
    name: kind
    for name, kind in vars(errors).items()
    if inspect.isclass(kind) and issubclass(kind, MonitorError) and kind is not MonitorError
}


@functools.cache
def sites() -> list[tuple[str, ast.Call, ast.Module]]:
    """Every call that makes one of our errors: where, the call, the module around it."""
    found = []
    for path in SOURCES:
        module = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(module):
            name = (
                node.func.id
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
                else ""
            )
            if name in (*FAMILIES, "machine_error") and isinstance(node, ast.Call):
                found.append((f"{path.name}:{node.lineno} {name}", node, module))
    return found


def words(node: ast.expr) -> str:
    """The fixed text of a literal; "" for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(words(part) for part in node.values)
    return ""


def values_of(name: str, module: ast.Module) -> list[str]:
    """Every literal that a module gives to a variable of this name."""
    given = []
    for node in ast.walk(module):
        if isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            if name in names:
                given.append(words(node.value))
    return given


def test_there_are_three_families_and_wrong_options_and_no_other() -> None:
    assert set(FAMILIES) == {"BadOption", "RemoteError", "Mismatch", "ReleaseError", "MachineError"}
    # An error of another module would escape the walk below, unless that module catches it.
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef) and path.name != "errors.py":
                bases = {base.id for base in node.bases if isinstance(base, ast.Name)}
                private = node.name.startswith("_") and f"except {node.name}:" in text
                error = bases & {"Exception", "MonitorError", *FAMILIES}
                assert private or not error, (path.name, node.name)


def test_the_walk_finds_the_places() -> None:
    assert len(sites()) > 60
    assert {where.split()[1] for where, _, _ in sites()} == {*FAMILIES, "machine_error"}


@pytest.mark.parametrize(
    ("call", "module"), [site[1:] for site in sites()], ids=[site[0] for site in sites()]
)
def test_every_place_that_makes_an_error_says_all_four(call: ast.Call, module: ast.Module) -> None:
    assert isinstance(call.func, ast.Name)
    if call.func.id == "BadOption":
        (sentence,) = call.args
        if isinstance(sentence, ast.Call) and isinstance(sentence.func, ast.Name):
            # The sentence of another error, which is looked at where it is made.
            assert sentence.func.id == "str"
            return
        # argparse's own sentence stands before ours.
        text = words(sentence).replace("; see --help", "an option is wrong; see --help")
        if isinstance(sentence, ast.Name):
            (text,) = values_of(sentence.id, module)
        cause, found, remedy = text.rpartition("; ")
        assert found, f"nothing after a ';' says what to do: {text!r}"
        assert len(cause) > 5, text
        assert len(remedy) > 5, text
        return
    assert not call.keywords, "in one order, so that this test can read them"
    operation, path, reason, hint = call.args
    assert words(operation) or isinstance(operation, (ast.Name, ast.Attribute))
    for part in (path, reason):
        assert words(part) or not isinstance(part, ast.Constant)
    if isinstance(hint, ast.Name):
        hints = values_of(hint.id, module)
        # A hint may also be a parameter. Then the test checks it in the call that gives it.
        assert hints or hint.id in {
            argument.arg for node in ast.walk(module) if isinstance(node, ast.arguments)
            for argument in node.args
        }  # fmt: skip
        assert all(len(one) > 5 for one in hints), hints
    elif isinstance(hint, ast.Attribute):
        assert hint.attr == "hint", "another error's hint, handed on"
    else:
        assert len(words(hint)) > 5


@pytest.mark.parametrize("kind", [RemoteError, errors.Mismatch, ReleaseError, MachineError])
def test_an_error_is_one_sentence_with_operation_path_cause_and_hint(
    kind: type[MonitorError],
) -> None:
    error = kind("write", "/a b", OSError(28, "x", "/a b"), "free some")
    assert str(error) == "cannot write /a b: No space left on device; free some"
    assert (error.operation, error.path, error.hint) == ("write", "/a b", "free some")
    assert str(kind("do", "it", ValueError(), "h")) == "cannot do it: ValueError; h"
    assert str(kind("do", "it", ValueError("two\nlines"), "h")) == "cannot do it: two lines; h"


def test_a_wrong_option_is_its_sentence() -> None:
    error = BadOption("--x is y;\n z; give it")
    assert str(error) == "--x is y; z; give it"
    assert (error.cause, error.hint, error.exit_code) == ("--x is y; z", "give it", 2)
