"""The command line: one file a command, imported when the command is used."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any

import click

from attnexport.cli.console import say
from attnexport.cli.options import Group
from attnexport.cli.own_process import spare_processors
from attnexport.cli.stopping import Terminated, stoppable
from attnexport.cli.untrusted import Process
from attnexport.display.terminal import never_refuse
from attnexport.messages import to_the_command_line

_COMMANDS = {
    "analyze": "Geometry of top-N selections per layer and head.",
    "build": "Build a TensorRT engine from an ONNX file.",
    "calibrate": "Keep the ranges of what an ONNX file's layers multiply, for quantize.",
    "check": "Hold model files to their PyTorch reference.",
    "compare": "Show what became better or worse between two runs of check.",
    "convert": "Convert a PyTorch model to ONNX and prove the file by running it.",
    "inspect": "Show what is in an ONNX file.",
    "plugins": "Build and inspect the TensorRT plugin library.",
    "quantize": "Quantize an ONNX file: Q/DQ nodes around its layers, scales from data.",
    "record": "Record inputs and reference outputs for a device without PyTorch.",
    "run": "Run and time an ONNX file or an engine.",
    "runtime": "Compile and inspect attnrt, the C++ runtime for engines of TensorRT.",
    "targets": "Show the devices that --target knows.",
    "tune": "Find the cheapest mix of schemes that holds bounds on accuracy and outputs.",
    "variants": "Show the attention variants.",
}

# Raised by click 8.2 and later when no command is given; its message is the help page.
_HELP_SHOWN = getattr(click.exceptions, "NoArgsIsHelpError", ())


class _Commands(Group):
    """Lists the commands without importing them, so that --help does not wait for torch.

    A wrong option or argument is one line on stderr, as every other error is.
    """

    def main(self, args: Sequence[str] | None = None, *rest: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        with to_the_command_line():
            return self._main(args, *rest, standalone_mode=standalone_mode, **extra)

    def _main(self, args: Sequence[str] | None, *rest: Any, standalone_mode: bool, **extra: Any) -> Any:
        run: Any = super().main
        if not standalone_mode:
            return run(args, *rest, standalone_mode=False, **extra)
        if args is None:
            never_refuse(sys.stdout, sys.stderr)
        extra.setdefault("obj", Process.OF_THE_COMMAND_LINE if args is None else Process.OF_A_CALLER)
        if extra["obj"] is Process.OF_THE_COMMAND_LINE:
            spare_processors()
        try:
            with stoppable():
                code = run(args, *rest, standalone_mode=False, **extra)
        except click.ClickException as error:
            if isinstance(error, _HELP_SHOWN):
                error.show()
            else:
                context = getattr(error, "ctx", None)
                hint = f" (see {context.command_path} --help)" if context is not None else ""
                say(f"{error.format_message()}{hint}")
            code = error.exit_code
        except click.Abort:
            say("interrupted")
            code = 130
        except Terminated as ended:
            say(f"ended by {ended}")
            code = ended.code
        sys.exit(code)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"attnexport.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(sorted(_COMMANDS.items()))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="attnexport", prog_name="attnexport")
def main() -> None:
    """Take new attention variants from PyTorch to ONNX and TensorRT, with the numbers to prove it.

    A MODEL that is a .pt2 is read and run in a child process that can harm little, unless --trust-model is given.

    Exit codes: 0 done and within budget, 1 outside the error budget, 2 unusable input.
    """
