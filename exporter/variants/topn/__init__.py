"""Top-N attention and the geometry of its selection."""

from attnexport.variants.spec import Variant
from attnexport.variants.topn import onnx_function, reference
from attnexport.variants.topn.module import TopNAttention
from attnexport.variants.topn.op import top_n_attention

__all__ = ["TopNAttention", "top_n_attention"]

VARIANT = Variant(
    name="topn",
    title="Top-N attention",
    op_type="TopNAttention",
    formula="softmax(q·k·scale) with the N largest weights of each row",
    cost="O(N·M)",
    paper="arXiv 2602.01893",
    reference=reference.top_n_attention,
    body=onnx_function.write_body,
    rows=reference.TopNRows.of,
    selection="n",
)
