"""What training puts around a module comes off for the export, and is there again afterwards."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed
from torch import Tensor, nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.nn.utils import prune
from torch.optim.swa_utils import AveragedModel

import attnexport
from attnexport.errors import InputError
from attnexport.models.loading.sources import load_model

X = torch.randn(2, 4)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.rest = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5))

    def forward(self, x: Tensor, twice: bool = False) -> Tensor:
        y: Tensor = self.rest(self.first(x))
        return y * 2 if twice else y

    def encode(self, x: Tensor) -> Tensor:
        encoded: Tensor = self.first(x)
        return encoded


def inside(net: Net, wrap: Any) -> Net:
    net.rest[0] = wrap(net.rest[0])
    return net


def compiled_in_place(net: Net) -> Net:
    net.compile()
    return net


WRAPPERS = {
    "compile": torch.compile,
    "compile in place": compiled_in_place,
    "DataParallel": nn.DataParallel,
    "average": AveragedModel,
    "two at once": lambda net: nn.DataParallel(torch.compile(net)),  # type: ignore[type-var]
    "compiled part": lambda net: inside(net, torch.compile),
    "parallel part": lambda net: inside(net, nn.DataParallel),
    "checkpointed part": lambda net: inside(net, checkpoint_wrapper),
}


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS.keys())
def test_wrappers_come_off(wrap: Any, tmp_path: Path) -> None:
    net = Net()
    expected = net.eval()(X)
    model = wrap(net.train())
    parts = list(model.modules())
    attnexport.save(model, tmp_path / "m.pt2", args=X, dynamic_shapes={"x": {0: "batch"}})
    program = load_model(tmp_path / "m.pt2").program
    assert program is not None
    assert set(program.state_dict) == {"first.weight", "first.bias", "rest.0.weight", "rest.0.bias"}
    assert torch.equal(program.module()(X), expected)
    assert list(model.modules()) == parts
    assert all(part.training for part in parts)


@pytest.fixture
def process_group(tmp_path: Path) -> Iterator[None]:
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("process_group")
def test_parallel_wrappers_of_processes(tmp_path: Path) -> None:
    net = Net()
    attnexport.save(nn.parallel.DistributedDataParallel(net), tmp_path / "m.pt2", args=X)
    program = load_model(tmp_path / "m.pt2").program
    assert program is not None
    assert torch.equal(program.module()(X), net.eval()(X))
    from torch.distributed.fsdp import FullyShardedDataParallel

    with pytest.raises(InputError, match="wrapped by FSDP, which spreads its weights over processes: gather them"):
        attnexport.save(FullyShardedDataParallel(Net(), device_id=torch.device("cpu")), tmp_path / "f.pt2", args=X)


def test_partial_calls_and_methods(tmp_path: Path) -> None:
    net = Net().eval()
    for model, expected in ((functools.partial(net, twice=True), net(X) * 2), (net.encode, net.encode(X))):
        attnexport.save(model, tmp_path / "m.pt2", args=X, dynamic_shapes={"x": {0: "batch"}})
        program = load_model(tmp_path / "m.pt2").program
        assert program is not None
        assert torch.equal(program.module()(X), expected)
    assert "forward" not in vars(net)


def test_the_module_of_a_program_is_exported_again(tmp_path: Path) -> None:
    net = Net().eval()
    attnexport.save(torch.export.export(net, (X,)).module(), tmp_path / "m.pt2", args=X)
    program = load_model(tmp_path / "m.pt2").program
    assert program is not None
    assert torch.equal(program.module()(X), net(X))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: torch.jit.script(Net()), "is TorchScript .* give the nn.Module that it was made from"),
        (lambda: inside(Net(), torch.jit.script), "is TorchScript"),
        (lambda: torch.jit.trace(Net().eval(), X), "is TorchScript"),
        (lambda: lambda x: x, "expected an nn.Module or an ExportedProgram, given a function"),
        (lambda: Net, "expected an nn.Module or an ExportedProgram, given a type"),
        (
            lambda: torch.ao.quantization.quantize_dynamic(Net(), {nn.Linear}),
            "first, .* of the Net: quantised by torch.ao",
        ),
    ],
)
def test_what_cannot_be_unwrapped_is_named(make: Any, says: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=says):
        attnexport.save(make(), tmp_path / "m.pt2", args=X)
    with pytest.raises(InputError, match=says):
        attnexport.convert(make(), (X,), tmp_path / "m.onnx")


def meta() -> nn.Module:
    with torch.device("meta"):
        return Net()


class Buffers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.zeros(4, device="meta"))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.table


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (meta, "first.weight, first.bias, rest.0.weight and 1 more of the Net: on the meta device, without values"),
        (Buffers, "table of the Buffers: on the meta device"),
        (lambda: nn.Sequential(nn.LazyLinear(4)), "0.weight, 0.bias of the Sequential: no shape yet"),
        (lambda: nn.DataParallel(nn.Sequential(nn.LazyBatchNorm1d())), "0.weight, 0.bias, 0.running_mean and"),
    ],
)
@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_weights_without_values_are_named(make: Any, says: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=says):
        attnexport.save(make(), tmp_path / "m.pt2", args=X)
    with pytest.raises(InputError, match=says):
        attnexport.convert(make(), (X,), tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda net: nn.utils.parametrizations.weight_norm(net.first),
        lambda net: nn.utils.parametrizations.spectral_norm(net.first),
        lambda net: prune.l1_unstructured(net.first, "weight", 0.5),
        lambda net: setattr(net.rest[0], "weight", net.first.weight),
    ],
    ids=["weight_norm", "spectral_norm", "pruned", "tied"],
)
def test_weights_that_are_computed_or_shared(change: Any, tmp_path: Path) -> None:
    net = Net().eval()
    change(net)
    direct = attnexport.convert(net, (X,), tmp_path / "direct.onnx", dynamic_shapes={"x": {0: "batch"}})
    attnexport.save(net, tmp_path / "m.pt2", args=X, dynamic_shapes={"x": {0: "batch"}})
    through = attnexport.convert(tmp_path / "m.pt2", None, tmp_path / "through.onnx")
    assert direct.verified == through.verified
    assert len(direct.verified) == 3
