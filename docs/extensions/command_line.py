"""The directive command-line: every command with its help, read from click."""

from __future__ import annotations

import re
from collections.abc import Iterator
from inspect import cleandoc

import click
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from attnexport.cli import main

AN_OPTION = re.compile(r"(?<![\w-])(--?[a-z][\w-]*)")


class CommandLine(SphinxDirective):
    """``{command-line}``: a section for each command, and for each below a command."""

    def run(self) -> list[nodes.Node]:
        root = click.Context(main, info_name="attnexport", **main.context_settings)
        return [*_facts(root), *(self._section(context) for context in _below(root))]

    def _section(self, context: click.Context) -> nodes.section:
        section = nodes.section(ids=[nodes.make_id(context.command_path)], names=[context.command_path])
        section += nodes.title(text=context.command_path)
        section += _facts(context)
        section += [self._section(child) for child in _below(context)]
        self.state.document.note_explicit_target(section)
        return section


def _below(context: click.Context) -> Iterator[click.Context]:
    if not isinstance(context.command, click.Group):
        return
    for name in context.command.list_commands(context):
        command = context.command.get_command(context, name)
        assert command is not None
        yield click.Context(command, info_name=name, parent=context, **command.context_settings)


def _facts(context: click.Context) -> list[nodes.Node]:
    help_text = cleandoc(context.command.help or "")
    usage = context.command.collect_usage_pieces(context)
    found: list[nodes.Node] = [_paragraph(text) for text in help_text.split("\n\n")]
    found.append(nodes.literal_block(text=" ".join([context.command_path, *usage]), language="text"))
    records = [record for each in context.command.get_params(context) if (record := each.get_help_record(context))]
    found.append(_options(records))
    return found


def _options(records: list[tuple[str, str]]) -> nodes.definition_list:
    options = nodes.definition_list(classes=["options"])
    for names, told in records:
        term = nodes.term("", "", nodes.literal(text=names))
        options += nodes.definition_list_item("", term, nodes.definition("", _paragraph(told)))
    return options


def _paragraph(text: str) -> nodes.paragraph:
    """Lines that belong together, options among them in letters of equal width."""
    parts = AN_OPTION.split(" ".join(text.split()))
    told = [nodes.literal(text=part) if AN_OPTION.fullmatch(part) else nodes.Text(part) for part in parts]
    return nodes.paragraph("", "", *told)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("command-line", CommandLine)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
