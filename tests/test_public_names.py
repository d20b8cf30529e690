"""What attnexport offers: the names of the registry, without torch before they are used."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from torch import nn

import attnexport
from attnexport.variants.registry import all_variants
from attnexport.variants.spec import Variant

ROOT = Path(__file__).parents[1]

each_variant = pytest.mark.parametrize("variant", all_variants(), ids=lambda variant: variant.name)


def names_of(variant: Variant) -> list[str]:
    """What the variant's folder offers."""
    return importlib.import_module(f"attnexport.variants.{variant.name}.variant").__all__


@each_variant
def test_what_a_variant_offers_is_a_name_of_attnexport(variant: Variant):
    assert variant.reference.__name__ in names_of(variant)
    for name in names_of(variant):
        assert name in attnexport.__all__
        assert getattr(attnexport, name).__name__ == name


def test_every_name_exists_and_others_do_not():
    for name in attnexport.__all__:
        assert getattr(attnexport, name) is not None
        assert name in dir(attnexport)
    with pytest.raises(AttributeError, match=r"^module 'attnexport' has no attribute 'krause'$"):
        _ = attnexport.krause


def test_the_package_is_imported_without_torch():
    subprocess.run([sys.executable, "-c", "import attnexport, sys; assert 'torch' not in sys.modules"], check=True)


def test_type_checkers_know_what_every_variant_offers():
    tree = ast.parse((ROOT / "exporter" / "__init__.py").read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    imported = {
        node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom) and [alias.name for alias in node.names] == ["*"]
    }
    assert imported == {f"attnexport.variants.{variant.name}.variant" for variant in all_variants()}


@each_variant
def test_the_readme_tells_of_a_variant(variant: Variant):
    kinds = [kind for name in names_of(variant) if inspect.isclass(kind := getattr(attnexport, name))]
    (module,) = (kind.__name__ for kind in kinds if issubclass(kind, nn.Module))
    rows = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("| `")]
    told = [row for row in rows if row.startswith(f"| `{variant.reference.__name__}` | `{module}` |")]
    assert len(told) == 1
    assert variant.paper.partition(" (")[0] in told[0]


def test_the_readme_tells_of_no_other_variant():
    rows = [line.split("`") for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("| `")]
    told = {operator for _, operator, *_ in rows if operator.endswith("_attention")}
    assert told == {variant.reference.__name__ for variant in all_variants()}
