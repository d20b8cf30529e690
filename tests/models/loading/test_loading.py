"""MODEL in every form that works, and one clear line for every form that does not."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.export import Dim

import attnexport
from attnexport.errors import ConversionError, InputError
from attnexport.models.loading.reading import ReadModule, read_source
from attnexport.models.loading.sources import load_model

CODE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, width), nn.Dropout(0.5), nn.Linear(width, 2))

    def forward(self, x):
        return self.layers(x)

    @classmethod
    def wide(cls):
        return cls(8)

def build():
    torch.manual_seed(0)
    return Net()

def needs_more(width):
    return Net(width)

def fails():
    raise KeyError("no such setting")

def text():
    return "a model"

value = 3
ready = Net()
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with the user's module toy_models in it."""
    (tmp_path / "toy_models.py").write_text(CODE)
    (tmp_path / "broken_models.py").write_text("import no_such_package\n")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in ("toy_models", "broken_models"):
        sys.modules.pop(name, None)


@pytest.fixture
def net(folder: Path) -> nn.Module:
    with pytest.MonkeyPatch.context() as path:
        path.syspath_prepend(str(folder))
        import toy_models  # type: ignore[import-not-found]

    module: nn.Module = toy_models.build()
    return module


X = torch.ones(3, 4)


def expect_line(path: object, *parts: str, **options: object) -> str:
    """load_model refuses in one line that names the file and says these parts."""
    with pytest.raises(InputError) as refused:
        load_model(path, **options)
    line = str(refused.value)
    assert "\n" not in line
    assert "Traceback" not in line
    for part in parts:
        assert part in line
    return line


def module_of(path: str | None, **options: Any) -> ReadModule:
    read = read_source(path, **options)
    assert isinstance(read, ReadModule)
    return read


# What works


def test_program(net: nn.Module, folder: Path) -> None:
    attnexport.save(net, "net.pt2", args=X, dynamic_shapes={"x": {0: "batch"}})
    loaded = load_model("net.pt2")
    assert loaded.dim_names == {"x": {0: "batch"}}
    assert loaded.path == Path("net.pt2")
    assert loaded.sha256 == hashlib.sha256(Path("net.pt2").read_bytes()).hexdigest()
    assert torch.equal(loaded.program.module()(X), net.eval()(X))


@pytest.mark.parametrize(
    "wrap", [lambda s: s, *(lambda s, k=k: {k: s, "epoch": 3} for k in ("state_dict", "model_state_dict", "model"))]
)
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_state_dict_and_checkpoint(net: nn.Module, wrap: object, prefix: str) -> None:
    state = {prefix + name: value for name, value in net.state_dict().items()}
    torch.save(wrap(state), "net.pt")
    loaded = module_of("net.pt", factory="toy_models:build")
    assert not loaded.module.training
    assert torch.equal(loaded.module(X), net.eval()(X))
    assert os.getcwd() not in sys.path


def test_old_torch_save_format(net: nn.Module) -> None:
    torch.save(net.state_dict(), "net.pt", _use_new_zipfile_serialization=False)
    assert module_of("net.pt", factory="toy_models:build").module is not None


def test_factory_alone_and_with_weights(net: nn.Module) -> None:
    state = {name: value + 1 for name, value in net.state_dict().items()}
    torch.save(state, "w.pth")
    save_file(state, "w.safetensors")
    alone = module_of(None, factory="toy_models:build")
    assert alone.path is None
    assert alone.sha256 == hashlib.sha256(Path("toy_models.py").read_bytes()).hexdigest()
    assert alone.module is not None
    assert torch.equal(alone.module(X), net.eval()(X))
    for weights in ("w.pth", "w.safetensors"):
        filled = module_of(None, factory="toy_models:build", weights=weights)
        assert filled.module is not None
        assert all(torch.equal(value, state[name]) for name, value in filled.module.state_dict().items())
        assert filled.sha256 != alone.sha256


def test_factory_may_be_a_class_or_a_method() -> None:
    for factory in ("toy_models:Net", "toy_models:Net.wide"):
        assert isinstance(module_of(None, factory=factory).module, nn.Module)


def test_pickled_module_with_trust(net: nn.Module) -> None:
    torch.save(net, "net.pt")
    with pytest.warns(UserWarning, match="can run any code on this machine") as warned:
        loaded = module_of("net.pt", trust_pickle=True)
    assert "toy_models.Net" in str(warned[0].message)
    assert loaded.module is not None
    assert not loaded.module.training
    heard: list[str] = []
    read_source("net.pt", trust_pickle=True, warn=heard.append)
    assert len(heard) == 1


