"""The directive public-names: what attnexport offers to Python, from docstrings; variants as the registry has them."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import attnexport
from attnexport.variants.descriptions import descriptions
from attnexport.variants.registry import public_names

KINDS = ("functions", "classes", "errors")


class PublicNames(SphinxDirective):
    """``{public-names} KIND`` documents every public name that is a function, a class or an error; or the variants'."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        (kind,) = self.arguments
        if kind not in (*KINDS, "variants"):
            raise self.error(f"expected one of {', '.join(KINDS)}, variants; {kind} was given")
        lines = _variants() if kind == "variants" else _of_kind(kind)
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def _of_kind(kind: str) -> Iterable[str]:
    of_variants = public_names()
    for name in attnexport.__all__:
        if name not in of_variants and _kind(name) == kind:
            yield from _documented(name)


def _variants() -> Iterable[str]:
    for variant in descriptions():
        yield f"### {variant.title}\n"
        yield f"{variant.formula}; {variant.cost} a head. {variant.paper}.\n"
        for name in importlib.import_module(f"attnexport.variants.{variant.name}.variant").__all__:
            yield from _documented(name)


def _documented(name: str) -> Iterable[str]:
    what = {"functions": "function", "classes": "class", "errors": "exception"}[_kind(name)]
    yield f"```{{eval-rst}}\n.. auto{what}:: attnexport.{name}"
    if what == "class":
        yield "   :members:"
    yield "```\n"


def _kind(name: str) -> str:
    value = getattr(attnexport, name)
    if not inspect.isclass(value):
        return "functions"
    return "errors" if issubclass(value, Exception) else "classes"


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("public-names", PublicNames)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
