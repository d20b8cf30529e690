"""Modules whose weights cannot be read: without values yet, spread over processes, or packed."""

from __future__ import annotations

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn.parameter import is_lazy

from attnexport.errors import InputError, shortlist

_PACKED = ("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized")


def check_weights(module: nn.Module) -> None:
    """Refuses weights that torch.export cannot read, by name and with what to do.

    Raises:
        InputError: lazy weights, weights on the meta device, spread over processes, or packed by torch.ao.
    """
    weights = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    lazy = [name for name, tensor in weights.items() if is_lazy(tensor)]
    if lazy:
        raise InputError(
            f"{shortlist(lazy)} of the {type(module).__name__}: no shape yet, which a lazy module takes from its first "
            "input: run the model once on the example before"
        )
    empty = [name for name, tensor in weights.items() if tensor.device.type == "meta" or isinstance(tensor, FakeTensor)]
    if empty:
        raise InputError(
            f"{shortlist(empty)} of the {type(module).__name__}: on the meta device, without values: load weights with "
            "module.load_state_dict(state, assign=True), or build the module outside torch.device('meta')"
        )
    packed = [name for name, part in module.named_modules() if type(part).__module__.startswith(_PACKED)]
    if packed:
        raise InputError(
            f"{shortlist(packed)} of the {type(module).__name__}: quantised by torch.ao, which packs weights into a "
            "TorchScript object: convert the float model, and quantise the ONNX file or the engine"
        )
    spread = [name for name, tensor in weights.items() if _is_spread(tensor)]
    if spread:
        raise InputError(
            f"{shortlist(spread)} of the {type(module).__name__}: spread over processes (DTensor): gather them with "
            "tensor.full_tensor() before"
        )


def _is_spread(tensor: torch.Tensor) -> bool:
    return any(kind.__name__ == "DTensor" for kind in type(tensor).__mro__)
