// The experiment's C interface: hopper_affine() and hopper_krause() launch one configuration on tensors of the device.
#include "forward.cuh"
#include "key_biases.cuh"
#include "value_sums.cuh"

#include <cmath>

namespace attnexport::hopper {
namespace {

struct Call {
    const void *q, *k, *v, *alpha, *beta;
    void *out, *scratch;  // scratch: zeros at first
    int batch, heads, kv_heads, rows, keys;
    float scale;
    cudaStream_t stream;

    int pairs() const { return batch * heads; }
    int kv_pairs() const { return batch * kv_heads; }
};

using Encode = decltype(&cuTensorMapEncodeTiled);

Encode encoder() {
    static const Encode found = [] {
        void *function = nullptr;
        cudaDriverEntryPointQueryResult result;
        cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &result);
        return result == cudaDriverEntryPointSuccess ? reinterpret_cast<Encode>(function) : nullptr;
    }();
    return found;
}

// Boxes of 64 columns and `box_rows` rows of a (pairs, rows, width) tensor.
template <class T>
bool describe(CUtensorMap *map, const void *data, int pairs, int rows, int width, int box_rows) {
    const cuuint64_t sizes[3] = {static_cast<cuuint64_t>(width), static_cast<cuuint64_t>(rows),
                                 static_cast<cuuint64_t>(pairs)};
    const cuuint64_t strides[2] = {sizes[0] * sizeof(T), sizes[0] * sizes[1] * sizeof(T)};
    const cuuint32_t box[3] = {64, static_cast<cuuint32_t>(box_rows), 1}, steps[3] = {1, 1, 1};
    const auto type = std::is_same_v<T, __half> ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
    return encoder() != nullptr &&
           encoder()(map, type, 3, const_cast<void *>(data), sizes, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
                     CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                     CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

// Behind the kernel before it, which it may overlap.
template <class T, class C>
int launch_forward(const Call &call, Params params) {
    CUtensorMap q, k, v, o;
    if (!describe<T>(&q, call.q, call.pairs(), call.rows, C::kWidth, 64) ||
        !describe<T>(&o, call.out, call.pairs(), call.rows, C::kWidth, 64) ||
        !describe<T>(&k, call.k, call.kv_pairs(), call.keys, C::kWidth, C::kCols) ||
        !describe<T>(&v, call.v, call.kv_pairs(), call.keys, C::kWidth, C::kCols))
        return 1;
    int device = 0, multiprocessors = 0;
    cudaGetDevice(&device);
    cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device);
    const auto kernel = attention_forward<T, C>;
    if (cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, C::kSharedBytes) != cudaSuccess)
        return 2;
    params.rows = call.rows;
    params.keys = call.keys;
    params.tiles = (call.rows + C::kRows - 1) / C::kRows;
    params.pairs = call.pairs();
    params.group = call.heads / call.kv_heads;
    params.scale = call.scale * 1.4426950408889634f;
    cudaLaunchAttribute overlap{};
    overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    overlap.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config{};
    config.gridDim = dim3(min(multiprocessors, params.tiles * params.pairs));
    config.blockDim = dim3(C::kThreads);
    config.dynamicSmemBytes = C::kSharedBytes;
    config.stream = call.stream;
    config.attrs = &overlap;
    config.numAttrs = 1;
    return cudaLaunchKernelEx(&config, kernel, q, k, v, o, params) == cudaSuccess ? 0 : 3;
}

template <class T, class C>
int launch_affine(const Call &call) {
    const int pairs = call.kv_pairs();
    float *sums = static_cast<float *>(call.scratch), *parts = sums + static_cast<int64_t>(pairs) * C::kWidth;
    unsigned *tickets = reinterpret_cast<unsigned *>(parts + static_cast<int64_t>(pairs) * kSumParts * C::kWidth);
    sum_values<T, C::kWidth><<<dim3(kSumParts, pairs), kSumThreads, 0, call.stream>>>(static_cast<const T *>(call.v),
                                                                                      parts, sums, tickets, call.keys);
    Params params{};
    params.alpha = call.alpha;
    params.beta = call.beta;
    params.value_sums = sums;
    return launch_forward<T, C>(call, params);
}

template <class T, class C>
int launch_krause(const Call &call) {
    const int padded = (call.keys + C::kCols - 1) / C::kCols * C::kCols;
    write_biases<T, C>
        <<<dim3((padded + kBiasKeys<C> - 1) / kBiasKeys<C>, call.kv_pairs()), kBiasThreads, 0, call.stream>>>(
            static_cast<const T *>(call.k), call.scratch, call.keys, padded);
    Params params{};
    params.biases = call.scratch;
    return launch_forward<T, C>(call, params);
}

template <class T>
int choose_affine(const Call &call, int width, int configuration) {
    if (width == 64) {
        if (configuration == 0) return launch_affine<T, Config<64, 3, 2, true>>(call);
        if (configuration == 1) return launch_affine<T, Config<64, 3, 2, false>>(call);
        if (configuration == 2) return launch_affine<T, Config<64, 2, 2, true>>(call);
        if (configuration == 3) return launch_affine<T, Config<64, 3, 2, true, 1>>(call);
    }
    if (width == 128) {
        if (configuration == 0) return launch_affine<T, Config<128, 2, 2, true>>(call);
        if (configuration == 1) return launch_affine<T, Config<128, 2, 2, false>>(call);
    }
    return 4;
}

template <class T>
int choose_krause(const Call &call, int width, int configuration) {
    if (width == 64) {
        if (configuration == 0) return launch_krause<T, Config<64, 3, 2, true, 0, Bias::kMultiplied>>(call);
        if (configuration == 1) return launch_krause<T, Config<64, 3, 2, true, 0, Bias::kAdded>>(call);
    }
    if (width == 128) {
        if (configuration == 0) return launch_krause<T, Config<128, 2, 2, true, 0, Bias::kMultiplied>>(call);
        if (configuration == 1) return launch_krause<T, Config<128, 2, 2, true, 0, Bias::kAdded>>(call);
    }
    return 4;
}

}  // namespace
}  // namespace attnexport::hopper

