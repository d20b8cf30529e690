/* The C interface of the kernels: every operator behind one description and one kind of call.
 *
 * A library holds a table of operators. Each says which inputs and attributes its ONNX node has, how much workspace
 * a call needs, and launches the call on a stream. TensorRT's plugins, eager PyTorch and the tests use this table
 * alone; none of them knows an operator by name.
 *
 * Tensors are contiguous in the layout (batch, heads, tokens, width). The floating ones share one type; kv_lengths
 * and q_start are int32 (batch,) and come last. The output is (B, H, N, Dv): B, H and N of the first input, Dv of
 * the input named "v". A launch neither allocates nor synchronises nor keeps state, so that it can be captured in
 * a CUDA graph, and equal inputs give equal bits.
 */
#ifndef ATTNEXPORT_OP_H
#define ATTNEXPORT_OP_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Changes whenever a struct of this header does. */
#define ATTNEXPORT_ABI 1

enum attnexport_dtype { ATTNEXPORT_FLOAT32 = 0, ATTNEXPORT_FLOAT16 = 1, ATTNEXPORT_BFLOAT16 = 2, ATTNEXPORT_INT32 = 3 };

enum attnexport_status {
    ATTNEXPORT_OK = 0,
    ATTNEXPORT_UNSUPPORTED = 1, /* a size, type or option that no kernel in this library covers */
    ATTNEXPORT_INVALID = 2,     /* shapes or attributes that do not fit each other */
    ATTNEXPORT_WORKSPACE_TOO_SMALL = 3,
    ATTNEXPORT_CUDA_ERROR = 4,
    ATTNEXPORT_UNALIGNED = 5 /* a tensor of rank 4, the output or the workspace does not begin at a multiple of 16 */
};

typedef struct {
    const void *data; /* device memory; may be NULL when only the workspace is asked for */
    int32_t dtype;    /* attnexport_dtype */
    int32_t rank;     /* 0 to 4 */
    int64_t dims[4];
} attnexport_tensor;

enum attnexport_attribute_kind { ATTNEXPORT_INTEGER = 0, ATTNEXPORT_NUMBER = 1, ATTNEXPORT_TEXT = 2 };

/* Which member counts is the kind of the attribute at the same place in attnexport_op. Integers fit 32 bits; numbers
 * have the precision of a float. */
typedef union {
    int64_t integer;
    double number;
    const char *text;
} attnexport_value;

typedef struct {
    const char *name;
    int32_t kind; /* attnexport_attribute_kind */
} attnexport_attribute;

typedef struct {
    const char *name;
    const char *count_attribute; /* one of the op's integer attributes, how many tensors this input takes; NULL: one */
    int32_t is_length;           /* an optional int32 (batch,) input */
} attnexport_input;

typedef struct {
    const attnexport_tensor *inputs; /* flat, in the op's order; absent optional inputs are left off the end */
    int32_t num_inputs;
    const attnexport_value *attributes; /* one for each of the op's attributes, in its order */
    void *output;                       /* device memory; may be NULL when only the workspace is asked for */
} attnexport_call;

typedef struct {
    const char *name; /* the ONNX op type */
    const attnexport_input *inputs;
    int32_t num_inputs;
    const attnexport_attribute *attributes;
    int32_t num_attributes;
    uint32_t dtypes; /* bit 1 << dtype for each floating type that was compiled in */

    /* Bytes of workspace, 256-byte aligned memory, that a launch of these shapes needs; returns attnexport_status. The
     * number never shrinks when the batch or the tokens grow, nor when the heads do as long as all samples together
     * have at most 65535 of keys and values, and does not depend on the device: engines are built with the largest
     * shapes, on other machines. */
    int (*workspace)(const attnexport_call *call, size_t *bytes);

    /* Launches on the cudaStream_t `stream`; returns attnexport_status. */
    int (*launch)(const attnexport_call *call, void *workspace, size_t workspace_bytes, void *stream);
} attnexport_op;

/* The operators of this library, sorted by name. */
const attnexport_op *const *attnexport_ops(int32_t *count);

/* ATTNEXPORT_ABI of the library. */
int32_t attnexport_abi(void);

/* One line of JSON: version, architectures, what was instantiated, the TensorRT headers, as the build wrote it. */
const char *attnexport_build_info(void);

#ifdef __cplusplus
}
#endif

#endif
