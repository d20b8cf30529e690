"""What models take and return beside bare tensors: saved so that any process can read it, under the fields' names."""

from __future__ import annotations

import collections
import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import onnx
import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import attnexport
from attnexport.errors import ConversionError, InputError
from attnexport.models.loading.sources import load_model
from attnexport.models.program import input_specs, output_names

X = torch.randn(2, 3)


@dataclasses.dataclass
class Plain:
    logits: Tensor
    hidden: Tensor | None = None
    loss: Tensor | None = None


@dataclasses.dataclass
class Registered:
    logits: Tensor
    hidden: Tensor


pytree.register_dataclass(Registered, serialized_type_name="tests.Registered")


class Named(NamedTuple):
    logits: Tensor
    hidden: Tensor


class ModelOutput(collections.OrderedDict[str, Any]):
    """As transformers' outputs: a dict of the fields that are not None, registered without paths."""


pytree._register_pytree_node(
    ModelOutput,
    lambda output: (list(output.values()), list(output)),
    lambda values, keys: ModelOutput(zip(keys, values, strict=True)),
    serialized_type_name="tests.ModelOutput",
)


class UnregisteredOutput(collections.OrderedDict[str, Any]):
    pass


class Cache:
    """Keys and values of layers, as a decoder's cache."""

    def __init__(self, keys: list[Tensor], values: list[Tensor]) -> None:
        self.keys, self.values = keys, values


pytree._register_pytree_node(
    Cache,
    lambda cache: ([cache.keys, cache.values], None),
    lambda parts, _: Cache(*parts),
    serialized_type_name="tests.Cache",
    flatten_with_keys_fn=lambda cache: (
        [(pytree.GetAttrKey("keys"), cache.keys), (pytree.GetAttrKey("values"), cache.values)],
        None,
    ),
)


class Stranger:
    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


class Returning(nn.Module):
    def __init__(self, make: Any) -> None:
        super().__init__()
        self.make = make

    def forward(self, x: Tensor) -> Any:
        return self.make(x * 2, x + 1)


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda a, b: Plain(a, b), ("logits", "hidden")),
        (lambda a, b: Plain(a, loss=b), ("logits", "loss")),
        (lambda a, b: Registered(a, b), ("logits", "hidden")),
        (lambda a, b: Named(a, b), ("logits", "hidden")),
        (lambda a, b: ModelOutput(logits=a, hidden=b), ("logits", "hidden")),
        (lambda a, b: UnregisteredOutput(logits=a, hidden=b), ("logits", "hidden")),
        (lambda a, b: collections.defaultdict(list, logits=a, hidden=b), ("logits", "hidden")),
        (lambda a, b: collections.OrderedDict(logits=a, hidden=b), ("logits", "hidden")),
        (lambda a, b: a.max(-1), ("values", "indices")),
        (lambda a, b: (a, b), ("output_0", "output_1")),
        (lambda a, b: [a], ("output",)),
        (lambda a, b: a, ("output",)),
        (lambda a, b: (a, None, b), ("output_0", "output_2")),
        (lambda a, b: {"logits": a, "hidden_states": (a, b)}, ("logits", "hidden_states_0", "hidden_states_1")),
        (lambda a, b: Plain(a, {"deep": [b]}), ("logits", "hidden_deep_0")),
        (lambda a, b: (a, Plain(b)), ("output_0", "output_1_logits")),
        (lambda a, b: {"a": [b], "a_0": a}, ("a_0", "a_0_1")),
        (lambda a, b: {"x": a, "output_x": b}, ("output_x", "output_x_1")),
        (lambda a, b: {1: a, "1": b}, ("output_1", "output_1_1")),
        (lambda a, b: {torch.float32: a, "it's": b}, ("torch.float32", "it_s")),
        (lambda a, b: {"": a, "b": b}, ("output", "b")),
        (lambda a, b: {"mul": b, "add": a}, ("mul", "add")),
        (lambda a, b: {"y": a, "again": a}, ("y", "again")),
    ],
)
def test_outputs_have_the_same_names_from_a_module_and_from_its_file(
    make: Any, names: tuple[str, ...], tmp_path: Path
) -> None:
    model = Returning(make)
    direct = attnexport.convert(model, (X,), tmp_path / "direct.onnx")
    attnexport.save(model, tmp_path / "m.pt2", args=X)
    through = attnexport.convert(tmp_path / "m.pt2", None, tmp_path / "through.onnx")
    assert direct.outputs == through.outputs == names
    assert [value.name for value in onnx.load(tmp_path / "through.onnx").graph.output] == list(names)


