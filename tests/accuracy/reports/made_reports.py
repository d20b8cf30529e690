"""Reports with everything in them that a check can find, measured on arrays that were made wrong on purpose."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from attnexport.accuracy.check.budget import Budget
from attnexport.accuracy.check.findings import Bisection, Build, Hazard, LayerError, Repeatability
from attnexport.accuracy.check.override import Override
from attnexport.accuracy.check.results import CheckedModel, CheckReport, ContenderResult, DataKind, Times
from attnexport.accuracy.contenders.facts import ContenderFacts, Failure
from attnexport.accuracy.errors.measures import Histogram, KindErrors, OutputErrors, Spread, WorstExample
from attnexport.accuracy.errors.scores import Metric, Predictions
from attnexport.accuracy.errors.sums import HistogramSums

HOSTILE = (
    "<script>alert(1)</script> \"a\" 'b' | **c** [d](http://e.example/f) @g #1 `h` "
    "<img src=http://i.example/> & \x01 www.e.example {{ 1 }} {% x %}"
)
"""A name that would be code, markup, a link, a mention or the end of a table's cell if it were not escaped."""

BLOCKS = 12
KINDS = ("normal", "large", "constant", "one-hot", "length-1", "long", "minimum")

LAYERS = (
    "embed",
    *(
        f"blocks.{block}.{part}"
        for block in range(BLOCKS)
        for part in ("norm", "attention.qkv", "attention", "mlp.0", "mlp.2")
    ),
    "norm",
    "head",
)

Array = NDArray[np.float64]


def passing_report() -> CheckReport:
    """One contender within its budgets, nothing else to tell."""
    facts = ContenderFacts("vit.onnx", "ONNX Runtime 1.31.1 (CPU)", "fp32", "the file's inputs", "vit.onnx", "5e" * 32)
    outputs = (OutputErrors("logits", "float32", (_errors("normal", np.float32, 1.2),)),)
    return _report([ContenderResult(facts, outputs, seconds=1.25)], kinds=KINDS[:1])


def failing_report() -> CheckReport:
    """A contender in single precision that passes and one in half precision with every sort of failure."""
    return _report(
        [_single(), _half()],
        overrides=(Override("features", "the engine keeps softmax in half precision", factor=4.0),),
        hazards=_hazards(),
        notes=("vit.fp16.onnx was converted from other weights than vit.pt2",),
    )


def full_report() -> CheckReport:
    """The failing report with what it lacks: no field is None, zero or empty in all of its instances."""
    report = failing_report()
    single, half = report.contenders
    budget = Budget(1e-4, 2e-5, Override("head", "it is shown only", limit=0.5, factor=3.0), 3e-4, 4e-3, 5e-3, 6e-2)
    layer = LayerError("head", "aten.linear", "val_9", 0.25, 0.125, budget, 12, "shape (2, 3) in place of (3, 2)")
    kind = dataclasses.replace(
        half.outputs[0].kinds[0],
        budget=budget,
        mismatches=3,
        allowed_mismatches=2,
        not_finite=5,
        torch_not_finite=4,
        histogram=Histogram((1e-6, 2e-6), (12,), 7),
    )
    half = dataclasses.replace(
        half,
        outputs=(dataclasses.replace(half.outputs[0], kinds=(kind,)), *half.outputs[1:]),
        metrics=(*half.metrics, Metric("perplexity", 5.25, 5.5, True, 0.125)),
        bisection=Bisection((layer,), layer, ("a tap moved it",)),
    )
    return dataclasses.replace(report, contenders=(single, half, _yardstick()))


