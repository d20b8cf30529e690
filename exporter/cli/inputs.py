"""On which inputs a model runs: the options, the same for check and record."""

from __future__ import annotations

import click

from attnexport.cli.options import PATH, adding

input_options = adding(
    click.option(
        "--data", type=PATH, help="An .npz, or a folder of them: arrays by input name, and labels. Or a recorded set."
    ),
    click.option(
        "--kinds",
        metavar="KIND,…",
        help="Kinds of inputs to generate: normal, large, constant, one-hot, varied, length-1, long, minimum, "
        "middle, maximum. Default: all.",
    ),
    click.option("--seeds", type=click.IntRange(min=1), help="Generated batches of each kind of values. Default: 3."),
    click.option("--seed", type=click.IntRange(min=0), help="Number of the first generated batch. Default: 0."),
    click.option("--longest", type=click.IntRange(min=1), help="Largest dynamic size to generate. Default: 1024."),
)
"""The fields of InputOptions."""