def test_trust_is_not_needed_for_weights(net: nn.Module, recwarn: pytest.WarningsRecorder) -> None:
    torch.save(net.state_dict(), "net.pt")
    read_source("net.pt", factory="toy_models:build", trust_pickle=True)
    assert not [entry for entry in recwarn if "unpickling" in str(entry.message)]


def test_the_content_decides_not_the_suffix(net: nn.Module) -> None:
    attnexport.save(net, "net.pt2", args=X)
    Path("net.pt2").rename("net.pt")
    assert load_model("net.pt").program is not None


def test_module_becomes_a_program(net: nn.Module) -> None:
    model = load_model(None, (X,), factory="toy_models:build", dynamic_shapes={"x": {0: "batch"}})
    program = model.program
    assert torch.equal(program.module()(torch.ones(7, 4)), net.eval()(torch.ones(7, 4)))


# What does not


def test_nothing_given() -> None:
    expect_line(None, "no MODEL")


def test_missing_file() -> None:
    expect_line("absent.pt2", "absent.pt2: no such file")


def test_folder_and_saved_model(folder: Path) -> None:
    expect_line(folder, "is a folder", "attnexport.save")
    (folder / "saved_model.pb").write_bytes(b"x")
    expect_line(folder, "TensorFlow SavedModel")


def test_device_file() -> None:
    expect_line("/dev/zero", "is not a regular file")


def test_empty_file() -> None:
    Path("model.pt2").touch()
    expect_line("model.pt2", "model.pt2: the file is empty")


@pytest.mark.parametrize("suffix", [".pt2", ".pt", ".pth", ".bin"])
def test_random_bytes(suffix: str) -> None:
    path = Path(f"model{suffix}")
    path.write_bytes(np.random.default_rng(7).bytes(10_000))
    expect_line(path, "is not a model file that attnexport reads")


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9, 0.999])
def test_truncated_program(net: nn.Module, kept: float) -> None:
    attnexport.save(net, "net.pt2", args=X)
    data = Path("net.pt2").read_bytes()
    Path("cut.pt2").write_bytes(data[: int(len(data) * kept)])
    expect_line("cut.pt2", "cut.pt2: the file is truncated or damaged")


def test_damaged_program(net: nn.Module) -> None:
    attnexport.save(net, "net.pt2", args=X)
    data = bytearray(Path("net.pt2").read_bytes())
    place = data.index(b"torch.ops.aten")
    data[place : place + 9] = b"#" * 9
    Path("bad.pt2").write_bytes(data)
    expect_line("bad.pt2", "the record models/model.json is damaged")