def deep_report(blocks: int = 100, guilty: int = 57) -> CheckReport:
    """A model of many blocks whose layers have long names, the last layer of one of which is outside first."""
    prefix, random = "model.language_model.decoder.layers", np.random.default_rng(0)
    names = ("input_layernorm", "self_attn.q_proj", "self_attn.projection_of_what_was_attended", "mlp.down_proj")
    layers, errors = ["model.embed_tokens"], list[LayerError]()
    for block in range(blocks):
        layers += [f"{prefix}.{block}.{name}" for name in names]
        for name in names[2:] if block == guilty else names[2:3]:
            own = 1e-7 * 1.03**block * math.exp(random.normal(0, 0.25))
            wrong = block > guilty or (block == guilty and name == names[-1])
            tensor, budget = f"val_{len(errors)}", Budget(own, own * 0.1)
            place = f"{prefix}.{block}.{name}"
            errors.append(LayerError(place, "aten.linear", tensor, own * (700 if wrong else 1.2), own, budget))
    report = failing_report()
    first = next((error for error in errors if not error.passed), None)
    half = dataclasses.replace(report.contenders[1], bisection=Bisection(tuple(errors), first))
    model = dataclasses.replace(report.model, layers=(*layers, "model.norm", "lm_head"))
    return dataclasses.replace(report, model=model, contenders=(half,))


def hostile_report() -> CheckReport:
    """The failing report with a hostile name wherever text may come from a file."""
    report = failing_report()
    contenders = tuple(_hostile_contender(result) for result in report.contenders)
    return dataclasses.replace(
        report,
        model=dataclasses.replace(report.model, name=HOSTILE, variants=(HOSTILE,), source_hash=HOSTILE),
        contenders=contenders,
        kinds=tuple(dataclasses.replace(kind, shapes=(HOSTILE,), left_out=HOSTILE) for kind in report.kinds),
        environment={HOSTILE: HOSTILE},
        overrides=(Override(HOSTILE, HOSTILE, limit=1e-3),),
        hazards=tuple(dataclasses.replace(hazard, layer=HOSTILE, meaning=HOSTILE) for hazard in report.hazards),
        notes=(HOSTILE,),
    )


def _report(contenders: list[ContenderResult], kinds: tuple[str, ...] = KINDS, **more) -> CheckReport:
    ran = tuple(DataKind(kind, f"{kind} values and sizes", 3, ("image 2x3x64x64",)) for kind in kinds)
    left_out = DataKind("maximum", "each dynamic dim at its most", 0, (), "other kinds have these sizes")
    return CheckReport(
        model=CheckedModel("vit.pt2", "ab" * 32, "cd" * 32, "fp32", ("Krause attention", "Top-N attention"), LAYERS),
        contenders=tuple(contenders),
        kinds=(*ran, left_out),
        batches=3 * len(ran),
        inputs_sha256="1a" * 32,
        times=Times(reference=4.1, yardsticks=2.2, total=11.6, cached=9),
        environment={"attnexport": "0.1.0", "torch": "2.13.0", "onnxruntime": "1.31.1", "python": "3.11.2"},
        **more,
    )


def _errors(kind: str, dtype: type, factor: float, override: Override | None = None) -> KindErrors:
    """Errors of a contender that is ``factor`` times as far off as a cast to a dtype; NaN for an infinite factor."""
    random = np.random.default_rng(len(kind))
    exact = random.standard_normal((4, 8, 200))
    plain = exact.astype(dtype).astype(np.float64)
    given = exact + (plain - exact) * (1.0 if math.isinf(factor) else factor)
    if math.isinf(factor):
        given[1, 2, :30] = math.nan
        given[2] = exact[2]
    errors, own = np.abs(given - exact), float(np.abs(plain - exact).max())
    right, histogram = np.isfinite(errors), HistogramSums()
    histogram.add(errors[right])
    return KindErrors(
        kind=kind,
        elements=exact.size,
        relative_l2=float(np.linalg.norm(errors[right]) / np.linalg.norm(exact[right])),
        largest_error=float(errors[right].max()),
        cosine=1.0 - float((errors[right] ** 2).mean()),
        largest_reference=float(np.abs(exact).max()),
        budget=Budget(own, 3e-7, override, 3.0 * own if kind == "constant" else 0.0),
        judged=kind != "one-hot",
        mismatches=0,
        allowed_mismatches=0,
        not_finite=int((~right).sum()),
        torch_not_finite=0,
        histogram=histogram.histogram(),
        worst=_worst(f"{kind}-0", exact, plain, given),
    )


