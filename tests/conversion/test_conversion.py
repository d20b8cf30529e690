"""convert: nodes, bodies, names, opsets and the proof by running."""

from __future__ import annotations

import onnx
import onnx_ir as ir
import pytest
import torch
from torch import nn
from torch.export import Dim

import attnexport
from attnexport.backends.onnxruntime import OnnxRuntimeBackend
from attnexport.graph.inspection import read_model
from attnexport.graph.metadata import dim_ranges
from attnexport.variants.registry import all_variants
from tests.conversion.models import DYNAMIC, WIDTH, LeftPadded, Positioned, Stack, WithLengths, every_variant, example


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    path = tmp_path_factory.mktemp("converted") / "model.onnx"
    model = every_variant(causal=True).eval()
    return model, attnexport.convert(model, (example(),), path, dynamic_shapes=DYNAMIC)


def error_at(model: nn.Module, path, x: torch.Tensor) -> float:
    given = torch.from_numpy(OnnxRuntimeBackend(path).run({"x": x.numpy()})["output"])
    with torch.no_grad():
        wanted = model.eval()(x)
    return float((given - wanted).abs().max() / wanted.abs().max())


def test_every_layer_is_one_node_with_its_body_beside_it(converted):
    _, result = converted
    assert result.variants == {variant.op_type: 1 for variant in all_variants()}
    proto = onnx.load(result.path)
    onnx.checker.check_model(proto, full_check=False)
    nodes = [node for node in proto.graph.node if node.domain == "attnexport"]
    bodies = {(function.domain, function.name): function for function in proto.functions}
    for node in nodes:
        attributes = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
        assert attributes["plugin_namespace"] == b"attnexport"
        assert attributes["plugin_version"] == b"1"
        assert not {"prefix", "defaults"} & attributes.keys()
        body = bodies[node.domain, node.op_type]
        assert {"plugin_namespace", "plugin_version", *attributes} <= set(body.attribute)
        assert len(body.input) == len(node.input)
        assert {inner.domain for inner in body.node} == {""}
    assert len(bodies) == len(nodes)


def test_file_computes_the_model_at_other_sizes(converted):
    model, result = converted
    assert len(result.verified) == 3
    for batch, tokens in ((1, 1), (3, 70), (2, 33)):
        assert error_at(model, result.path, example(batch, tokens)) < 1e-5


def test_dims_and_outputs_have_their_declared_names(converted):
    _, result = converted
    facts = attnexport.inspect(result.path)
    assert facts.inputs == {"x": f"(batch, tokens, {WIDTH}) float"}
    assert facts.outputs == {"output": "(batch, tokens, 5) float"}


def test_metadata_names_versions_variants_and_source(converted):
    _, result = converted
    metadata = attnexport.inspect(result.path).metadata
    assert metadata["version"] == attnexport.__version__
    assert metadata["torch_version"] == torch.__version__
    assert metadata["variants"].count(":1") == len(all_variants())
    assert len(metadata["source_hash"]) == 64


def test_file_names_no_path_of_this_machine(converted):
    _, result = converted
    content = result.path.read_bytes()
    assert b"site-packages" not in content
    assert str(torch.__file__).rsplit("/", 2)[0].encode() not in content
    assert __file__.rsplit("/", 3)[0].encode() not in content


def test_equal_models_are_equal_files_and_other_weights_are_not(converted, tmp_path):
    model, result = converted
    again = attnexport.convert(model, (example(),), tmp_path / "again.onnx", dynamic_shapes=DYNAMIC)
    assert again.sha256 == result.sha256
    other = every_variant(causal=True)
    with torch.no_grad():
        other.head.bias.add_(1.0)
    changed = attnexport.convert(other, (example(),), tmp_path / "other.onnx", dynamic_shapes=DYNAMIC)
    hashes = {attnexport.inspect(path).metadata["source_hash"] for path in (result.path, again.path, changed.path)}
    assert len(hashes) == 2


