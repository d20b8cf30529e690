/* attnrt: builds, loads, runs and times TensorRT engines behind a C interface.
 *
 * The library links no TensorRT: attnrt_open finds one at run time, of the major version it was compiled for. A
 * function that returns attnrt_status, or a pointer that may be NULL, leaves the reason of a failure in
 * attnrt_last_error. Strings and arrays that a handle hands out live as long as the handle. A handle may be used by
 * one thread at a time. A plugin library stays loaded, for every later build too. Everything runs on the current CUDA
 * device.
 */
#ifndef ATTNEXPORT_ATTNRT_H
#define ATTNEXPORT_ATTNRT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Changes whenever a struct or function of this header does. */
#define ATTNRT_ABI 1
#define ATTNRT_MAX_RANK 8

typedef enum { ATTNRT_OK = 0, ATTNRT_FAILED = 1 } attnrt_status;

typedef enum {
    ATTNRT_FLOAT32 = 0,
    ATTNRT_FLOAT16 = 1,
    ATTNRT_BFLOAT16 = 2,
    ATTNRT_INT32 = 3,
    ATTNRT_INT64 = 4,
    ATTNRT_INT8 = 5,
    ATTNRT_UINT8 = 6,
    ATTNRT_BOOL = 7
} attnrt_dtype;

typedef enum { ATTNRT_ERROR = 0, ATTNRT_WARNING = 1, ATTNRT_INFO = 2, ATTNRT_VERBOSE = 3 } attnrt_severity;

int32_t attnrt_abi(void);

/* What the library was compiled with, a line of JSON: version of attnexport, tensorrt, cuda, onnx_parser. */
const char *attnrt_build_info(void);

/* Why the last call of this thread failed, one line; empty if none did. */
const char *attnrt_last_error(void);

/* Called with each message of TensorRT, from any thread. TensorRT knows one logger a process. NULL: none. */
typedef void (*attnrt_log)(void *context, attnrt_severity severity, const char *message);
void attnrt_set_log(attnrt_log log, void *context);

/* Name and compute capability of the GPU, as "NVIDIA H200, SM 90"; NULL where there is none. */
const char *attnrt_gpu(void);

/* --- TensorRT --------------------------------------------------------------------------------------------------- */

typedef struct attnrt_tensorrt attnrt_tensorrt;

/* Opens libnvinfer from a folder, or from where the dynamic loader finds it if `folder` is NULL. */
attnrt_status attnrt_open(const char *folder, attnrt_tensorrt **tensorrt);
void attnrt_close(attnrt_tensorrt *tensorrt);

/* As "10.3.0". */
const char *attnrt_version(const attnrt_tensorrt *tensorrt);

/* Whether precision is that of the ONNX file: 1, or 0 for TensorRT 8.x, where it is an option of the build. */
int32_t attnrt_strongly_typed(const attnrt_tensorrt *tensorrt);

/* --- Building --------------------------------------------------------------------------------------------------- */

/* Shapes of one input for which an engine is built. */
typedef struct {
    const char *input;
    int32_t rank;
    int64_t minimum[ATTNRT_MAX_RANK];
    int64_t optimum[ATTNRT_MAX_RANK];
    int64_t maximum[ATTNRT_MAX_RANK];
} attnrt_profile;

typedef struct {
    const char *model;              /* path of an ONNX file */
    const attnrt_profile *profiles; /* of every input with a dynamic size */
    int32_t num_profiles;
    int32_t allow_float16;    /* float16 beside float32; only where TensorRT is weakly typed */
    const char *plugins;      /* path of a plugin library, or NULL */
    int32_t embed_plugins;    /* put that library into the engine */
    int32_t cublas_cudnn;     /* let TensorRT 8.x use cuBLAS and cuDNN, which have to be installed */
    const void *timing_cache; /* of an earlier build, or NULL */
    size_t timing_cache_bytes;
    uint64_t workspace_bytes; /* most scratch memory of a layer; 0: TensorRT's own choice */
} attnrt_build_request;

typedef struct attnrt_built attnrt_built;

/* Builds an engine for the GPU of this machine. float32 means float32: TF32 is off. */
attnrt_status attnrt_build(attnrt_tensorrt *tensorrt, const attnrt_build_request *request, attnrt_built **built);
void attnrt_free_built(attnrt_built *built);

const void *attnrt_engine_bytes(const attnrt_built *built, size_t *bytes);

