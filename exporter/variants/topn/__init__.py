"""Top-N attention and the geometry of its selection."""

from attnexport.variants.descriptions import Description

DESCRIPTION = Description(
    name="topn",
    title="Top-N attention",
    op_type="TopNAttention",
    formula="softmax(q·k·scale) with the N largest weights of each row",
    cost="O(N·M)",
    paper="arXiv 2602.01893",
)
