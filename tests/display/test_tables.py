"""Tables hold every number, name and verdict whole at every width."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attnexport.display.cells import cells
from attnexport.display.columns import Cell, Column, Importance, Kind
from attnexport.display.tables import Table
from attnexport.display.terminal import Style, Terminal
from tests.display.lines import TERMINALS, check_table

COLUMNS = (
    Column("output", Kind.NAME, Importance.NAMES_THE_ROW),
    Column("dtype", Kind.NAME, Importance.LITTLE),
    Column("largest error", Kind.NUMBER, Importance.MUCH),
    Column("relative L2", Kind.NUMBER, Importance.SOME),
    Column("remark", Kind.PROSE, Importance.LITTLE),
    Column("verdict", Kind.NAME, Importance.MUCH),
)
LONG = "encoder.stages.3.blocks.17.attention.projection.output_of_the_last_layer"
NAMES = ("logits", LONG, "出力テンソル" * 7, "größe")
REMARK = "values that are NaN or infinite, see /var/lib/jobs/2026/11/30/a-long-folder-name/another/one/more/file.json"


def table_of(*names: str, remark: str = REMARK) -> Table:
    table = Table("Errors of each output", COLUMNS)
    for position, name in enumerate(names):
        verdict = Cell("FIRST OUTSIDE", Style.BAD) if position else "within"
        table.add(name, "float32", f"{position + 1}.23e-07", f"{position}.50e-05", remark * (position % 2), verdict)
    return table


def lines(table: Table, width: int, **how: bool) -> list[str]:
    return list(table.lines(Terminal(width, **how)))


@pytest.mark.parametrize("terminal", TERMINALS, ids=str)
def test_long_wide_and_foreign_names_are_whole(terminal: Terminal):
    check_table(table_of(*NAMES), terminal)


words = st.text(min_size=1, max_size=90)


@settings(max_examples=100, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(words, words, words), min_size=1, max_size=4), st.integers(40, 130), st.booleans())
def test_whatever_names_hold_is_whole(rows: list[tuple[str, str, str]], width: int, drawn: bool):
    """Spaces, line breaks and control characters among them."""
    columns = (COLUMNS[0], COLUMNS[2], COLUMNS[4])
    table = Table("t", columns)
    for row in rows:
        table.add(*row)
    check_table(table, Terminal(width, drawn=drawn, encoding="utf-8" if drawn else "ascii"))


def test_columns_that_fit_stand_beside_each_other():
    first, rule, *rows = lines(table_of("logits", "hidden", remark="none"), 120)[1:]
    assert [word for column in COLUMNS for word in column.heading.split()] == first.split()
    assert set(rule) == {"─"}
    assert [row.split() for row in rows] == [
        ["logits", "float32", "1.23e-07", "0.50e-05", "within"],
        ["hidden", "float32", "2.23e-07", "1.50e-05", "none", "FIRST", "OUTSIDE"],
    ]


def test_what_matters_least_goes_below_its_row_first():
    shown = lines(table_of("logits", "hidden", remark="as it was given"), 46)[4:]
    assert [line.split() for line in shown] == [
        ["logits", "1.23e-07", "0.50e-05", "within"],
        ["hidden", "2.23e-07", "1.50e-05", "FIRST", "OUTSIDE"],
        ["remark", "as", "it", "was", "given"],
        ["in", "every", "row:"],
        ["dtype", "float32"],
    ]


def test_what_only_wide_terminals_show_is_left_out_of_others():
    columns = (COLUMNS[0], Column("detail", Kind.NAME, Importance.FOR_WIDE_TERMINALS))
    table = Table("t", columns)
    table.add("logits", "d" * 50)
    assert any("d" * 50 in line for line in lines(table, 80))
    assert not any("d" in line for line in lines(table, 50)[1:])


def test_a_name_that_is_too_wide_has_a_line_of_its_own_and_figures_stay_in_their_columns():
    shown = lines(table_of("logits", LONG, "hidden", remark=""), 80)
    at = shown.index(LONG)
    assert shown[at - 1].index("1.23e-07") == shown[at + 1].index("2.23e-07") == shown[at + 2].index("3.23e-07")


def test_figures_stand_under_each_other_behind_wide_characters():
    table = Table("t", COLUMNS[:3])
    table.add("出力", "float32", "1.0")
    table.add("ou", "float32", "2.0")
    rows = lines(table, 80)[3:]
    assert cells(rows[0]) == cells(rows[1])


def test_an_empty_column_is_left_out_and_an_empty_table_has_its_headings():
    assert "remark" not in "".join(lines(table_of("logits", remark=""), 120))
    assert "remark" in "".join(lines(Table("t", COLUMNS), 120))


def test_colours_do_not_move_anything():
    from tests.display.lines import plain

    table = table_of(*NAMES)
    assert [plain(line) for line in lines(table, 80, colored=True)] == lines(table, 80)
    assert lines(table, 80, colored=True) != lines(table, 80)


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match="expected 6 cells, given 2"):
        Table("t", COLUMNS).add("logits", "float32")