@pytest.mark.parametrize("new_format", [True, False])
def test_truncated_checkpoint(net: nn.Module, new_format: bool) -> None:
    torch.save(net.state_dict(), "net.pt", _use_new_zipfile_serialization=new_format)
    data = Path("net.pt").read_bytes()
    Path("cut.pt").write_bytes(data[: len(data) // 2])
    expect_line("cut.pt", "cut.pt: the file is truncated or damaged", factory="toy_models:build")


def test_state_dict_without_factory(net: nn.Module) -> None:
    torch.save(net.state_dict(), "net.pt")
    expect_line("net.pt", "holds weights only (4 tensors", 'factory="pkg.module:factory"')


def test_pickled_module_without_trust(net: nn.Module) -> None:
    torch.save(net, "net.pt")
    expect_line("net.pt", "toy_models.Net", "can run any code", "trust_pickle=True", "attnexport.save")


def test_hostile_pickle_without_trust() -> None:
    class Payload:
        def __reduce__(self) -> tuple[object, ...]:
            return exec, ("open('marker', 'w').close()",)

    torch.save({"state_dict": Payload()}, "evil.pt")
    expect_line("evil.pt", "builtins.exec", "can run any code", factory="toy_models:build")
    assert not Path("marker").exists()


def test_pickled_class_that_cannot_be_imported(net: nn.Module) -> None:
    torch.save(net, "net.pt")
    Path("toy_models.py").unlink()
    sys.modules.pop("toy_models")
    expect_line("net.pt", "toy_models", "cannot be imported here", trust_pickle=True, warn=lambda text: None)


def test_checkpoint_of_something_else() -> None:
    torch.save({"epoch": 3, "losses": [1.0]}, "log.pt")
    expect_line("log.pt", "expected a state dict", "keys epoch, losses", factory="toy_models:build")
    torch.save(X, "tensor.pt")
    expect_line("tensor.pt", "given a Tensor", factory="toy_models:build")


def test_weights_that_do_not_fit(net: nn.Module) -> None:
    state = net.state_dict()
    torch.save(state, "net.pt")
    expect_line("net.pt", "layers.0.weight: expected (8, 4), given (4, 4)", factory="toy_models:Net.wide")
    state["other.bias"] = state.pop("layers.2.bias")
    torch.save(state, "renamed.pt")
    expect_line(
        "renamed.pt",
        "missing: layers.2.bias",
        "unexpected: other.bias",
        "do not fit the Net",
        factory="toy_models:build",
    )


@pytest.mark.parametrize(
    ("factory", "says"),
    [
        ("toy_models", "expected pkg.module:factory"),
        (":build", "expected pkg.module:factory"),
        ("absent_models:build", "cannot import absent_models: ModuleNotFoundError"),
        ("broken_models:build", "No module named 'no_such_package'"),
        ("toy_models:absent", "toy_models has no absent"),
        ("toy_models:needs_more", "needs_more() failed: TypeError"),
        ("toy_models:fails", "fails() failed: KeyError: 'no such setting'"),
        ("toy_models:text", "expected an nn.Module from text(), given a str"),
        ("toy_models:value", "given a int"),
        ("toy_models:ready", "expected a function without arguments"),
    ],
)
def test_bad_factory(factory: str, says: str) -> None:
    line = expect_line(None, f'factory="{factory}"', says, factory=factory)
    if "fails" in factory:
        assert "toy_models.py:25" in line


def test_weights_given_twice(net: nn.Module) -> None:
    torch.save(net.state_dict(), "net.pt")
    expect_line("net.pt", "both hold weights", weights="net.pt", factory="toy_models:build")


def test_program_with_factory(net: nn.Module) -> None:
    attnexport.save(net, "net.pt2", args=X)
    expect_line("net.pt2", "leave out factory and weights", factory="toy_models:build")
    expect_line(None, "give it as MODEL", factory="toy_models:build", weights="net.pt2")


def test_safetensors(net: nn.Module) -> None:
    save_file(net.state_dict(), "net.safetensors")
    expect_line("net.safetensors", "holds weights only", 'factory="pkg.module:factory"')
    save_file({}, "empty.safetensors")
    expect_line("empty.safetensors", "without tensors")
    data = Path("net.safetensors").read_bytes()
    Path("cut.safetensors").write_bytes(data[:-40])
    expect_line(None, "truncated or damaged", weights="cut.safetensors", factory="toy_models:build")
    expect_line(None, "absent.safetensors: no such file", weights="absent.safetensors", factory="toy_models:build")


@pytest.mark.filterwarnings("ignore")
def test_torchscript(net: nn.Module) -> None:
    torch.jit.script(net).save("net.pt")
    for trust in (False, True):
        expect_line("net.pt", "TorchScript archive", "attnexport.save", trust_pickle=trust)


@pytest.mark.parametrize("name", ["model.onnx", "model.pt"])
def test_onnx(name: str) -> None:
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["x"], ["y"])],
        "g",
        [onnx.helper.make_tensor_value_info("x", 1, [1])],
        [onnx.helper.make_tensor_value_info("y", 1, [1])],
    )
    Path(name).write_bytes(onnx.helper.make_model(graph, producer_name="someone").SerializeToString())
    expect_line(name, "is an ONNX file already", "attnexport inspect")


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("model.h5", b"\x89HDF\r\n\x1a\n" + bytes(99), "HDF5 file (Keras or TensorFlow)"),
        ("frozen.pb", b"\x0a\x10abc" + bytes(99), "TensorFlow graph"),
        ("model.tflite", b"\x1c\0\0\0TFL3" + bytes(99), "TensorFlow Lite"),
        ("model.gguf", b"GGUF" + bytes(99), "GGUF"),
        ("model.engine", b"ftrt" + bytes(99), "TensorRT engine"),
        ("array.npy", b"\x93NUMPY" + bytes(99), "NumPy array"),
        ("model.tar.gz", b"\x1f\x8b" + bytes(99), "gzip archive"),
        ("model.pkl", pickle.dumps({"a": 1}), "plain pickle"),
    ],
)
def test_other_kinds(name: str, data: bytes, says: str) -> None:
    Path(name).write_bytes(data)
    expect_line(name, says, "expected a .pt2, .pt or .pth file of PyTorch")


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["config.json", "metadata.json", "model.weights.h5"], "Keras model"),
        (["a.npy", "b.npy"], "NumPy arrays"),
        (["word/document.xml"], "not of torch.export or torch.save"),
        (["p/.data/extern_modules", "p/model.pkl"], "torch.package"),
        (["version", "serialized_exported_program.json"], "format of torch 2.7 and older"),
    ],
)
def test_other_zip_archives(names: list[str], says: str) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    Path("archive.zip").write_bytes(buffer.getvalue())
    expect_line("archive.zip", says)


