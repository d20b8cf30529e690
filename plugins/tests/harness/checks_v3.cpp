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

using nvinfer1::IPluginCreatorV3One;
using nvinfer1::IPluginV3;
using nvinfer1::PluginCapabilityType;
using nvinfer1::PluginField;
using nvinfer1::PluginFieldCollection;
using nvinfer1::TensorRTPhase;
using Plugin = std::unique_ptr<IPluginV3>;

std::vector<nvinfer1::IPluginCreatorInterface *> creators_of(const Library &library) {
    using GetCreators = nvinfer1::IPluginCreatorInterface *const *(*)(int32_t &);
    const auto get = reinterpret_cast<GetCreators>(library.find("getCreators"));
    if (get == nullptr) {
        std::vector<nvinfer1::IPluginCreatorInterface *> creators;
        for (const Registered &entry : registered()) creators.push_back(entry.creator);
        return creators;
    }
    int32_t count = 0;
    nvinfer1::IPluginCreatorInterface *const *creators = get(count);
    return {creators, creators + count};
}

IPluginCreatorV3One &creator_of(const Library &library, const std::string &name) {
    for (nvinfer1::IPluginCreatorInterface *creator : creators_of(library)) {
        auto *one = static_cast<IPluginCreatorV3One *>(creator);
        if (name == one->getPluginName()) return *one;
    }
    check(false, "there is a creator of " + name);
    std::abort();
}

template <class Capability>
Capability &capability(IPluginV3 &plugin, PluginCapabilityType type) {
    return *static_cast<Capability *>(plugin.getCapabilityInterface(type));
}

nvinfer1::IPluginV3OneCore &core(IPluginV3 &plugin) {
    return capability<nvinfer1::IPluginV3OneCore>(plugin, PluginCapabilityType::kCORE);
}

nvinfer1::IPluginV3OneBuild &build(IPluginV3 &plugin) {
    return capability<nvinfer1::IPluginV3OneBuild>(plugin, PluginCapabilityType::kBUILD);
}

nvinfer1::IPluginV3OneRuntime &runtime(IPluginV3 &plugin) {
    return capability<nvinfer1::IPluginV3OneRuntime>(plugin, PluginCapabilityType::kRUNTIME);
}

Plugin create(IPluginCreatorV3One &creator, const PluginFieldCollection &fields, TensorRTPhase phase) {
    return Plugin(creator.createPlugin("plugin", &fields, phase));
}

size_t width_of(const PluginField &field) { return field.type == nvinfer1::PluginFieldType::kCHAR ? 1 : 4; }

bool equal(const PluginFieldCollection &a, const PluginFieldCollection &b) {
    return a.nbFields == b.nbFields &&
           std::equal(a.fields, a.fields + a.nbFields, b.fields, [](const PluginField &x, const PluginField &y) {
               return std::strcmp(x.name, y.name) == 0 && x.type == y.type && x.length == y.length &&
                      std::memcmp(x.data, y.data, x.length * width_of(x)) == 0;
           });
}

// Fields as an engine gives them back: copies.
class Deserialized {
  public:
    explicit Deserialized(const PluginFieldCollection &written) {
        for (int place = 0; place < written.nbFields; ++place) {
            const PluginField &field = written.fields[place];
            const auto *bytes = static_cast<const char *>(field.data);
            names_.push_back(std::make_unique<std::string>(field.name));
            data_.push_back(std::make_unique<std::vector<char>>(bytes, bytes + field.length * width_of(field)));
            fields.emplace_back(names_.back()->c_str(), data_.back()->data(), field.type, field.length);
        }
    }

    std::vector<PluginField> fields;

    PluginFieldCollection collection() const { return {static_cast<int32_t>(fields.size()), fields.data()}; }

  private:
    std::vector<std::unique_ptr<std::string>> names_;
    std::vector<std::unique_ptr<std::vector<char>>> data_;
};

// The field that is no attribute holds the format version.
size_t format_place(const attnexport_op &op, const std::vector<PluginField> &fields) {
    for (size_t place = 0; place < fields.size(); ++place) {
        const auto names_it = [&](const attnexport_attribute &attribute) {
            return std::strcmp(attribute.name, fields[place].name) == 0;
        };
        if (std::none_of(op.attributes, op.attributes + op.num_attributes, names_it)) return place;
    }
    check(false, "a format version is serialised");
    std::abort();
}

