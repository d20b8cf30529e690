"""What a page shows is what is printed: words are equal, any number stands for any number."""

from __future__ import annotations

import pytest

from tests.docs.comparing import same


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("largest error 4.61e-04", "largest error 1.2e-3"),
        ("67,960 times its budget", "31 130 times its budget"),
        ("SHA-256  36dc84c2", "SHA-256  bd28ca87"),
        ("a table\n───────", "a table\n──────────────"),
        ("first\n…\nlast", "first\nsecond\nthird\nlast"),
        ("a line that\nis folded", "a line that is\nfolded"),
    ],
)
def test_numbers_hashes_and_folds_may_differ(shown: str, printed: str):
    assert same(shown.split("\n"), printed.split("\n"))


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("PASSED a.onnx", "FAILED a.onnx"),
        ("first in blocks.1.mlp", "first in blocks.2.mlp"),
        ("held to fp16", "held to fp32"),
        ("within", ""),
        ("", "note: more"),
        ("first\n…\nlast", "first\nlast but one"),
    ],
)
def test_words_and_names_may_not(shown: str, printed: str):
    assert not same(shown.split("\n"), printed.split("\n"))
