"""One file for every way by which a .pt2 can run code: each carries a payload that would create a marker file."""

from __future__ import annotations

import io
import json
import pickle
import struct
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tests.models.audit.pt2_edits import (
    CONSTANTS,
    EXAMPLES,
    PROGRAM,
    WEIGHTS,
    Records,
    Runs,
    call,
    edited,
    graph,
    renamed,
    saved,
    victim_inputs,
    with_node,
    write_archive,
)

Stage = Literal["load", "module", "run"]


@dataclass(frozen=True)
class Attack:
    """make: writes the file from a harmless archive's records. The payload creates the marker.

    bites: when plain torch runs the payload (while loading, in .module(), in the call); None where the
        harm is another one (memory, files), or needs what is not installed here.
    """

    name: str
    make: Callable[[Path, Records, Path], object]
    bites: Stage | None
    says: str


ATTACKS: list[Attack] = []


def attack(says: str, bites: Stage | None = None) -> Callable[[Any], Any]:
    """Register a function (records, marker) -> records as an attack; `says` is part of the refusal."""

    def register(make: Callable[[Records, Path], Records]) -> Callable[[Records, Path], Records]:
        def write(path: Path, records: Records, marker: Path) -> object:
            return write_archive(path, make(records, marker))

        ATTACKS.append(Attack(make.__name__, write, bites, says))
        return make

    return register


def touch(marker: Path) -> str:
    """An expression in Python that creates the marker."""
    return f"open('{marker}', 'w').close()"


def text(value: str) -> dict[str, str]:
    return {"as_string": value}


def _path_as_code(marker: Path) -> str:
    """The marker's path as an expression without quotes or dots."""
    return "+".join(f"chr({ord(letter)})" for letter in str(marker))


# Pickles


@attack("example inputs hold pickled Python objects", "load")
def pickled_example_inputs(records: Records, marker: Path) -> Records:
    return {**records, EXAMPLES: saved(((Runs(touch(marker)),), {}))}


def _use_pickle(config: str, folder: str) -> Callable[[Records, Path], Records]:
    def make(records: Records, marker: Path) -> Records:
        def edit(value: dict[str, Any]) -> None:
            next(iter(value["config"].values()))["use_pickle"] = True

        changed = edited(records, edit, config)
        path = next(iter(json.loads(changed[config])["config"].values()))["path_name"]
        return {**changed, folder + path: saved(Runs(touch(marker)))}

    return make


@attack("pickled tensor subclass", "load")
def pickled_weight(records: Records, marker: Path) -> Records:
    return _use_pickle(WEIGHTS, "data/weights/")(records, marker)


@attack("pickled tensor subclass", "load")
def pickled_constant(records: Records, marker: Path) -> Records:
    return _use_pickle(CONSTANTS, "data/constants/")(records, marker)


@attack("data/weights/model.pt is pickled", "load")
def legacy_weights(records: Records, marker: Path) -> Records:
    return {**records, "data/weights/model.pt": saved({"linear.weight": Runs(touch(marker))})}


@attack("data/constants/model.pt is pickled", "load")
def legacy_constants(records: Records, marker: Path) -> Records:
    return {**records, "data/constants/model.pt": saved({"constant": Runs(touch(marker))})}


def _object(prefix: str) -> Callable[[Records, Path], Records]:
    def make(records: Records, marker: Path) -> Records:
        def edit(value: dict[str, Any]) -> None:
            value["config"]["thing"] = {"path_name": f"{prefix}0", "is_param": False, "use_pickle": True}
            value["config"]["thing"]["tensor_meta"] = None

        return {**edited(records, edit, CONSTANTS), f"data/constants/{prefix}0": pickle.dumps(Runs(touch(marker)))}

    return make


@attack("opaque_obj_0 is a pickled object", "load")
def opaque_object(records: Records, marker: Path) -> Records:
    return _object("opaque_obj_")(records, marker)


@attack("custom_obj_0 is a pickled object")
def torchscript_object(records: Records, marker: Path) -> Records:
    return _object("custom_obj_")(records, marker)


@attack("TorchScript or custom Python object")
def custom_object_input(records: Records, marker: Path) -> Records:
    def edit(program: dict[str, Any]) -> None:
        graph(program)["inputs"].append({"as_custom_obj": {"name": "obj", "class_fqn": "__torch__.torch.classes.x.Y"}})

    return edited(records, edit)


def _old_format(path: Path, records: Records, marker: Path) -> object:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("version", "8.20")
        archive.writestr("serialized_exported_program.json", records[PROGRAM])
        archive.writestr("serialized_state_dict.pt", saved({"linear.weight": Runs(touch(marker))}))
        archive.writestr("serialized_constants.pt", saved({}))
        archive.writestr("serialized_example_inputs.pt", b"")
    return path