void check_serialisation(const attnexport_op &op, IPluginCreatorV3One &creator, IPluginV3 &plugin) {
    const Deserialized kept(*runtime(plugin).getFieldsToSerialize());
    check(kept.fields.size() == static_cast<size_t>(op.num_attributes) + 1,
          "every attribute and a version is serialised");
    const Plugin revived = create(creator, kept.collection(), TensorRTPhase::kRUNTIME);
    check(revived != nullptr, "the serialised fields create a plugin for the run");
    check(equal(*runtime(*revived).getFieldsToSerialize(), kept.collection()), "which serialises to equal fields");
    check(std::string(build(*revived).getMetadataString()) == build(plugin).getMetadataString(),
          "and has equal attributes");

    const size_t format = format_place(op, kept.fields);
    const int32_t other = 1000;
    Deserialized changed(kept.collection());
    changed.fields[format].data = &other;
    const auto refused = [&] { return create(creator, changed.collection(), TensorRTPhase::kRUNTIME) == nullptr; };
    check_refusal("another format version", refused, {op.name, "1000"});
    changed.fields.erase(changed.fields.begin() + static_cast<std::ptrdiff_t>(format));
    check_refusal("an engine without a format version", refused, {op.name, kept.fields[format].name});
    for (size_t place = 0; place < kept.fields.size(); ++place) {
        if (place == format) continue;
        Deserialized missing(kept.collection());
        missing.fields.erase(missing.fields.begin() + static_cast<std::ptrdiff_t>(place));
        check_refusal(std::string("an engine without ") + kept.fields[place].name,
                      [&] { return create(creator, missing.collection(), TensorRTPhase::kRUNTIME) == nullptr; },
                      {op.name, kept.fields[place].name});
    }
}

void check_output(const attnexport_op &op, const Case &given, IPluginV3 &plugin) {
    const int num_inputs = static_cast<int>(given.inputs.size());
    const Layout layout(op, given);
    std::vector<nvinfer1::DataType> types;
    std::vector<int> ranks;
    for (const Tensor &input : given.inputs) {
        types.push_back(type_of(input.dtype));
        ranks.push_back(static_cast<int>(input.dims.size()));
    }
    nvinfer1::DataType type{};
    check(build(plugin).getNbOutputs() == 1, "there is one output");
    check(build(plugin).getOutputDataTypes(&type, 1, types.data(), num_inputs) == 0 && type == types[0],
          "the output has the type of the first input");

    Shapes shapes(ranks);
    Builder builder;
    nvinfer1::DimsExprs output{};
    const auto status = [&](int count) {
        return build(plugin).getOutputShapes(shapes.data(), count, nullptr, 0, &output, 1, builder);
    };
    check(status(num_inputs) == 0 && output.nbDims == 4 && std::equal(output.d, output.d + 3, shapes[0].d) &&
              output.d[3] == shapes[layout.value].d[3],
          "the output is (B, H, N) of the first input and Dv of v");
    const std::vector<int64_t> &first = given.inputs[0].dims, &value = given.inputs[layout.value].dims;
    check(given.output.dims == std::vector<int64_t>{first[0], first[1], first[2], value[3]} &&
              given.output.dtype == given.inputs[0].dtype,
          "so is the output of the case", shape_text(given.output.dims));
    check_refusal("a missing input", [&] { return status(layout.required - 1) != 0; }, {op.name, "given"});
    check_refusal("an input too many", [&] { return status(layout.most + 1) != 0; }, {op.name, "given"});
    shapes[0].nbDims = 3;
    check_refusal("a first input of rank 3", [&] { return status(num_inputs) != 0; }, {op.name, "4 dimensions"});
}

void check_tactics(IPluginV3 &plugin) {
    int32_t tactic = 0;
    check(build(plugin).getNbTactics() == 1 && build(plugin).getValidTactics(&tactic, 1) == 0 && tactic != 0 &&
              runtime(plugin).setTactic(tactic) == 0,
          "there is one tactic, which is not zero");
    check(std::strlen(build(plugin).getTimingCacheID()) > 0, "there is a timing-cache id",
          build(plugin).getTimingCacheID());
}

int configure(const Case &lowest, const Case &highest, IPluginV3 &plugin) {
    const auto inputs = bounded(lowest, highest);
    nvinfer1::DynamicPluginTensorDesc output{};
    return build(plugin).configurePlugin(inputs.data(), static_cast<int32_t>(inputs.size()), &output, 1);
}

int change_shape(const Case &given, IPluginV3 &plugin) {
    const auto inputs = described(given);
    const nvinfer1::PluginTensorDesc output{dims_of(given.output), inputs[0].type, inputs[0].format, 1.f};
    return runtime(plugin).onShapeChange(inputs.data(), static_cast<int32_t>(inputs.size()), &output, 1);
}

size_t workspace(const Case &lowest, const Case &highest, IPluginV3 &plugin) {
    const auto inputs = bounded(lowest, highest);
    nvinfer1::DynamicPluginTensorDesc output{};
    return build(plugin).getWorkspaceSize(inputs.data(), static_cast<int32_t>(inputs.size()), &output, 1);
}

