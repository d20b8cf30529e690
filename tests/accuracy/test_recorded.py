"""Recorded sets: whole, tied to their model, and compared alike by check and by the script that a device runs."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim

from attnexport.accuracy.check.check import check
from attnexport.accuracy.contenders.contenders import RecordedContender
from attnexport.accuracy.contenders.facts import ContenderFacts
from attnexport.accuracy.contenders.torch_runs import TorchRuns
from attnexport.accuracy.inputs.files import Batch
from attnexport.accuracy.inputs.generated import chosen_kinds, generated_inputs
from attnexport.accuracy.recorded import standalone as compare
from attnexport.accuracy.recorded.manifest_json import read_manifest
from attnexport.accuracy.recorded.places import is_recorded_set
from attnexport.accuracy.recorded.reading import recorded_batches
from attnexport.accuracy.recorded.writing import write_set
from attnexport.errors import InputError
from attnexport.models.model import Model

WIDTH = 6


class Scores(nn.Module):
    """Logits and a class."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.head = nn.Linear(WIDTH, 4)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        logits = self.head(x)
        return {"logits": logits, "chosen": logits.argmax(-1)}


def exported(dtype: torch.dtype = torch.float32) -> torch.export.ExportedProgram:
    x = torch.randn(3, WIDTH, generator=torch.Generator().manual_seed(0)).to(dtype)
    return torch.export.export(Scores().to(dtype).eval(), (x,), dynamic_shapes={"x": {0: Dim("batch", max=50)}})


@pytest.fixture(scope="module")
def runs() -> TorchRuns:
    return TorchRuns(Model(exported(), path=Path("scores.pt2"), sha256="5e" * 32))


