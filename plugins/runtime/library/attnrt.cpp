// The C interface: exceptions end here.
#include "attnexport/attnrt.h"

#include "builder.h"
#include "engine.h"
#include "errors.h"
#include "execution.h"
#include "logger.h"
#include "onnx_parser.h"
#include "plugin_libraries.h"
#include "timing.h"

#include <algorithm>
#include <exception>
#include <memory>
#include <new>
#include <string>
#include <utility>

#ifndef ATTNEXPORT_VERSION
#define ATTNEXPORT_VERSION ""
#endif

struct attnrt_tensorrt {
    std::shared_ptr<const attnrt::TensorRt> library;
};

struct attnrt_built {
    attnrt::BuiltEngine result;
};

struct attnrt_engine {
    attnrt_engine(std::shared_ptr<const attnrt::TensorRt> tensorrt, const void *bytes, size_t size,
                  bool allow_host_code)
        : free_before(attnrt::free_device_memory()),
          engine(std::move(tensorrt), bytes, size, allow_host_code),
          execution(engine),
          free_after(attnrt::free_device_memory()) {}

    size_t free_before;
    attnrt::Engine engine;
    attnrt::Execution execution;
    size_t free_after;
    std::string layers;
};

namespace {

thread_local std::string last_error;

void set_last_error(const char *message) noexcept {
    try {
        last_error = message;
        std::replace(last_error.begin(), last_error.end(), '\n', ' ');
    } catch (...) {
        last_error.clear();
    }
}

template <class Body>
attnrt_status guarded(Body &&body) noexcept {
    try {
        last_error.clear();
        std::forward<Body>(body)();
        return ATTNRT_OK;
    } catch (const std::bad_alloc &) {
        set_last_error("out of memory");
    } catch (const std::exception &error) {
        set_last_error(error.what());
    } catch (...) {
        set_last_error("unknown exception");
    }
    return ATTNRT_FAILED;
}

void require(bool given, const char *what) {
    if (!given) throw attnrt::Error(std::string("expected ") + what + ", given NULL");
}

void check(const attnrt_build_request &request) {
    require(request.model != nullptr, "a model");
    require(request.profiles != nullptr || request.num_profiles == 0, "profiles");
    for (int32_t index = 0; index < request.num_profiles; ++index) {
        const attnrt_profile &profile = request.profiles[index];
        require(profile.input != nullptr, "the input of each profile");
        if (profile.rank < 0 || profile.rank > ATTNRT_MAX_RANK)
            throw attnrt::Error(std::string(profile.input) + ": expected at most 8 dims, given " +
                                std::to_string(profile.rank));
    }
}

attnrt::Execution &execution_of(attnrt_engine *engine) {
    require(engine != nullptr, "an engine");
    return engine->execution;
}

attnrt::Arrays checked(const attnrt_array *arrays, int32_t count) {
    require(arrays != nullptr || count == 0, "arrays");
    for (int32_t index = 0; index < count; ++index) require(arrays[index].name != nullptr, "a name of each array");
    return {arrays, count};
}

}  // namespace

int32_t attnrt_abi(void) { return ATTNRT_ABI; }

const char *attnrt_build_info(void) {
    static const std::string info =
        std::string("{\"version\": \"" ATTNEXPORT_VERSION "\", \"tensorrt\": \"") + attnrt::compiled_version() +
        "\", \"cuda\": \"" + std::to_string(CUDART_VERSION / 1000) + "." + std::to_string(CUDART_VERSION % 1000 / 10) +
        "\", \"onnx_parser\": " + (attnrt::has_onnx_parser() ? "true" : "false") + "}";
    return info.c_str();
}

const char *attnrt_last_error(void) { return last_error.c_str(); }

void attnrt_set_log(attnrt_log log, void *context) { attnrt::logger().pass_on_to(log, context); }

const char *attnrt_gpu(void) {
    thread_local std::string name;
    const attnrt_status status = guarded([&] { name = attnrt::gpu_name(); });
    return status == ATTNRT_OK ? name.c_str() : nullptr;
}

attnrt_status attnrt_open(const char *folder, attnrt_tensorrt **tensorrt) {
    return guarded([&] {
        require(tensorrt != nullptr, "where to put the handle");
        *tensorrt = new attnrt_tensorrt{std::make_shared<attnrt::TensorRt>(folder == nullptr ? "" : folder)};
    });
}

void attnrt_close(attnrt_tensorrt *tensorrt) { delete tensorrt; }

const char *attnrt_version(const attnrt_tensorrt *tensorrt) { return tensorrt->library->version().c_str(); }

int32_t attnrt_strongly_typed(const attnrt_tensorrt *) { return attnrt::kStronglyTyped ? 1 : 0; }

