"""A .pt2 from a stranger: what could run code is refused, what honest programs hold loads."""

from __future__ import annotations

import ast
import contextlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.export import ExportedProgram
from torch.utils import _pytree as pytree

from attnexport.errors import InputError
from attnexport.models.audit import audit_pt2
from attnexport.models.audit.guards import guard_code
from attnexport.models.audit.operators import operator_target
from attnexport.models.audit.shapes import Refusal
from attnexport.models.audit.size_expressions import sympy_expression
from attnexport.models.loading.sources import load_model
from attnexport.models.loading.vmapped import without_vmap
from tests.models.audit.attacks import ATTACKS, Attack, Stage, touch
from tests.models.audit.honest import PROGRAMS, Batch, Pair
from tests.models.audit.pt2_edits import PROGRAM, graph, renamed, victim_inputs, victim_records, write_archive


@pytest.fixture(scope="module")
def records() -> dict[str, bytes]:
    return victim_records()


@pytest.fixture
def marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that a payload creates; importing `evil_module` creates it too."""
    marker = tmp_path / "marker"
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / "evil_module.py").write_text(f"open({str(marker)!r}, 'w').close()\nname = dict\n")
    monkeypatch.syspath_prepend(str(modules))
    monkeypatch.delitem(sys.modules, "evil_module", raising=False)
    return marker


def plain_torch(path: Path, stage: Stage) -> None:
    """What a user without attnexport does with a file, up to a stage. Whatever fails then is of no interest."""
    with contextlib.suppress(Exception):
        program = torch.export.load(str(path))
        if stage != "load":
            module = program.module()
            if stage == "run":
                module(*victim_inputs())


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_attack_is_refused(attack: Attack, records: dict[str, bytes], marker: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.pt2"
    attack.make(path, records, marker)
    with pytest.raises(InputError) as refused:
        load_model(path)
    assert attack.says in str(refused.value)
    assert str(refused.value).startswith(str(path))
    assert "\n" not in str(refused.value)
    with pytest.raises(InputError):
        audit_pt2(path)
    assert not marker.exists()


BITING = [attack for attack in ATTACKS if attack.bites]


@pytest.mark.parametrize("attack", BITING, ids=lambda attack: attack.name)
@pytest.mark.filterwarnings("ignore")
def test_attack_bites_without_the_audit(
    attack: Attack, records: dict[str, bytes], marker: Path, tmp_path: Path
) -> None:
    assert attack.bites is not None
    path = tmp_path / "model.pt2"
    attack.make(path, records, marker)
    plain_torch(path, attack.bites)
    assert marker.exists()


def test_the_unedited_archive_loads(records: dict[str, bytes], tmp_path: Path) -> None:
    path = write_archive(tmp_path / "model.pt2", records)
    loaded = load_model(path)
    assert loaded.program is not None
    expected = torch.export.load(str(path)).module()(*victim_inputs())
    assert torch.equal(loaded.program.module()(*victim_inputs()), expected)


def same(one: object, other: object) -> bool:
    pairs = zip(pytree.tree_leaves(one), pytree.tree_leaves(other), strict=True)
    return all(torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in pairs)


@pytest.mark.parametrize("export", PROGRAMS, ids=lambda export: export.__name__)
@pytest.mark.filterwarnings("ignore")
def test_honest_program_loads(export: Callable[[], ExportedProgram], tmp_path: Path) -> None:
    path = tmp_path / "model.pt2"
    program = export()
    torch.export.save(program, str(path))
    loaded = load_model(path).program
    with torch.serialization.safe_globals([Pair, Batch]):
        plain = without_vmap(torch.export.load(str(path)))
    assert loaded is not None
    assert program.example_inputs is not None
    assert loaded.example_inputs is not None
    args, kwargs = program.example_inputs
    assert same(loaded.example_inputs, program.example_inputs)
    assert same(loaded.module()(*args, **kwargs), program.module()(*args, **kwargs))
    assert [str(node.target) for node in loaded.graph.nodes] == [str(node.target) for node in plain.graph.nodes]
    ranges = [str(value) for symbol, value in plain.range_constraints.items() if symbol.is_Symbol]
    assert [*map(str, loaded.range_constraints.values())] == ranges
    assert len(loaded._guards_code) == len(plain._guards_code)


def test_the_audit_keeps_layer_names_and_drops_the_rest(records: dict[str, bytes], tmp_path: Path) -> None:
    archive = audit_pt2(write_archive(tmp_path / "model.pt2", records))
    program = torch.export.load(archive.stream())
    metas = [node.meta for node in program.graph.nodes if node.op == "call_function"]
    assert any("linear" in str(meta["nn_module_stack"]) for meta in metas)
    assert not any("stack_trace" in meta or "source_fn_stack" in meta or "custom" in meta for meta in metas)
    assert b"stack_trace" not in archive.data


def test_the_file_is_read_once(records: dict[str, bytes], tmp_path: Path) -> None:
    """What torch reads is what was audited, whatever happens to the file meanwhile."""
    path = write_archive(tmp_path / "model.pt2", records)
    archive = audit_pt2(path)
    path.unlink()
    assert torch.export.load(archive.stream()) is not None
    assert len(archive.sha256) == 64


@pytest.mark.parametrize(
    "code",
    [
        "L['x'].size()[0] % 8 == 0",
        "(1 + (L['y'].size()[0] // 2)) != 8",
        "L['args'][0].size()[1] <= max(3, L['x'].size()[0])",
        "not (L['p'].first.size()[0] == 3 and L['e']['k 1'][0].stride()[1] > 1)",
        "math.floor(L['x'].size()[0] / 2) < math.inf",
        "torch.sym_float(L['x'].size()[0]) ** 0.5 >= 2.0",
        "-1 * L['n'] < 4 if L['flag'] else True",
    ],
)
def test_guards_of_torch_pass(code: str) -> None:
    assert ast.dump(ast.parse(guard_code(code))) == ast.dump(ast.parse(code))


@pytest.mark.parametrize(
    "code",
    [
        "L.__class__",
        "L['x'].__class__ is None",
        "L['x']._base.size()[0] == 1",
        "L['x'].tolist() == 1",
        "L['x'].size(0) == 1",
        "(lambda: 1)()",
        "[1 for _ in L]",
        "torch.load('x')",
        "math.__loader__",
        "max(1, key=print)",
        "f'{L}'",
        "(a := 1)",
        "L['x\"'] == 1",
        "L['x'] == 'text'",
        "L['a\\nb'] == 1",
        "print(1)",
        "",
        "1 if",
        "x" * 30_000,
        3,
    ],
)
def test_other_code_is_no_guard(code: object) -> None:
    with pytest.raises(Refusal):
        guard_code(code)


@pytest.mark.parametrize(
    "code",
    [
        "Symbol('s77', positive=True, integer=True)",
        "Mul(Integer(-1), Symbol('u0', integer=True))",
        "FloatPow(ToFloat(Symbol('s0')), Float('0.5', precision=53))",
        "And(GreaterThan(Symbol('u0'), Integer(0)), Ne(Symbol('u1'), Rational(1, 2)))",
        "Piecewise(ExprCondPair(Integer(1), true), ExprCondPair(oo, Not(false)))",
        "OpaqueUnaryFn_sqrt(Symbol('s0'))",
    ],
)
def test_size_expressions_of_sympy_pass(code: str) -> None:
    assert sympy_expression(code) == code


@pytest.mark.parametrize(
    "code",
    [
        "Symbol('s0', positive=print())",
        "Symbol('s-0')",
        "Symbol(chr(65))",
        "Function('f')(1)",
        "Lambda(x, 1)",
        "sympify('1')",
        "S('1')",
        "Integer(1).__class__",
        "Symbol(*['s0'])",
        "Symbol('s0', **{'positive': True})",
        "Max(*args)",
        "Float('1;2')",
        "Add(1, evaluate=False)",
        "'text'",
        "None",
    ],
)
def test_other_code_is_no_size_expression(code: str) -> None:
    with pytest.raises(Refusal):
        sympy_expression(code)


def test_deep_nesting_leaves_the_parser_usable() -> None:
    for code in ("(" * 500 + ")" * 500, "-" * 5000 + "1", "1" + "+1" * 5000, "not " * 3000 + "1", "L" + ".a" * 5000):
        with pytest.raises(Refusal):
            guard_code(code)
    compile("1 + 1", "text", "eval")


def texts(value: object) -> set[str]:
    """Every text in a JSON value, keys too, but not the notes beside nodes."""
    if isinstance(value, dict):
        return set(value).union(*(texts(entry) for key, entry in value.items() if key != "metadata"))
    if isinstance(value, list):
        return set().union(*map(texts, value))
    return {value} if isinstance(value, str) else set()


@pytest.mark.parametrize("shape", ["{}", "a={}", "'+str({})+'", '"+str({})+"'])
@pytest.mark.filterwarnings("ignore")
def test_no_text_of_a_program_runs(shape: str, records: dict[str, bytes], marker: Path, tmp_path: Path) -> None:
    """Code in place of any text of the program: refused, or harmless when the program is loaded and run."""
    path = tmp_path / "model.pt2"
    passed = []
    value = json.loads(records[PROGRAM])
    notes = graph(value)["nodes"][0]["metadata"]
    for old in sorted({*texts(value), *notes.values()}):
        write_archive(path, renamed(records, old, shape.format(touch(marker)), PROGRAM))
        with contextlib.suppress(InputError):
            program = load_model(path).program
            assert program is not None
            passed.append(old)
            with contextlib.suppress(Exception):
                program.module()(*victim_inputs())
            with contextlib.suppress(Exception):
                program.graph_module(*program.state_dict.values(), *program.constants.values(), *victim_inputs())
        assert not marker.exists(), old
    assert notes["stack_trace"] in passed  # the audit drops it


def test_every_operator_that_takes_a_file_name_is_refused() -> None:
    for name in ("aten.from_file.default", "aten.from_file.out", "aten.save.default"):
        with pytest.raises(Refusal):
            operator_target(f"torch.ops.{name}")
