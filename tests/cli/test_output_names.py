"""The name of an output says what is written under it, or nothing: a name of another kind of file is refused first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from attnexport.cli import main
from attnexport.cli.options import OutputPath
from tests.cli.commands import Refuse

DENIED = [
    (("convert", "absent.pt2", "-o", "x.engine"), "an ONNX file, as x.onnx, given that of an engine of TensorRT"),
    (
        ("convert", "absent.pt2", "-o", "x.onnx", "--keep-failed", "x.pt2"),
        "an ONNX file, as x.onnx, given that",
    ),
    (
        ("build", "absent.onnx", "--target", "rtx-40", "-o", "x.ONNX"),
        "an engine of TensorRT, as x.engine, given",
    ),
    (
        ("run", "absent.onnx", "--data", "x.npz", "-o", "y.json"),
        "an .npz of arrays, as y.npz, given that of JSON",
    ),
    (("run", "absent.onnx", "--data", "x.npz", "--json", "y.npz"), "JSON, as y.json, given that of an .npz of arrays"),
    (("record", "absent.pt2", "-o", "set.npz"), "a folder, given that of an .npz of arrays (.npz)"),
    (("check", "absent.pt2", "absent.onnx", "--html", "r.json"), "an HTML page, as r.html, given that of JSON (.json)"),
    (("check", "absent.pt2", "absent.onnx", "--json", "r.md"), "JSON, as r.json, given that of Markdown (.md)"),
    (("check", "absent.pt2", "absent.onnx", "--junit", "r.html"), "JUnit XML, as r.xml, given that of an HTML page"),
    (
        ("check", "absent.pt2", "absent.onnx", "--markdown", "r.xml"),
        "Markdown, as r.md, given that of JUnit XML",
    ),
    (("analyze", "absent.pt2", "--data", "x.npz", "--png", "heads.json"), "a PNG picture, as heads.png, given that of"),
    (("quantize", "absent.onnx", "--to", "int8", "-o", "x.json"), "an ONNX file, as x.onnx, given that of JSON"),
    (
        ("calibrate", "absent.onnx", "--data", "x.npz", "-o", "r.npz"),
        "JSON, as r.json, given that of an .npz of arrays",
    ),
    (("tune", "absent.onnx", "--data", "x.npz", "-o", "x.html"), "an ONNX file, as x.onnx, given that of an HTML page"),
    (
        ("tune", "absent.onnx", "--data", "x.npz", "-o", "x.onnx", "--html", "r.json"),
        "an HTML page, as r.html, given that of JSON",
    ),
    (("plugins", "build", "-o", "kernels.so"), "a folder, given that of a shared library (.so)"),
    (("runtime", "build", "-o", "libattnrt.so"), "a folder, given that of a shared library (.so)"),
]


@pytest.mark.parametrize(("arguments", "said"), DENIED, ids=lambda part: " ".join(part[:1]) if part[1:] else None)
def test_a_name_of_another_kind_of_file_is_refused(refuse: Refuse, arguments: tuple[str, ...], said: str):
    assert f": expected a name for {said}" in refuse(*arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        ("convert", "absent.pt2", "-o", "-"),
        ("record", "absent.pt2", "-o", "-"),
        ("run", "absent.onnx", "--data", "x.npz", "-o", "-"),
        ("analyze", "absent.pt2", "--data", "x.npz", "--png", "-"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_what_is_no_text_does_not_go_to_standard_output(refuse: Refuse, arguments: tuple[str, ...]):
    assert ", given - for standard output" in refuse(*arguments)


@pytest.mark.parametrize("name", ["model", "model.bin", "model.onnx.part", "MODEL.ONNX"])
def test_other_names_may_be_anything(refuse: Refuse, tmp_path: Path, name: str):
    assert refuse("convert", tmp_path / "absent.pt2", "-o", tmp_path / name).endswith("absent.pt2: no such file")


def test_every_option_that_names_an_output_knows_its_kind():
    written = {"-o", "--keep-failed", "--json", "--junit", "--markdown", "--html", "--png"}
    options = [
        option
        for command in _commands(main)
        for option in command.params
        if isinstance(option, click.Option) and written & set(option.opts)
    ]
    assert len(options) > 12
    assert not [option.opts for option in options if not option.is_flag and not isinstance(option.type, OutputPath)]


def _commands(command: click.Command) -> Iterator[click.Command]:
    yield command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from _commands(found)