ATTACKS.append(Attack("old_format", _old_format, "load", "format of torch 2.7 and older"))


@attack("compiled native code")
def native_code(records: Records, marker: Path) -> Records:
    return {**records, "data/aotinductor/model/model.so": b"\x7fELF"}


# Operators


@attack("'torch.os.system', which is not an operator")
def any_function_below_torch(records: Records, marker: Path) -> Records:
    # torch 2.13 resolves the name and then refuses it too, when it verifies the program.
    return with_node(records, call("torch.os.system", text(f"touch {marker}")))


@attack("'torch.hub.load'")
def hub_load(records: Records, marker: Path) -> Records:
    return with_node(records, call("torch.hub.load", text("someone/repository"), text("model")))


@attack("'torch.ops.load_library'")
def load_library(records: Records, marker: Path) -> Records:
    return with_node(records, call("torch.ops.load_library", text("/tmp/evil.so")))


@attack("'_operator.attrgetter'")
def any_function_of_operator(records: Records, marker: Path) -> Records:
    return with_node(records, call("_operator.attrgetter", text("__class__")))


@attack("'_operator.__class__.mro'")
def attribute_chain(records: Records, marker: Path) -> Records:
    return with_node(records, call("_operator.__class__.mro"))


@attack("is not the name of an operator")
def extension_operator(records: Records, marker: Path) -> Records:
    return with_node(records, call("#extension:anything"))


@attack("which would call it unchecked")
def operator_as_argument(records: Records, marker: Path) -> Records:
    node = call(
        "torch.ops.higher_order.wrap_with_set_grad_enabled",
        {"as_bool": False},
        {"as_operator": "torch.os.system"},
        text(f"touch {marker}"),
    )
    return with_node(records, node)


@attack("is not on the list of operators", "run")
def operator_that_writes_files(records: Records, marker: Path) -> Records:
    node = call("torch.ops.aten.from_file.default", text(str(marker)), {"as_bool": True}, {"as_int": 16}, name="grown")
    for entry, name in zip(node["inputs"], ("filename", "shared", "size"), strict=True):
        entry["name"] = name
    node["outputs"] = [{"as_tensor": {"name": "grown"}}]

    def edit(program: dict[str, Any]) -> None:
        values = graph(program)["tensor_values"]
        values["grown"] = {**values["sum_1"], "sizes": [{"as_int": 16}], "strides": [{"as_int": 1}]}

    return edited(with_node(records, node), edit)


@attack("torch.ops.higher_order.print")
def higher_order_print(records: Records, marker: Path) -> Records:
    return with_node(records, call("torch.ops.higher_order.print", text("{}")))


@attack("torch.ops.higher_order.triton_kernel_wrapper_mutation")
def triton_kernel(records: Records, marker: Path) -> Records:
    return with_node(records, call("torch.ops.higher_order.triton_kernel_wrapper_mutation"))


@attack("torch.ops.higher_order.call_torchbind")
def call_torchbind(records: Records, marker: Path) -> Records:
    return with_node(records, call("torch.ops.higher_order.call_torchbind"))


@attack("torch.ops._c10d_functional.all_reduce.default")
def network_operator(records: Records, marker: Path) -> Records:
    return with_node(records, call("torch.ops._c10d_functional.all_reduce.default"))


@attack("torch.ops.profiler._record_function_enter")
def debugging_operator(records: Records, marker: Path) -> Records:
    return with_node(records, call("torch.ops.profiler._record_function_enter.default"))


@attack("is not on the list of operators")
def unchecked_memory(records: Records, marker: Path) -> Records:
    return with_node(records, call("torch.ops.aten._sparse_csr_tensor_unsafe.default"))


@attack("is not on the list of operators")
def storage_swap(records: Records, marker: Path) -> Records:
    return with_node(records, call("torch.ops.aten.set_.source_Storage"))


# Texts that torch evaluates


@attack("is not a size expression", "load")
def size_expression(records: Records, marker: Path) -> Records:
    return renamed(records, "Symbol('s77', positive=True, integer=True)", touch(marker))


@attack("is not a size expression", "load")
def symbol_call(records: Records, marker: Path) -> Records:
    return renamed(
        records, "Symbol('s77', positive=True, integer=True)", f"Symbol('s77', positive={touch(marker)} is None)"
    )


@attack("is not a size expression")
def symbol_name(records: Records, marker: Path) -> Records:
    return renamed(records, "Symbol('s77', positive=True, integer=True)", "Symbol(\"__import__('os')\")")


