"""Top-N attention: its operator, module, ONNX body and figures."""

from attnexport.variants.spec import Variant
from attnexport.variants.topn import DESCRIPTION, onnx_function, reference
from attnexport.variants.topn.core import TopNCore
from attnexport.variants.topn.module import TopNAttention
from attnexport.variants.topn.op import top_n_attention

__all__ = ["TopNAttention", "top_n_attention"]

VARIANT = Variant(
    **vars(DESCRIPTION),
    core=TopNCore,
    reference=reference.top_n_attention,
    body=onnx_function.write_body,
    rows=reference.TopNRows.of,
    selection="n",
)
