// Chooses an instantiation of the forward kernel, lays out its workspace and launches it.
#pragma once

#include <attnexport/attention_forward.cuh>

#include <algorithm>

namespace attnexport {

// Hands out 256-byte aligned pieces of a workspace; with a null base it only counts.
class Workspace {
  public:
    explicit Workspace(void *base) : base_(static_cast<unsigned char *>(base)) {}

    template <class U>
    U *take(size_t count) {
        unsigned char *piece = base_ == nullptr ? nullptr : base_ + used_;
        used_ += (count * sizeof(U) + 255) / 256 * 256;
        return reinterpret_cast<U *>(piece);
    }

    size_t used() const { return used_; }

  private:
    unsigned char *base_;
    size_t used_ = 0;
};

struct Device {
    int multiprocessors;
    int shared_bytes;  // largest dynamic shared memory of a block

    static Device current() {
        Device device{};
        int id = 0;
        cudaGetDevice(&id);
        cudaDeviceGetAttribute(&device.multiprocessors, cudaDevAttrMultiProcessorCount, id);
        cudaDeviceGetAttribute(&device.shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, id);
        return device;
    }
};

inline bool valid(const attnexport_shape &s) {
    return s.batch >= 0 && s.rows >= 0 && s.keys >= 0 && s.heads > 0 && s.kv_heads > 0 && s.heads % s.kv_heads == 0 &&
           s.width >= 8 && s.width <= 256 && s.width % 8 == 0 && s.value_width >= 8 && s.value_width <= 256 &&
           s.value_width % 8 == 0;
}

// Rows per block of the instantiation that serves this shape.
inline int rows_per_block(const attnexport_shape &s) {
    const int group_rows = s.rows * (s.heads / s.kv_heads);
    if (group_rows <= 16) return 16;
    return std::max(s.width, s.value_width) <= 128 ? 128 : 64;
}

constexpr int kTileKeys = 64;

// How many parts the keys are split into so that few rows still fill the device.
inline int choose_splits(const attnexport_shape &s, int window, int multiprocessors) {
    const int group_rows = s.rows * (s.heads / s.kv_heads), block_rows = rows_per_block(s);
    const int64_t blocks =
        static_cast<int64_t>(s.batch) * s.kv_heads * ((group_rows + block_rows - 1) / block_rows);
    const int keys = window > 0 ? std::min(s.keys, 2 * window + block_rows) : s.keys;
    const int tiles = (keys + kTileKeys - 1) / kTileKeys;
    if (blocks == 0 || blocks >= multiprocessors || tiles < 8) return 1;
    const int wanted = static_cast<int>((4 * multiprocessors + blocks - 1) / blocks);
    return std::max(1, std::min({wanted, tiles / 4, 64}));
}

template <class Variant, class T>
size_t take_split_workspace(Workspace &workspace, ForwardParams<Variant, T> &p, int multiprocessors) {
    p.splits = choose_splits(p.shape, p.window, multiprocessors);
    if (p.splits > 1) {
        const size_t rows = static_cast<size_t>(p.shape.batch) * p.shape.heads * p.shape.rows;
        p.partial_sums = workspace.take<float>(rows * p.splits * p.shape.value_width);
        p.partial_states = workspace.take<float2>(rows * p.splits);
    }
    return workspace.used();
}

template <class Variant, class T, class Config>
int launch_forward_as(const ForwardParams<Variant, T> &p, cudaStream_t stream) {
    constexpr size_t bytes = Config::template shared_bytes<T>();
    auto kernel = attention_forward<Variant, T, Config>;
    if (cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes) != cudaSuccess)
        return ATTNEXPORT_CUDA_ERROR;
    const int total = p.shape.rows * (p.shape.heads / p.shape.kv_heads);
    const dim3 grid((total + Config::kRows - 1) / Config::kRows, p.shape.batch * p.shape.kv_heads, p.splits);
    kernel<<<grid, Config::kThreads, bytes, stream>>>(p);
    if (p.splits > 1) {
        constexpr int kWarps = 4;
        const int64_t rows = static_cast<int64_t>(p.shape.batch) * p.shape.heads * p.shape.rows;
        combine_splits<Variant, T><<<(rows + kWarps - 1) / kWarps, kWarps * 32, 0, stream>>>(p);
    }
    return cudaGetLastError() == cudaSuccess ? ATTNEXPORT_OK : ATTNEXPORT_CUDA_ERROR;
}

// Launches the first of several instantiations whose shared memory the device has.
template <class Variant, class T, class Config, class... Smaller>
int launch_fitting(const ForwardParams<Variant, T> &p, const Device &device, cudaStream_t stream) {
    if (Config::template shared_bytes<T>() <= static_cast<size_t>(device.shared_bytes))
        return launch_forward_as<Variant, T, Config>(p, stream);
    if constexpr (sizeof...(Smaller) > 0) return launch_fitting<Variant, T, Smaller...>(p, device, stream);
    return ATTNEXPORT_UNSUPPORTED;
}

template <class Variant, class T>
int launch_forward(const ForwardParams<Variant, T> &p, const Device &device, cudaStream_t stream) {
    if (p.shape.batch == 0 || p.shape.rows == 0) return ATTNEXPORT_OK;
    const int width = std::max(p.shape.width, p.shape.value_width);
    if (rows_per_block(p.shape) == 16) {
        if (width <= 64) return launch_fitting<Variant, T, ForwardConfig<64, 1, 1, 64>>(p, device, stream);
        if (width <= 128) return launch_fitting<Variant, T, ForwardConfig<128, 1, 1, 64>>(p, device, stream);
        return launch_fitting<Variant, T, ForwardConfig<256, 1, 1, 32>>(p, device, stream);
    }
    if (width <= 32) return launch_fitting<Variant, T, ForwardConfig<32, 2, 4, 64>>(p, device, stream);
    if (width <= 64) return launch_fitting<Variant, T, ForwardConfig<64, 2, 4, 64>>(p, device, stream);
    if (width <= 96) return launch_fitting<Variant, T, ForwardConfig<96, 2, 4, 64>>(p, device, stream);
    if (width <= 128)
        return launch_fitting<Variant, T, ForwardConfig<128, 2, 4, 64>, ForwardConfig<128, 2, 4, 32>>(p, device, stream);
    return launch_fitting<Variant, T, ForwardConfig<256, 1, 4, 32>, ForwardConfig<256, 1, 3, 32>>(p, device, stream);
}

}  // namespace attnexport
