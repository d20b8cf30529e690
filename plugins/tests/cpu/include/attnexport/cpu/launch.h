// Kernel launches: they run at once, whatever the stream.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <tuple>

#pragma GCC visibility push(hidden)

namespace attnexport::cpu {

struct Launch {
    dim3 grid, block;
    size_t shared_bytes;
    const void *kernel;
    const void *call;
    void (*run)(const void *call);  // what every thread does
};

cudaError_t run(const Launch &launch);

template <class... Params>
struct Call {
    void (*kernel)(Params...);
    std::tuple<Params...> arguments;

    static void run(const void *call) {
        const auto &self = *static_cast<const Call *>(call);
        std::apply(self.kernel, self.arguments);
    }
};

}  // namespace attnexport::cpu

#pragma GCC visibility pop

namespace attnexport {

template <class... Params, class... Args>
cudaError_t launch_kernel(void (*kernel)(Params...), dim3 grid, dim3 block, size_t shared, cudaStream_t, Args... args) {
    using Call = cpu::Call<Params...>;
    const Call call{kernel, std::tuple<Params...>(args...)};
    return cpu::run({grid, block, shared, reinterpret_cast<const void *>(kernel), &call, &Call::run});
}

template <class... Params, class... Args>
cudaError_t launch_behind(void (*kernel)(Params...), dim3 grid, dim3 block, size_t shared, cudaStream_t stream,
                          Args... args) {
    return launch_kernel(kernel, grid, block, shared, stream, args...);
}

}  // namespace attnexport

// The CUDA headers declare this overload for nvcc only.
template <class T>
cudaError_t cudaFuncSetAttribute(T *kernel, cudaFuncAttribute attribute, int value) {
    return ::cudaFuncSetAttribute(reinterpret_cast<const void *>(kernel), attribute, value);
}