@pytest.fixture(scope="module")
def original(runs: TorchRuns, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded") / "set"
    inputs = generated_inputs(runs.model, chosen_kinds("normal,one-hot,maximum"), seeds=2, seed=4)
    write_set(runs, inputs, ("fp32", "fp16"), folder, seed=4)
    return folder


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """A set that a test may damage."""
    return Path(shutil.copytree(original, tmp_path / "set"))


def read(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as archive:
        return dict(archive)


def outputs_at(dtype: torch.dtype, folder: Path, target: Path) -> Path:
    """What a device of that precision would give for the inputs of a set."""
    target.mkdir(exist_ok=True)
    model = Scores().to(dtype).eval()
    for file in sorted((folder / "inputs").iterdir()):
        with torch.no_grad():
            given = model(torch.from_numpy(read(file)["x"]).to(dtype))
        logits = given["logits"]
        raw = logits.view(torch.int16).numpy().view("V2") if dtype == torch.bfloat16 else logits.numpy()
        np.savez(target / file.name, logits=raw, chosen=given["chosen"].numpy().astype(np.int32))
    return target


def verdict_of_check(runs: TorchRuns, folder: Path, outputs: Path, precision: str) -> bool:
    contender = RecordedContender(ContenderFacts("out", "device", precision, "as given"), outputs, runs.model)
    return check(runs, [contender], recorded_batches(folder, runs.model)).passed


def verdict_of_script(capsys, *args: object) -> tuple[int, str, str]:
    code = compare.main([str(arg) for arg in args])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_set_holds_inputs_reference_and_where_it_is_from(runs, folder):
    manifest = read_manifest(folder)
    assert is_recorded_set(folder)
    assert (manifest.model, manifest.seed, manifest.source_hash) == ("scores.pt2", 4, runs.model.source_hash)
    assert manifest.outputs == {"logits": "float32", "chosen": "int64"}
    assert [batch.name for batch in manifest.batches] == ["normal-0", "normal-1", "one-hot-0", "one-hot-1", "maximum-0"]
    assert set(manifest.allowed) == {"fp32", "fp16"}
    model = Scores().double().eval()
    for batch in manifest.batches:
        x, wanted = read(folder / "inputs" / f"{batch.name}.npz")["x"], read(folder / "reference" / f"{batch.name}.npz")
        assert x.dtype == np.float32
        assert wanted["logits"].dtype == np.float64
        exact = model(torch.from_numpy(x).double())["logits"].detach().numpy()
        assert np.allclose(wanted["logits"], exact, rtol=1e-12)


def test_inputs_come_back_as_they_were(runs, folder):
    made = list(generated_inputs(runs.model, chosen_kinds("normal,one-hot,maximum"), seeds=2, seed=4))
    read_back = list(recorded_batches(folder, runs.model, seed=4))
    assert [(batch.name, batch.kind) for batch in read_back] == [(batch.name, batch.kind) for batch in made]
    assert all(torch.equal(a.tensors[0], b.tensors[0]) for a, b in zip(read_back, made, strict=True))
    assert read_back[-1].done == 1.0


@pytest.mark.parametrize(
    ("dtype", "precision", "passes"),
    [
        (torch.float32, "fp32", True),
        (torch.float16, "fp16", True),
        (torch.float16, "fp32", False),
        (torch.bfloat16, "fp32", False),
    ],
)
def test_script_and_check_agree(runs, folder, tmp_path, capsys, dtype, precision, passes):
    outputs = outputs_at(dtype, folder, tmp_path / "out")
    code, out, err = verdict_of_script(capsys, outputs, "--set", folder, "--precision", precision)
    assert verdict_of_check(runs, folder, outputs, precision) == (code == 0) == passes
    assert ("OUTSIDE" in out) == (not passes)
    assert err.startswith("compare.py: output logits, normal inputs: largest error ") == (not passes)


def test_script_names_what_is_wrong(folder, tmp_path, capsys):
    outputs = outputs_at(torch.float32, folder, tmp_path / "out")
    arrays = read(outputs / "one-hot-1.npz")
    arrays["logits"][0, 0] = np.nan
    arrays["chosen"][:] += 1
    np.savez(outputs / "one-hot-1.npz", **arrays)
    code, _, err = verdict_of_script(capsys, outputs, "--set", folder, "--precision", "fp32")
    assert code == 1
    assert err.splitlines() == [
        "compare.py: output logits, one-hot inputs: 1 of 24 values are NaN or infinite; try: attnexport check --bisect",
        "compare.py: output chosen, one-hot inputs: 3 of 6 values differ, allowed 0; try: attnexport check --bisect",
    ]


def test_script_matches_renamed_outputs_by_position(folder, tmp_path, capsys):
    outputs = outputs_at(torch.float32, folder, tmp_path / "out")
    for file in outputs.iterdir():
        arrays = read(file)
        np.savez(file, a=arrays["logits"], b=arrays["chosen"])
    assert verdict_of_script(capsys, outputs, "--set", folder, "--precision", "fp32")[0] == 0


def remove(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def alter(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("file", ["inputs/normal-1.npz", "reference/one-hot-0.npz"])
@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (remove, "the recorded set was cut off: expected {file}, found none"),
        (cut, "the recorded set was cut off or altered"),
        (alter, "the recorded set was cut off or altered"),
    ],
)
def test_set_that_was_cut_off_is_refused(runs, folder, capsys, file, damage, line):
    damage(folder / file)
    with pytest.raises(InputError) as caught:
        next(recorded_batches(folder, runs.model))
    assert line.format(file=file) in str(caught.value)
    assert str(folder) in str(caught.value)
    code, _, err = verdict_of_script(capsys, folder, "--set", folder, "--precision", "fp32")
    assert code == 2
    assert line.format(file=file) in err


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"format": 1}', '{"format": 2, "batches": [], "allowed": {}}'], ids=str
)
def test_manifest_that_is_none(runs, folder, capsys, text):
    (folder / "manifest.json").write_text(text)
    with pytest.raises(InputError, match=r"manifest\.json: expected "):
        next(recorded_batches(folder, runs.model))
    code, _, err = verdict_of_script(capsys, folder, "--set", folder, "--precision", "fp32")
    assert (code, len(err.splitlines())) == (2, 1)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"name": "../../secret"}, "secret"),
        ({"files": {"../../secret": "00"}}, "inputs/normal-0.npz"),
        ({"files": {}}, "inputs/normal-0.npz"),
    ],
    ids=["name", "file", "no hashes"],
)
def test_manifest_cannot_name_files_outside_the_set_or_without_a_hash(runs, folder, capsys, change, line):
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["batches"][0].update(change)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=r"manifest\.json: expected") as caught:
        next(recorded_batches(folder, runs.model))
    assert line in str(caught.value)
    code, _, err = verdict_of_script(capsys, folder, "--set", folder, "--precision", "fp32")
    assert (code, len(err.splitlines())) == (2, 1)
    assert line in err


def test_set_of_another_model_or_seed_is_refused(runs, folder):
    other = Model(exported(torch.float64))
    with pytest.raises(InputError, match=r"recorded from another model.*given [0-9a-f]{12}… \(scores\.pt2\)"):
        next(recorded_batches(folder, other))
    with pytest.raises(InputError, match="expected a set of seed 3, given seed 4"):
        next(recorded_batches(folder, runs.model, seed=3))


OUTPUTS = {"logits": np.zeros((3, 4), np.float32), "chosen": np.zeros(3, np.int64)}
BAD_OUTPUTS = {
    "none": (None, "expected normal-0.npz"),
    "no archive": (b"noise", "expected an .npz archive of plain arrays"),
    "too few": ({"logits": OUTPUTS["logits"]}, "outputs: expected 2 (logits, chosen), "),
    "too many": ({**OUTPUTS, "more": np.zeros(3)}, "has 3 (logits, chosen, more)|given 3 (logits, chosen, more)"),
    "other shape": ({**OUTPUTS, "logits": np.zeros((4, 3))}, "output logits"),
    "texts": ({**OUTPUTS, "logits": np.full((3, 4), "a")}, "expected numbers, given <U1"),
    "pickles": ({**OUTPUTS, "logits": np.full((3, 4), None)}, "expected an .npz archive of plain arrays"),
}


