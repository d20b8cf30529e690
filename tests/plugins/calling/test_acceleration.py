"""The torch operators call a library where there is one, and their references where it does not serve."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

import attnexport
from attnexport.errors import InputError
from attnexport.plugins import KernelWarning, use, using
from attnexport.plugins.calling import acceleration, accelerator
from attnexport.plugins.calling.library import Library
from attnexport.plugins.calling.operators import OperatorError

LIBRARY_VARIABLE = "ATTNEXPORT_PLUGIN_LIBRARY"


@pytest.fixture(autouse=True)
def untouched(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every test starts as a new process does."""
    monkeypatch.setattr(accelerator, "_warned", set())
    monkeypatch.setattr(acceleration, "_choice", acceleration._Choice())
    with warnings.catch_warnings():
        warnings.simplefilter("error", KernelWarning)
        yield


@pytest.fixture
def calls(plain_library: Library, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The operators that the library was asked for, as they are asked."""
    seen: list[str] = []
    run = accelerator.Accelerator.run

    def watched(self: accelerator.Accelerator, variant: object, args: object) -> Tensor | None:
        result = run(self, variant, args)
        seen.append(f"{variant.name} {'reference' if result is None else 'kernel'}")  # type: ignore[attr-defined]
        return result

    monkeypatch.setattr(accelerator.Accelerator, "run", watched)
    return seen


def affine(rows: int = 3, dtype: torch.dtype = torch.float32, **options: object) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    shapes = [(2, 4, rows, 8), (2, 2, 5, 8), (2, 2, 5, 6), (2, 4, rows), (2, 4, rows)]
    q, k, v, alpha, beta = (torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes)
    return attnexport.affine_scaled_attention(q, k, v, alpha, beta, **options)


def hadamard(**options: object) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    queries = [torch.rand((2, 4, 3, width), generator=generator) for width in (5, 7)]
    keys = [torch.rand((2, 2, 6, width), generator=generator) for width in (5, 7)]
    v = torch.randn((2, 2, 6, 4), generator=generator)
    return attnexport.hadamard_linear_attention(queries, keys, v, **options)


LENGTHS = torch.tensor([4, 2], dtype=torch.int32)
FIRST = torch.tensor([1, 0], dtype=torch.int32)
STARTS = torch.tensor([2, 1], dtype=torch.int32)
QKV = torch.rand(3, 1, 2, 4, 8)


@pytest.mark.parametrize(
    "run",
    [
        lambda: affine(),
        lambda: affine(kv_lengths=LENGTHS),
        lambda: hadamard(),
        lambda: hadamard(causal=True),
        lambda: hadamard(causal=True, q_start=STARTS),
        lambda: hadamard(causal=True, q_start=STARTS, kv_lengths=LENGTHS),
    ],
)
def test_library_and_reference_agree(run: Callable[[], Tensor], plain_library: Library, calls: list[str]):
    expected = run()
    with using(plain_library, device_type="cpu"):
        torch.testing.assert_close(run(), expected)
    assert [call.split()[1] for call in calls] == ["kernel"]
    torch.testing.assert_close(run(), expected)
    assert len(calls) == 1


def test_views_that_are_not_contiguous_or_aligned(plain_library: Library, calls: list[str]):
    q = torch.randn(2, 3, 4, 8).transpose(1, 2)
    k = torch.randn(2 * 2 * 5 * 8 + 1)[1:].view(2, 2, 5, 8)
    v = torch.randn(2, 2, 5, 12)[..., ::2]
    alpha = torch.randn(2, 4, 1).expand(2, 4, 3)
    expected = attnexport.affine_scaled_attention(q, k, v, alpha, alpha)
    with using(plain_library, device_type="cpu"):
        torch.testing.assert_close(attnexport.affine_scaled_attention(q, k, v, alpha, alpha), expected)
    assert calls == ["affine kernel"]


def test_gradients_are_those_of_the_reference(plain_library: Library, calls: list[str]):
    def gradients() -> tuple[Tensor, ...]:
        torch.manual_seed(0)
        inputs = [torch.randn(1, 2, 4, 8, requires_grad=True) for _ in range(3)]
        alpha = torch.randn(1, 2, 4, requires_grad=True)
        out = attnexport.affine_scaled_attention(*inputs, alpha, alpha)
        return torch.autograd.grad(out.sum(), [*inputs, alpha])

    expected = gradients()
    with using(plain_library, device_type="cpu"):
        torch.testing.assert_close(gradients(), expected, rtol=0, atol=0)
    assert calls == ["affine kernel"]


def test_float64_runs_the_reference_without_a_word(plain_library: Library, calls: list[str]):
    with using(plain_library, device_type="cpu"):
        affine(dtype=torch.float64)
    assert calls == ["affine reference"]


def test_parameters_wider_than_activations_widen_the_call(plain_library: Library, calls: list[str]):
    q, k, v = (torch.randn(1, 2, 4, 8).half() for _ in range(3))
    alpha = torch.randn(1, 2, 4)
    expected = attnexport.affine_scaled_attention(q, k, v, alpha, alpha)
    with using(plain_library, device_type="cpu"):
        out = attnexport.affine_scaled_attention(q, k, v, alpha, alpha)
    assert (calls, out.dtype) == (["affine kernel"], torch.float16)
    torch.testing.assert_close(out, expected)


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (lambda: affine(causal=True), "no kernel in this library covers"),
        (lambda: affine(dtype=torch.float16), "has no AffineScaledAttention for float16"),
        (lambda: attnexport.top_n_attention(*QKV, n=2), "has no TopNAttention"),
        (lambda: affine(kv_start=FIRST), "has no kv_start in AffineScaledAttention"),
    ],
)
def test_what_a_library_lacks_warns_once(run: Callable[[], Tensor], said: str, plain_library: Library):
    expected = run()
    with using(plain_library, device_type="cpu"):
        with pytest.warns(KernelWarning, match=said):
            torch.testing.assert_close(run(), expected, rtol=0, atol=0)
        torch.testing.assert_close(run(), expected, rtol=0, atol=0)


def test_an_error_of_the_device_is_not_hidden(plain_library: Library):
    with using(plain_library, device_type="cpu"), pytest.raises(OperatorError, match="CUDA reported an error"):
        affine(rows=13)


def test_nothing_to_compute_launches_nothing(plain_library: Library):
    with using(plain_library, device_type="cpu"):
        assert affine(rows=0).shape == (2, 4, 0, 6)


def test_cpu_tensors_do_not_go_to_a_gpu_library(plain_library: Library, calls: list[str]):
    with using(plain_library):
        affine()
    assert calls == []


def test_tracing_and_compiling_do_not_ask(plain_library: Library, calls: list[str]):
    module = attnexport.AffineScaledAttention(dim=16, heads=2)
    x = torch.randn(1, 5, 16)
    with using(plain_library, device_type="cpu"), torch.no_grad():
        program = torch.export.export(module, (x,))
        assert calls == []
        program.module()(x)
        assert calls == ["affine kernel"]


def test_what_a_kernel_gives_is_what_the_operator_gives(plain_library: Library, monkeypatch: pytest.MonkeyPatch):
    """A library that computes the same would hide that nobody reads its results."""
    marked = torch.full((2, 4, 3, 6), 7.0)
    monkeypatch.setattr(accelerator.Accelerator, "run", lambda self, variant, args: marked.clone())
    with using(plain_library, device_type="cpu"), torch.no_grad():
        assert torch.equal(affine(), marked)


WAYS = {
    "a loaded model": "import attnexport; run = attnexport.load_model(model).program.module()",
    "torch.export.load": "import attnexport.variants.registry; run = torch.export.load(model).module()",
    "its folder": "from attnexport.variants.affine.module import AffineScaledAttention as Made; run = Made(16, 2)",
}
FRESH = """
import sys
import torch
_, library, model = sys.argv
{way}
from attnexport.plugins.calling import acceleration, accelerator, library as libraries
acceleration._choice.accelerator = accelerator.Accelerator(libraries.load_library(library), "cpu")
run(torch.randn(1, 13, 16))
"""


@pytest.fixture(scope="module")
def thirteen_rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model's file whose rows make the plain library report an error of the device."""
    path = tmp_path_factory.mktemp("model") / "affine.pt2"
    program = torch.export.export(attnexport.AffineScaledAttention(16, 2), (torch.randn(1, 13, 16),))
    torch.export.save(program, path)
    return path


@pytest.mark.parametrize("way", WAYS)
def test_a_library_serves_an_operator_however_it_was_reached(way: str, plain_path: Path, thirteen_rows: Path):
    command = [sys.executable, "-c", FRESH.format(way=WAYS[way]), str(plain_path), str(thirteen_rows)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "OperatorError: AffineScaledAttention: CUDA reported an error" in done.stderr


def test_the_first_tensors_of_a_gpu_start_the_search(plain_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(LIBRARY_VARIABLE, str(plain_path))
    monkeypatch.setattr(accelerator.Accelerator, "run", lambda self, variant, args: self.library.path)
    with FakeTensorMode():
        for device, found in (("cpu", None), ("cuda", plain_path), ("cpu", None)):
            assert (
                acceleration.accelerate("attnexport::affine_scaled_attention", [torch.empty(1, device=device)]) == found
            )


def test_use_opens_a_path_and_refuses_what_is_none(plain_path: Path, tmp_path: Path, calls: list[str]):
    use(plain_path, device_type="cpu")
    affine()
    use(None)
    affine()
    assert calls == ["affine kernel"]
    with pytest.raises(InputError, match="no such file"):
        use(tmp_path / "none.so")


def test_the_library_is_searched_where_the_environment_says(plain_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(LIBRARY_VARIABLE, str(plain_path))
    found = acceleration._search()
    assert found is not None
    assert (found.library.path, found.device_type) == (plain_path, "cuda")


def test_the_library_is_searched_where_builds_go(plain_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(LIBRARY_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "attnexport" / "plugins"
    folder.mkdir(parents=True)
    (folder / "libattnexport_kernels.so").write_bytes(plain_path.read_bytes())
    found = acceleration._search()
    assert found is not None
    assert found.library.path == folder / "libattnexport_kernels.so"


@pytest.mark.parametrize(("named", "said"), [("", "no plugin library found"), ("/none.so", "no such file")])
def test_no_library_warns_once(named: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(LIBRARY_VARIABLE, named)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.warns(KernelWarning, match=said):
        assert acceleration._search() is None
    assert acceleration._search() is None


@pytest.mark.parametrize(
    ("architectures", "ptx", "capability", "runs"),
    [
        ((86,), None, 89, True),
        ((89,), None, 86, False),
        ((80,), None, 90, False),
        ((80,), 80, 90, True),
        ((120,), 120, 90, False),
        ((87, 90), 90, 90, True),
    ],
)
def test_machine_code_runs_within_its_major_and_ptx_on_later_ones(
    architectures: tuple[int, ...], ptx: int | None, capability: int, runs: bool
):
    assert accelerator._runs_on(architectures, ptx, capability) is runs


def test_a_library_in_the_cache_that_others_can_write_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "attnexport" / "plugins"
    folder.mkdir(parents=True)
    library = folder / "libattnexport_kernels.so"
    library.write_bytes(b"not a library")
    library.chmod(0o666)
    with pytest.warns(KernelWarning, match="is not opened: others than its user can change it"):
        assert acceleration._search() is None