@attack("not a condition on sizes", "run")
def guard(records: Records, marker: Path) -> Records:
    return edited(records, lambda program: program["guards_code"].append(f"{touch(marker)} is None"))


@attack("not a condition on sizes", "run")
def guard_through_an_input(records: Records, marker: Path) -> Records:
    code = f"L['x'].__class__.__base__.__subclasses__ is not None and {touch(marker)} is None"
    return edited(records, lambda program: program["guards_code"].append(code))


@attack("not a condition on sizes", "run")
def guard_that_ends_its_message(records: Records, marker: Path) -> Records:
    # torch quotes the guard in double quotes and does not escape those inside.
    code = f"""'a"+str(open({_path_as_code(marker)},chr(119)))+"' != 1"""
    return edited(records, lambda program: program["guards_code"].append(code))


@attack("is not a condition on the inputs")
def guard_with_a_second_line(records: Records, marker: Path) -> Records:
    return edited(records, lambda program: program["guards_code"].append(f"True)\n  {touch(marker)}\n  (True"))


# Names that torch pastes into the source code of forward


@attack("is not a plain name")
def node_name(records: Records, marker: Path) -> Records:
    return renamed(records, "mul", f"mul = {touch(marker)} #")


@attack("is not a plain name", "module")
def argument_name(records: Records, marker: Path) -> Records:
    def edit(program: dict[str, Any]) -> None:
        signature = program["graph_module"]["module_call_graph"][0]["signature"]
        signature["forward_arg_names"].append(f"more={touch(marker)}")

    return edited(records, edit)


@attack("is not a plain name", "load")
def placeholder_name(records: Records, marker: Path) -> Records:
    return renamed(records, "x", f"x={touch(marker)}, *")


@attack("is not the path of a parameter, buffer or submodule", "run")
def buffer_name(records: Records, marker: Path) -> Records:
    # A name that is no identifier is read by getattr(self, "name"), without escaping quotes.
    name = f'shift", open({_path_as_code(marker)}, chr(119)) and "'
    return renamed(records, "shift", name, PROGRAM, WEIGHTS)


@attack("is not a plain name")
def submodule_name(records: Records, marker: Path) -> Records:
    return renamed(records, "true_graph_0", f"a={touch(marker)}")


@attack("is not a plain name")
def keyword_name(records: Records, marker: Path) -> Records:
    node = call("torch.ops.higher_order.cond", **{f"a={touch(marker)},b": {"as_int": 1}})
    return with_node(records, node)


def _in_spec(records: Records, change: Callable[[list[Any]], None]) -> Records:
    def edit(program: dict[str, Any]) -> None:
        signature = program["graph_module"]["module_call_graph"][0]["signature"]
        tree = json.loads(signature["in_spec"])
        change(tree)
        signature["in_spec"] = json.dumps(tree)

    return edited(records, edit)


def _keywords(tree: list[Any]) -> dict[str, Any]:
    found: dict[str, Any] = tree[1]["children_spec"][1]
    return found


@attack("are not dict keys of letters")
def keyword_input_name(records: Records, marker: Path) -> Records:
    return _in_spec(records, lambda tree: _keywords(tree).update(context=json.dumps([f"a':{touch(marker)},'b"])))


@attack("is not a plain name")
def keyword_input_annotation(records: Records, marker: Path) -> Records:
    return _in_spec(records, lambda tree: _keywords(tree).update(context=json.dumps(["a: exit"])))


@attack("are not dict keys of letters")
def input_dict_key(records: Records, marker: Path) -> Records:
    return _in_spec(records, lambda tree: _extra(tree).update(context=json.dumps([f'bias"+{touch(marker)}+"'])))


def _extra(tree: list[Any]) -> dict[str, Any]:
    found: dict[str, Any] = tree[1]["children_spec"][0]["children_spec"][1]
    return found


@attack("have a dict key", "run")
def example_dict_key(records: Records, marker: Path) -> Records:
    # The example inputs' own keys go into the message of a guard, inside double quotes.
    x, extra, mode = victim_inputs()
    key = f'bias"+str(open({_path_as_code(marker)},chr(119)))+"'
    return {**records, EXAMPLES: saved(((x, {key: extra["bias"]}, mode), {}))}


@attack("characters that could end up as Python code", "run")
def constant_text(records: Records, marker: Path) -> Records:
    # A constant input is compared in a guard: L['mode'] == 'plain'
    return renamed(records, "plain", f"x' or {touch(marker)} or 'x")


# Modules that the trees of inputs import


