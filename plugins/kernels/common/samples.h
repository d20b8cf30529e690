// A call in parts of so many samples that a grid's second axis holds their heads.
#pragma once

#include <common/shape.h>

#include <attnexport/op.h>

#include <algorithm>
#include <vector>

// Smaller where tests want parts of small calls.
#ifndef ATTNEXPORT_MOST_PAIRS
#define ATTNEXPORT_MOST_PAIRS 65535
#endif

namespace attnexport {

constexpr int64_t kMostPairs = ATTNEXPORT_MOST_PAIRS;  // of a sample and a head of keys and values

// Some of a call's samples, as a call of their own. Inputs of three axes or more, and those of int32, have an entry a
// sample where their first axis is as long as the query's; all others are the same for all samples.
class Samples {
  public:
    // As many as one launch takes, from the first on. A call that is not well formed stays whole: its reader refuses
    // it.
    explicit Samples(const attnexport_call &whole) : whole_(whole), part_(whole) {
        const attnexport_tensor &query = whole.inputs[0];
        int64_t kv_heads = kMostPairs;
        for (int input = 0; input < whole.num_inputs; ++input)
            if (whole.inputs[input].rank == 4) kv_heads = std::min(kv_heads, whole.inputs[input].dims[1]);
        all_ = query.rank == 4 ? query.dims[0] : 0;
        at_once_ = std::max<int64_t>(1, kMostPairs / std::max<int64_t>(1, kv_heads));
        if (all_ > at_once_) take(0, 0);
    }

    const attnexport_call &call() const { return part_; }
    bool are_last() const { return first_ + at_once_ >= all_; }

    // Goes on to the next; `s` are the sizes of a part, whose output has elements of so many bytes.
    void advance(const Shape &s, int64_t element_bytes) {
        take(first_ + at_once_, element_bytes * s.heads * s.rows * s.value_width);
    }

  private:
    static int64_t bytes_of(int dtype) { return dtype == ATTNEXPORT_FLOAT32 || dtype == ATTNEXPORT_INT32 ? 4 : 2; }

    void take(int64_t first, int64_t output_bytes) {
        first_ = first;
        inputs_.assign(whole_.inputs, whole_.inputs + whole_.num_inputs);
        for (attnexport_tensor &input : inputs_) {
            const bool has_samples = input.rank >= 3 || (input.rank == 1 && input.dtype == ATTNEXPORT_INT32);
            if (!has_samples || input.dims[0] != all_) continue;
            int64_t bytes = bytes_of(input.dtype);
            for (int axis = 1; axis < input.rank; ++axis) bytes *= input.dims[axis];
            input.dims[0] = std::min(at_once_, all_ - first);
            if (first > 0) input.data = static_cast<const unsigned char *>(input.data) + first * bytes;
        }
        part_.inputs = inputs_.data();
        if (first > 0) part_.output = static_cast<unsigned char *>(whole_.output) + first * output_bytes;
    }

    const attnexport_call whole_;
    attnexport_call part_;
    std::vector<attnexport_tensor> inputs_;
    int64_t all_, at_once_, first_ = 0;
};

}  // namespace attnexport