def test_another_process_reads_a_dataclass(tmp_path: Path) -> None:
    attnexport.save(Returning(lambda a, b: Plain(a, b)), tmp_path / "m.pt2", args=X)
    script = "import torch; program = torch.export.load('m.pt2'); print(sorted(program.module()(torch.ones(2, 3))))"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['hidden', 'logits']"


def test_a_program_of_torch_export_with_registered_types_is_saved_for_any_process(tmp_path: Path) -> None:
    class Model(nn.Module):
        def forward(self, given: Registered) -> Registered:
            assert given.logits.shape[0] >= 2
            return Registered(given.logits * 2, given.hidden)

    shapes = {"given": [{0: torch.export.Dim("n", max=9)}, {0: torch.export.Dim("n", max=9)}]}
    program = torch.export.export(Model(), (Registered(X, X),), dynamic_shapes=shapes)
    attnexport.save(program, tmp_path / "m.pt2")
    loaded = load_model(tmp_path / "m.pt2").program
    assert loaded is not None
    assert [spec.name for spec in input_specs(loaded)] == ["given_logits", "given_hidden"]
    assert output_names(loaded) == ("logits", "hidden")
    wide = torch.ones(5, 3)
    assert torch.equal(loaded.module()({"logits": wide, "hidden": wide})["logits"], wide * 2)
    with pytest.raises(AssertionError, match="Guard failed"):
        loaded.module()({"logits": torch.ones(10, 3), "hidden": torch.ones(10, 3)})


class Decoder(nn.Module):
    def forward(self, x: Tensor, cache: Any) -> Any:
        return x + cache.keys[0] + cache.values[1]


def test_a_cache_is_taken_apart_into_named_tensors(tmp_path: Path) -> None:
    cache = Cache([X, X], [X, X])
    shapes = {"x": {0: "batch"}, "cache": [[{0: "batch"}, {0: "batch"}], [{0: "batch"}, {0: "batch"}]]}
    attnexport.save(Decoder(), tmp_path / "m.pt2", args=(X, cache), dynamic_shapes=shapes)
    result = attnexport.convert(tmp_path / "m.pt2", None, tmp_path / "m.onnx")
    assert result.inputs == ("x", "cache_keys_0", "cache_keys_1", "cache_values_0", "cache_values_1")
    assert len(result.verified) == 3


def test_dataclasses_that_nobody_registered_are_inputs(tmp_path: Path) -> None:
    class Model(nn.Module):
        def forward(self, given: Plain) -> Tensor:
            assert given.hidden is not None
            return given.logits + given.hidden

    shapes = {"given": [{0: "n"}, {0: "n"}]}
    result = attnexport.convert(Model(), (Plain(X, X),), tmp_path / "m.onnx", dynamic_shapes=shapes)
    assert result.inputs == ("given_logits", "given_hidden")
    assert Plain not in pytree.SUPPORTED_NODES


def test_types_that_cannot_be_taken_apart_are_named(tmp_path: Path) -> None:
    class Takes(nn.Module):
        def forward(self, x: Tensor, extra: Stranger) -> Tensor:
            return x + extra.tensor

    with pytest.raises(InputError, match=r"input extra: a Stranger, .*register_pytree_node"):
        attnexport.save(Takes(), tmp_path / "m.pt2", args=(X, Stranger(X)))
    with pytest.raises(InputError, match=r"the model returns a Stranger: .*register_pytree_node"):
        attnexport.save(Returning(lambda a, b: Stranger(a)), tmp_path / "m.pt2", args=X)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [3, 0.5, True])
def test_numbers_among_the_outputs_are_refused_by_both_ways(number: object, tmp_path: Path) -> None:
    model = Returning(lambda a, b: {"y": a, "count": number})
    says = f"output count: expected a tensor, the model returns {type(number).__name__}"
    with pytest.raises(ConversionError, match=says):
        attnexport.save(model, tmp_path / "m.pt2", args=X)
    with pytest.raises(ConversionError, match=says):
        attnexport.convert(model, (X,), tmp_path / "m.onnx")


def test_a_key_may_be_the_name_of_a_weight_or_of_an_inner_tensor(tmp_path: Path) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3))

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            mean = x.mean(-1, keepdim=True)
            return {"mean": (x - mean) * self.weight, "weight": mean.exp(), "sub": x.flip(0)}

    result = attnexport.convert(Model(), (X,), tmp_path / "m.onnx", dynamic_shapes={"x": {0: "b"}})
    assert result.outputs == ("mean", "weight", "sub")
    assert len(result.verified) == 3
