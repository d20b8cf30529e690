"""Messages in the sources as texts in which … stands for what a message fills in: read from the code, not run."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner

from attnexport.cli import main

ROOT = Path(__file__).parents[2]
HOLE = "…"
MOST_WAYS = 64
"""Of alternatives in one message; more of them become holes."""

ERRORS = frozenset(
    {
        "InputError",
        "ConversionError",
        "BackendError",
        "WrongValuesError",
        "CompileError",
        "OperatorError",
        "Refusal",
        "Unusable",
        "NotApplicable",
        "BadParameter",
        "_Damaged",
        "_Failure",
        "Failure",
        "ValueError",
        "misfit",
        "_misfit",
    }
)
WARNINGS = frozenset({"warn", "warning"})


@dataclass(frozen=True)
class Message:
    """A message, and where it is written: its file and line."""

    text: str
    place: str

    @property
    def letters(self) -> int:
        """Letters that are not filled in."""
        return sum(letter.isalpha() for letter in self.text)


def python_messages() -> list[Message]:
    """What the package's Python raises, warns of and notes."""
    found: dict[str, Message] = {}
    for path in _modules():
        for message in _of_module(path, _told):
            found.setdefault(message.text, message)
    return list(found.values())


def python_texts() -> list[Message]:
    """Every text that the package's Python puts together, messages or not."""
    return [found for path in _modules() for found in _of_module(path, _texts)]


def native_messages() -> list[Message]:
    """What the C++ of attnrt and of TensorRT's adapters throws."""
    found: dict[str, Message] = {}
    for folder in ("plugins/tensorrt", "plugins/runtime"):
        for path in sorted((ROOT / folder).rglob("*.[ch]*")):
            if path.suffix in {".cpp", ".h"}:
                for message in _of_native(path):
                    found.setdefault(message.text, message)
    return list(found.values())


def command_line_messages() -> list[Message]:
    """What the command line says of calls that are none, in click's words."""
    calls = (
        "nothing",
        "check --nothing",
        "convert model.pt2",
        "inspect",
        "convert model.pt2 -o out.onnx --opset many",
        "run --data",
        "inspect one two",
    )
    found = {call: CliRunner().invoke(main, call.split()).output for call in calls}
    return [Message(said.strip().removeprefix("attnexport: "), f"attnexport {call}") for call, said in found.items()]


def _of_native(path: Path) -> Iterator[Message]:
    source = path.read_text()
    for thrown in re.finditer(r"throw\s+(?:\w+::)?Error\((.*?)\);", source, re.DOTALL):
        text = "".join(
            match["text"] if match["text"] is not None else HOLE
            for match in re.finditer(
                r'(?:std::string\()?"(?P<text>(?:[^"\\]|\\.)*)"|[^"\s]+', re.sub(r'"\s*\n\s*"', "", thrown[1])
            )
        )
        line = source.count("\n", 0, thrown.start()) + 1
        yield Message(_tidy(text), f"{path.relative_to(ROOT)}:{line}")


def _modules() -> Iterator[Path]:
    for folder in ("exporter", "plugins", "calibration"):
        yield from sorted((ROOT / folder).rglob("*.py"))


def _of_module(path: Path, chosen: Callable[[ast.FunctionDef], Iterator[ast.expr]]) -> Iterator[Message]:
    """The texts that the chosen expressions of its functions can be."""
    tree = ast.parse(path.read_text())
    module = _Names.of(tree)
    for scope in ast.walk(tree):
        if isinstance(scope, ast.FunctionDef):
            names = module.within(scope)
            for node in chosen(scope):
                for text in names.texts(node):
                    yield Message(_tidy(text), f"{path.relative_to(ROOT)}:{node.lineno}")


def _texts(function: ast.FunctionDef) -> Iterator[ast.expr]:
    return (node for node in ast.walk(function) if isinstance(node, ast.Constant | ast.JoinedStr))


