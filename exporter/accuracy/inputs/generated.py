"""Generated inputs of several kinds: ordinary values, extreme ones, and every declared dynamic dim at its ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from attnexport.accuracy.inputs.files import Batch
from attnexport.accuracy.inputs.generation import FIRST_SEED, LONGEST, Generation, NotApplicable
from attnexport.accuracy.inputs.kinds import kind_names
from attnexport.accuracy.inputs.scaling import is_scalable, scaled
from attnexport.accuracy.inputs.sizes import Profiles, SizeRange
from attnexport.accuracy.inputs.values import is_uniform, later_starts, one_hot, varied
from attnexport.errors import InputError
from attnexport.messages import option
from attnexport.models.examples import generator
from attnexport.models.first_keys import first_key_inputs
from attnexport.models.model import Model

Maker = Callable[[Generation, torch.Generator], list[Tensor]]
Batches = Callable[[Generation], list[list[Tensor]]]
Sizes = Callable[[Generation], list[dict[str, int]]]


@dataclass(frozen=True)
class InputKind:
    """A kind of generated inputs.

    Attributes:
        name: as ``--kinds`` takes it.
        values: makes the tensors of one batch, for kinds of values.
        batches: makes the tensors of every batch, for kinds that know how many.
        continues: whether a batch begins with what the one before left in the model's buffers, where those are
            inputs. Batches of other kinds begin with what the model came with.
        sizes: sizes of the dynamic dims of every batch, for kinds of sizes.
    """

    name: str
    values: Maker | None = None
    batches: Batches | None = None
    sizes: Sizes | None = None
    continues: bool = False

    def make(self, generation: Generation) -> Iterator[list[Tensor]]:
        """The inputs, batch by batch.

        Raises:
            NotApplicable: the model has no inputs of this kind.
        """
        state = list(generation.model.initial_state.values())
        for drawn in self._draw(generation):
            tensors = [*drawn[: len(drawn) - len(state)], *state]
            yield tensors
            if self.continues:
                state = generation.state_after(tensors, len(state))

    def _draw(self, generation: Generation) -> Iterator[list[Tensor]]:
        if self.values is not None:
            for seed in range(generation.seeds):
                yield self.values(generation, generator(FIRST_SEED + generation.seed + seed))
        if self.batches is not None:
            yield from self.batches(generation)
        if self.sizes is not None:
            for position, sizes in enumerate(self.sizes(generation)):
                yield generation.like_examples(sizes, generator(FIRST_SEED + generation.seed + position))


def _normal(generation: Generation, random: torch.Generator) -> list[Tensor]:
    return generation.like_examples({}, random)


def _large(generation: Generation, random: torch.Generator) -> list[Tensor]:
    return scaled(generation.like_examples({}, random), generation.large_scale)


def _constant(generation: Generation, random: torch.Generator) -> list[Tensor]:
    tensors = generation.like_examples({}, random)
    return [torch.full_like(tensor, tensor.flatten()[0].item()) if tensor.numel() else tensor for tensor in tensors]


def _one_hot(generation: Generation, random: torch.Generator) -> list[Tensor]:
    tensors = generation.like_examples({}, random)
    if not any(is_scalable(tensor) and tensor.dim() for tensor in tensors):
        raise NotApplicable("no floating input with a last axis")
    return [one_hot(tensor, random) if is_scalable(tensor) and tensor.dim() else tensor for tensor in tensors]


def _varied(generation: Generation) -> list[list[Tensor]]:
    """A batch for each input that may vary: where all did at once, a flag could hide the others."""
    random = generator(FIRST_SEED + generation.seed)
    tensors = generation.like_examples({}, random)
    specs, starts = generation.model.inputs, first_key_inputs(generation.model)
    uniform = [index for index, tensor in enumerate(tensors) if is_uniform(tensor) and not specs[index].is_state]
    if not uniform and not starts:
        raise NotApplicable("no truths or whole numbers that are all the same")
    others = {index: varied(tensors[index], random) for index in uniform if index not in starts}
    if starts:
        keys = generation.fewest_keys(tensors)
        others |= {index: later_starts(tensors[index], keys, random) for index in starts}
    made = [[*tensors[:index], other, *tensors[index + 1 :]] for index, other in sorted(others.items())]
    running = [batch for batch in made if generation.takes(batch)]
    if not running:
        raise NotApplicable("PyTorch cannot run the model on other truths and whole numbers")
    return running


def _each_dim(choose: Callable[[SizeRange], int]) -> Sizes:
    """One batch for every dynamic dim at the chosen size, the others as in the example."""

    def sizes(generation: Generation) -> list[dict[str, int]]:
        if not generation.ranges:
            raise NotApplicable("no dynamic dims")
        return [{size.symbol: choose(size)} for size in generation.ranges]

    return sizes


def _lengths(choose: Callable[[SizeRange, int], int]) -> Sizes:
    """One batch with every dynamic dim but the batch at the chosen size."""

    def sizes(generation: Generation) -> list[dict[str, int]]:
        lengths = {size.symbol: choose(size, generation.longest) for size in generation.ranges if not size.is_batch}
        if not lengths:
            raise NotApplicable("no dynamic dim besides the batch")
        return [lengths]

    return sizes


def _long(size: SizeRange, longest: int) -> int:
    wanted = max(longest, size.example)
    return wanted if size.upper is None else min(size.upper, wanted)


KINDS = {
    kind.name: kind
    for kind in (
        InputKind("normal", values=_normal, continues=True),
        InputKind("large", values=_large),
        InputKind("constant", values=_constant),
        InputKind("one-hot", values=_one_hot),
        InputKind("varied", batches=_varied),
        InputKind("length-1", sizes=_lengths(lambda size, _: size.smallest)),
        InputKind("long", sizes=_lengths(_long)),
        InputKind("minimum", sizes=_each_dim(lambda size: size.smallest)),
        InputKind("middle", sizes=_each_dim(lambda size: size.middle)),
        InputKind("maximum", sizes=_each_dim(lambda size: size.largest)),
    )
}
"""By name, one for each of TITLES."""


def chosen_kinds(text: str | None) -> tuple[InputKind, ...]:
    """The kinds that ``--kinds normal,large`` names; all of them without.

    Raises:
        InputError: a name that is none of them.
    """
    return tuple(KINDS[name] for name in kind_names(text))


@dataclass(frozen=True)
class GeneratedInputs:
    """Batches of every chosen kind; iterating fills ``left_out``.

    Attributes:
        generation: what they are made from.
        kinds: in order.
        left_out: why, for every kind that the model has no inputs of.
    """

    generation: Generation
    kinds: Sequence[InputKind]
    left_out: dict[str, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Batch]:
        """One batch a seed for kinds of values, one a size for kinds of sizes but for shapes that ran already."""
        ran: set[tuple[torch.Size, ...]] = set()
        for position, kind in enumerate(self.kinds):
            try:
                made = list(kind.make(self.generation))
            except NotApplicable as reason:
                self.left_out[kind.name] = str(reason)
                continue
            if kind.sizes is not None:
                made = [tensors for tensors in made if tuple(tensor.shape for tensor in tensors) not in ran]
            if not made:
                self.left_out[kind.name] = "other kinds have these sizes"
            for number, tensors in enumerate(made):
                ran.add(tuple(tensor.shape for tensor in tensors))
                name = f"{kind.name}-{number}"
                done = (position + (number + 1) / len(made)) / len(self.kinds)
                yield Batch(name, tuple(tensors), kind=kind.name, name=name, done=done)


def generated_inputs(
    model: Model,
    kinds: Sequence[InputKind],
    *,
    seeds: int = 3,
    seed: int = 0,
    longest: int = LONGEST,
    engines: Sequence[Profiles] = (),
) -> GeneratedInputs:
    """Inputs of these kinds, the same for the same seed.

    Args:
        model, seeds, seed, longest, engines: as Generation has them.
        kinds: which, in order.

    Raises:
        InputError: the program carries no example inputs.
    """
    if not model.has_examples:
        raise InputError(f"the model carries no example inputs: give {option('--inputs')} or {option('--data')}")
    if not model.inputs:
        raise InputError("the model has no tensor inputs")
    return GeneratedInputs(Generation(model, seeds, seed, longest, engines), kinds)
