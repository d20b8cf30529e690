"""Formulas in a .pt2 whose numbers or terms would explode: refused in a moment, before anything is computed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attnexport.errors import InputError
from attnexport.models.audit.guards import guard_code
from attnexport.models.audit.shapes import Refusal
from attnexport.models.audit.size_expressions import sympy_expression
from attnexport.models.loading.sources import load_model
from tests.models.audit.pt2_edits import (
    EXAMPLES,
    Records,
    edited,
    graph,
    renamed,
    saved,
    victim_inputs,
    victim_records,
    write_archive,
)

S = "Symbol('s77', positive=True, integer=True)"
SECONDS = 2.0


@pytest.fixture(scope="module")
def records() -> Records:
    return victim_records()


@pytest.fixture(autouse=True)
def in_a_moment() -> Any:
    start = time.process_time()
    yield
    assert time.process_time() - start < SECONDS


def nested(wrapper: str, times: int, inner: str = S) -> str:
    for number in range(times):
        inner = wrapper.format(inner, number)
    return inner


COSTLY_SIZES = {
    "power": "Pow(Integer(10), Pow(Integer(10), Integer(10)))",
    "symbolic_exponent": f"Pow(Integer(2), {S})",
    "power_of_powers": nested("Pow({0}, Integer(64))", 5),
    "natural_power": f"PowByNatural({S}, Integer(10000000))",
    "negative_power": "Pow(Integer(10), Integer(-1000000000))",
    "infinite_power": "Pow(Integer(10), oo)",
    "power_of_a_sum": "Pow(Add(Symbol('a'), Symbol('b'), Symbol('c'), Symbol('d')), Integer(64))",
    "product_of_sums": "Mul("
    + ", ".join("Add(" + ", ".join(f"Symbol('{x}{i}')" for i in range(8)) + ")" for x in "abcdefgh")
    + ")",
    "shift": f"LShift({S}, Integer(10000000000))",
    "symbolic_shift": f"LShift(Integer(1), {S})",
    "float_precision": "Float('0.1', precision=100000000000)",
    "float_dps": "Float('0.1', dps=100000000)",
    "float_exponent": "FloorToInt(Float('1e99999'))",
    "rounding": f"RoundDecimal({S}, Integer(-10000000000))",
    "long_integer": f"Integer({'9' * 4000})",
    "exponentials": nested("exp({0})", 5, "Integer(1000)"),
    "many_maxima": "Max(" + ", ".join(f"Symbol('s{i}')" for i in range(200)) + ")",
    "nested_maxima": nested("Max(Min({0}, Symbol('a{1}')), Add(Symbol('b{1}'), Integer({1})))", 30),
    "conditions": "Or("
    + ", ".join(f"And(Gt(Symbol('a{i}'), Symbol('b{i}')), Lt({S}, Integer({i})))" for i in range(40))
    + ")",
    "xor": "Xor(" + ", ".join(f"Gt(Symbol('a{i}'), Integer({i}))" for i in range(60)) + ")",
    "thousands_of_names": "Add(" + ", ".join(f"Symbol('s{i}')" for i in range(1500)) + ")",
    "deep": nested("Abs({0})", 300),
}


@pytest.mark.parametrize("name", COSTLY_SIZES)
def test_a_costly_size_is_refused(name: str) -> None:
    with pytest.raises(Refusal):
        sympy_expression(COSTLY_SIZES[name])


X = "L['x'].size()[0]"
COSTLY_GUARDS = {
    "power": f"{X} ** (9 ** 9) ** 9 == 3",
    "literal_power": "9 ** 9 ** 9 ** 9 == 3",
    "symbolic_exponent": f"2 ** {X} == 3",
    "chain": f"((({X} ** 60) ** 60) ** 60) == 3",
    "shift": "1 << 10 ** 10 == 3",
    "shift_by_an_input": f"1 << L['n'] == {X}",
    "product": " * ".join([X] * 100) + " == 3",
    "rounding": f"round({X}, -10 ** 10) == 3",
    "text_times": "L['mode'] * 10000000000 == 3",
    "text_times_text": f"(L['mode'] * 60000) * {X} == 3",
    "list_times": "L['x'].size() * 1000000000 == 3",
    "text_fields": "L['mode'] % 5 == 3",
}


@pytest.mark.parametrize("name", COSTLY_GUARDS)
def test_a_costly_guard_is_refused(name: str) -> None:
    with pytest.raises(Refusal):
        guard_code(COSTLY_GUARDS[name])


def node(target: str, name: str, *arguments: dict[str, Any]) -> dict[str, Any]:
    return {
        "target": target,
        "inputs": [{"name": "", "arg": argument, "kind": 1} for argument in arguments],
        "outputs": [{"as_sym_int": {"as_name": name}}],
        "metadata": {},
        "is_hop_single_tensor_return": None,
        "name": name,
    }


def size(name: str) -> dict[str, Any]:
    return {"as_sym_int": {"as_name": name}}


SIZE_OF_X = {
    **node("torch.ops.aten.sym_size.int", "n0"),
    "inputs": [
        {"name": "self", "arg": {"as_tensor": {"name": "x"}}, "kind": 1},
        {"name": "dim", "arg": {"as_int": 0}, "kind": 1},
    ],
}


def with_arithmetic(records: Records, nodes: list[dict[str, Any]]) -> Records:
    def edit(program: dict[str, Any]) -> None:
        graph(program)["nodes"][:0] = [SIZE_OF_X, *nodes]
        for each in [SIZE_OF_X, *nodes]:
            graph(program)["sym_int_values"][each["name"]] = {"as_expr": {"expr_str": S, "hint": {"as_int": 4}}}

    return edited(records, edit)


def repeated(target: str, times: int) -> list[dict[str, Any]]:
    return [node(target, f"n{i + 1}", size(f"n{i}"), size(f"n{i}")) for i in range(times)]


COSTLY_NODES: dict[str, list[dict[str, Any]]] = {
    "power_of_numbers": [node("_operator.pow", "n1", {"as_int": 10}, {"as_int": 10**10})],
    "power": [node("_operator.pow", "n1", size("n0"), {"as_int": 10**9})],
    "power_of_sizes": [node("_operator.pow", "n1", size("n0"), size("n0"))],
    "shift": [node("_operator.lshift", "n1", {"as_int": 1}, {"as_int": 2**40})],
    "shift_by_a_size": [node("_operator.lshift", "n1", {"as_int": 1}, size("n0"))],
    "repeated_squaring": repeated("_operator.mul", 60),
    "repeated_powers": [node("_operator.pow", f"n{i + 1}", size(f"n{i}"), {"as_int": 60}) for i in range(4)],
    "doubling_formula": repeated("_operator.floordiv", 60),
}


@pytest.mark.parametrize("name", COSTLY_NODES)
def test_costly_arithmetic_among_the_nodes_is_refused(name: str, records: Records, tmp_path: Path) -> None:
    path = write_archive(tmp_path / "model.pt2", with_arithmetic(records, COSTLY_NODES[name]))
    with pytest.raises(InputError, match=r"size"):
        load_model(path)


def squares_in_a_loop(program: dict[str, Any]) -> None:
    cond = next(each for each in graph(program)["nodes"] if each["target"].endswith("cond"))
    body = cond["inputs"][1]["arg"]["as_graph"]["graph"]
    body["nodes"].append(node("_operator.mul", "n1", size("n0"), size("n0")))
    cond["target"] = "torch.ops.higher_order.while_loop"


def test_a_square_in_a_loop_is_refused(records: Records, tmp_path: Path) -> None:
    path = write_archive(tmp_path / "model.pt2", edited(records, squares_in_a_loop))
    with pytest.raises(InputError, match="in a loop"):
        load_model(path)


def test_a_costly_size_in_a_file_is_one_line(records: Records, tmp_path: Path) -> None:
    path = write_archive(tmp_path / "model.pt2", renamed(records, S, COSTLY_SIZES["power"]))
    with pytest.raises(InputError, match="exponent") as refused:
        load_model(path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("leaf", [2**200, "x" * 10_000], ids=["number", "text"])
def test_an_example_that_guards_would_multiply_is_refused(leaf: object, records: Records, tmp_path: Path) -> None:
    x, extra, _ = victim_inputs()
    path = write_archive(tmp_path / "model.pt2", {**records, EXAMPLES: saved(((x, extra, leaf), {}))})
    with pytest.raises(InputError, match="over 64 bits"):
        load_model(path)


ALLOWED: dict[str, Callable[[], str]] = {
    "convolutions": lambda: sympy_expression(
        nested("Add(FloorDiv(Add({0}, Integer(-1)), Integer(2)), Integer(1))", 25)
    ),
    "square": lambda: sympy_expression(f"Pow({S}, Integer(2))"),
    "root": lambda: sympy_expression(f"FloatPow(ToFloat({S}), Float('0.5', precision=53))"),
    "inverse": lambda: sympy_expression(f"Mul(Pow({S}, Integer(-1)), Rational(1, 3))"),
    "volume": lambda: sympy_expression("Mul(Symbol('a'), Symbol('b'), Symbol('c'), Integer(64))"),
    "guard_on_a_square": lambda: guard_code(f"{X} ** 2 <= 2147483647"),
    "guard_on_a_product": lambda: guard_code(f"{X} * L['y'].size()[1] % 8 == 0"),
}


@pytest.mark.parametrize("name", ALLOWED)
def test_what_models_compute_passes(name: str) -> None:
    assert ALLOWED[name]()