// Contiguous q (batch, heads, rows, width), k and v (batch, kv_heads, keys, width), alpha and beta (batch, heads,
// rows), fp16 or bf16; scale is positive. scratch: batch * kv_heads * (width * 17 + 1) * 4 bytes, zeros before the
// first call. Returns 0 when launched.
extern "C" int hopper_affine(const void *q, const void *k, const void *v, const void *alpha, const void *beta,
                             void *out, void *scratch, int batch, int heads, int kv_heads, int rows, int keys,
                             int width, float scale, int is_bfloat16, int configuration, void *stream) {
    using namespace attnexport::hopper;
    const Call call{q,     k,     v,        alpha, beta, out,   scratch,
                    batch, heads, kv_heads, rows,  keys, scale, static_cast<cudaStream_t>(stream)};
    return is_bfloat16 ? choose_affine<__nv_bfloat16>(call, width, configuration)
                       : choose_affine<__half>(call, width, configuration);
}

// The same without alpha and beta; scale is 1 / sigma^2. scratch: batch * kv_heads * (keys up to a multiple of 128) *
// 32 bytes.
extern "C" int hopper_krause(const void *q, const void *k, const void *v, void *out, void *scratch, int batch,
                             int heads, int kv_heads, int rows, int keys, int width, float scale, int is_bfloat16,
                             int configuration, void *stream) {
    using namespace attnexport::hopper;
    const Call call{q,     k,     v,        nullptr, nullptr, out,   scratch,
                    batch, heads, kv_heads, rows,    keys,    scale, static_cast<cudaStream_t>(stream)};
    return is_bfloat16 ? choose_krause<__nv_bfloat16>(call, width, configuration)
                       : choose_krause<__half>(call, width, configuration);
}
