#include "arguments.h"
#include "commands.h"
#include "errors.h"
#include "files.h"
#include "handles.h"
#include "json.h"
#include "messages.h"
#include "shapes_option.h"

#include <chrono>
#include <cstdio>
#include <list>

namespace program {
namespace {

const std::vector<Option> kOptions = {
    {"-o", true},         {"--plugins", true},       {"--shapes", true},         {"--precision", true},
    {"--tensorrt", true}, {"--workspace", true},     {"--embed-plugins", false}, {"--timing-cache", true},
    {"--json", true},     {"--cublas-cudnn", false}, {"--verbose", false},
};

// What a request points to.
struct Request {
    explicit Request(const Arguments &arguments, bool strongly_typed);
    Request(const Request &) = delete;
    Request &operator=(const Request &) = delete;

    std::string model;
    std::optional<std::string> plugins;
    std::list<ShapesOption> shapes;
    std::vector<attnrt_profile> profiles;
    Bytes timing_cache;
    attnrt_build_request c{};
};

bool allow_float16(const Arguments &arguments, bool strongly_typed) {
    const std::optional<std::string> precision = arguments.value("--precision");
    if (!precision) return false;
    if (strongly_typed)
        throw Error("--precision: expected none, because this TensorRT builds the types of the ONNX file, given " +
                    *precision);
    if (*precision != "fp32" && *precision != "fp16")
        throw Error("--precision: expected fp32 or fp16, given " + *precision);
    return *precision == "fp16";
}

Request::Request(const Arguments &arguments, bool strongly_typed)
    : model(arguments.file()), plugins(arguments.value("--plugins")) {
    for (const std::string &text : arguments.values("--shapes")) {
        shapes.push_back(parse_shapes(text));
        profiles.push_back(shapes.back().profile);
        profiles.back().input = shapes.back().input.c_str();
    }
    if (arguments.has("--embed-plugins") && !plugins)
        throw Error("--embed-plugins: expected --plugins too, given none");
    const std::optional<std::string> cache = arguments.value("--timing-cache");
    if (cache && exists(*cache)) timing_cache = read_file(*cache);

    c.model = model.c_str();
    c.profiles = profiles.data();
    c.num_profiles = static_cast<int32_t>(profiles.size());
    c.allow_float16 = allow_float16(arguments, strongly_typed) ? 1 : 0;
    c.plugins = plugins ? plugins->c_str() : nullptr;
    c.embed_plugins = arguments.has("--embed-plugins") ? 1 : 0;
    c.cublas_cudnn = arguments.has("--cublas-cudnn") ? 1 : 0;
    c.timing_cache = timing_cache.empty() ? nullptr : timing_cache.data();
    c.timing_cache_bytes = timing_cache.size();
    c.workspace_bytes = static_cast<uint64_t>(arguments.count("--workspace").value_or(0)) << 20;
}

std::string plugin_nodes_as_json(const Built &built) {
    std::vector<std::string> nodes;
    for (int32_t index = 0; index < attnrt_num_plugin_nodes(built.get()); ++index)
        nodes.push_back(JsonObject()
                            .add("node", attnrt_plugin_node(built.get(), index))
                            .add("type", attnrt_plugin_type(built.get(), index))
                            .text());
    return json_list(nodes);
}

}  // namespace

void build_command(const std::vector<std::string> &given) {
    const Arguments arguments(given, "MODEL.onnx", kOptions);
    const std::string output = arguments.required("-o");
    const std::optional<std::string> cache = arguments.value("--timing-cache"), report = arguments.value("--json");
    check_output(output, {arguments.file()});
    if (cache) check_output(*cache, {arguments.file()});
    if (report) check_output(*report, {arguments.file()});
    Messages messages(arguments.has("--verbose"));
    const TensorRt tensorrt = open_tensorrt(arguments.value("--tensorrt"));
    const Request request(arguments, attnrt_strongly_typed(tensorrt.get()) != 0);

    const auto start = std::chrono::steady_clock::now();
    attnrt_built *raw = nullptr;
    check(attnrt_build(tensorrt.get(), &request.c, &raw));
    const Built built(raw);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;

    size_t bytes = 0, cache_bytes = 0;
    const void *engine = attnrt_engine_bytes(built.get(), &bytes);
    write_file(output, engine, bytes);
    const void *timing_cache = attnrt_timing_cache(built.get(), &cache_bytes);
    if (cache && timing_cache != nullptr) write_file(*cache, timing_cache, cache_bytes);

    const std::vector<std::string> warnings = messages.warnings();
    std::printf("%s: %.1f MiB in %.1f s, TensorRT %s, plugin nodes: %d, warnings: %zu\n", output.c_str(),
                static_cast<double>(bytes) / (1 << 20), seconds.count(), attnrt_version(tensorrt.get()),
                attnrt_num_plugin_nodes(built.get()), warnings.size());
    if (!report) return;
    std::vector<std::string> lines;
    for (const std::string &line : warnings) lines.push_back(json(line));
    const char *gpu = attnrt_gpu();
    const std::string text = JsonObject()
                                 .add("model", request.model)
                                 .add("engine", output)
                                 .add("bytes", static_cast<uint64_t>(bytes))
                                 .add("seconds", seconds.count())
                                 .add("tensorrt", attnrt_version(tensorrt.get()))
                                 .add("gpu", gpu == nullptr ? "" : gpu)
                                 .add_raw("plugin_nodes", plugin_nodes_as_json(built))
                                 .add_raw("warnings", json_list(lines))
                                 .text() +
                             "\n";
    write_file(*report, text.data(), text.size());
}

}  // namespace program