def _worst(batch: str, exact: Array, plain: Array, given: Array) -> tuple[WorstExample, ...]:
    """The worst element of three samples."""
    errors = np.nan_to_num(np.abs(given - exact), nan=math.inf).reshape(len(exact), -1)
    found = []
    for row in np.argsort(-errors.max(1))[:3]:
        index = (int(row), *(int(axis) for axis in np.unravel_index(errors[row].argmax(), exact.shape[1:])))
        found.append(WorstExample(batch, index, float(exact[index]), float(plain[index]), float(given[index])))
    return tuple(found)


def _integers(kind: str) -> KindErrors:
    """An output of integers that is right."""
    return KindErrors(
        kind=kind,
        elements=64,
        relative_l2=0.0,
        largest_error=0.0,
        cosine=1.0,
        largest_reference=0.0,
        budget=None,
        judged=True,
        mismatches=0,
        allowed_mismatches=0,
        not_finite=0,
        torch_not_finite=0,
        histogram=Histogram((), (), 0),
        worst=(),
    )


def _single() -> ContenderResult:
    facts = ContenderFacts("vit.onnx", "ONNX Runtime 1.31.1 (CPU)", "fp32", "the file's inputs", "vit.onnx", "5e" * 32)
    outputs = (
        OutputErrors("logits", "float32", tuple(_errors(kind, np.float32, 0.9) for kind in KINDS)),
        OutputErrors("features", "float32", tuple(_errors(kind, np.float32, 0.4) for kind in KINDS)),
        OutputErrors("labels", "int64", tuple(_integers(kind) for kind in KINDS)),
    )
    predictions = Predictions("logits", 360, 360, 360, 355, 355)
    return ContenderResult(facts, outputs, predictions=predictions, bisection=_bisection(1.1, None), seconds=2.4)


def _half() -> ContenderResult:
    facts = ContenderFacts(
        "vit.fp16.onnx", "TensorRT-RTX 1.7.1 (SM 120)", "fp16", "--precision", "build/vit.fp16.onnx", "f0" * 32
    )
    factors = {"normal": 1.4, "large": math.inf, "constant": 16.0}
    override = Override("features", "the engine keeps softmax in half precision", factor=4.0)
    outputs = (
        OutputErrors("logits", "float16", tuple(_errors(k, np.float16, factors.get(k, 1.1)) for k in KINDS)),
        OutputErrors("features", "float16", tuple(_errors(k, np.float16, 2.3, override) for k in KINDS)),
        OutputErrors("labels", "int64", tuple(_integers(kind) for kind in KINDS)),
    )
    spreads = (Spread("logits", 3.1e-5, 112, 18000), Spread("features", 0.0, 0, 18000))
    return ContenderResult(
        facts,
        outputs,
        failures=_failures(facts.name, outputs[0]),
        predictions=Predictions("logits", 360, 341, 360, 355, 338),
        metrics=(Metric("accuracy", 0.9861, 0.9389, False, 0.01), Metric("top5", 1.0, 0.9972, False, None)),
        repeatability=Repeatability(5, spreads, (0.011, 0.010, 0.010, 0.012, 0.010)),
        builds=(Build("11" * 32, 41.2, 0.0101, ()), Build("22" * 32, 40.8, 0.0113, spreads)),
        bisection=_bisection(1.3, 7),
        seconds=5.3,
        notes=("outputs were matched by position: logits, features, labels in the model, 0, 1, 2 in the file",),
    )


def _yardstick() -> ContenderResult:
    """PyTorch at the precision of the one that fails."""
    facts = ContenderFacts("torch:fp16", "PyTorch 2.13.0", "fp16", "as given")
    kinds = tuple(dataclasses.replace(_errors(kind, np.float16, 1.0), is_yardstick=True) for kind in KINDS)
    return ContenderResult(facts, (OutputErrors("logits", "float16", kinds),), seconds=0.4)