def test_opset_17_keeps_nodes_and_bodies(tmp_path):
    model = every_variant(causal=False)
    result = attnexport.convert(model, (example(),), tmp_path / "m.onnx", dynamic_shapes=DYNAMIC, opset=17)
    facts = attnexport.inspect(result.path)
    assert (facts.opset, facts.ir_version, len(facts.nodes)) == (17, 8, 5)
    onnx.checker.check_model(onnx.load(result.path), full_check=True)
    assert error_at(model, result.path, example(3, 40)) < 1e-5


@pytest.mark.parametrize("target", ["jetson-orin-jp5", "jetson-orin-jp6.0"])
def test_target_without_local_functions_gets_standard_operators_only(target, tmp_path):
    model = every_variant(causal=True)
    result = attnexport.convert(model, (example(),), tmp_path / "m.onnx", dynamic_shapes=DYNAMIC, target=target)
    proto = onnx.load(result.path)
    assert result.opset == 17
    assert not proto.functions
    assert {node.domain for node in proto.graph.node} == {""}
    lacking = {"CastLike", "If"} | ({"LayerNormalization"} if target == "jetson-orin-jp5" else set())
    assert not lacking & {node.op_type for node in proto.graph.node}
    assert any("inlined" in note for note in result.notes)
    assert error_at(model, result.path, example(3, 40)) < 1e-5


def test_layers_that_differ_in_values_share_a_body(tmp_path):
    grid = attnexport.Grid(2, 4, 1)
    model = Stack(*(attnexport.KrauseAttention(WIDTH, 2, grid=grid, top_k=k) for k in (2, 3, 4)))
    x = example(2, grid.tokens)
    result = attnexport.convert(model, (x,), tmp_path / "m.onnx", dynamic_shapes={"x": {0: "batch"}})
    facts = attnexport.inspect(result.path)
    assert [node.attributes["top_k"] for node in facts.nodes] == [2, 3, 4]
    assert not any("body" in node.attributes for node in facts.nodes)
    assert error_at(model, result.path, example(5, grid.tokens)) < 1e-5


def test_layers_that_differ_in_structure_choose_their_body(tmp_path):
    torch.manual_seed(0)
    model = Stack(
        attnexport.KrauseAttention(WIDTH, 2, window=3, causal=True),
        attnexport.KrauseAttention(WIDTH, 2, causal=True),
        attnexport.KrauseAttention(WIDTH, 2, window=3, causal=True),
        attnexport.KrauseAttention(WIDTH, 2, top_k=2),
    )
    result = attnexport.convert(model, (example(),), tmp_path / "m.onnx", dynamic_shapes=DYNAMIC)
    facts = attnexport.inspect(result.path)
    assert [node.attributes["body"] for node in facts.nodes] == [0, 1, 0, 2]
    assert error_at(model, result.path, example(3, 40)) < 1e-5


def test_a_target_without_local_functions_keeps_nodes_for_the_plugin_library_when_asked(tmp_path):
    model = every_variant(causal=True)
    path = tmp_path / "m.onnx"
    result = attnexport.convert(
        model, (example(),), path, dynamic_shapes=DYNAMIC, target="jetson-orin-jp6.0", nodes="plugin"
    )
    facts = attnexport.inspect(path)
    assert (facts.opset, len(facts.nodes)) == (17, 5)
    assert all(node.has_body for node in facts.nodes)
    assert any("no body to fall back to" in note for note in result.notes)
    assert error_at(model, path, example(3, 40)) < 1e-5


def test_bodies_alone_are_standard_operators_only(tmp_path):
    model = every_variant(causal=True)
    result = attnexport.convert(model, (example(),), tmp_path / "m.onnx", dynamic_shapes=DYNAMIC, nodes="body")
    proto = onnx.load(result.path)
    assert not proto.functions
    assert {node.domain for node in proto.graph.node} == {""}
    assert error_at(model, result.path, example(3, 40)) < 1e-5


