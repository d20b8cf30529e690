"""Checkpoints as training loops write them, loaded by names and shapes, and refused with what would fit."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from attnexport.cli import main
from attnexport.errors import InputError
from attnexport.models.loading.reading import ReadModule, read_source

CODE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(5, 4)
        self.block = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
        self.head = nn.Linear(4, 5, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x):
        return self.head(self.block(x))

def build():
    return Net()

def compiled():
    return torch.compile(Net())

def compiled_part():
    net = Net()
    net.block = torch.compile(net.block)
    return nn.DataParallel(net)

def meta():
    with torch.device("meta"):
        return Net()

def lazy():
    net = Net()
    net.block[0] = nn.LazyLinear(4)
    return net
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "nets.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    yield
    sys.modules.pop("nets", None)


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    monkeypatch.syspath_prepend(".")
    import nets  # type: ignore[import-not-found]

    module: nn.Module = nets.build()
    return module


def prefixed(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in state.items()}


def compiled_block(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.replace("block.", "block._orig_mod."): value for name, value in state.items()}


def module_of(path: str | None = None, **given: Any) -> nn.Module:
    read = read_source(path, **given)
    assert isinstance(read, ReadModule)
    return read.module


def loads(expected: nn.Module, **given: Any) -> None:
    module = module_of(**{"factory": "nets:build", "weights": "w.pt", **given})
    for name, value in expected.state_dict().items():
        assert torch.equal(module.state_dict()[name], value), name


FORMS = {
    "net": lambda state: {"net": state, "epoch": 3},
    "ema": lambda state: {"ema": state, "optimizer": {"state": {0: {"exp_avg": torch.ones(4)}}, "param_groups": [{}]}},
    "model.state_dict": lambda state: {"model": {"state_dict": state, "config": {"width": 4}}},
    "module": lambda state: {"module": prefixed(state, "module.")},
    "Lightning": lambda state: {"state_dict": prefixed(state, "model."), "hyper_parameters": {}, "epoch": 3},
    "DDP in Lightning": lambda state: {"state_dict": prefixed(state, "model.module.")},
    "compiled part": lambda state: {"model": compiled_block(state)},
    "compiled twice": lambda state: prefixed(compiled_block(state), "_orig_mod.module."),
    "activation checkpoints": lambda state: {
        k.replace("0.", "0._checkpoint_wrapped_module."): v for k, v in state.items()
    },
    "counters beside": lambda state: {
        **prefixed(state, "ema_model."),
        "initted": torch.tensor(True),
        "step": torch.ones(1),
    },
    "a number beside": lambda state: {**state, "epoch": 3},
    "shared weights once": lambda state: {name: value for name, value in state.items() if name != "head.weight"},
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_forms_that_leave_no_choice_load_by_themselves(form: Any, net: nn.Module) -> None:
    torch.save(form(net.state_dict()), "w.pt")
    loads(net)


def test_averages_of_torch(net: nn.Module) -> None:
    torch.save(AveragedModel(net).state_dict(), "w.pt")
    loads(net)


@pytest.mark.parametrize("factory", ["nets:compiled", "nets:compiled_part", "nets:meta", "nets:lazy"])
def test_factories_of_wrapped_meta_and_lazy_modules(factory: str, net: nn.Module) -> None:
    torch.save(net.state_dict(), "w.pt")
    module = module_of(factory=factory, weights="w.pt")
    assert type(module).__name__ == "Net"
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(module.parameters(), net.parameters(), strict=True))


@pytest.mark.parametrize(
    ("factory", "says"), [("nets:meta", "on the meta device"), ("nets:lazy", "block.0.weight, .* no shape yet")]
)
def test_factories_that_need_weights_are_refused_without(factory: str, says: str) -> None:
    with pytest.raises(InputError, match=f'factory="{factory}": .*{says}'):
        read_source(None, factory=factory)


def test_safetensors_with_a_prefix_and_shared_weights_once(net: nn.Module) -> None:
    state = {name: value for name, value in net.state_dict().items() if name != "head.weight"}
    save_file(prefixed(state, "model."), "w.safetensors")
    loads(net, weights="w.safetensors")
    loads(net, path="w.safetensors", weights=None)


def test_several_that_fit_are_refused_and_one_is_chosen(net: nn.Module) -> None:
    other = {name: torch.zeros_like(value) for name, value in net.state_dict().items()}
    torch.save({"model": other, "ema": net.state_dict()}, "w.pt")
    with pytest.raises(
        InputError, match=r"w.pt: several sets .*: choose with weights_key=.model., or weights_key=.ema.$"
    ):
        loads(net)
    loads(net, weights_key="ema")
    torch.save({**prefixed(other, "online."), **prefixed(net.state_dict(), "average.")}, "w.pt")
    with pytest.raises(
        InputError, match=r'do not fit .*strip_prefix="online\.", or strip_prefix="average\." would fit$'
    ):
        loads(net)
    loads(net, strip_prefix="average.")
    loads(net, strip_prefix="average")


def test_weights_that_would_be_left_out_need_the_option(net: nn.Module) -> None:
    torch.save({"state_dict": {**prefixed(net.state_dict(), "model."), "loss.weight": torch.ones(7)}}, "w.pt")
    with pytest.raises(
        InputError, match=r'1 other would be left out\): weights_key="state_dict", strip_prefix="model\."'
    ):
        loads(net)
    loads(net, strip_prefix="model.")


def test_the_refusal_says_what_would_fit(net: nn.Module) -> None:
    torch.save({"best": {"state_dict": prefixed(net.state_dict(), "module.")}, "teacher": {"a": torch.ones(3)}}, "w.pt")
    would = r'weights_key="best.state_dict", strip_prefix="module\." would fit'
    with pytest.raises(
        InputError, match=f'weights_key="student": no weights .* under best.state_dict, teacher: {would}'
    ):
        loads(net, weights_key="student")
    with pytest.raises(InputError, match=rf"missing: embed.weight, .*\): {would}"):
        loads(net, weights_key="teacher")
    with pytest.raises(InputError, match=would):
        loads(net, strip_prefix="nothing.")
    net.block[0] = nn.Linear(3, 4)
    torch.save({"net": net.state_dict()}, "w.pt")
    with pytest.raises(
        InputError, match=r"do not fit the Net of factory \(block.0.weight: expected \(4, 4\), given \(4, 3\)\)$"
    ):
        loads(net)


def test_options_without_weights_are_refused(net: nn.Module) -> None:
    with pytest.raises(InputError, match="weights_key, strip_prefix: expected beside a file of weights"):
        read_source(None, factory="nets:build", weights_key="ema")


def test_the_command_line_takes_the_options(net: nn.Module) -> None:
    state = net.state_dict()
    torch.save({"ema": prefixed(state, "module."), "model": prefixed(state, "module.")}, "w.pt")
    given = ["convert", "w.pt", "-o", "w.onnx", "--model", "nets:build", "--inputs", "x=2x4", "--dynamic", "x:0=batch"]
    with pytest.raises(SystemExit) as refused:
        main(given)
    assert refused.value.code == 2
    with pytest.raises(SystemExit) as done:
        main([*given, "--weights-key", "ema", "--strip-prefix", "module."])
    assert not done.value.code
    assert Path("w.onnx").exists()