@pytest.mark.parametrize("case", BAD_OUTPUTS)
def test_outputs_that_do_not_fit(runs, folder, tmp_path, capsys, case):
    content, line = BAD_OUTPUTS[case]
    outputs = outputs_at(torch.float32, folder, tmp_path / "out")
    if content is None:
        (outputs / "normal-0.npz").unlink()
    elif isinstance(content, bytes):
        (outputs / "normal-0.npz").write_bytes(content)
    else:
        np.savez(outputs / "normal-0.npz", **content)
    with pytest.raises(InputError) as caught:
        verdict_of_check(runs, folder, outputs, "fp32")
    code, _, err = verdict_of_script(capsys, outputs, "--set", folder, "--precision", "fp32")
    assert code == 2
    for said in (str(caught.value), err):
        assert any(text in said for text in line.split("|")), said


def test_precision_that_was_not_recorded(folder, capsys):
    code, _, err = verdict_of_script(capsys, folder, "--set", folder, "--precision", "bf16")
    assert (code, err) == (2, "compare.py: --precision: expected one of fp32, fp16, given bf16\n")


def test_data_is_recorded_with_its_labels(runs, tmp_path):
    x = torch.randn(5, WIDTH)
    batches = [Batch("d", (x[start : start + 3],), np.arange(5)[start : start + 3], 3, name="d", first_row=start)
               for start in (0, 3)]  # fmt: skip
    write_set(runs, batches, ("fp32",), tmp_path / "set")
    found = list(recorded_batches(tmp_path / "set", runs.model))
    assert [batch.name for batch in found] == ["d-0", "d-3"]
    assert np.array_equal(np.concatenate([batch.labels for batch in found]), np.arange(5))
    with pytest.raises(InputError, match="expected a set of seed 0, given data without a seed"):
        next(recorded_batches(tmp_path / "set", runs.model, seed=0))


def test_bfloat16_inputs_are_recorded_as_a_device_reads_them(tmp_path):
    runs = TorchRuns(Model(exported(torch.bfloat16)))
    inputs = generated_inputs(runs.model, chosen_kinds("normal"), seeds=1)
    write_set(runs, inputs, ("bf16",), tmp_path / "set", seed=0)
    raw = read(tmp_path / "set" / "inputs" / "normal-0.npz")["x"]
    (batch,) = recorded_batches(tmp_path / "set", runs.model)
    assert raw.dtype == np.dtype("V2")
    assert torch.equal(batch.tensors[0].view(torch.int16), torch.from_numpy(raw.view(np.int16)))


def test_failed_recording_leaves_nothing(runs, tmp_path):
    batches = [Batch("d", (torch.randn(3, WIDTH),)), Batch("e", (torch.full((3, WIDTH), torch.nan),))]
    with pytest.raises(InputError, match="e: output logits: the float64 reference is not finite"):
        write_set(runs, batches, ("fp32",), tmp_path / "set")
    assert not list(tmp_path.iterdir())


def test_script_needs_no_python_beyond_3_8_and_nothing_of_this_package():
    source = Path(compare.__file__).read_text()
    tree = ast.parse(source, feature_version=(3, 8))
    modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    modules |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert modules - {"numpy"} <= sys.stdlib_module_names


FAKE_ATTNRT = """#!{python}
import shutil, sys
print(*sys.argv[1:], file=open("{log}", "a"))
data, output = sys.argv[sys.argv.index("--data") + 1], sys.argv[sys.argv.index("-o") + 1]
if "broken.engine" in sys.argv:
    sys.exit("attnrt: broken.engine: expected an engine")
shutil.copy(data.replace("/inputs/", "/made/"), output)
"""