def test_note_of_another_form(net: nn.Module) -> None:
    program = torch.export.export(net.eval(), (X,))
    for note in ("[]", "{", '{"dim_names": {"x": {"0": "__import__(\'os\')"}}}', '{"dim_names": {"x": {"a": "n"}}}'):
        torch.export.save(program, "net.pt2", extra_files={"attnexport.json": note})
        expect_line("net.pt2", "attnexport.json")


# Exports that fail


class Fixed(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x.reshape(4, -1).sum() + y


class Even(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x.view(x.shape[0] // 2, 2, -1) + y.sum()


class Chooses(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x if x.sum() > 0 else y


class Adds(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


TWO = (torch.ones(4, 6), torch.ones(4, 6))


@pytest.mark.parametrize(
    ("module", "args", "shapes", "says"),
    [
        (Fixed(), TWO, {"x": {0: "batch"}}, "dynamic dim 'batch' (x axis 0): the model's code only works at size 4"),
        (Even(), TWO, {"x": {0: "batch"}}, "dynamic dim 'batch' (x axis 0): the model's code needs"),
        (
            Adds(),
            TWO,
            {"x": {0: "a"}, "y": {0: "b"}},
            "'b' (y axis 0) and 'a' (x axis 0): the model's code needs them to be",
        ),
        (Chooses(), TWO, None, "branches on the values of a tensor"),
        (Adds(), (torch.ones(4, 6), torch.ones(4, 5)), None, "torch.export cannot export the model"),
    ],
)
def test_model_that_cannot_be_exported(module: nn.Module, args: tuple[Tensor, ...], shapes: object, says: str) -> None:
    with pytest.raises(ConversionError) as refused:
        attnexport.save(module, "out.pt2", args=args, dynamic_shapes=shapes)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not Path("out.pt2").exists()


@pytest.mark.parametrize(
    ("args", "shapes", "says"),
    [
        (TWO[:1], None, "the inputs do not fit the model's forward(x, y): missing a required argument: 'y'"),
        (None, None, "the inputs do not fit"),
        (TWO, {"z": {0: "batch"}}, "no input is called 'z'; the inputs are x, y"),
        (TWO, ({0: "batch"},), "expected one entry for each of x, y, given 1"),
        (TWO, {"x": {2: "batch"}}, "x has 2 dims (0 to 1), given axis 2"),
        (TWO, {"x": ("batch",)}, "x has 2 dims, given 1"),
        (TWO, {"x": {0: "a batch"}}, "'a batch' is not a name"),
        (TWO, {"x": "batch"}, "expected a dict of axes for x"),
        (TWO, 3, "expected a dict by input name, given a int"),
        (TWO, {"x": {0: "n", 1: "n"}}, "dynamic dim 'n' is 4 in x axis 0 and 6 in x axis 1"),
        (TWO, {"x": {0: Dim("n", min=5)}}, "dynamic dim 'n' (x axis 0): expected 5 or more, given 4 in the example"),
        (TWO, {"x": {0: Dim("n", max=3)}}, "expected 0 to 3, given 4"),
        ((torch.ones(1, 6), torch.ones(1, 6)), {"x": {0: "n"}}, "'n' (x axis 0) is 1 in the example"),
    ],
)
def test_inputs_that_do_not_fit(args: tuple[Tensor, ...] | None, shapes: object, says: str) -> None:
    with pytest.raises(InputError) as refused:
        attnexport.save(Adds(), "out.pt2", args=args, dynamic_shapes=shapes)
    assert says in str(refused.value)
    assert not Path("out.pt2").exists()


def test_a_failing_export_writes_nothing_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConversionError):
        load_model(None, (torch.ones(2, 9),), factory="toy_models:build")
    with pytest.raises(ConversionError):
        attnexport.save(Chooses(), "out.pt2", args=TWO)
    assert capfd.readouterr() == ("", "")
