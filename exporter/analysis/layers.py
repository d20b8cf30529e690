"""Finds the attention calls of a program and hands their weights and values to a visitor while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.fx
from torch import Tensor
from torch.export import ExportedProgram

from attnexport.program import call_leaves
from attnexport.variants import variant_of_torch_op
from attnexport.variants.dense import masked_softmax
from attnexport.variants.visibility import visible_mask

_SOFTMAX = torch.ops.aten.scaled_dot_product_attention.default


@dataclass(frozen=True)
class AttentionCall:
    """One attention call of one run.

    Attributes:
        layer: path of the calling module, as ``blocks.3.attention``, or the node's name.
        operator: what computed it.
        weights: (B, H, N, M), rows sum to one for most variants.
        v: values (B, Hkv, M, Dv).
        visible: boolean, broadcastable to weights: the keys that a row sees.
    """

    layer: str
    operator: str
    weights: Tensor
    v: Tensor
    visible: Tensor


def _softmax_weights(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> tuple[Tensor, Tensor]:
    """Weights of torch's own softmax attention, and which keys each row sees."""
    if enable_gqa:
        k = k.repeat_interleave(q.shape[1] // k.shape[1], dim=1)
    scores = q.float() @ k.float().transpose(-1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)
    visible = torch.ones(scores.shape[-2:], dtype=torch.bool)
    if is_causal:
        visible = visible.tril()
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        visible = visible & attn_mask
    elif attn_mask is not None:
        scores = scores + attn_mask
        visible = visible & (attn_mask > torch.finfo(attn_mask.dtype).min / 2)
    return masked_softmax(scores, visible), visible


def _visible(bound: Mapping[str, Any], weights: Tensor) -> Tensor:
    rows, keys = weights.shape[-2:]
    mask = visible_mask(
        rows,
        keys,
        causal=bound["causal"],
        kv_lengths=bound["kv_lengths"],
        q_start=bound["q_start"],
        device=weights.device,
    )
    return torch.ones(1, dtype=torch.bool) if mask is None else mask


def _layer_name(node: torch.fx.Node) -> str:
    stack = list(node.meta.get("nn_module_stack", {}).values())
    path = stack[-1][0] if stack else ""
    return str(path).removeprefix("L['self'].").lstrip(".") or node.name


class _Observer(torch.fx.Interpreter):
    def __init__(self, graph: torch.fx.GraphModule, visit: Callable[[AttentionCall], None]) -> None:
        super().__init__(graph)
        self._visit = visit
        self._node: torch.fx.Node | None = None

    def run_node(self, n: torch.fx.Node) -> Any:
        self._node = n
        return super().run_node(n)

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        value = super().get_attr(target, args, kwargs)
        if isinstance(value, torch.fx.GraphModule):
            return lambda *inputs: _Observer(value, self._visit).run(*inputs)
        return value

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        variant = variant_of_torch_op(target)
        assert self._node is not None
        if variant is not None:
            bound = variant.bind(args, kwargs)
            weights = variant.weights(**bound)
            layer, visible = _layer_name(self._node), _visible(bound, weights)
            self._visit(AttentionCall(layer, variant.title, weights, bound["v"], visible))
        elif target is _SOFTMAX and args[0].dim() == 4:
            weights, visible = _softmax_weights(*args, **kwargs)
            layer = _layer_name(self._node)
            self._visit(AttentionCall(layer, "softmax attention", weights, args[2], visible))
        return super().call_function(target, args, kwargs)


def visit_attention(
    program: ExportedProgram, tensors: Sequence[Tensor], visit: Callable[[AttentionCall], None]
) -> None:
    """Runs the program once and calls ``visit`` for every attention call, in order.

    Seen are the operators of attnexport and torch's scaled_dot_product_attention on (B, H, N, D).
    """
    graph = program.module(check_guards=False)
    assert isinstance(graph, torch.fx.GraphModule)
    with torch.no_grad():
        _Observer(graph, visit).run(*call_leaves(program, tensors), enable_io_processing=False)
