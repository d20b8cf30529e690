/* Stands for libattnrt.so where there is no GPU: it builds one engine and says of its layers what
 * $FAKE_ATTNRT_LAYERS, a file, holds; without that file nothing, and without $FAKE_ATTNRT_LAYERS no engine loads. */
#include <attnexport/attnrt.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char said[1 << 20];
static const char *error = "";
static int object;

int32_t attnrt_abi(void) { return ATTNRT_ABI; }
const char *attnrt_build_info(void) {
    return "{\"version\": \"0\", \"tensorrt\": \"8.6.0\", \"cuda\": \"11.8\", \"onnx_parser\": true}";
}
const char *attnrt_last_error(void) { return error; }
void attnrt_set_log(attnrt_log log, void *context) { (void)log, (void)context; }
const char *attnrt_gpu(void) { return NULL; }

attnrt_status attnrt_open(const char *folder, attnrt_tensorrt **tensorrt) {
    (void)folder;
    *tensorrt = (attnrt_tensorrt *)&object;
    return ATTNRT_OK;
}
void attnrt_close(attnrt_tensorrt *tensorrt) { (void)tensorrt; }
const char *attnrt_version(const attnrt_tensorrt *tensorrt) { return (void)tensorrt, "8.6.0"; }
int32_t attnrt_strongly_typed(const attnrt_tensorrt *tensorrt) { return (void)tensorrt, 0; }

attnrt_status attnrt_build(attnrt_tensorrt *tensorrt, const attnrt_build_request *request, attnrt_built **built) {
    (void)tensorrt, (void)request;
    *built = (attnrt_built *)&object;
    return ATTNRT_OK;
}
void attnrt_free_built(attnrt_built *built) { (void)built; }
const void *attnrt_engine_bytes(const attnrt_built *built, size_t *bytes) {
    (void)built;
    *bytes = 6;
    return "engine";
}
const void *attnrt_timing_cache(const attnrt_built *built, size_t *bytes) {
    (void)built;
    *bytes = 0;
    return NULL;
}
int32_t attnrt_num_plugin_nodes(const attnrt_built *built) { return (void)built, 0; }
const char *attnrt_plugin_node(const attnrt_built *built, int32_t index) { return (void)built, (void)index, ""; }
const char *attnrt_plugin_type(const attnrt_built *built, int32_t index) { return (void)built, (void)index, ""; }

attnrt_status attnrt_load(attnrt_tensorrt *tensorrt, const void *engine, size_t bytes, const char *plugins,
                          int32_t allow_host_code, attnrt_engine **loaded) {
    (void)tensorrt, (void)engine, (void)bytes, (void)plugins, (void)allow_host_code;
    error = "out of memory";
    *loaded = (attnrt_engine *)&object;
    return getenv("FAKE_ATTNRT_LAYERS") == NULL;
}
void attnrt_free_engine(attnrt_engine *engine) { (void)engine; }
int32_t attnrt_num_tensors(const attnrt_engine *engine) { return (void)engine, 0; }
const attnrt_tensor *attnrt_tensor_at(const attnrt_engine *engine, int32_t index) {
    return (void)engine, (void)index, NULL;
}
const char *attnrt_layers(attnrt_engine *engine) {
    (void)engine;
    FILE *file = fopen(getenv("FAKE_ATTNRT_LAYERS"), "rb");
    error = "TensorRT says nothing about the engine's layers";
    if (file == NULL) return NULL;
    said[fread(said, 1, sizeof(said) - 1, file)] = '\0';
    fclose(file);
    return said;
}
attnrt_memory attnrt_device_memory(const attnrt_engine *engine) {
    const attnrt_memory none = {0, 0};
    return (void)engine, none;
}

attnrt_status attnrt_infer_outputs(attnrt_engine *engine, const attnrt_array *inputs, int32_t num_inputs,
                                   attnrt_array *outputs, int32_t num_outputs) {
    return (void)engine, (void)inputs, (void)num_inputs, (void)outputs, (void)num_outputs, (attnrt_status)1;
}
attnrt_status attnrt_run(attnrt_engine *engine, const attnrt_array *inputs, int32_t num_inputs,
                         const attnrt_array *outputs, int32_t num_outputs, int32_t cuda_graph) {
    (void)cuda_graph;
    return attnrt_infer_outputs(engine, inputs, num_inputs, (attnrt_array *)outputs, num_outputs);
}
attnrt_status attnrt_enqueue(attnrt_engine *engine, const attnrt_array *inputs, int32_t num_inputs,
                             const attnrt_array *outputs, int32_t num_outputs, void *stream) {
    (void)stream;
    return attnrt_infer_outputs(engine, inputs, num_inputs, (attnrt_array *)outputs, num_outputs);
}
attnrt_status attnrt_time(attnrt_engine *engine, const attnrt_array *inputs, int32_t num_inputs, int32_t repeats,
                          int32_t cuda_graph, const attnrt_times *times) {
    (void)repeats, (void)cuda_graph, (void)times;
    return attnrt_infer_outputs(engine, inputs, num_inputs, NULL, 0);
}