void check_shapes(const attnexport_op &op, const Case &given, IPluginV3 &plugin) {
    size_t bytes = 0, bytes_doubled = 0, ignored = 0;
    const Case doubled = with_doubled_batch(given), misfit = with_misfitting_value(op, given);
    check(workspace_of(op, given, &bytes) == ATTNEXPORT_OK, "the operator covers these shapes");
    check(configure(given, given, plugin) == 0 && change_shape(given, plugin) == 0, "so does the plugin");
    check(workspace(given, given, plugin) == bytes, "the workspace is the operator's", std::to_string(bytes));
    if (workspace_of(op, doubled, &bytes_doubled) == ATTNEXPORT_OK)
        check(configure(given, doubled, plugin) == 0 &&
                  workspace(given, doubled, plugin) == std::max(bytes, bytes_doubled),
              "with a dynamic batch it is the largest of the bounds", std::to_string(bytes_doubled));
    check_growing_workspace(op, given);
    check(workspace_of(op, misfit, &ignored) != ATTNEXPORT_OK, "the operator refuses a v with another batch");
    check_refusal("it in configurePlugin", [&] { return configure(misfit, misfit, plugin) != 0; }, {op.name, " v "});
    check_refusal("it in onShapeChange", [&] { return change_shape(misfit, plugin) != 0; }, {op.name, " v "});
}

}  // namespace

void check_library(const Library &library) {
    check(creators_of(library).size() == library.ops().size(), "there is one creator for each operator",
          std::to_string(creators_of(library).size()));
    if (library.find("getCreators") != nullptr)
        check(library.find("setLoggerFinder") != nullptr && registered().empty(),
              "the library leaves the registry alone");
    for (const Registered &entry : registered())
        check(entry.plugin_namespace == "attnexport", "a creator is registered in the namespace attnexport");
    for (const attnexport_op *op : library.ops()) {
        about(op->name);
        IPluginCreatorV3One &creator = creator_of(library, op->name);
        check(
            std::string(creator.getPluginNamespace()) == "attnexport" && std::string(creator.getPluginVersion()) == "1",
            "the creator is attnexport's, version 1");
        check(std::strcmp(creator.getInterfaceInfo().kind, "PLUGIN CREATOR_V3ONE") == 0, "and an IPluginCreatorV3One");
        check_declared_fields(*op, creator.getFieldNames());
    }
}

void check_case(const Library &library, const Case &given, Place place) {
    const attnexport_op &op = library.op(given.op);
    IPluginCreatorV3One &creator = creator_of(library, given.op);
    const Fields fields(op, given), wide_fields(op, given, true);
    Plugin plugin = create(creator, fields.collection(), TensorRTPhase::kBUILD);
    check(plugin != nullptr, "the fields of a node create a plugin");
    if (given.refused) {
        size_t ignored = 0;
        check(workspace_of(op, given, &ignored) != ATTNEXPORT_OK, "the operator refuses this case");
        check_refusal("the case", [&] { return configure(given, given, *plugin) != 0; }, {op.name});
        return;
    }
    const Plugin wide = create(creator, wide_fields.collection(), TensorRTPhase::kBUILD);
    check(wide != nullptr && std::string(build(*wide).getMetadataString()) == build(*plugin).getMetadataString(),
          "fields of 64 bits create the same", build(*plugin).getMetadataString());
    check_refused_fields(op, given, [&](const PluginFieldCollection &changed) {
        return create(creator, changed, TensorRTPhase::kBUILD) != nullptr;
    });
    check(std::string(core(*plugin).getPluginName()) == op.name &&
              std::string(core(*plugin).getPluginVersion()) == "1" &&
              std::string(core(*plugin).getPluginNamespace()) == "attnexport",
          "the plugin has the creator's name, version and namespace");
    check_output(op, given, *plugin);
    check_formats(op, given, [&](int position, const std::vector<nvinfer1::PluginTensorDesc> &tensors) {
        std::vector<nvinfer1::DynamicPluginTensorDesc> dynamic(tensors.size());
        for (size_t index = 0; index < tensors.size(); ++index) dynamic[index].desc = tensors[index];
        const auto num_inputs = static_cast<int32_t>(tensors.size()) - 1;
        return build(*plugin).supportsFormatCombination(position, dynamic.data(), num_inputs, 1);
    });
    check_tactics(*plugin);
    check_shapes(op, given, *plugin);
    check_serialisation(op, creator, *plugin);

    const Deserialized kept(*runtime(*plugin).getFieldsToSerialize());
    Plugin copy(plugin->clone());
    const size_t workspace_bytes = workspace(given, given, *plugin);
    plugin.reset();
    check(copy != nullptr && equal(*runtime(*copy).getFieldsToSerialize(), kept.collection()),
          "a clone outlives its original");
    const Plugin deserialised = create(creator, kept.collection(), TensorRTPhase::kRUNTIME);
    const Plugin attached(runtime(*deserialised).attachToContext(nullptr));
    check(attached != nullptr && attached != deserialised, "attachToContext gives a clone");

    check(change_shape(given, *attached) == 0, "which takes the shapes");
    const auto inputs = described(given);
    const nvinfer1::PluginTensorDesc output{dims_of(given.output), inputs[0].type, inputs[0].format, 1.f};
    check_execution(op, given, workspace_bytes, place,
                    [&](const void *const *data, void *const *results, void *memory, cudaStream_t stream) {
                        return runtime(*attached).enqueue(inputs.data(), &output, data, results, memory, stream) == 0;
                    });
}

}  // namespace harness
