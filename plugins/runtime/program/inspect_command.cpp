#include "arguments.h"
#include "array.h"
#include "commands.h"
#include "errors.h"
#include "files.h"
#include "handles.h"
#include "json.h"
#include "messages.h"

#include <cstdio>

namespace program {
namespace {

const std::vector<Option> kOptions = {
    {"--plugins", true}, {"--tensorrt", true}, {"--json", true}, {"--allow-host-code", false}, {"--verbose", false},
};

using Sizes = std::vector<int64_t>;

Sizes sizes(const int64_t *dims, const attnrt_tensor &tensor) { return Sizes(dims, dims + tensor.rank); }

std::string as_json(const attnrt_tensor &tensor) {
    JsonObject object;
    object.add("name", tensor.name)
        .add("is_input", tensor.is_input != 0)
        .add("dtype", name_of(static_cast<attnrt_dtype>(tensor.dtype)))
        .add("shape", sizes(tensor.dims, tensor));
    if (tensor.is_input != 0)
        object.add("minimum", sizes(tensor.minimum, tensor))
            .add("optimum", sizes(tensor.optimum, tensor))
            .add("maximum", sizes(tensor.maximum, tensor));
    return object.text();
}

void print(const attnrt_tensor &tensor) {
    std::printf("%-6s %s: %s %s", tensor.is_input != 0 ? "input" : "output", tensor.name,
                text_of(sizes(tensor.dims, tensor)).c_str(), name_of(static_cast<attnrt_dtype>(tensor.dtype)));
    if (tensor.is_input != 0)
        std::printf(", %s to %s, best at %s", text_of(sizes(tensor.minimum, tensor)).c_str(),
                    text_of(sizes(tensor.maximum, tensor)).c_str(), text_of(sizes(tensor.optimum, tensor)).c_str());
    std::printf("\n");
}

}  // namespace

void inspect_command(const std::vector<std::string> &given) {
    const Arguments arguments(given, "MODEL.engine", kOptions);
    const std::optional<std::string> report = arguments.value("--json");
    if (report) check_output(*report, {arguments.file()});
    Messages messages(arguments.has("--verbose"));
    const TensorRt tensorrt = open_tensorrt(arguments.value("--tensorrt"));
    const Engine engine =
        load_engine(tensorrt, arguments.file(), arguments.value("--plugins"), arguments.has("--allow-host-code"));
    std::vector<std::string> tensors;
    for (int32_t index = 0; index < attnrt_num_tensors(engine.get()); ++index) {
        const attnrt_tensor &tensor = *attnrt_tensor_at(engine.get(), index);
        print(tensor);
        tensors.push_back(as_json(tensor));
    }
    const char *layers = attnrt_layers(engine.get());
    if (layers == nullptr) throw Error(arguments.file() + ": " + attnrt_last_error());
    if (!report) {
        std::printf("%s\n", layers);
        return;
    }
    const std::string text = JsonObject()
                                 .add("engine", arguments.file())
                                 .add("tensorrt", attnrt_version(tensorrt.get()))
                                 .add_raw("tensors", json_list(tensors))
                                 .add_raw("layers", json_of_another(layers))
                                 .text() +
                             "\n";
    write_file(*report, text.data(), text.size());
}

}  // namespace program
