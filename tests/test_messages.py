"""Messages speak to the one who reads them: of options on the command line, of arguments in Python."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from attnexport.cli import main
from attnexport.errors import InputError
from attnexport.messages import count, named, option, to_the_command_line
from attnexport.targets import find_target

ROOT = Path(__file__).parents[1]

# What is of the command line alone: its room, its child, the script in a recorded set, and the texts of two options.
OF_THE_COMMAND_LINE = (
    "cli/",
    "sandbox/",
    "messages.py",
    "standalone.py",
    "models/dynamic_texts.py",
    "models/input_texts.py",
)


def test_an_option_is_called_as_it_was_given():
    with pytest.raises(InputError, match=r"^target: expected"):
        find_target("toaster")
    with to_the_command_line(), pytest.raises(InputError, match=r"^--target: expected"):
        find_target("toaster")


@pytest.mark.parametrize(
    ("name", "value", "on_the_command_line", "in_python"),
    [
        ("--weights-key", None, "--weights-key", "weights_key"),
        ("--weights-key", "ema", "--weights-key ema", 'weights_key="ema"'),
        ("--opset", 22, "--opset 22", "opset=22"),
        ("--bisect", True, "--bisect", "bisect=True"),
        ("--dynamic", None, "--dynamic", "dynamic_shapes"),
        ("--model", "pkg:build", "--model pkg:build", 'factory="pkg:build"'),
    ],
)
def test_an_option_is_an_argument_in_python(name: str, value: object, on_the_command_line: str, in_python: str):
    assert option(name, value) == in_python
    with to_the_command_line():
        assert option(name, value) == on_the_command_line
    assert option(name, value) == in_python


def test_no_message_outside_the_command_line_has_an_option_in_its_text():
    """It would tell a Python user of an option: attnexport.messages.option knows both."""
    known = set(_options(main)) - {"--help", "--version"}
    files = [
        path for folder in ("exporter", "plugins", "calibration") for path in sorted((ROOT / folder).rglob("*.py"))
    ]
    files = [path for path in files if not any(part in path.as_posix() for part in OF_THE_COMMAND_LINE)]
    assert len(files) > 100
    told = [
        f"{path.relative_to(ROOT)}: {text}"
        for path in files
        for text in _texts(ast.parse(path.read_text(encoding="utf-8")))
        if known & set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", re.sub(r"attnexport [a-z]+ .*", "", text)))
    ]
    assert not told


def _options(command: click.Command) -> Iterator[str]:
    for parameter in command.params:
        yield from (text for text in parameter.opts if text.startswith("--"))
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from _options(found)


def _texts(tree: ast.AST) -> Iterator[str]:
    """Texts in code that are neither documentation nor an option's name on its way to the function."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "option":
            continue
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value for part in node.values if isinstance(part, ast.Constant))
            for part in node.values:
                if not isinstance(part, ast.Constant):
                    yield from _texts(part)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        else:
            yield from _texts(node)


def test_one_thing_is_one_thing():
    assert [count(1, "batch"), count(2, "batch"), count(1200, "layer")] == ["1 batch", "2 batches", "1,200 layers"]


def test_an_output_called_output_is_said_once():
    assert [named("output", "logits"), named("output", "output")] == ["output logits", "output"]
