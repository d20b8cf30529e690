#include "check.h"
#include "checks.h"
#include "execution.h"
#include "expectations.h"
#include "fake_expressions.h"
#include "fake_registry.h"

#include <NvInfer.h>

#include <algorithm>
#include <cstring>
#include <memory>

namespace harness {
namespace {

using nvinfer1::IPluginCreator;
using nvinfer1::IPluginV2DynamicExt;
using nvinfer1::PluginFieldCollection;

struct Destroy {
    void operator()(IPluginV2DynamicExt *plugin) const { plugin->destroy(); }
};
using Plugin = std::unique_ptr<IPluginV2DynamicExt, Destroy>;

// Only this kind registers itself in the library under test; TensorRT 10 lists it by its base.
IPluginCreator &creator_v2(const Registered &entry) { return static_cast<IPluginCreator &>(*entry.creator); }

IPluginCreator &creator_of(const std::string &name) {
    for (const Registered &entry : registered())
        if (name == creator_v2(entry).getPluginName()) return creator_v2(entry);
    check(false, "there is a creator of " + name);
    std::abort();
}

Plugin create(IPluginCreator &creator, const PluginFieldCollection &fields) {
    return Plugin(static_cast<IPluginV2DynamicExt *>(creator.createPlugin("plugin", &fields)));
}

Plugin deserialise(IPluginCreator &creator, const std::vector<char> &bytes) {
    return Plugin(static_cast<IPluginV2DynamicExt *>(creator.deserializePlugin("plugin", bytes.data(), bytes.size())));
}

std::vector<char> serialise(const IPluginV2DynamicExt &plugin) {
    std::vector<char> bytes(plugin.getSerializationSize());
    plugin.serialize(bytes.data());
    return bytes;
}

void check_serialisation(const attnexport_op &op, IPluginCreator &creator, const IPluginV2DynamicExt &plugin) {
    const std::vector<char> bytes = serialise(plugin);
    const Plugin revived = deserialise(creator, bytes);
    check(revived != nullptr, "the serialised bytes create a plugin");
    check(serialise(*revived) == bytes, "which serialises to equal bytes", std::to_string(bytes.size()));
    std::vector<char> changed = bytes;
    const int32_t other = 1000;
    std::memcpy(changed.data(), &other, sizeof other);
    const auto refused = [&] { return deserialise(creator, changed) == nullptr; };
    check_refusal("another format version", refused, {op.name, "1000"});
    for (size_t length = 0; length < bytes.size(); ++length) {
        changed.assign(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(length));
        bool gone = false;
        stderr_of([&] { gone = refused(); });
        if (!gone) check(false, "bytes cut short are refused", std::to_string(length));
    }
    check(true, "bytes cut short anywhere are refused");
}

void check_output(const attnexport_op &op, const Case &given, IPluginV2DynamicExt &plugin) {
    const int num_inputs = static_cast<int>(given.inputs.size());
    const Layout layout(op, given);
    std::vector<nvinfer1::DataType> types;
    std::vector<int> ranks;
    for (const Tensor &input : given.inputs) {
        types.push_back(type_of(input.dtype));
        ranks.push_back(static_cast<int>(input.dims.size()));
    }
    check(plugin.getNbOutputs() == 1, "there is one output");
    check(plugin.getOutputDataType(0, types.data(), num_inputs) == types[0], "of the type of the first input");
    Shapes shapes(ranks);
    Builder builder;
    nvinfer1::DimsExprs output = plugin.getOutputDimensions(0, shapes.data(), num_inputs, builder);
    check(output.nbDims == 4 && std::equal(output.d, output.d + 3, shapes[0].d) &&
              output.d[3] == shapes[layout.value].d[3],
          "the output is (B, H, N) of the first input and Dv of v");
    const std::vector<int64_t> &first = given.inputs[0].dims, &value = given.inputs[layout.value].dims;
    check(given.output.dims == std::vector<int64_t>{first[0], first[1], first[2], value[3]} &&
              given.output.dtype == given.inputs[0].dtype,
          "so is the output of the case", shape_text(given.output.dims));
    const auto refused = [&](int count) {
        return plugin.getOutputDimensions(0, shapes.data(), count, builder).nbDims < 0;
    };
    check_refusal("a missing input", [&] { return refused(layout.required - 1); }, {op.name, "given"});
    check_refusal("an input too many", [&] { return refused(layout.most + 1); }, {op.name, "given"});
}

void configure(const Case &lowest, const Case &highest, IPluginV2DynamicExt &plugin) {
    const auto inputs = bounded(lowest, highest);
    nvinfer1::DynamicPluginTensorDesc output{};
    plugin.configurePlugin(inputs.data(), static_cast<int32_t>(inputs.size()), &output, 1);
}

size_t workspace(const Case &given, const IPluginV2DynamicExt &plugin) {
    const auto inputs = described(given);
    nvinfer1::PluginTensorDesc output{};
    return plugin.getWorkspaceSize(inputs.data(), static_cast<int32_t>(inputs.size()), &output, 1);
}

bool enqueue(const Case &given, IPluginV2DynamicExt &plugin, const void *const *data, void *const *results,
             void *memory, cudaStream_t stream) {
    const auto inputs = described(given);
    const nvinfer1::PluginTensorDesc output{dims_of(given.output), inputs[0].type, inputs[0].format, 1.f};
    return plugin.enqueue(inputs.data(), &output, data, results, memory, stream) == 0;
}

void check_shapes(const attnexport_op &op, const Case &given, IPluginV2DynamicExt &plugin) {
    size_t bytes = 0, bytes_doubled = 0, ignored = 0;
    const Case doubled = with_doubled_batch(given), misfit = with_misfitting_value(op, given);
    check(workspace_of(op, given, &bytes) == ATTNEXPORT_OK, "the operator covers these shapes");
    check(stderr_of([&] { configure(given, given, plugin); }).empty(), "so does the plugin");
    check(workspace(given, plugin) == bytes, "the workspace is the operator's", std::to_string(bytes));
    if (workspace_of(op, doubled, &bytes_doubled) == ATTNEXPORT_OK) {
        configure(given, doubled, plugin);
        check(workspace(doubled, plugin) == std::max(bytes, bytes_doubled),
              "with a dynamic batch it is the largest of the bounds", std::to_string(bytes_doubled));
    }
    check_growing_workspace(op, given);
    check(workspace_of(op, misfit, &ignored) != ATTNEXPORT_OK, "the operator refuses a v with another batch");
    check_refusal("it in configurePlugin", [&] { return configure(misfit, misfit, plugin), true; }, {op.name, " v "});
    const std::vector<const void *> none(given.inputs.size());
    void *const nothing[] = {nullptr};
    check_refusal("it in enqueue", [&] { return !enqueue(misfit, plugin, none.data(), nothing, nullptr, nullptr); },
                  {op.name, " v "});
}

}  // namespace

void check_library(const Library &library) {
    check(registered().size() == library.ops().size(), "one creator for each operator is registered",
          std::to_string(registered().size()));
    for (const Registered &entry : registered())
        check(entry.plugin_namespace == "attnexport", "a creator is registered in the namespace attnexport");
    for (const attnexport_op *op : library.ops()) {
        about(op->name);
        IPluginCreator &creator = creator_of(op->name);
        check(
            std::string(creator.getPluginNamespace()) == "attnexport" && std::string(creator.getPluginVersion()) == "1",
            "the creator is attnexport's, version 1");
        check_declared_fields(*op, creator.getFieldNames());
    }
}

void check_case(const Library &library, const Case &given, Place place) {
    const attnexport_op &op = library.op(given.op);
    IPluginCreator &creator = creator_of(given.op);
    const Fields fields(op, given), wide_fields(op, given, true);
    Plugin plugin = create(creator, fields.collection());
    check(plugin != nullptr, "the fields of a node create a plugin");
    if (given.refused) {
        size_t ignored = 0;
        check(workspace_of(op, given, &ignored) != ATTNEXPORT_OK, "the operator refuses this case");
        check_refusal("the case", [&] { return configure(given, given, *plugin), true; }, {op.name});
        return;
    }
    const Plugin wide = create(creator, wide_fields.collection());
    check(wide != nullptr && serialise(*wide) == serialise(*plugin), "fields of 64 bits create the same");
    check_refused_fields(op, given,
                         [&](const PluginFieldCollection &changed) { return create(creator, changed) != nullptr; });
    check(std::string(plugin->getPluginType()) == op.name && std::string(plugin->getPluginVersion()) == "1" &&
              std::string(plugin->getPluginNamespace()) == "attnexport",
          "the plugin has the creator's name, version and namespace");
    check_output(op, given, *plugin);
    check_formats(op, given, [&](int position, const std::vector<nvinfer1::PluginTensorDesc> &tensors) {
        return plugin->supportsFormatCombination(position, tensors.data(), static_cast<int>(tensors.size()) - 1, 1);
    });
    check_shapes(op, given, *plugin);
    check_serialisation(op, creator, *plugin);

    const std::vector<char> bytes = serialise(*plugin);
    plugin->setPluginNamespace("elsewhere");
    const Plugin copy(plugin->clone());
    plugin.reset();
    check(copy != nullptr && serialise(*copy) == bytes && std::string(copy->getPluginNamespace()) == "elsewhere",
          "a clone outlives its original and keeps its namespace");
    const Plugin run = deserialise(creator, bytes);
    check(run->initialize() == 0, "the plugin initialises");
    configure(given, given, *run);
    check_execution(op, given, workspace(given, *run), place,
                    [&](const void *const *data, void *const *results, void *memory, cudaStream_t stream) {
                        return enqueue(given, *run, data, results, memory, stream);
                    });
    run->terminate();
}

}  // namespace harness
