"""What Python shows of attnexport: help begins with lines that run, and dir has the public names alone."""

from __future__ import annotations

import inspect
import pydoc
import types
from pathlib import Path

import pytest

import attnexport


def first_lines() -> list[str]:
    """The lines of code at the top of the package's help."""
    _, lines, *_ = (inspect.getdoc(attnexport) or "").split("\n\n")
    return inspect.cleandoc(lines).splitlines()


def test_help_begins_with_five_lines_that_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = first_lines()
    assert len(lines) == 5
    shown = pydoc.plain(pydoc.render_doc(attnexport))
    assert [line.strip() for line in shown.splitlines()[2:12] if line.strip() in lines] == lines
    monkeypatch.chdir(tmp_path)
    exec("\n".join(lines), {})
    assert capsys.readouterr().out == "within its budget\n"
    assert [path.name for path in tmp_path.iterdir()] == ["krause.onnx"]


def test_dir_has_the_public_names_alone() -> None:
    names = [name for name in dir(attnexport) if not name.startswith("__")]
    assert names == list(attnexport.__all__)
    assert not [name for name in names if isinstance(getattr(attnexport, name), types.ModuleType)]
