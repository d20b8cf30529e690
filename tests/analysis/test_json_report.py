"""The figures' JSON: every field of a report, under its documented name."""

from __future__ import annotations

import json
import math

from attnexport.analysis.analyzing import Analysis
from attnexport.analysis.heads import Figures, HeadReport
from attnexport.analysis.json_report import as_json
from attnexport.analysis.report import RULE_NOTE
from tests.files.documented_json import assert_documented, assert_holds, never_set

OWN, RANDOM = Figures(0.5, 0.25, 0.75, -0.125), Figures(0.1, 0.2, 0.3, 0.4)
HEAD = HeadReport("blocks.0", "softmax attention", 1, {2: OWN, 4: RANDOM}, {2: RANDOM, 4: OWN}, 1, 2, 3, 4, "Mixer")
ANALYSIS = Analysis((HEAD,), samples=9, sizes=(2, 4), distance="cosine", notes=("said",))

KEYS_OF_FIGURES = {"Analysis.sizes"}
"""The sizes are the keys of ``selected`` and ``random``, and stand nowhere else."""


def test_every_field_of_an_analysis_is_in_json():
    assert not never_set(ANALYSIS)
    assert_holds(ANALYSIS.as_json(), ANALYSIS, KEYS_OF_FIGURES, {"Analysis.schema", "Analysis.note"})


def test_every_key_is_documented():
    written = ANALYSIS.as_json()
    assert written["schema"] == "attnexport.analyze/1"
    assert_documented(written)


def test_undefined_figures_are_null():
    undefined = Figures(math.nan, 0.5, math.nan, math.nan)
    head = HeadReport("a", "b", 0, {4: undefined}, {4: OWN}, math.nan, 0.2, math.nan, 1.0, "Mixer")
    (written,) = as_json([head], samples=1, distance="euclidean")["heads"]
    assert written["selected"]["4"] == {"precision": None, "recall": 0.5, "f_score": None, "margin": None}
    assert (written["sink"], written["entropy"]) == (None, None)
    assert json.loads(json.dumps(written, allow_nan=False)) == written


def test_the_note_says_that_the_rule_is_ours():
    assert as_json([], samples=0, distance="euclidean")["note"] == RULE_NOTE
    assert "ours" in RULE_NOTE
    assert "prune" in RULE_NOTE