def _failures(contender: str, logits: OutputErrors) -> tuple[Failure, ...]:
    bisect = "--bisect, which names the layer"
    constant = logits.kinds[KINDS.index("constant")]
    assert constant.budget is not None
    return (
        Failure(
            contender,
            "output logits, large inputs at large-0[1, 2, 0]",
            "values that are NaN or infinite:",
            "30 of 6400",
            f"bf16, or fp32 for the layer that overflows ({bisect})",
            "logits",
            "large",
        ),
        Failure(
            contender,
            "output logits, constant inputs at constant-0[3, 1, 77]",
            f"largest error {constant.largest_error:.3g}",
            f"is {constant.share:.3g} times the allowed {constant.budget.limit:.3g}",
            f"{bisect}; other kinds of inputs are within the budget",
            "logits",
            "constant",
        ),
        Failure(
            contender,
            "metric accuracy",
            "0.9389, 0.9861 in the reference:",
            "worse by 0.0472, allowed 0.01",
            bisect,
        ),
    )


def _bisection(factor: float, guilty_block: int | None) -> Bisection:
    """Errors that grow from block to block; from the guilty one on they are outside and in the end not finite."""
    random = np.random.default_rng(3)
    places = [
        "embed",
        *(f"blocks.{block}.{part}" for block in range(BLOCKS) for part in ("attention", "mlp.2")),
        "head",
    ]
    layers = []
    for position, place in enumerate(places):
        block = (position - 1) // 2
        own = 2e-7 * 1.17**position * math.exp(random.normal(0, 0.25))
        wrong = guilty_block is not None and block >= guilty_block
        overflows = wrong and place == "head"
        layers.append(
            LayerError(
                layer=place,
                op="attnexport.krause_attention" if place.endswith("attention") else "aten.linear",
                tensor=f"val_{position}",
                largest_error=0.0 if position == 0 else own * (factor if not wrong else 900 * 1.3**position),
                relative_l2=own,
                budget=Budget(own, own * 0.1),
                not_finite=12 if overflows else 0,
            )
        )
    guilty = next((layer for layer in layers if not layer.passed), None)
    return Bisection(tuple(layers), guilty, ("taps changed the outputs, by up to 3.1e-05: it is not the same engine",))


def _hazards() -> tuple[Hazard, ...]:
    meaning, why = "scores this large overflow in half precision: keep the layer in bf16 or fp32", "float16 ends there"
    return tuple(
        Hazard(f"blocks.{block}.attention", head, "largest score", 900.0 * 3**block, 65504.0, block > 3, meaning, why)
        for block in range(6)
        for head in range(2)
    )


def _hostile_contender(result: ContenderResult) -> ContenderResult:
    bisection = result.bisection
    assert bisection is not None
    layers = tuple(
        dataclasses.replace(layer, layer=f"{layer.layer}.{HOSTILE}", op=HOSTILE, tensor=HOSTILE)
        for layer in bisection.layers
    )
    guilty = None if bisection.guilty is None else layers[bisection.layers.index(bisection.guilty)]
    return dataclasses.replace(
        result,
        facts=dataclasses.replace(result.facts, name=HOSTILE, path=HOSTILE, runtime=HOSTILE, precision_source=HOSTILE),
        outputs=tuple(dataclasses.replace(output, name=f"{output.name}{HOSTILE}") for output in result.outputs),
        failures=tuple(
            dataclasses.replace(failure, contender=HOSTILE, where=HOSTILE, what=HOSTILE, amount=HOSTILE, advice=HOSTILE)
            for failure in result.failures
        ),
        metrics=tuple(dataclasses.replace(metric, name=HOSTILE) for metric in result.metrics),
        bisection=dataclasses.replace(bisection, layers=layers, guilty=guilty, notes=(HOSTILE,)),
        notes=(HOSTILE,),
    )