@attack("default of a defaultdict", "load")
def tree_imports_a_module(records: Records, marker: Path) -> Records:
    context = {"default_factory_module": "evil_module", "default_factory_name": "name", "dict_context": ["bias"]}
    return _in_spec(records, lambda tree: _extra(tree).update(type="collections.defaultdict", context=context))


@attack("default of a defaultdict")
def tree_takes_any_builtin(records: Records, marker: Path) -> Records:
    context = {"default_factory_module": "builtins", "default_factory_name": "exec", "dict_context": ["bias"]}
    return _in_spec(records, lambda tree: _extra(tree).update(type="collections.defaultdict", context=context))


@attack("are not dict keys", "load")
def tree_imports_an_enum(records: Records, marker: Path) -> Records:
    key = {"__enum__": True, "fqn": "evil_module:name", "name": "name"}
    return _in_spec(records, lambda tree: _extra(tree).update(context=json.dumps([key])))


@attack("which is not registered here")
def tree_of_an_unknown_type(records: Records, marker: Path) -> Records:
    return _in_spec(records, lambda tree: _extra(tree).update(type="someone.Type"))


# Sizes


def _claims(path: Path, records: Records, size: int) -> object:
    """A table of contents that claims another size for the first record than its bytes have."""
    data = bytearray(write_archive(path, records).read_bytes())
    with zipfile.ZipFile(path) as archive:
        entry = archive.start_dir
    data[entry + 20 : entry + 28] = struct.pack("<II", size, size)
    path.write_bytes(data)
    return path


def _duplicate(path: Path, records: Records, marker: Path) -> object:
    write_archive(path, records)
    with zipfile.ZipFile(path, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr(f"archive/{PROGRAM}", records[PROGRAM])
    return path


def _bomb(path: Path, records: Records, marker: Path) -> object:
    return write_archive(path, {**records, "data/weights/weight_0": bytes(10_000_000)}, zipfile.ZIP_DEFLATED)


@attack("is compressed")
def bomb_in_the_example_inputs(records: Records, marker: Path) -> Records:
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(records[EXAMPLES])) as old,
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
    return {**records, EXAMPLES: buffer.getvalue()}


ATTACKS += [
    Attack("compressed_bomb", _bomb, None, "is compressed"),
    Attack("duplicate_record", _duplicate, None, "occurs twice"),
    Attack("record_larger_than_the_file", lambda p, r, m: _claims(p, r, 2**31), None, "larger than the file"),
]


@attack("lies outside the archive's folder")
def record_outside(records: Records, marker: Path) -> Records:
    return {**records, "../../evil": b""}


@attack("needs 4000000000000 bytes")
def tensor_larger_than_its_record(records: Records, marker: Path) -> Records:
    def edit(value: dict[str, Any]) -> None:
        value["config"]["shift"]["tensor_meta"].update(sizes=[{"as_int": 10**12}])

    return {**edited(records, edit, WEIGHTS), "data/weights/weight_2": b""}


@attack("holds 16")
def tensor_beyond_its_record(records: Records, marker: Path) -> Records:
    def edit(value: dict[str, Any]) -> None:
        value["config"]["shift"]["tensor_meta"]["storage_offset"] = {"as_int": 1}

    return edited(records, edit, WEIGHTS)


@attack("torch counts up to it")
def counting_loop(records: Records, marker: Path) -> Records:
    def edit(program: dict[str, Any]) -> None:
        program["range_constraints"]["u99999999999"] = {"min_val": 0, "max_val": 1}

    return edited(records, edit)


@attack("models/model.json is not a program")
def deep_nesting(records: Records, marker: Path) -> Records:
    return {**records, PROGRAM: b"[" * 200_000 + b"]" * 200_000}


@attack("nests too deeply")
def deep_expression(records: Records, marker: Path) -> Records:
    return renamed(records, "Symbol('s77', positive=True, integer=True)", "Abs(" * 3000 + "Integer(1)" + ")" * 3000)


@attack("is not one of cpu")
def device_that_loads_a_backend(records: Records, marker: Path) -> Records:
    return renamed(records, "cpu", "privateuseone")


@attack("schema version 9")
def newer_schema(records: Records, marker: Path) -> Records:
    return edited(records, lambda program: program["schema_version"].update(major=9))


@attack("several or renamed programs")
def second_program(records: Records, marker: Path) -> Records:
    return {**records, "models/other.json": records[PROGRAM]}


@attack("expected a list")
def value_of_another_kind(records: Records, marker: Path) -> Records:
    return edited(records, lambda program: graph(program).update(nodes={"a": 1}))


@attack("a value of the kind 'as_anything'")
def unknown_kind(records: Records, marker: Path) -> Records:
    return edited(records, lambda program: graph(program)["inputs"].append({"as_anything": 1}))
