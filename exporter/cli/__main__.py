"""``python -m attnexport.cli``."""

from attnexport.cli import main

main(prog_name="attnexport")
