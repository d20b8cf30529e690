"""What README and the samples show runs as it stands there."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path

import pytest

from attnexport.cli import main
from samples import streaming

ROOT = Path(__file__).parents[2]


def test_the_first_example_of_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    text = (ROOT / "README.md").read_text()
    code, _, rest = text.partition("```python\n")[2].partition("```")
    (tmp_path / "tiny.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    runpy.run_path("tiny.py", run_name="__main__")
    commands = [line.split("#")[0].strip() for line in rest.splitlines() if line.strip().startswith("attnexport ")][:2]
    for command in commands:
        with pytest.raises(SystemExit) as ended:
            main(shlex.split(command)[1:])
        assert ended.value.code in (None, 0), command
    assert [shlex.split(command)[1] for command in commands] == ["convert", "check"]


def test_the_page_on_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python-api.md").read_text(), re.DOTALL)
    (tmp_path / "page.py").write_text("".join(blocks))
    monkeypatch.chdir(tmp_path)
    names = runpy.run_path("page.py")
    assert names["tiny"].dim_names == {"x": {0: "batch", 1: "tokens"}}
    assert names["tiny"].input_names + names["tiny"].output_names == ("x", "output")
    assert names["done"].outputs["output"].shape == (8, 24, 10)
    assert {path.name for path in tmp_path.iterdir()} >= {"report.html", "y.npz", "heads.png", "set"}


def test_a_cache_is_carried_from_call_to_call(tmp_path: Path):
    assert streaming.main(tmp_path) < 1e-5
