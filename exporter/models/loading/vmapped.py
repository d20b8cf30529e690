"""Programs with torch.vmap in them."""

from __future__ import annotations

import warnings

from torch._functorch import predispatch
from torch.export import ExportedProgram

from attnexport.models.torch_graphs import all_graphs


def without_vmap(program: ExportedProgram) -> ExportedProgram:
    """The program with every torch.vmap carried out; itself when it has none.

    torch.export records a vmap as one call that enters it and one that leaves it. Whatever fails between them leaves
    the process inside, where every later random number or in-place write fails too.
    """
    targets = {node.target for graph in all_graphs(program.graph_module) for node in graph.nodes}
    if predispatch._vmap_increment_nesting not in targets:
        return program
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of torch about itself
        carried_out: ExportedProgram = program.run_decompositions({})
    return carried_out
