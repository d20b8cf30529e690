"""From a PyTorch model to one ONNX file: custom nodes, their bodies beside them, dynamic dims proven by running."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir
import torch

from attnexport.conversion.options import BFLOAT16_OPSET, DEFAULT_OPSET, chosen_target
from attnexport.conversion.proving import proven
from attnexport.display.progress import Progress, unheard
from attnexport.errors import ConversionError
from attnexport.files.kinds import ONNX
from attnexport.files.outputs import check_output, replacing, sha256
from attnexport.graph.corrections import refuse_wrong
from attnexport.graph.functions import attach_functions, inline_all
from attnexport.graph.layer_norm import expand_layer_norms
from attnexport.graph.metadata import (
    rename_dims,
    sort_attributes,
    strip_traces,
    write_dim_ranges,
    write_metadata,
)
from attnexport.graph.naming import name_ends, renamed
from attnexport.graph.nodes import variant_nodes
from attnexport.graph.opset17 import lower_to_opset17
from attnexport.graph.state import write_state
from attnexport.graph.tensorrt8 import rewrite_for_tensorrt8
from attnexport.graph.torch_values import write_torch_values
from attnexport.graph.translating import translated
from attnexport.graph.writing import write_model
from attnexport.graph.written_attributes import write_attributes
from attnexport.messages import option
from attnexport.models.fitness import refuse_unfit
from attnexport.models.loading.sources import ModelSource, as_model
from attnexport.models.model import Model
from attnexport.models.state.choices import REFUSE
from attnexport.targets import Target, release_that_parses

_IR_VERSION = {17: 8}


@dataclass(frozen=True)
class Conversion:
    """What a conversion wrote.

    Attributes:
        path: the ONNX file.
        data_path: its external data, or None when the weights are inside.
        opset: version of the default operator set.
        variants: number of nodes per op type of ours.
        inputs, outputs: names.
        verified: the shapes at which the file ran and agreed with PyTorch.
        notes: what a user should know, one sentence each.
        sha256: of the ONNX file.
    """

    path: Path
    data_path: Path | None
    opset: int
    variants: Mapping[str, int]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    verified: tuple[str, ...]
    notes: tuple[str, ...]
    sha256: str


def convert(
    model: ModelSource,
    args: tuple[Any, ...] | torch.Tensor | None,
    path: str | os.PathLike[str],
    *,
    dynamic_shapes: Any = None,
    opset: int | None = None,
    target: str | None = None,
    nodes: str = "auto",
    kwargs: Mapping[str, Any] | None = None,
    dim_names: Mapping[str, Mapping[int, str]] | None = None,
    state: str = REFUSE,
    keep_failed: str | os.PathLike[str] | None = None,
    unproven: bool = False,
    progress: Progress = unheard,
) -> Conversion:
    """Converts a model to ONNX and proves the file by running it.

    Every call of an attnexport operator becomes one node of domain ``attnexport`` with a function body of standard
    operators beside it. The file then runs through ONNX Runtime at the example's shape and, where dims are
    dynamic, at two others.

    The program runs in this process, with nothing around it: one from a stranger's .pt2 is for the command line, which
    runs it in a child that can harm little.

    Args:
        model: a module (exported in eval mode; what torch.compile, DataParallel and the like put around it is taken
            off), functools.partial or a method of one, an exported program, what load_model returned, or the path of
            a .pt2.
        args: example inputs; None for a program, which carries its own.
        path: the file to write; external data of more than 1.5 GiB goes to ``<path>.data``.
        dynamic_shapes: as for torch.export.export, names allowed in place of Dim; None for a program, whose dims
            are fixed. Default: None, all static.
        opset: 17 to 23. Default: None, the target's, or 20, or 22 for a model that holds bfloat16.
        target: a name of ``attnexport.targets.TARGETS``. Default: None.
        nodes: "plugin" keeps one node per call, with its body beside it; "body" writes the body in its place;
            "auto" keeps nodes unless the target's TensorRT knows no local functions. Default: "auto".
        kwargs: example keyword inputs. Default: None.
        dim_names: names of a program's dynamic dims by input and axis. Default: None, as in dynamic_shapes.
        state: what becomes of buffers that forward writes and later outputs depend on: "refuse" names them in an
            error; "io" makes each written buffer an input, and an output of its name with ``_next`` behind, which
            the next call takes. Default: "refuse".
        keep_failed: where to keep a file that was made and not proven, to look into it. Default: None, nowhere.
        unproven: accept a file that could not be run, with a note. Default: False, which is an error.
        progress: is told of each step, and the share of it that is done or None. Default: nobody is.

    Returns:
        What was written.

    Raises:
        InputError: arguments that do not fit, or a file that cannot be written or is called like another kind of file.
        ConversionError: an operator ONNX lacks, a model that draws random numbers, takes or gives complex ones or
            depends on written buffers, a dim that did not stay dynamic, a file that computes something else (the
            operator and module where it does first are named), or one that could not be run.
    """
    chosen = chosen_target(opset=opset, target=target, nodes=nodes)
    for file in (path, keep_failed):
        check_output(file, ONNX)
    progress("exporting", None)
    source = as_model(model, args, kwargs, dynamic_shapes)
    if dim_names is not None:
        source = replace(source, dim_names={name: dict(axes) for name, axes in dim_names.items()})
    refuse_unfit(source)
    refuse_wrong(source.program)
    pure = source.without_state(state)
    version = opset or (chosen.opset if chosen else _default_opset(pure))
    inline = _inlines(nodes, chosen)

    progress("translating to ONNX", None)
    made = translated(pure.program, max(version, 18))
    graph = made.model
    moved = name_ends(graph, pure.input_names, pure.output_names)
    rename_dims(graph, pure.symbols)
    calls = bool(_variants_in(graph))
    notes = [*pure.notes_on_dims, *_lower(graph, version, chosen, inline)]
    notes += [*pure.notes, *made.notes, *_notes_on_calls(calls, chosen, version, inline)]
    _describe(graph, pure, renamed(made.torch_values, moved))

    path = Path(path)
    with replacing(path) as staging:
        file = staging / path.name
        progress("writing", None)
        data = write_model(graph, file)
        onnx.checker.check_model(str(file))
        with _kept_when_refused(file, keep_failed):
            verified = proven(file, pure, unproven=unproven, progress=progress)
        digest = sha256(file)
    return Conversion(
        path=path,
        data_path=path.with_name(data) if data else None,
        opset=version,
        variants=dict(_variants_in(graph)),
        inputs=tuple(value.name or "" for value in graph.graph.inputs),
        outputs=tuple(value.name or "" for value in graph.graph.outputs),
        verified=verified.shapes,
        notes=(*notes, *verified.notes),
        sha256=digest,
    )


def _default_opset(model: Model) -> int:
    dtypes = {tensor.dtype for tensor in model.program.state_dict.values()} | {spec.dtype for spec in model.inputs}
    return BFLOAT16_OPSET if torch.bfloat16 in dtypes else DEFAULT_OPSET


def _inlines(nodes: str, target: Target | None) -> bool:
    if nodes == "auto":
        return target is not None and not target.local_functions
    return nodes == "body"


def _variants_in(graph: ir.Model) -> Counter[str]:
    """How often each operator of ours is a node."""
    return Counter(variant.op_type for _, variant in variant_nodes(graph.graph))


def _lower(graph: ir.Model, version: int, target: Target | None, inline: bool) -> list[str]:
    """Writes the graph with what the opset and the target know; returns notes on what had to be inlined."""
    if version == 17:
        lower_to_opset17(graph)
    if target is not None and not target.layer_normalization:
        expand_layer_norms(graph)
    notes = inline_all(graph) if inline else attach_functions(graph)
    if version == 17:
        rewrite_for_tensorrt8(graph)
    graph.ir_version = _IR_VERSION.get(version, 10)
    return notes


def _describe(graph: ir.Model, model: Model, values: Mapping[str, str]) -> None:
    """Writes into the graph where it comes from, and nothing of the machine that made it."""
    sort_attributes(graph)
    strip_traces(graph)
    write_torch_values(graph, values)
    write_attributes(graph)
    write_metadata(graph, model)
    write_dim_ranges(graph, model)
    write_state(graph, model)


def _notes_on_calls(calls: bool, target: Target | None, version: int, inlined: bool) -> Iterator[str]:
    if not calls:
        yield "the model calls none of attnexport's operators: the file holds standard operators only"
    if target is not None:
        yield from _notes_on_target(target, version)
        if calls and not target.local_functions:
            yield _note_on_functions(target, inlined)


def _notes_on_target(target: Target, version: int) -> Iterator[str]:
    because = f"because of target {target.name}: "
    if version > target.opset and not target.is_rtx:
        yield f"{because}opset {version}, which TensorRT {release_that_parses(version)} and later parse"
    else:
        yield f"{because}opset {version}, it parses up to {target.highest_opset}"
    if not target.layer_normalization:
        yield f"{because}LayerNormalization is written out, TensorRT {target.tensorrt} does not know it"


def _note_on_functions(target: Target, inlined: bool) -> str:
    said = f"because of target {target.name}: TensorRT {target.tensorrt} knows no local functions, "
    if inlined:
        return (
            f"{said}the bodies were inlined in place of their nodes; {option('--nodes', 'plugin')} keeps them for the "
            "plugin library"
        )
    return (
        f"{said}it runs the nodes through the plugin library (attnexport plugins build --api v2) and has no body to "
        "fall back to"
    )


@contextlib.contextmanager
def _kept_when_refused(file: Path, wanted: str | os.PathLike[str] | None) -> Iterator[None]:
    """Keeps a file that the block refuses, where the user wants it."""
    try:
        yield
    except ConversionError as error:
        if wanted is None:
            raise
        _keep(file, Path(wanted))
        raise ConversionError(f"{error}; the file is kept as {wanted}") from error


def _keep(file: Path, wanted: Path) -> None:
    """Copies a file and what lies beside it; external data keeps its name, which the file knows it by."""
    with replacing(wanted) as folder:
        for part in file.parent.iterdir():
            shutil.copyfile(part, folder / (wanted.name if part == file else part.name))
