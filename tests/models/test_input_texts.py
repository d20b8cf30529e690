"""--inputs and --dynamic: what the texts mean, and one clear line for each that means nothing."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from attnexport.errors import InputError
from attnexport.models.dynamic_texts import parse_dynamic
from attnexport.models.example_inputs import bind_inputs, check_inputs, example_tensors
from attnexport.models.input_texts import parse_inputs
from attnexport.models.loading.torch_dims import torch_dims
from attnexport.models.model import Model


@pytest.mark.parametrize(
    ("text", "shape", "dtype"),
    [
        ("x=2x197x384:f32", (2, 197, 384), torch.float32),
        ("x=2x3", (2, 3), torch.float32),
        ("x=7:f64", (7,), torch.float64),
        ("x=1x1:f16", (1, 1), torch.float16),
        ("x=3:bf16", (3,), torch.bfloat16),
        ("x=:f32", (), torch.float32),
        ("x=3:i64[0,96)", (3,), torch.int64),
        ("x=3:i32[-5, 5]", (3,), torch.int32),
        ("x=3:i8[-128,127]", (3,), torch.int8),
        ("x=3:u8[0,256)", (3,), torch.uint8),
        ("x=3:bool", (3,), torch.bool),
    ],
)
def test_inputs(text: str, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    (tensor,) = example_tensors(parse_inputs([text])).values()
    assert tensor.shape == shape
    assert tensor.dtype == dtype


def test_values_lie_in_the_range_and_fill_it() -> None:
    tensors = example_tensors(
        parse_inputs(["a=4000:i64[3,9)", "b=4000:i8[-2,2]", "c=400:u8", "d=400:bool", "e=4000:f64"])
    )
    assert tensors["a"].unique().tolist() == [3, 4, 5, 6, 7, 8]
    assert tensors["b"].unique().tolist() == [-2, -1, 0, 1, 2]
    assert tensors["c"].unique().tolist() == [0, 1]
    assert tensors["d"].unique().tolist() == [False, True]
    assert abs(float(tensors["e"].mean())) < 0.1
    assert abs(float(tensors["e"].std()) - 1) < 0.1


def test_seeds() -> None:
    options = parse_inputs(["x=5:f32", "ids=9:i64[0,1000)"])
    one, again, other = example_tensors(options, 1), example_tensors(options, 1), example_tensors(options, 2)
    assert all(torch.equal(one[name], again[name]) for name in options)
    assert not any(torch.equal(one[name], other[name]) for name in options)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x", "expected name=SIZESxSIZE:DTYPE"),
        ("", "expected name="),
        ("=2x3", "expected name="),
        ("x=2,3", "expected name="),
        ("x=2x3:f32[0,1) ", "a range is for integers, given one for float32"),
        ("x=2x3:bool[0,1]", "a range is for integers"),
        ("x=2x3:float7", "expected a dtype of f64, f32"),
        ("my-x=2x3", "'my-x' is not the name of an argument"),
        ("x=2x-3:f32", "expected name=SIZESxSIZE:DTYPE"),
        ("x=2xx3", "expected sizes with x between them"),
        ("x=99999999999", "expected sizes with x between them"),
        ("x=100000x100000", "too many"),
        ("x=3:i64[5,5)", "a range that is not empty"),
        ("x=3:i8[0,256)", "from -128 to 127"),
        ("x=3:i64[0..5]", "expected a range such as [0,96)"),
        ("x=3:i64[0,5", "expected a range such as"),
    ],
)
def test_bad_inputs(text: str, says: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_inputs([text])
    assert says in str(refused.value)
    assert str(refused.value).startswith(f"--inputs {text}:")


def test_input_given_twice() -> None:
    with pytest.raises(InputError, match="x is given twice"):
        parse_inputs(["x=2", "x=3"])


INPUTS = parse_inputs(["x=4x8x16:f32", "ids=4x8:i64[0,96)", "bias=16:f32"])


def test_dynamic() -> None:
    shapes = torch_dims(parse_dynamic(["x:0=batch,1=tokens[2..512]", "ids:0=batch, 1=tokens"], INPUTS))
    assert shapes is not None
    assert list(shapes) == ["x", "ids", "bias"]
    assert shapes["x"][0] is shapes["ids"][0]
    assert shapes["x"][1] is shapes["ids"][1]
    tokens = shapes["x"][1]
    assert (tokens.__name__, tokens.min, tokens.max) == ("tokens", 2, 512)
    assert shapes["bias"] == {}
    assert parse_dynamic([], INPUTS) is None


def test_dynamic_with_an_open_range() -> None:
    shapes = torch_dims(parse_dynamic(["x:0=batch[4..]"], INPUTS))
    assert shapes is not None
    assert shapes["x"][0].min == 4


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (["x"], "expected name:AXIS=DIM"),
        (["x:"], "expected name:AXIS=DIM"),
        (["y:0=batch"], "no --inputs is given for 'y'; there is x, ids, bias"),
        (
            ["x:batch"],
            "with a name (letters, digits and _), 2*name, name+1 or AUTO as DIM, given 'batch'",
        ),
        (["x:0=ba tch"], "given '0=ba tch'"),
        (["x:0=batch[2-5]"], "given '0=batch[2-5]'"),
        (["x:0=batch[5..2]"], "LOW below HIGH"),
        (["x:3=batch"], "x has 3 dims, counted from 0; given axis 3"),
        (["x:0=a,0=b"], "axis 0 is given twice"),
        (["x:0=a", "x:1=b"], "x is given twice"),
        (["x:0=a[2..8]", "ids:0=a[2..9]"], "a has two different ranges"),
        (["x:0=a[5..8]"], "x:0=a: expected 5 to 8, --inputs gives 4"),
    ],
)
def test_bad_dynamic(texts: list[str], says: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_dynamic(texts, INPUTS)
    assert says in str(refused.value)
    assert str(refused.value).startswith("--dynamic")


class Net(nn.Module):
    def forward(self, x: Tensor, ids: Tensor | None = None, *, bias: Tensor, scale: float = 1.0) -> Tensor:
        return x + bias * scale + (0 if ids is None else ids.sum())


def test_binding() -> None:
    tensors = example_tensors(INPUTS)
    args, kwargs = bind_inputs(Net(), tensors)
    assert [id(value) for value in args] == [id(tensors["x"]), id(tensors["ids"])]
    assert list(kwargs) == ["bias"]
    args, kwargs = bind_inputs(Net(), {"bias": tensors["bias"], "x": tensors["x"]})
    assert len(args) == 1
    Net()(*args, **kwargs)


def test_binding_refusals() -> None:
    tensors = example_tensors(INPUTS)
    with pytest.raises(InputError, match="inputs y: the model's forward has no such input; it takes x, ids, bias"):
        bind_inputs(Net(), {**tensors, "y": tensors["x"]})
    with pytest.raises(InputError, match="needs x, given bias: add inputs x="):
        bind_inputs(Net(), {"bias": tensors["bias"]})


@pytest.fixture(scope="module")
def program() -> ExportedProgram:
    class Twice(nn.Module):
        def forward(self, x: Tensor, ids: Tensor) -> Tensor:
            return x.sum((1, 2)) + ids.sum(1)

    batch = Dim("batch", min=2, max=9)
    shapes = {"x": {0: batch}, "ids": {0: batch, 1: Dim.DYNAMIC}}
    return torch.export.export(Twice(), (torch.ones(4, 64, 8), torch.ones(4, 3)), dynamic_shapes=shapes)


def test_inputs_that_fit(program: ExportedProgram) -> None:
    check_inputs(Model(program), {"x": torch.ones(2, 64, 8), "ids": torch.ones(2, 30)})


@pytest.mark.parametrize(
    ("x", "ids", "says"),
    [
        (
            torch.ones(2, 63, 8),
            torch.ones(2, 3),
            "inputs x: expected (batch, 64, 8) float32, given (2, 63, 8) float32",
        ),
        (torch.ones(2, 64), torch.ones(2, 3), "inputs x: expected (batch, 64, 8) float32, given (2, 64) float32"),
        (
            torch.ones(2, 64, 8).half(),
            torch.ones(2, 3),
            "inputs x: expected (batch, 64, 8) float32, given (2, 64, 8) float16",
        ),
        (torch.ones(2, 64, 8), torch.ones(3, 3), "inputs ids: batch (axis 0) is 3, but 2 in x axis 0"),
        (torch.ones(12, 64, 8), torch.ones(12, 3), "inputs x: batch (axis 0): expected 2 to 9, given 12"),
    ],
)
def test_inputs_that_do_not_fit(program: ExportedProgram, x: Tensor, ids: Tensor, says: str) -> None:
    with pytest.raises(InputError) as refused:
        check_inputs(Model(program, {"x": {0: "batch"}, "ids": {0: "batch"}}), {"x": x, "ids": ids})
    assert str(refused.value) == says


def test_inputs_of_other_names(program: ExportedProgram) -> None:
    with pytest.raises(InputError, match="inputs y: the model has no such input; it takes x, ids"):
        check_inputs(Model(program), {"x": torch.ones(2, 64, 8), "y": torch.ones(2, 3)})
    with pytest.raises(InputError, match="inputs: the model also needs ids"):
        check_inputs(Model(program), {"x": torch.ones(2, 64, 8)})
