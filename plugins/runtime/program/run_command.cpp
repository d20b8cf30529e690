#include "arguments.h"
#include "array_files.h"
#include "commands.h"
#include "errors.h"
#include "files.h"
#include "handles.h"
#include "json.h"
#include "messages.h"
#include "narrow.h"
#include "statistics.h"

#include <algorithm>
#include <cstdio>

namespace program {
namespace {

const std::vector<Option> kOptions = {
    {"--data", true},     {"-o", true},         {"--time", true}, {"--graph", false},
    {"--plugins", true},  {"--tensorrt", true}, {"--json", true}, {"--allow-host-code", false},
    {"--verbose", false},
};

std::vector<std::string> names_of(const Engine &engine, bool inputs) {
    std::vector<std::string> names;
    for (int32_t index = 0; index < attnrt_num_tensors(engine.get()); ++index) {
        const attnrt_tensor &tensor = *attnrt_tensor_at(engine.get(), index);
        if ((tensor.is_input != 0) == inputs) names.emplace_back(tensor.name);
    }
    return names;
}

std::vector<attnrt_array> as_c(std::vector<NamedArray> &arrays) {
    std::vector<attnrt_array> views;
    for (NamedArray &named : arrays) {
        attnrt_array view{};
        view.name = named.name.c_str();
        view.data = named.array.data.data();
        view.dtype = named.array.dtype;
        view.rank = static_cast<int32_t>(named.array.shape.size());
        std::copy(named.array.shape.begin(), named.array.shape.end(), view.dims);
        views.push_back(view);
    }
    return views;
}

std::vector<NamedArray> run(const Engine &engine, const std::vector<attnrt_array> &inputs, size_t num_outputs,
                            bool graph) {
    std::vector<attnrt_array> views(num_outputs);
    const auto num_inputs = static_cast<int32_t>(inputs.size());
    const auto count = static_cast<int32_t>(num_outputs);
    check(attnrt_infer_outputs(engine.get(), inputs.data(), num_inputs, views.data(), count));
    std::vector<NamedArray> outputs;
    for (const attnrt_array &view : views) {
        NamedArray output{view.name, {}};
        output.array.dtype = static_cast<attnrt_dtype>(view.dtype);
        output.array.shape.assign(view.dims, view.dims + view.rank);
        output.array.data.resize(bytes_of(output.array.dtype, output.array.shape));
        outputs.push_back(std::move(output));
    }
    for (size_t index = 0; index < num_outputs; ++index) views[index].data = outputs[index].array.data.data();
    check(attnrt_run(engine.get(), inputs.data(), num_inputs, views.data(), count, graph ? 1 : 0));
    return outputs;
}

struct Timing {
    std::vector<double> gpu, enqueue, call, run;
};

Timing time(const Engine &engine, const std::vector<attnrt_array> &inputs, long repeats, bool graph) {
    const auto count = static_cast<size_t>(repeats);
    Timing timing{std::vector<double>(count), std::vector<double>(count), {}, {}};
    attnrt_times times{timing.gpu.data(), timing.enqueue.data(), nullptr, nullptr};
    if (!graph) {
        timing.call.resize(count);
        timing.run.resize(count);
        times.call = timing.call.data();
        times.run = timing.run.data();
    }
    check(attnrt_time(engine.get(), inputs.data(), static_cast<int32_t>(inputs.size()), static_cast<int32_t>(repeats),
                      graph ? 1 : 0, &times));
    return timing;
}

// By how many percent a call through attnrt takes longer than TensorRT's own enqueue, both waited for.
double overhead_percent(const Timing &timing) {
    return 100 * (summarise(timing.call).median / summarise(timing.enqueue).median - 1);
}

void print(const Timing &timing) {
    const Summary gpu = summarise(timing.gpu);
    std::printf("GPU          %s, %.1f runs/s\n", as_text(gpu).c_str(), 1000 / gpu.median);
    std::printf("enqueue+wait %s\n", as_text(summarise(timing.enqueue)).c_str());
    if (timing.call.empty()) return;
    std::printf("attnrt call  %s, overhead %+.1f %%\n", as_text(summarise(timing.call)).c_str(),
                overhead_percent(timing));
    std::printf("with copies  %s\n", as_text(summarise(timing.run)).c_str());
}

std::string as_json(const Timing &timing, bool graph) {
    const Summary gpu = summarise(timing.gpu);
    JsonObject object;
    object.add("repeats", static_cast<uint64_t>(timing.gpu.size()))
        .add("cuda_graph", graph)
        .add_raw("gpu_ms", as_json(gpu))
        .add_raw("enqueue_ms", as_json(summarise(timing.enqueue)))
        .add("runs_per_second", 1000 / gpu.median);
    if (!timing.call.empty())
        object.add_raw("call_ms", as_json(summarise(timing.call)))
            .add_raw("run_ms", as_json(summarise(timing.run)))
            .add("overhead_percent", overhead_percent(timing));
    return object.text();
}

std::string as_json(const std::vector<NamedArray> &arrays) {
    std::vector<std::string> values;
    for (const NamedArray &named : arrays)
        values.push_back(JsonObject()
                             .add("name", named.name)
                             .add("dtype", name_of(named.array.dtype))
                             .add("shape", named.array.shape)
                             .text());
    return json_list(values);
}

}  // namespace

void run_command(const std::vector<std::string> &given) {
    const Arguments arguments(given, "MODEL.engine", kOptions);
    const std::string data = arguments.required("--data");
    const std::optional<std::string> output = arguments.value("-o"), report = arguments.value("--json");
    const std::optional<long> repeats = arguments.count("--time");
    const bool graph = arguments.has("--graph");
    if (output) check_output(*output, {arguments.file(), data});
    if (report) check_output(*report, {arguments.file(), data});
    Messages messages(arguments.has("--verbose"));
    const TensorRt tensorrt = open_tensorrt(arguments.value("--tensorrt"));
    const Engine engine =
        load_engine(tensorrt, arguments.file(), arguments.value("--plugins"), arguments.has("--allow-host-code"));
    const size_t num_outputs = names_of(engine, false).size();
    if (output) check_arrays_output(*output, num_outputs);

    std::vector<NamedArray> inputs = read_arrays(data, names_of(engine, true));
    narrow_integers(engine, inputs);
    const std::vector<attnrt_array> views = as_c(inputs);
    const std::vector<NamedArray> outputs = run(engine, views, num_outputs, graph);
    if (output) write_arrays(*output, outputs);
    for (const NamedArray &named : outputs)
        std::printf("%s: %s %s\n", named.name.c_str(), text_of(named.array.shape).c_str(), name_of(named.array.dtype));

    const attnrt_memory memory = attnrt_device_memory(engine.get());
    const char *gpu = attnrt_gpu();
    JsonObject object;
    object.add("engine", arguments.file())
        .add("tensorrt", attnrt_version(tensorrt.get()))
        .add("gpu", gpu == nullptr ? "" : gpu)
        .add_raw("inputs", as_json(inputs))
        .add_raw("outputs", as_json(outputs))
        .add_raw("memory", JsonObject().add("scratch_bytes", memory.scratch).add("loaded_bytes", memory.loaded).text());
    if (repeats) {
        const Timing timing = time(engine, views, *repeats, graph);
        print(timing);
        object.add_raw("timing", as_json(timing, graph));
    }
    std::printf("memory       %.1f MiB loaded, %.1f MiB of it for activations\n",
                static_cast<double>(memory.loaded) / (1 << 20), static_cast<double>(memory.scratch) / (1 << 20));
    if (!report) return;
    const std::string text = object.text() + "\n";
    write_file(*report, text.data(), text.size());
}

}  // namespace program