/* For the next build; NULL and 0 where TensorRT has none. */
const void *attnrt_timing_cache(const attnrt_built *built, size_t *bytes);

/* ONNX nodes that became plugins. */
int32_t attnrt_num_plugin_nodes(const attnrt_built *built);
const char *attnrt_plugin_node(const attnrt_built *built, int32_t index); /* name of the node */
const char *attnrt_plugin_type(const attnrt_built *built, int32_t index); /* type of the plugin */

/* --- Running ---------------------------------------------------------------------------------------------------- */

typedef struct attnrt_engine attnrt_engine;

/* An input or output of an engine. Sizes that vary are -1 in `dims`; minimum to maximum are an input's profile. */
typedef struct {
    const char *name;
    int32_t is_input;
    int32_t dtype; /* attnrt_dtype */
    int32_t rank;
    int64_t dims[ATTNRT_MAX_RANK];
    int64_t minimum[ATTNRT_MAX_RANK];
    int64_t optimum[ATTNRT_MAX_RANK];
    int64_t maximum[ATTNRT_MAX_RANK];
} attnrt_tensor;

/* A contiguous array in the memory of the host or of the device. */
typedef struct {
    const char *name;
    void *data;
    int32_t dtype; /* attnrt_dtype */
    int32_t rank;
    int64_t dims[ATTNRT_MAX_RANK];
} attnrt_array;

/* Loads a serialised engine. `plugins` is the path of the plugin library that it needs, or NULL. With
 * `allow_host_code` libraries that were put into the engine are run: only for engines you trust. */
attnrt_status attnrt_load(attnrt_tensorrt *tensorrt, const void *engine, size_t bytes, const char *plugins,
                          int32_t allow_host_code, attnrt_engine **loaded);
void attnrt_free_engine(attnrt_engine *engine);

/* Inputs and outputs, in the engine's order. */
int32_t attnrt_num_tensors(const attnrt_engine *engine);
const attnrt_tensor *attnrt_tensor_at(const attnrt_engine *engine, int32_t index);

/* TensorRT's JSON about the layers; NULL on failure. */
const char *attnrt_layers(attnrt_engine *engine);

typedef struct {
    uint64_t scratch; /* memory for activations that the engine asks for */
    uint64_t loaded;  /* by how much free memory of the device shrank while the engine was loaded */
} attnrt_memory;

attnrt_memory attnrt_device_memory(const attnrt_engine *engine);

/* Says which outputs these inputs give: fills name, dtype, rank and dims of `outputs`, an array for each output in
 * the engine's order, and leaves data as it is. Data of the inputs is not read. */
attnrt_status attnrt_infer_outputs(attnrt_engine *engine, const attnrt_array *inputs, int32_t num_inputs,
                                   attnrt_array *outputs, int32_t num_outputs);

/* Runs the engine from host memory to host memory, and waits for it. With `cuda_graph` the run is a launch of a graph
 * that was captured for it. */
attnrt_status attnrt_run(attnrt_engine *engine, const attnrt_array *inputs, int32_t num_inputs,
                         const attnrt_array *outputs, int32_t num_outputs, int32_t cuda_graph);

/* Enqueues the engine on a cudaStream_t, with arrays in the memory of the device; returns before it is done. Neither
 * allocates nor synchronises once it ran at these shapes, so that it can be captured in a CUDA graph. */
attnrt_status attnrt_enqueue(attnrt_engine *engine, const attnrt_array *inputs, int32_t num_inputs,
                             const attnrt_array *outputs, int32_t num_outputs, void *stream);

/* Milliseconds of each repeat. What is NULL is not measured. */
typedef struct {
    double *gpu;     /* by CUDA events around the enqueue alone */
    double *enqueue; /* wall clock of TensorRT's own enqueueV3 and of waiting for it */
    double *call;    /* wall clock of attnrt_enqueue and of waiting for it */
    double *run;     /* wall clock of attnrt_run, copies from and to the host included */
} attnrt_times;

/* Times the engine on inputs in host memory, after warming up for 200 ms. With `cuda_graph` gpu and enqueue are of
 * launches of a captured graph, and call and run have to be NULL. */
attnrt_status attnrt_time(attnrt_engine *engine, const attnrt_array *inputs, int32_t num_inputs, int32_t repeats,
                          int32_t cuda_graph, const attnrt_times *times);

#ifdef __cplusplus
}
#endif

#endif
