"""Written buffers become an error, nothing, or inputs and outputs."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from attnexport.errors import ConversionError, InputError
from attnexport.models.loading.programs import export_model
from attnexport.models.program import example_inputs, initial_state, input_specs, output_names
from attnexport.models.running import ProgramRunner
from attnexport.models.state.choices import AS_NEEDED
from attnexport.models.state.preparing import without_state
from tests.models.state.models import STATEFUL, UNREAD, ChangesItsInput, Counter, Writes, example

CALLS = 3


def export(model: nn.Module):
    return export_model(model, (example(),)).program


@pytest.mark.parametrize("model", STATEFUL)
def test_buffers_that_outputs_depend_on_are_refused_by_name(model):
    with pytest.raises(ConversionError) as refused:
        without_state(export(model()))
    for text in (*STATEFUL[model], 'state="io"'):
        assert text in str(refused.value)


@pytest.mark.parametrize("model", STATEFUL)
def test_calls_in_a_row_follow_the_live_model(model):
    prepared, _ = without_state(export(model()), "io")
    names = STATEFUL[model]
    assert [spec.name for spec in input_specs(prepared)] == ["x", *initial_state(prepared)]
    assert set(names) <= set(initial_state(prepared))
    assert output_names(prepared) == ("output", *(f"{name}_next" for name in initial_state(prepared)))
    runner, live, state = ProgramRunner(prepared), model().eval(), list(initial_state(prepared).values())
    for call in range(CALLS):
        x = example() + call
        output, *state = runner.run([x, *state])
        with torch.no_grad():
            assert torch.equal(output, live(x.clone()))


@pytest.mark.parametrize("model", UNREAD)
def test_buffers_that_no_output_depends_on_are_left_out_with_a_note(model):
    prepared, notes = without_state(export(model()))
    assert [spec.name for spec in input_specs(prepared)] == ["x"]
    (note,) = notes
    assert note.startswith(f"buffer {UNREAD[model]}: ")
    with torch.no_grad():
        assert torch.equal(ProgramRunner(prepared).run([example()])[0], model().eval()(example()))


@pytest.mark.parametrize("model", [*STATEFUL, *UNREAD])
def test_as_needed_makes_inputs_where_outputs_depend_on_buffers(model):
    prepared, _ = without_state(export(model()), AS_NEEDED)
    assert bool(initial_state(prepared)) == (model in STATEFUL)


def test_statistics_of_normalization_in_training_mode_are_left_out():
    model = nn.BatchNorm1d(4).train()
    _, notes = without_state(torch.export.export(model, (torch.randn(8, 4),)))
    assert {note.split(":")[0].removeprefix("buffer ") for note in notes} == {
        "running_mean",
        "running_var",
        "num_batches_tracked",
    }


def test_statistics_that_training_writes_and_the_next_call_reads_are_refused():
    class Reads(nn.BatchNorm1d):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) + self.running_mean

    with pytest.raises(ConversionError, match="running_mean"):
        without_state(torch.export.export(Reads(4).train(), (torch.randn(8, 4),)))


def test_state_keeps_its_type_and_an_input_of_its_name_gets_another():
    class Clash(Counter):
        def forward(self, seen: torch.Tensor) -> torch.Tensor:
            self.tally += 1
            return self.attention(seen) + self.tally

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("tally", torch.tensor(0, dtype=torch.int32))
            self.register_buffer("seen", torch.zeros(()))

    class Shadow(Clash):
        def forward(self, seen: torch.Tensor) -> torch.Tensor:
            self.seen += 1
            return self.attention(seen) + self.seen

    kept = input_specs(without_state(export(Clash()), "io")[0])[-1]
    assert (kept.name, kept.dtype, kept.shape, kept.is_state) == ("tally", torch.int32, (), True)
    renamed = without_state(export(Shadow()), "io")[0]
    assert [spec.name for spec in input_specs(renamed)] == ["seen", "seen_state"]


def test_model_that_writes_nothing_comes_back_as_it_is():
    program = export_model(nn.Linear(4, 4), (torch.randn(2, 4),)).program
    assert without_state(program, "io")[0] is program


def test_input_that_forward_changes_is_left_as_it_is():
    prepared, notes = without_state(export(ChangesItsInput()))
    (note,) = notes
    assert note.startswith("input x: forward changes it in place")
    (x,) = example_inputs(prepared)
    before = x.clone()
    ProgramRunner(prepared).run([x])
    assert torch.equal(x, before)


def test_changed_constant_is_refused_by_name():
    class Constant(Writes):
        def __init__(self) -> None:
            super().__init__()
            self.total = torch.ones(16)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.total.add_(1)
            return self.attention(x) + self.total

    with pytest.raises(ConversionError, match=r"total.*register_buffer"):
        without_state(torch.export.export(Constant().eval(), (example(),)))


def test_another_choice_is_refused():
    with pytest.raises(InputError, match="state: expected refuse or io, given 'keep'"):
        without_state(export(Counter()), "keep")


class Attributes(Writes):
    """Attributes that are no buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.memory.last = torch.zeros(2, 6, 16)
        self.memory.calls = 0


class KeepsItsLast(Attributes):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.attention(x + self.memory.last)
        self.memory.last = y
        return y


class CountsInPython(Attributes):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.memory.calls += 1
        return self.attention(x) * self.memory.calls


@pytest.mark.parametrize(("model", "path"), [(KeepsItsLast, "memory.last"), (CountsInPython, "memory.calls")])
def test_attribute_that_forward_changes_and_reads_is_refused_by_name(model, path):
    with pytest.raises(ConversionError, match=f"attribute {path}: .*register_buffer"):
        export(model())


class LooksBack(Attributes):
    """Keeps its weights to be looked at, and counts, and reads neither."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.memory.calls += 1
        self.memory.last = self.attention(x)
        return self.memory.last  # type: ignore[return-value]


def test_attribute_that_forward_changes_and_does_not_read_is_no_state():
    model = LooksBack()
    assert without_state(export(model))[1] == ()
    assert model.memory.calls == 0


def test_buffer_that_grows_is_refused_by_name():
    class Grows(Writes):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.memory.cache = torch.cat([self.memory.cache, x], 1)  # type: ignore[list-item]
            return self.attention(self.memory.cache)

    with pytest.raises(ConversionError, match=r"buffer memory.cache: forward assigns \(2, 12, 16\)"):
        export(Grows())


@pytest.mark.parametrize("persistent", [True, False])
def test_buffer_of_two_modules_is_one_state(persistent: bool):
    class Shares(Counter):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Module(), nn.Module()
            for module in (self.first, self.second):
                module.register_buffer("calls", self.memory.seen, persistent=persistent)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.first.calls += 1
            self.second.calls += 1
            return super().forward(x) * self.first.calls

    prepared, _ = without_state(export(Shares()), "io")
    (name,) = initial_state(prepared)
    y, following = ProgramRunner(prepared).run([example(), torch.tensor(1)])
    assert following == 4
    torch.testing.assert_close(y, Shares().attention(example()) * 16)
    with pytest.raises(ConversionError, match=f"buffer {name}: "):
        without_state(export(Shares()))


def test_buffers_that_overlap_are_refused_by_name():
    class Overlaps(Writes):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("row", self.memory.cache[1])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.row.add_(1)
            return self.attention(x + self.memory.cache)

    with pytest.raises(ConversionError, match=r"row and memory.cache share memory"):
        without_state(export(Overlaps()))
