"""What every command prints, with long, wide and foreign names, is whole at 60 to 120 columns, with and without a
terminal, colours and UTF-8; and a plain line is at its end."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

import attnexport
import attnexport.display.display
from attnexport.cli import build as build_command
from attnexport.cli import plugins as plugins_command
from attnexport.display.display import Display
from attnexport.display.facts import Facts
from attnexport.display.tables import Table
from attnexport.display.terminal import Terminal
from attnexport.display.verdicts import Verdict
from attnexport.display.wrapping import wrapped
from attnexport.plugins.building.libraries import BuildResult, BuiltLibrary
from tests.cli.commands import Result, Run
from tests.cli.models import LONG_LAYER, WIDTH, foreign_names
from tests.display.lines import TERMINALS, check_facts, check_sentence, check_table
from tests.engines.test_manifest_json import engine, manifest  # noqa: F401
from tests.plugins.calling.test_library_json import FACTS, INFO


@dataclass
class Printed:
    """What a command gave the display, and its result."""

    result: Result
    shown: list[object] = field(default_factory=list)

    @property
    def verdicts(self) -> list[Verdict]:
        return [part for part in self.shown if isinstance(part, Verdict)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("names")


@pytest.fixture(scope="module")
def printed(run: Run) -> Callable[..., Printed]:
    def of(*args: object) -> Printed:
        shown: list[object] = []

        def keeping(method: Callable[..., None]) -> Callable[..., None]:
            def kept(display: Display, part: object) -> None:
                shown.append(part)
                method(display, part)

            return kept

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Display, "print", keeping(Display.print))
            patch.setattr(Display, "conclude", keeping(Display.conclude))
            result = run(*args)
        return Printed(result, shown)

    return of


@pytest.fixture(scope="module")
def commands(place: Path, printed: Callable[..., Printed]) -> dict[str, Printed]:
    """Every command that needs neither a compiler nor TensorRT, on a model whose names are long, wide and foreign."""
    model, file, wrong, data = (place / name for name in ("größe.pt2", "größe.onnx", "wrong.onnx", "data.npz"))
    attnexport.save(foreign_names(), model, args=torch.randn(2, 9, WIDTH), dynamic_shapes={"x": {0: "batch"}})
    np.savez(data, x=np.random.default_rng(0).standard_normal((4, 9, WIDTH)).astype(np.float32))
    found = {"convert": printed("convert", model, "-o", file)}
    graph = onnx.load(file)
    weight = next(entry for entry in graph.graph.initializer if entry.name.startswith(f"{LONG_LAYER}.q_proj"))
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) + np.float32(1e-2), weight.name))
    onnx.save(graph, wrong)
    quick = ("--kinds", "normal", "--seeds", 1)
    looks = ("--bisect", "--hazards", "--repeat", 2)
    return {
        **found,
        "check": printed("check", model, file, *quick, "--json", place / "before.json"),
        "check-several": printed("check", model, file, wrong, "torch:fp16", *quick, *looks),
        "check-warn-only": printed("check", model, wrong, "--warn-only", *quick, "--json", place / "after.json"),
        "compare": printed("compare", place / "before.json", place / "after.json"),
        "record": printed("record", model, "-o", place / "set", "--precisions", "fp32", *quick),
        "analyze": printed("analyze", model, "--data", data, "--n", "2,3"),
        "run": printed("run", file, "--data", data, "--time", 3, "-o", place / "outputs.npz"),
        "calibrate": printed("calibrate", file, "--data", data, "-o", place / "ranges.json"),
        "quantize": printed("quantize", file, "--to", "int8", "--data", data, "-o", place / "quantized.onnx"),
        "tune": printed("tune", file, "--data", data, "--max-error", 0.1, "-o", place / "tuned.onnx"),
        "inspect": printed("inspect", file),
        "targets": printed("targets"),
        "variants": printed("variants"),
    }


NAMES = (
    *("convert", "check", "check-several", "check-warn-only", "compare", "record", "analyze", "run", "calibrate"),
    *("quantize", "tune", "inspect", "targets", "variants"),
)


@pytest.mark.parametrize("terminal", TERMINALS, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_what_a_command_prints_is_whole(commands: dict[str, Printed], name: str, terminal: Terminal):
    for part in commands[name].shown:
        check(part, terminal)


def check(part: object, terminal: Terminal) -> None:
    if isinstance(part, Table):
        check_table(part, terminal)
    elif isinstance(part, Facts):
        check_facts(part, terminal)
    elif isinstance(part, str):
        check_sentence(wrapped(terminal.text(part), terminal.width, indent=2), part, terminal)
    elif isinstance(part, Verdict):
        assert "\n" not in part.line(terminal)
    else:
        raise TypeError(part)


@pytest.mark.parametrize("terminal", TERMINALS, ids=str)
def test_what_needs_compilers_prints_is_whole(terminal: Terminal, manifest, engine: Path, tmp_path: Path):  # noqa: F811
    path = tmp_path / "built_for_a_device_with_a_long_name" / "libattnexport_plugins_static.so"
    built = BuildResult((BuiltLibrary(path, 123 << 20, 92.4),), replace(INFO, architectures=(80, 86, 89, 120)), ())
    facts = replace(FACTS, path=path)
    for part in (
        build_command._facts(engine, manifest),
        plugins_command._libraries(built),
        plugins_command._facts(facts),
        plugins_command._operators(facts),
    ):
        check(part, terminal)


@pytest.mark.parametrize("name", NAMES)
def test_the_last_line_is_a_plain_verdict(commands: dict[str, Printed], name: str):
    done = commands[name]
    *_, last = done.result.out.splitlines()
    assert last == str(done.verdicts[-1])
    assert last.split()[0] in ("PASSED", "FAILED", "WARNED", "WROTE", "RAN", "FOUND")
    assert done.result.code == (1 if last.startswith("FAILED") else 0)


def test_a_check_has_a_verdict_for_each_contender(commands: dict[str, Printed], place: Path):
    (alone,) = commands["check"].verdicts
    assert str(alone).startswith(f"PASSED {place / 'größe.onnx'}: ")
    assert str(alone).endswith(" % of its budget")
    passed, failed, unjudged, all_of_them = map(str, commands["check-several"].verdicts)
    assert passed.startswith(f"PASSED {place / 'größe.onnx'}: ")
    assert failed.startswith(f"FAILED {place / 'wrong.onnx'}: ")
    assert failed.endswith(f" times its budget, first in {LONG_LAYER}.q_proj")
    assert unjudged.startswith("UNJUDGED torch:fp16: nothing was judged: ")
    assert all_of_them.startswith(f"FAILED {place / 'größe.pt2'}: 1 of 2 contenders failed")
    (warned,) = commands["check-warn-only"].verdicts
    assert str(warned).startswith(f"WARNED {place / 'wrong.onnx'}: ")
    assert str(warned).endswith(" times its budget")


def test_the_other_commands_say_what_they_wrote_ran_or_found(commands: dict[str, Printed], place: Path):
    said = {name: str(done.verdicts[-1]).replace(str(place), "P") for name, done in commands.items()}
    assert said["convert"] == "WROTE P/größe.onnx: opset 20, 1 TopNAttention, ran at 3 shapes"
    assert said["record"] == "WROTE P/set: 1 batch, budgets for fp32"
    assert said["analyze"] == "FOUND P/größe.pt2: 2 heads in 1 layer, 4 samples"
    assert said["run"].startswith("RAN P/größe.onnx: 3 outputs in P/outputs.npz, median ")
    assert said["inspect"] == "FOUND P/größe.onnx: 1 plugin node, opset 20, fp32"
    assert said["targets"].startswith("FOUND targets: jetson-xavier-jp5, ")
    assert said["variants"] == "FOUND variants: affine, hla, krause, ssa, topn"


def in_a_process(*args: str, **variables: str) -> str:
    command = [sys.executable, "-m", "attnexport.cli", *args]
    done = subprocess.run(command, capture_output=True, check=True, env={**os.environ, **variables})
    assert not done.stderr
    return done.stdout.decode(variables.get("PYTHONIOENCODING", "utf-8"))


def on_a_terminal(*args: str, **variables: str) -> str:
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "attnexport.cli", *args]
    process = subprocess.Popen(command, stdout=follower, env={**os.environ, "TERM": "xterm", **variables})
    os.close(follower)
    shown = b""
    while True:
        try:
            shown += os.read(leader, 1 << 16)
        except OSError:
            break
    os.close(leader)
    assert process.wait() == 0
    return shown.decode()


def test_a_process_of_its_own_follows_the_environment():
    """Width, colours and encoding, end to end."""
    log = in_a_process("variants", COLUMNS="60")
    assert max(map(len, log.splitlines())) <= 60
    assert "\x1b" not in log
    ascii_only = in_a_process("variants", COLUMNS="80", PYTHONIOENCODING="ascii")
    assert ascii_only.isascii()
    assert "alpha*softmax" in ascii_only
    colored = on_a_terminal("variants", COLUMNS="80")
    assert "\x1b[1m" in colored
    plain = on_a_terminal("variants", COLUMNS="80", NO_COLOR="1")
    assert "\x1b" not in plain
    assert "─" in plain
    assert "─" not in on_a_terminal("variants", COLUMNS="80", TERM="dumb")
