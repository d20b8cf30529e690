"""Why a build would fail, said by cause and before TensorRT says it in its own way."""

from __future__ import annotations

from attnexport.backends.building import Survey
from attnexport.engines.draft import Draft
from attnexport.engines.preflight.file import check_capabilities, check_file
from attnexport.engines.preflight.kernels import check_kernels
from attnexport.engines.preflight.library import check_library
from attnexport.engines.preflight.operators import check_operators
from attnexport.engines.preflight.plugin_nodes import check_plugin_nodes
from attnexport.engines.preflight.quantizers import check_quantizers, notes_on_placement
from attnexport.engines.preflight.top_k import check_top_k


def check_files(draft: Draft) -> list[str]:
    """Raises for what the ONNX file and the plugin library say themselves.

    Returns:
        What is unusual but works, one sentence each.

    Raises:
        InputError: naming the file, tensor or library, what was expected and what was given.
    """
    check_file(draft)
    check_quantizers(draft)
    check_top_k(draft)
    return [*notes_on_placement(draft), *check_library(draft)]


def check_nodes(draft: Draft, survey: Survey | None) -> None:
    """Raises for the first node that the TensorRT at hand would not take.

    Args:
        draft: what is to be built.
        survey: what that TensorRT says itself; None where it cannot be asked, and its documentation decides.

    Raises:
        InputError: naming the target or node, what was expected and what was given.
    """
    if survey is not None:
        check_capabilities(draft, survey)
    check_plugin_nodes(draft, survey)
    check_kernels(draft)
    check_operators(draft, survey)