attnrt_status attnrt_build(attnrt_tensorrt *tensorrt, const attnrt_build_request *request, attnrt_built **built) {
    return guarded([&] {
        require(tensorrt != nullptr && request != nullptr && built != nullptr, "three arguments");
        check(*request);
        *built = new attnrt_built{attnrt::build(*tensorrt->library, *request)};
    });
}

void attnrt_free_built(attnrt_built *built) { delete built; }

const void *attnrt_engine_bytes(const attnrt_built *built, size_t *bytes) {
    *bytes = built->result.engine->size();
    return built->result.engine->data();
}

const void *attnrt_timing_cache(const attnrt_built *built, size_t *bytes) {
    const auto &cache = built->result.timing_cache;
    *bytes = cache == nullptr ? 0 : cache->size();
    return cache == nullptr ? nullptr : cache->data();
}

int32_t attnrt_num_plugin_nodes(const attnrt_built *built) {
    return static_cast<int32_t>(built->result.plugin_nodes.size());
}

const char *attnrt_plugin_node(const attnrt_built *built, int32_t index) {
    return built->result.plugin_nodes[static_cast<size_t>(index)].name.c_str();
}

const char *attnrt_plugin_type(const attnrt_built *built, int32_t index) {
    return built->result.plugin_nodes[static_cast<size_t>(index)].type.c_str();
}

attnrt_status attnrt_load(attnrt_tensorrt *tensorrt, const void *engine, size_t bytes, const char *plugins,
                          int32_t allow_host_code, attnrt_engine **loaded) {
    return guarded([&] {
        require(tensorrt != nullptr && engine != nullptr && loaded != nullptr, "a TensorRT, an engine and a handle");
        if (plugins != nullptr) attnrt::load_plugins(*tensorrt->library, plugins, false);
        *loaded = new attnrt_engine(tensorrt->library, engine, bytes, allow_host_code != 0);
    });
}

void attnrt_free_engine(attnrt_engine *engine) { delete engine; }

int32_t attnrt_num_tensors(const attnrt_engine *engine) {
    return static_cast<int32_t>(engine->engine.tensors().size());
}

const attnrt_tensor *attnrt_tensor_at(const attnrt_engine *engine, int32_t index) {
    return &engine->engine.tensors()[static_cast<size_t>(index)];
}

const char *attnrt_layers(attnrt_engine *engine) {
    const attnrt_status status = guarded([&] { engine->layers = engine->engine.layers(); });
    return status == ATTNRT_OK ? engine->layers.c_str() : nullptr;
}

attnrt_memory attnrt_device_memory(const attnrt_engine *engine) {
    const size_t before = engine->free_before, after = engine->free_after;
    return {engine->engine.scratch_bytes(), before > after ? before - after : 0};
}

attnrt_status attnrt_infer_outputs(attnrt_engine *engine, const attnrt_array *inputs, int32_t num_inputs,
                                   attnrt_array *outputs, int32_t num_outputs) {
    return guarded([&] {
        std::vector<attnrt_array> inferred = execution_of(engine).infer_outputs(checked(inputs, num_inputs));
        if (static_cast<size_t>(num_outputs) != inferred.size())
            throw attnrt::Error("expected " + std::to_string(inferred.size()) + " outputs, given " +
                                std::to_string(num_outputs));
        for (size_t index = 0; index < inferred.size(); ++index) {
            inferred[index].data = outputs[index].data;
            outputs[index] = inferred[index];
        }
    });
}

attnrt_status attnrt_run(attnrt_engine *engine, const attnrt_array *inputs, int32_t num_inputs,
                         const attnrt_array *outputs, int32_t num_outputs, int32_t cuda_graph) {
    return guarded([&] {
        const attnrt::Arrays given = checked(inputs, num_inputs), wanted = checked(outputs, num_outputs);
        if (cuda_graph == 0)
            execution_of(engine).run(given, wanted);
        else
            execution_of(engine).run_graph(given, wanted);
    });
}

attnrt_status attnrt_enqueue(attnrt_engine *engine, const attnrt_array *inputs, int32_t num_inputs,
                             const attnrt_array *outputs, int32_t num_outputs, void *stream) {
    return guarded([&] {
        execution_of(engine).enqueue(checked(inputs, num_inputs), checked(outputs, num_outputs),
                                     static_cast<cudaStream_t>(stream));
    });
}

attnrt_status attnrt_time(attnrt_engine *engine, const attnrt_array *inputs, int32_t num_inputs, int32_t repeats,
                          int32_t cuda_graph, const attnrt_times *times) {
    return guarded([&] {
        const attnrt::Arrays given = checked(inputs, num_inputs);
        require(times != nullptr, "where to put the times");
        if (cuda_graph == 0)
            attnrt::time_runs(execution_of(engine), given, repeats, *times);
        else if (times->call == nullptr && times->run == nullptr)
            attnrt::time_graph(execution_of(engine), given, repeats, *times);
        else
            throw attnrt::Error("a CUDA graph: expected call and run to be NULL");
    });
}