def test_the_file_says_between_which_sizes_its_dims_lie(tmp_path):
    """Engines are built for these shapes where nobody gives others."""
    shapes = {"x": {0: Dim("batch"), 1: Dim("tokens", min=3, max=64)}}
    attnexport.convert(Stack().eval(), (example(),), tmp_path / "m.onnx", dynamic_shapes=shapes)
    ranges = dim_ranges(read_model(tmp_path / "m.onnx"))
    assert ranges["tokens"] == (3, 64)
    assert ranges["batch"][1] is None


def test_an_unknown_choice_of_nodes_is_refused(tmp_path):
    with pytest.raises(attnexport.InputError, match="nodes: expected auto, plugin, body, given 'none'"):
        attnexport.convert(every_variant(causal=True), (example(),), tmp_path / "m.onnx", nodes="none")


def test_layers_with_another_number_of_inputs_are_inlined_with_a_note(tmp_path):
    torch.manual_seed(0)
    model = Stack(*(attnexport.HadamardLinearAttention(WIDTH, 2, factors=factors, features=4) for factors in (2, 1, 2)))
    result = attnexport.convert(model, (example(),), tmp_path / "m.onnx", dynamic_shapes=DYNAMIC)
    assert result.variants == {"HadamardLinearAttention": 2}
    assert any("inlined" in note for note in result.notes)
    assert error_at(model, result.path, example(3, 40)) < 1e-5


def test_lengths_become_an_input(tmp_path):
    torch.manual_seed(0)
    block = attnexport.AffineScaledAttention(WIDTH, 4, kv_heads=2, causal=True)
    model = WithLengths(block).eval()
    lengths = torch.tensor([9, 4], dtype=torch.int32)
    result = attnexport.convert(
        model,
        (example(), lengths),
        tmp_path / "m.onnx",
        dynamic_shapes={**DYNAMIC, "kv_lengths": {0: "batch"}},
    )
    assert result.inputs == ("x", "kv_lengths")
    x, lengths = example(3, 20), torch.tensor([20, 1, 7], dtype=torch.int32)
    feeds = {"x": x.numpy(), "kv_lengths": lengths.numpy()}
    given = torch.from_numpy(OnnxRuntimeBackend(result.path).run(feeds)["output"])
    with torch.no_grad():
        torch.testing.assert_close(given, model(x, lengths), rtol=0, atol=1e-5)


@pytest.mark.parametrize("causal", [False, True], ids=["full", "causal"])
def test_first_keys_become_an_input_behind_the_defaults_of_the_others(tmp_path, causal):
    model = LeftPadded(*every_variant(causal).blocks).eval()
    starts = torch.tensor([0, 4], dtype=torch.int32)
    result = attnexport.convert(
        model, (example(), starts), tmp_path / "m.onnx", dynamic_shapes={**DYNAMIC, "kv_start": {0: "batch"}}
    )
    assert result.inputs == ("x", "kv_start")
    for node in onnx.load(result.path).graph.node:
        if node.domain == "attnexport":
            assert node.input[-1] == "kv_start"
            assert all(node.input)
            attributes = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
            assert attributes["plugin_version"] == b"2"
    x, starts = example(3, 20), torch.tensor([20, 1, 7], dtype=torch.int32)
    given = OnnxRuntimeBackend(result.path).run({"x": x.numpy(), "kv_start": starts.numpy()})["output"]
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(given), model(x, starts), rtol=1e-4, atol=2e-5)


def test_a_bias_that_the_model_makes_is_an_input_of_its_nodes(tmp_path):
    blocks = [block for block in every_variant(True).blocks if type(block).__name__ != "HadamardLinearAttention"]
    model = Positioned(*blocks).eval()
    mask = torch.arange(9) < torch.tensor([[9], [5]])
    shapes = {**DYNAMIC, "mask": {0: "batch", 1: "tokens"}}
    result = attnexport.convert(model, (example(), mask), tmp_path / "m.onnx", dynamic_shapes=shapes)
    nodes = [node for node in onnx.load(result.path).graph.node if node.domain == "attnexport"]
    assert len(nodes) == len(blocks)
    for node in nodes:
        attributes = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
        assert attributes["plugin_version"] == b"2"
        assert attributes["defaults"] == b"kv_lengths q_start kv_start"
    x, mask = example(3, 20), torch.arange(20) < torch.tensor([[20], [0], [7]])
    given = OnnxRuntimeBackend(result.path).run({"x": x.numpy(), "mask": mask.numpy()})["output"]
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(given), model(x, mask), rtol=1e-4, atol=2e-5)


