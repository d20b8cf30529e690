// Reads an attnexport_call: tensors and attributes by their place in the op's description, shapes checked.
#pragma once

#include <attnexport/op.h>
#include <common/samples.h>
#include <common/shape.h>

#include <climits>

namespace attnexport {

class Call {
  public:
    explicit Call(const attnexport_call &call) : call_(call) {}

    int64_t integer(int attribute) const { return call_.attributes[attribute].integer; }
    float number(int attribute) const { return static_cast<float>(call_.attributes[attribute].number); }
    const char *text(int attribute) const { return call_.attributes[attribute].text; }

    bool has(int input) const { return input < call_.num_inputs; }
    const attnexport_tensor &tensor(int input) const { return call_.inputs[input]; }

    template <class T>
    const T *data(int input) const {
        return has(input) ? static_cast<const T *>(call_.inputs[input].data) : nullptr;
    }

    template <class T>
    T *output() const {
        return static_cast<T *>(call_.output);
    }

    // Whether an input has exactly these dimensions and the floating type of input 0.
    template <class... Dims>
    bool matches(int input, Dims... dims) const {
        const int64_t wanted[] = {static_cast<int64_t>(dims)..., 0};
        const attnexport_tensor &given = call_.inputs[input];
        if (!has(input) || given.rank != static_cast<int>(sizeof...(dims)) || given.dtype != call_.inputs[0].dtype)
            return false;
        for (int axis = 0; axis < given.rank; ++axis)
            if (given.dims[axis] != wanted[axis]) return false;
        return true;
    }

    // Sizes of a call whose inputs query (B, H, N, Dk), key (B, Hkv, M, Dk) and value (B, Hkv, M, Dv) lie at these
    // places and whose optional kv_lengths and q_start lie at `lengths` and the next. Returns attnexport_status.
    int read_shape(int query, int key, int value, int lengths, bool causal, Shape *shape) const {
        if (!has(query) || !has(key) || !has(value)) return ATTNEXPORT_INVALID;
        const attnexport_tensor &q = tensor(query), &v = tensor(value);
        if (q.rank != 4 || v.rank != 4) return ATTNEXPORT_INVALID;
        for (int axis = 0; axis < 4; ++axis)
            if (q.dims[axis] < 0 || v.dims[axis] < 0 || q.dims[axis] > INT_MAX || v.dims[axis] > INT_MAX)
                return ATTNEXPORT_INVALID;
        const int64_t batch = q.dims[0], heads = q.dims[1], kv_heads = v.dims[1], keys = v.dims[2];
        if (kv_heads < 1 || heads < 1 || heads % kv_heads != 0 || v.dims[0] != batch) return ATTNEXPORT_INVALID;
        if (v.dtype != q.dtype || !matches(key, batch, kv_heads, keys, q.dims[3])) return ATTNEXPORT_INVALID;
        // Numbers of rows, keys and blocks are counted in int.
        if (batch * kv_heads > kMostPairs || heads * q.dims[2] > INT_MAX / 8 || keys > INT_MAX / 8)
            return ATTNEXPORT_UNSUPPORTED;
        const int *given[2] = {nullptr, nullptr};
        for (int optional = 0; optional < 2 && has(lengths + optional); ++optional) {
            const attnexport_tensor &lengths_tensor = tensor(lengths + optional);
            if (lengths_tensor.dtype != ATTNEXPORT_INT32 || lengths_tensor.rank != 1 || lengths_tensor.dims[0] != batch)
                return ATTNEXPORT_INVALID;
            given[optional] = static_cast<const int *>(lengths_tensor.data);
        }
        *shape = Shape{static_cast<int>(batch),
                       static_cast<int>(heads),
                       static_cast<int>(kv_heads),
                       static_cast<int>(q.dims[2]),
                       static_cast<int>(keys),
                       static_cast<int>(q.dims[3]),
                       static_cast<int>(v.dims[3]),
                       static_cast<int>(q.dtype),
                       causal,
                       given[0],
                       given[1]};
        return ATTNEXPORT_OK;
    }

  private:
    const attnexport_call &call_;
};

}  // namespace attnexport