def _told(function: ast.FunctionDef) -> Iterator[ast.expr]:
    """The expressions in a function that become messages: errors, warnings, notes."""
    for node in ast.walk(function):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ERRORS | WARNINGS and node.args:
                yield node.args[0]
            if called == "Failure":
                yield from (word.value for word in node.keywords if word.arg in {"what", "advice"})
            if called == "append" and getattr(getattr(node.func, "value", None), "id", "") == "notes":
                yield from node.args
        if isinstance(node, ast.Assign) and any(_is_note(target) for target in node.targets):
            yield from node.value.elts if isinstance(node.value, ast.List | ast.Tuple) else [node.value]
        if isinstance(node, ast.Yield | ast.Return) and node.value is not None and "note" in function.name:
            yield from node.value.elts if isinstance(node.value, ast.List | ast.Tuple) else [node.value]


def _is_note(target: ast.expr) -> bool:
    if isinstance(target, ast.Tuple):
        return False
    return getattr(target, "id", getattr(target, "attr", "")) in {"note", "notes"}


@dataclass(frozen=True)
class _Names:
    """What names stand for: texts that a module or function gives to them, and what functions return."""

    given: dict[str, list[ast.expr]]
    returned: dict[str, list[ast.expr]]
    depth: int = 0

    @classmethod
    def of(cls, module: ast.Module) -> _Names:
        returned = {
            function.name: [node.value for node in ast.walk(function) if isinstance(node, ast.Return) and node.value]
            for function in ast.walk(module)
            if isinstance(function, ast.FunctionDef)
        }
        return cls(_assigned(module.body), returned)

    def within(self, function: ast.FunctionDef) -> _Names:
        local = _assigned(node for node in ast.walk(function) if isinstance(node, ast.stmt))
        parameters = {parameter.arg for parameter in (*function.args.args, *function.args.kwonlyargs)}
        outer = {name: values for name, values in self.given.items() if name not in parameters}
        return _Names({**outer, **local}, self.returned)

    def texts(self, node: ast.expr) -> list[str]:
        """Every text that the expression can be, at most MOST_WAYS of them."""
        if isinstance(node, ast.Constant):
            return [node.value] if isinstance(node.value, str) else [HOLE]
        if isinstance(node, ast.JoinedStr):
            return self._joined(node.values)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return self._joined([node.left, node.right])
        if isinstance(node, ast.IfExp):
            return [*self.texts(node.body), *self.texts(node.orelse)]
        if isinstance(node, ast.BoolOp):
            return [text for value in node.values for text in self.texts(value)]
        if isinstance(node, ast.FormattedValue):
            return self.texts(node.value)
        if isinstance(node, ast.Name):
            return self._deeper(self.given.get(node.id, []))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("option", "named"):
            return self._spelled(node)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            return self._deeper(self.returned.get(node.func.id, []))
        return [HOLE]

    def _spelled(self, call: ast.Call) -> list[str]:
        """An option of the command line with its value, or a thing of a kind (attnexport.messages)."""
        (first, *rest), kind = call.args, getattr(call.func, "id", "")
        if kind == "named":
            return [f"{text} {HOLE}" for text in self.texts(first)]
        values = [] if not rest or getattr(rest[0], "value", None) is True else self.texts(rest[0])
        return [f"{text} {value}" for text in self.texts(first) for value in values] or self.texts(first)

    def _deeper(self, nodes: list[ast.expr]) -> list[str]:
        if self.depth > 3:
            return [HOLE]
        further = _Names(self.given, self.returned, self.depth + 1)
        texts = [text for node in nodes for text in further.texts(node)]
        return [text for text in texts if any(map(str.isalpha, text))][:MOST_WAYS] or [HOLE]

    def _joined(self, parts: list[ast.expr]) -> list[str]:
        ways = [self.texts(part) for part in parts]
        while len(ways) and _product(ways) > MOST_WAYS:
            longest = max(range(len(ways)), key=lambda place: len(ways[place]))
            ways[longest] = [HOLE]
        return ["".join(chosen) for chosen in itertools.product(*ways)]


def _product(ways: list[list[str]]) -> int:
    total = 1
    for way in ways:
        total *= max(len(way), 1)
    return total


def _assigned(body: Iterator[ast.stmt] | list[ast.stmt]) -> dict[str, list[ast.expr]]:
    given: dict[str, list[ast.expr]] = {}
    for node in body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            given.setdefault(node.targets[0].id, []).append(node.value)
    return given


def _tidy(text: str) -> str:
    """One space for each gap, one hole for holes in a row."""
    return re.sub(rf"{HOLE}+", HOLE, " ".join(text.split()))