def test_a_prefix_is_an_attribute_where_there_is_one(tmp_path):
    torch.manual_seed(0)
    model = Stack(
        *(attnexport.KrauseAttention(WIDTH, 2, window=3, prefix=2, causal=causal) for causal in (True, False))
    )
    result = attnexport.convert(model, (example(),), tmp_path / "m.onnx", dynamic_shapes=DYNAMIC)
    assert result.variants == {"KrauseAttention": 2}
    for node in onnx.load(result.path).graph.node:
        if node.domain == "attnexport":
            attributes = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
            assert (attributes["prefix"], attributes["plugin_version"]) == (2, b"2")
    assert error_at(model, result.path, example(3, 40)) < 1e-5


def test_half_model_converts(tmp_path):
    model = every_variant(causal=True).half().eval()
    result = attnexport.convert(model, (example().half(),), tmp_path / "m.onnx", dynamic_shapes=DYNAMIC)
    assert len(result.verified) == 3
    assert error_at(model, result.path, example(3, 40).half()) < 20 * torch.finfo(torch.float16).eps


def test_double_model_converts_and_stays_double(tmp_path):
    model = Stack(attnexport.KrauseAttention(WIDTH, 2, window=4, causal=True)).double().eval()
    result = attnexport.convert(model, (example().double(),), tmp_path / "m.onnx", dynamic_shapes=DYNAMIC)
    assert error_at(model, result.path, example(3, 40).double()) < 1e-13


def test_bfloat16_takes_an_opset_that_has_it(tmp_path):
    model = Stack(attnexport.HadamardLinearAttention(WIDTH, 2, features=4)).to(torch.bfloat16)
    assert attnexport.convert(model, (example().bfloat16(),), tmp_path / "m.onnx").opset == 22
    with pytest.raises(attnexport.ConversionError, match=r"Softplus.*give opset=22"):
        attnexport.convert(model, (example().bfloat16(),), tmp_path / "m.onnx", opset=20)


def test_saved_program_converts_to_the_same_numbers_and_names(tmp_path):
    model = every_variant(causal=True).eval()
    attnexport.save(model, tmp_path / "m.pt2", args=(example(),), dynamic_shapes=DYNAMIC)
    loaded = attnexport.load_model(tmp_path / "m.pt2")
    result = attnexport.convert(loaded.program, None, tmp_path / "m.onnx", dim_names=loaded.dim_names)
    assert attnexport.inspect(result.path).inputs == {"x": f"(batch, tokens, {WIDTH}) float"}
    assert error_at(model, result.path, example(4, 21)) < 1e-5


def test_module_keeps_its_training_flag(tmp_path):
    model = Stack(attnexport.TopNAttention(WIDTH, 2, 3)).train()
    attnexport.convert(model, (example(),), tmp_path / "m.onnx")
    assert model.training


def test_model_without_our_operators_converts_with_a_note(tmp_path):
    result = attnexport.convert(nn.Linear(4, 4), (torch.randn(2, 4),), tmp_path / "m.onnx")
    assert result.variants == {}
    assert any("none of attnexport's operators" in note for note in result.notes)


def test_krause_with_its_softmax_branch_converts(tmp_path):
    torch.manual_seed(0)
    model = Stack(attnexport.KrauseAttention(WIDTH, 2, window=4, causal=True, softmax_branch=True))
    result = attnexport.convert(model, (example(),), tmp_path / "m.onnx", dynamic_shapes=DYNAMIC)
    assert error_at(model, result.path, example(3, 40)) < 1e-5


