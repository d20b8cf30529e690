/* The C interface of the kernels: raw pointers, a params struct, a stream, an explicit workspace.
 *
 * Tensors are contiguous in the layout (batch, heads, tokens, width) and share one floating type; kv_lengths and
 * q_start are int32 (batch,) or NULL. Every launcher returns 0, or a code of attnexport_status; none allocates,
 * synchronises or keeps state, so that all of them can be captured in a CUDA graph.
 */
#ifndef ATTNEXPORT_PARAMS_H
#define ATTNEXPORT_PARAMS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum attnexport_dtype { ATTNEXPORT_FLOAT32 = 0, ATTNEXPORT_FLOAT16 = 1, ATTNEXPORT_BFLOAT16 = 2 };

enum attnexport_status {
    ATTNEXPORT_OK = 0,
    ATTNEXPORT_UNSUPPORTED = 1, /* a shape or option that no kernel covers */
    ATTNEXPORT_WORKSPACE_TOO_SMALL = 2,
    ATTNEXPORT_CUDA_ERROR = 3
};

/* Sizes and visibility, the same for every operator. */
typedef struct {
    int32_t batch;
    int32_t heads;
    int32_t kv_heads; /* divides heads */
    int32_t rows;     /* N, query rows */
    int32_t keys;     /* M, key rows */
    int32_t width;    /* Dk */
    int32_t value_width; /* Dv */
    int32_t dtype;       /* attnexport_dtype */
    int32_t causal;
    const int32_t *kv_lengths;
    const int32_t *q_start;
} attnexport_shape;

/* Krause attention: sigma has heads elements, or one for all where sigma_per_head is 0. */
typedef struct {
    attnexport_shape shape;
    int32_t window; /* 0: none */
    int32_t sigma_per_head;
    const void *q, *k, *v, *sigma;
    void *out;
} attnexport_krause_params;

size_t attnexport_krause_workspace(const attnexport_krause_params *params);
int attnexport_krause(const attnexport_krause_params *params, void *workspace, size_t workspace_size, void *stream);

/* Affine-scaled attention: alpha and beta are (batch, heads, rows). */
typedef struct {
    attnexport_shape shape;
    float scale;
    const void *q, *k, *v, *alpha, *beta;
    void *out;
} attnexport_affine_params;

size_t attnexport_affine_workspace(const attnexport_affine_params *params);
int attnexport_affine(const attnexport_affine_params *params, void *workspace, size_t workspace_size, void *stream);

/* Selective synchronization attention: coupling is one number, alpha has heads elements. */
typedef struct {
    attnexport_shape shape;
    float eps;
    const void *omega_q, *omega_k, *theta, *v, *coupling, *alpha;
    void *out;
} attnexport_ssa_params;

size_t attnexport_ssa_workspace(const attnexport_ssa_params *params);
int attnexport_ssa(const attnexport_ssa_params *params, void *workspace, size_t workspace_size, void *stream);

#ifdef __cplusplus
}
#endif

#endif
