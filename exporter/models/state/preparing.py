"""From a program that writes buffers to one that does not: refused, left out, or with the buffers as inputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch.export import ExportedProgram
from torch.export.graph_signature import OutputKind

from attnexport.errors import ConversionError, InputError
from attnexport.messages import named, option
from attnexport.models.program import next_state, state_names
from attnexport.models.state.as_inputs import with_state_inputs, without_writes
from attnexport.models.state.choices import AS_NEEDED, IO, REFUSE, STATE_CHOICES
from attnexport.models.state.dependence import read_by_outputs, written
from attnexport.models.state.writes import functional, has_writes


def without_state(program: ExportedProgram, state: str = REFUSE) -> tuple[ExportedProgram, tuple[str, ...]]:
    """A program whose every run depends on its inputs alone, and what became of what it wrote, one sentence each.

    Buffers that are written and that no output depends on, in this call or a later one, are left out with a note,
    as is what forward writes into its own inputs.

    Args:
        program: the model.
        state: "refuse" refuses other written buffers; "io" makes inputs and outputs of every written buffer;
            "as needed" does so where outputs depend on one. Default: "refuse".

    Raises:
        ConversionError: outputs depend on a written buffer, or the program changes something else than buffers.
        InputError: another choice.
    """
    if state not in (*STATE_CHOICES, AS_NEEDED):
        raise InputError(f"state: expected {' or '.join(STATE_CHOICES)}, given {state!r}")
    pure = functional(program)
    if not has_writes(pure.graph_signature):
        return pure, ()
    read = read_by_outputs(pure)
    if read and state == REFUSE:
        raise ConversionError(_refusal(read))
    if written(pure) and (state == IO or read):
        with_state = with_state_inputs(pure)
        return with_state, (*_on_inputs(pure), *map(_on_state, state_names(with_state)))
    return without_writes(pure), (*_on_inputs(pure), *map(_on_unread, written(pure)))


def _refusal(paths: Sequence[str]) -> str:
    one = len(paths) == 1
    return (
        f"buffer{'' if one else 's'} {', '.join(paths)}: forward writes {'it' if one else 'them'} and outputs of later "
        f"calls depend on {'it' if one else 'them'}, a state that an ONNX file cannot hold: make "
        f"{'it an input and an output' if one else 'them inputs and outputs'} with {option('--state', 'io')}, "
        "or leave forward without it"
    )


def _on_inputs(program: ExportedProgram) -> Iterator[str]:
    for spec in program.graph_signature.output_specs:
        if spec.kind is OutputKind.USER_INPUT_MUTATION:
            yield f"{named('input', spec.target)}: forward changes it in place, the file leaves it as it is"


def _on_state(name: str) -> str:
    return f"buffer {name} is an input, and {next_state(name)} an output: what the next call takes"


def _on_unread(path: str) -> str:
    return f"buffer {path}: forward writes it and no output depends on it, the file leaves that out"