class Baked(nn.Module):
    """Reads a size as a number while it is exported, and so fixes it."""

    def __init__(self) -> None:
        super().__init__()
        self.block = attnexport.TopNAttention(WIDTH, 2, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.block(x) * torch.ones(int(x.shape[1]), 1)


def test_dim_that_the_model_fixes_is_an_error_that_names_it(tmp_path):
    with pytest.raises(attnexport.AttnexportError, match=r"tokens|specialised|fixes"):
        attnexport.convert(Baked(), (example(),), tmp_path / "m.onnx", dynamic_shapes=DYNAMIC)
    assert list(tmp_path.iterdir()) == []


def test_file_with_a_specialised_dim_is_caught_by_running_it(tmp_path, monkeypatch):
    """Plants the fault that exporters make: a constant where the graph should follow the input."""
    import attnexport.conversion.converting as conversion

    def bake_tokens(model: ir.Model, program) -> None:
        shape = ir.tensor([2, 9, 5], name="baked")
        value = ir.val("baked", const_value=shape)
        model.graph.register_initializer(value)
        output = model.graph.outputs[0]
        node = ir.Node("", "Expand", [output, value], num_outputs=1, name="baked_expand")
        model.graph.append(node)
        node.outputs[0].name, output.name = "output", "before"
        node.outputs[0].dtype, node.outputs[0].shape = output.dtype, output.shape
        model.graph.outputs[0] = node.outputs[0]

    monkeypatch.setattr(conversion, "write_metadata", bake_tokens)
    with pytest.raises(attnexport.ConversionError, match=r"a dynamic dim was specialised.*tokens="):
        attnexport.convert(every_variant(True), (example(),), tmp_path / "m.onnx", dynamic_shapes=DYNAMIC)
    assert list(tmp_path.iterdir()) == []


def test_weights_beyond_the_limit_go_beside_the_file(tmp_path, monkeypatch):
    import attnexport.graph.writing as writing

    monkeypatch.setattr(writing, "INLINE_BYTES", 1000)
    model = every_variant(causal=True)
    result = attnexport.convert(model, (example(),), tmp_path / "m.onnx", dynamic_shapes=DYNAMIC)
    assert result.data_path == tmp_path / "m.onnx.data"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["m.onnx", "m.onnx.data"]
    assert error_at(model, result.path, example(3, 40)) < 1e-5


class Missing(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.eigvals(x).real


def test_operator_that_onnx_lacks_is_named(tmp_path):
    with pytest.raises(attnexport.ConversionError, match=r"aten\.linalg_eig.*ONNX has no operator"):
        attnexport.convert(Missing(), (torch.randn(3, 3),), tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"opset": 12}, "opset: expected 17 to 23, given 12"),
        ({"target": "jetson-orin-jp6.0", "opset": 20}, "opset: the target parses up to 17, given 20"),
        ({"target": "jetson-orin-jp6.2", "opset": 21}, "opset: the target parses up to 20, given 21"),
        ({"target": "toaster"}, "expected one of jetson-xavier-jp5"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message, tmp_path):
    with pytest.raises(attnexport.AttnexportError, match=message):
        attnexport.convert(Stack(), (example(),), tmp_path / "m.onnx", **options)


class Returning(nn.Module):
    """Returns what it is told to beside a tensor."""

    def __init__(self, make) -> None:
        super().__init__()
        self.make = make

    def forward(self, x: torch.Tensor):
        return self.make(x)


def test_outputs_are_named_by_keys_and_none_has_no_name(tmp_path):
    named = attnexport.convert(Returning(lambda x: {"a": x + 1, "b": x * 2}), (torch.randn(2, 3),), tmp_path / "d.onnx")
    assert named.outputs == ("a", "b")
    holes = attnexport.convert(Returning(lambda x: (x + 1, None, x * 2)), (torch.randn(2, 3),), tmp_path / "t.onnx")
    assert holes.outputs == ("output_0", "output_2")


def test_output_that_is_a_number_is_refused(tmp_path):
    with pytest.raises(attnexport.ConversionError, match="output 1: expected a tensor, the model returns int"):
        attnexport.convert(Returning(lambda x: (x + 1, 3)), (torch.randn(2, 3),), tmp_path / "m.onnx")


class Pyramid(nn.Module):
    """Two stages of other sizes, as in a hierarchical vision transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = attnexport.KrauseAttention(WIDTH, 2, grid=attnexport.Grid(4, 4, 1, prefix=0))
        self.coarse = attnexport.KrauseAttention(WIDTH, 2, grid=attnexport.Grid(2, 2, 1, prefix=0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.fine(x)
        x = x.unflatten(1, (2, 2, 2, 2)).mean(dim=(2, 4)).flatten(1, 2)
        return x + self.coarse(x)


def test_stages_of_other_sizes_convert_and_one_is_inlined(tmp_path):
    model = Pyramid()
    result = attnexport.convert(model, (example(2, 16),), tmp_path / "m.onnx", dynamic_shapes={"x": {0: "batch"}})
    assert result.variants == {"KrauseAttention": 1}
    assert any("inlined" in note for note in result.notes)
    assert error_at(model, result.path, example(3, 16)) < 1e-5


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = attnexport.TopNAttention(WIDTH, 2, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cond(x.sum() > 0, lambda x: self.block(x), lambda x: x - 1.0, (x,))


def test_attention_inside_a_branch_gets_its_body(tmp_path):
    model = Branching()
    result = attnexport.convert(model, (example(),), tmp_path / "m.onnx")
    assert result.variants == {"TopNAttention": 1}
    for sign in (1.0, -1.0):
        assert error_at(model, result.path, sign * example().abs()) < 1e-5


class LastToken(nn.Module):
    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        return x.gather(1, (lengths - 1)[:, None, None].expand(-1, 1, x.shape[2]))


def test_size_at_which_pytorch_itself_fails_is_left_out_with_a_note(tmp_path):
    shapes = {"x": {0: "batch", 1: "tokens"}, "lengths": {0: "batch"}}
    args = (example(2, 20), torch.tensor([20, 15]))
    result = attnexport.convert(LastToken(), args, tmp_path / "m.onnx", dynamic_shapes=shapes)
    assert len(result.verified) == 2
    assert any("PyTorch itself fails there" in note for note in result.notes)


class Logarithm(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.log()


def test_model_of_positive_inputs_is_run_on_positive_inputs(tmp_path):
    x = example().abs() + 0.1
    result = attnexport.convert(Logarithm(), (x,), tmp_path / "m.onnx", dynamic_shapes=DYNAMIC)
    assert len(result.verified) == 3


def test_file_that_does_not_load_is_an_error(tmp_path, monkeypatch):
    import attnexport.conversion.converting as conversion

    monkeypatch.setattr(conversion, "attach_functions", lambda graph: [])
    with pytest.raises(attnexport.ConversionError, match="not valid"):
        attnexport.convert(every_variant(True), (example(),), tmp_path / "m.onnx", dynamic_shapes=DYNAMIC)
    assert list(tmp_path.iterdir()) == []


def test_program_takes_no_second_example_or_dims(tmp_path):
    program = torch.export.export(every_variant(True), (example(),))
    with pytest.raises(attnexport.InputError, match="dynamic_shapes: expected None for a program"):
        attnexport.convert(program, None, tmp_path / "m.onnx", dynamic_shapes=DYNAMIC)
    with pytest.raises(attnexport.InputError, match="args: expected None for a program"):
        attnexport.convert(program, (example(),), tmp_path / "m.onnx")


def test_output_named_like_an_input_gets_a_prefix(tmp_path):
    result = attnexport.convert(Returning(lambda x: {"x": x + 1}), (torch.randn(2, 3),), tmp_path / "m.onnx")
    assert result.outputs == ("output_x",)
