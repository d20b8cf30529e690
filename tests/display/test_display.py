"""What commands write: sentences that wrap, facts, tables after blank lines, and a verdict on one line at the end."""

from __future__ import annotations

import io
import os

import pytest

from attnexport.display.columns import Column
from attnexport.display.display import Display
from attnexport.display.facts import Facts
from attnexport.display.tables import Table
from attnexport.display.terminal import Terminal
from attnexport.display.verdicts import Outcome, Verdict
from tests.display.lines import TERMINALS, check_facts, check_sentence

SENTENCE = (
    "note: input ids of /srv/models/2026-11-30/checkpoints/with-a-long-name/encoder.pt2 stays at 16384 tokens, "
    "because --dynamic was not given, and blocks.3.attention.projection.of_the_last_layer_before_the_head sees all"
)


def written(*shown: object, width: int = 60) -> str:
    stream = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(width))
        display = Display(stream)
    for part in shown:
        display.conclude(part) if isinstance(part, Verdict) else display.print(part)
    return stream.getvalue()


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_a_sentence_is_broken_between_words_alone(width: int):
    check_sentence(written(SENTENCE, width=width).splitlines(), SENTENCE, Terminal(width))


@pytest.mark.parametrize("terminal", TERMINALS, ids=str)
def test_facts_are_whole(terminal: Terminal):
    facts = Facts()
    facts.add("wrote", "/srv/models/2026-11-30/checkpoints/with-a-long-name/and/further/down/still/encoder.onnx")
    facts.add("SHA-256", "0123456789abcdef" * 4)
    facts.add("入力", "出力テンソル: (batch, 1024, 768) float32")
    facts.add("nothing", "")
    check_facts(facts, terminal)


def test_meanings_stand_under_each_other():
    facts = Facts()
    facts.add("opset", "20")
    facts.add("variant", "two words")
    assert written(facts) == "opset    20\nvariant  two words\n"


def test_a_blank_line_is_before_a_table_and_the_first_verdict():
    table = Table("title", (Column("name"),))
    table.add("value")
    first, second = Verdict(Outcome.PASSED, "a", "b"), Verdict(Outcome.FAILED, "c", "d")
    body = "title\nname\n─────\nvalue\n"
    assert written(table, "said", table, first, second) == f"{body}said\n\n{body}\nPASSED a: b\nFAILED c: d\n"
    assert written(first) == "PASSED a: b\n"


def test_a_verdict_is_one_line_whatever_it_holds():
    said = Verdict(Outcome.FAILED, "a\nb", "31,130 times its budget, first in\tblocks.1.mlp.2 " + "word " * 40)
    (line,) = written(said, width=60).splitlines()
    assert line.startswith("FAILED a b: 31,130 times its budget, first in blocks.1.mlp.2 word word")


def test_who_stops_reading_does_not_stop_the_command():
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        os.close(reading)
        display = Display(stream)
        display.print("nobody reads this")
        display.conclude(Verdict(Outcome.PASSED, "a", "b"))
