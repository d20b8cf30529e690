"""What a check came to, a line a contender and one for all of them."""

from __future__ import annotations

import math
from collections.abc import Iterator

from attnexport.accuracy.check.results import FAILED, NOT_JUDGED, PASSED, YARDSTICK, CheckReport, ContenderResult
from attnexport.accuracy.reports.wording import headline, layer_name
from attnexport.display.amounts import percent, times
from attnexport.display.verdicts import Outcome, Verdict

_WORDS = {
    PASSED: Outcome.PASSED,
    FAILED: Outcome.FAILED,
    YARDSTICK: Outcome.UNJUDGED,
    NOT_JUDGED: Outcome.UNJUDGED,
}


def verdicts(report: CheckReport, failed: Outcome = Outcome.FAILED) -> Iterator[Verdict]:
    """A verdict for each contender in the order given, and the last for all of them where there are several.

    Args:
        report: of the check.
        failed: what becomes of a contender that is outside its budget. Default: it failed.
    """
    words = {**_WORDS, FAILED: failed}
    for result in report.contenders:
        yield Verdict(words[result.outcome], result.facts.name, _said(result))
    if len(report.contenders) > 1:
        yield Verdict(words[report.outcome], report.model.name, headline(report))


def _said(result: ContenderResult) -> str:
    if result.outcome == YARDSTICK:
        return result.verdict
    layer = None if result.bisection is None else result.bisection.guilty
    first = "" if layer is None else f", first in {layer_name(layer)}"
    return "; ".join((f"{_size(result)}{first}", *result.reservations))


def _size(result: ContenderResult) -> str:
    """The largest share of its budget that an output uses, or what is wrong where that is not its size."""
    share = result.share
    if share is not None and math.isfinite(share) and (result.passed or share > 1):
        return share_of_budget(share)
    if not result.failures:
        return "within its budget"
    failure = result.failures[0]
    return f"{failure.where}: {failure.what} {failure.amount}"


def share_of_budget(share: float) -> str:
    """A share in words, as ``38 % of its budget`` or ``31,130 times its budget``; what is above 1 never reads 1."""
    if share > 1:
        return f"{times(share)} times its budget"
    return f"{percent(share).replace('<', 'less than')} of its budget"