def test_script_copied_into_the_set_drives_attnrt(folder, tmp_path):
    """A stand-in for attnrt, which needs a GPU: it gives outputs that were made before."""
    outputs_at(torch.float32, folder, folder / "made")
    attnrt, log = tmp_path / "attnrt", tmp_path / "log"
    attnrt.write_text(FAKE_ATTNRT.format(python=sys.executable, log=log))
    attnrt.chmod(0o755)
    command = [sys.executable, "-I", folder / "compare.py", tmp_path / "out", "--precision", "fp32"]
    command += ["--attnrt", attnrt, "--plugins", "lib.so", "--allow-host-code", "--engine"]
    done = subprocess.run([*command, "model.engine"], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = log.read_text().splitlines()
    assert len(lines) == 5
    assert lines[0] == (
        f"run model.engine --data {folder}/inputs/normal-0.npz -o {tmp_path}/out/normal-0.npz "
        "--plugins lib.so --allow-host-code"
    )
    done = subprocess.run([*command, "broken.engine"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "compare.py: broken.engine on normal-0.npz: attnrt: broken.engine: expected an engine\n"
    os.remove(attnrt)
    done = subprocess.run([*command, "model.engine"], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, f"compare.py: {attnrt}: cannot be run: No such file or directory\n")


def test_set_without_batches_does_not_pass(folder, tmp_path, capsys):
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "batches": []}))
    code, _, err = verdict_of_script(capsys, tmp_path, "--set", folder, "--precision", "fp32")
    assert (code, err) == (2, f"compare.py: {path}: expected batches to compare on, found none\n")


def test_set_without_its_manifest(folder):
    (folder / "manifest.json").unlink()
    assert is_recorded_set(folder)
    with pytest.raises(InputError, match=r"manifest\.json: expected the manifest of a recorded set: .*No such file"):
        read_manifest(folder)


def edit_manifest(folder: Path, *keys: object, value: object) -> None:
    path = folder / "manifest.json"
    manifest = entry = json.loads(path.read_text())
    for key in keys[:-1]:
        entry = entry[key]
    entry[keys[-1]] = value
    path.write_text(json.dumps(manifest))


LOGITS = ("allowed", "fp32", "normal", "logits")


@pytest.mark.parametrize(
    ("keys", "value", "said"),
    [
        (("model",), 5, "model: expected "),
        (("source_hash",), None, "source_hash: expected "),
        (("batches", 0, "name"), 3, "name: expected "),
        (("batches", 0, "kind"), [], "kind: expected "),
        (("batches", 0), "normal-0", "expected "),
        (("batches",), {}, "expected "),
        (("outputs", "logits"), 1, "outputs.logits: expected "),
        (("allowed",), [], "allowed: expected "),
        ((*LOGITS, "limit"), "1e-3", "limit"),
        ((*LOGITS, "limit"), float("nan"), "expected "),
        ((*LOGITS, "limit"), float("inf"), "expected "),
        ((*LOGITS, "mismatches"), 0.5, "mismatches"),
        (LOGITS, None, "logits"),
    ],
)
def test_values_of_another_type_in_the_manifest_are_no_verdict(folder, tmp_path, capsys, keys, value, said):
    outputs = outputs_at(torch.float32, folder, tmp_path / "out")
    edit_manifest(folder, *keys, value=value)
    code, out, err = verdict_of_script(capsys, outputs, "--set", folder, "--precision", "fp32")
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert said in err
    with pytest.raises(InputError, match=r"manifest\.json: expected"):
        read_manifest(folder)


def test_names_in_the_manifest_cannot_forge_lines(folder, tmp_path, capsys):
    outputs = outputs_at(torch.float32, folder, tmp_path / "out")
    edit_manifest(folder, "model", value="x\nwithin   logits\x1b[2J\u202e")
    code, out, _ = verdict_of_script(capsys, outputs, "--set", folder, "--precision", "fp32")
    assert code == 0
    assert out.splitlines()[0].startswith(r"x\nwithin   logits\x1b[2J\u202e at fp32")


def archive_of(path: Path, header: bytes) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("logits", "chosen"):
            archive.writestr(f"{name}.npy", b"\x93NUMPY\x01\0" + len(header).to_bytes(2, "little") + header)


PYTHON_2 = b"{'descr': '<f4', 'fortran_order': 1L, 'shape': (3L,), }\n"
DAMAGED_OUTPUTS = {
    "a text beside the arrays": lambda path: zipfile.ZipFile(path, "a").writestr("readme.txt", "hello"),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-40]),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "a header as of Python 2": lambda path: archive_of(
        path, b"{'descr': '<f4', 'fortran_order': 1L, 'shape': (3L,), }\n"
    ),
    "far more than its size": lambda path: np.savez_compressed(
        path, logits=np.zeros(300 << 20, np.uint8), chosen=np.zeros(3, np.int64)
    ),
}


@pytest.mark.parametrize("case", DAMAGED_OUTPUTS)
def test_damaged_outputs_are_no_verdict(folder, tmp_path, capsys, case):
    outputs = outputs_at(torch.float32, folder, tmp_path / "out")
    DAMAGED_OUTPUTS[case](outputs / "normal-0.npz")
    code, out, err = verdict_of_script(capsys, outputs, "--set", folder, "--precision", "fp32")
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert "normal-0.npz" in err


def test_wrong_arguments_of_the_script_are_one_line(capsys):
    code, out, err = verdict_of_script(capsys, "out", "--precision")
    assert (code, out, err) == (2, "", "compare.py: argument --precision: expected one argument\n")
