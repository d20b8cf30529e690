// The fused forward kernel on Hopper, by its own matrix products, copies and barriers, under the hooks of the portable
// one.
//
// Serves variants whose initial(norm, row) is the norm, or nothing, plus initial(0, row), over all keys
// that lengths and causality leave. A block stays on its multiprocessor and takes one tile of rows after the other.
#pragma once

#include <sm90/consumer.cuh>
#include <sm90/producer.cuh>

namespace attnexport::sm90 {

template <class Variant, class T, class C>
__global__ void __launch_bounds__(C::kThreads, 1)
    attention_forward(const __grid_constant__ CUtensorMap q, const __grid_constant__ CUtensorMap k,
                      const __grid_constant__ CUtensorMap v, const __grid_constant__ CUtensorMap o,
                      const __grid_constant__ Params<Variant, T> p) {
    static_assert(!Variant::kGeneral && C::kBiases == Variant::kKeyNorms);
    static_assert(!(Variant::kAdds && C::kBiases), "last values would need the place of biases, too");
    unsigned char *memory = dynamic_shared();
    memory += -shared_address(memory) & 1023;
    const Barriers<C> barriers{shared_address(memory) + C::kBarriers};
    if (threadIdx.x == 0) barriers.init();
    prepare_biases<C>(memory);
    __syncthreads();
    const Shape &shape = p.forward.shape;
    const Neighbourhood near = neighbourhood_of<Variant>(p.forward);
    if (threadIdx.x < 128) {
        give_registers<C::kProducerRegisters>();
        if (threadIdx.x < 32) {
            const Sources sources{q, k, v};
            Producer<C, Variant::kAdds> producer(shape, sources, memory, barriers);
            for_row_tiles<C>(shape, near, p.tiles, [&](const RowTile &tile) { producer.take(tile); });
        } else if (C::kBiases && threadIdx.x < 64) {
            produce_biases<C>(shape, near, p.tiles, p.forward.key_norms, memory, barriers);
        }
    } else {
        take_registers<C::kConsumerRegisters>();
        Consumer<Variant, T, C> consumer(p.forward, o, shared_address(memory), barriers);
        for_row_tiles<C>(shape, near, p.tiles, [&](const RowTile &tile) { consumer.take(tile); });
        consumer.end();
    }
}

}  // namespace attnexport::sm90
