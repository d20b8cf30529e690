// The plan of a variant's calls: what all of them read, lay out and launch.
#pragma once

#include <common/plan.h>
#include <common/row_norms.cuh>
#include <selection/launch_gather.cuh>
#include <selection/launch_select.cuh>

namespace attnexport {

inline bool covers(const Shape &s) {
    return s.width >= 1 && s.value_width >= 1 && std::max(s.width, s.value_width) <= kMaxWidth;
}

// Whether the kernel that serves this shape computes the keys' norms on the way.
template <class T>
bool fuses_norms(const Shape &s) {
    return uses_tensor_cores<T>(s) && s.group_rows() <= kFewRows;
}

// Inputs of a variant that is given nothing but queries, keys and values.
enum PlainInput { kQuery, kKey, kValue, kPlainLengths };
constexpr attnexport_input kPlainInputs[] = {
    {"q", nullptr, 0}, {"k", nullptr, 0}, {"v", nullptr, 0}, {"kv_lengths", nullptr, 1}, {"q_start", nullptr, 1}};

// Places of a call's inputs; q_start follows kv_lengths.
struct ForwardInputs {
    int query = kQuery, key = kKey, value = kValue, lengths = kPlainLengths;
};

// A variant's plan derives from this. Its prepare() fills forward.row_params, calls read(), checks what else was given,
// takes workspace of its own and calls take_workspace(). General serves what Variant does not: selections and grids.
template <class T, class Variant, class General = Variant>
struct ForwardPlan {
    ForwardParams<typename Variant::RowParams, T> forward{};
    SelectParams select{};
    void *gather_memory = nullptr;
    float *key_norms = nullptr;
    size_t bytes = 0;

    const Shape &shape() const { return forward.shape; }

    // Reads shapes and places. Returns attnexport_status.
    int read(const Call &call, const ForwardInputs &inputs, bool causal) {
        const int status =
            call.read_shape(inputs.query, inputs.key, inputs.value, inputs.lengths, causal, &forward.shape);
        forward.q = call.data<T>(inputs.query);
        forward.k = call.data<T>(inputs.key);
        forward.v = call.data<T>(inputs.value);
        forward.out = call.output<T>();
        return status;
    }

    // Lays the workspace out; a selection keeps `kept` keys a row, all of them where it is 0. Returns
    // attnexport_status.
    int take_workspace(Workspace &workspace, int64_t kept = 0) {
        const Shape &s = forward.shape;
        const bool selects = kept > 0 && kept < s.keys;
        if (!covers(s) || (selects && !kTopK)) return ATTNEXPORT_UNSUPPORTED;
        if (Variant::kKeyNorms) key_norms = workspace.take<float>(static_cast<size_t>(s.pairs()) * s.keys);
        forward.partial_sums = workspace.take<float>(most_split_parts(s) * s.value_width);
        forward.partial_states = workspace.take<float2>(most_split_parts(s));
        if (selects) {
            take_select_workspace(workspace, static_cast<int>(kept));
            gather_memory = workspace.take<unsigned char>(gather_bytes<T>(s, select.wanted));
        }
        bytes = workspace.used();
        return ATTNEXPORT_OK;
    }

    // What a plan does that reads nothing more.
    int prepare_plain(const Call &call, bool causal, void *base, int64_t kept = 0) {
        const int status = read(call, ForwardInputs{}, causal);
        Workspace workspace(base);
        return status == ATTNEXPORT_OK ? take_workspace(workspace, kept) : status;
    }

    int launch(const Device &device, cudaStream_t stream) {
        forward.splits = select.wanted > 0
                             ? choose_select_splits<T>(forward.shape, forward.neighbourhood.window, device)
                             : choose_splits<T>(forward.shape, forward.neighbourhood.window, device);
        const int status = write_key_norms(stream);
        if (status != ATTNEXPORT_OK) return status;
        if (select.wanted == 0 && forward.neighbourhood.grid_width == 0)
            return launch_forward<Variant>(forward, device, stream);
        return launch_general(device, stream);
    }

  private:
    void take_select_workspace(Workspace &workspace, int kept) {
        select.wanted = kept;
        select.thresholds = workspace.take<Threshold>(total_rows(forward.shape));
        select.bins = workspace.take<int>(most_split_rows(forward.shape) * kBins);
        select.states = workspace.take<SelectionState>(most_split_rows(forward.shape));
        forward.thresholds = select.thresholds;
    }

    SelectionWay way() const { return way_of_selection<T>(forward.shape, select.wanted); }

    int write_key_norms(cudaStream_t stream) {
        if constexpr (Variant::kKeyNorms) {
            const bool fused = select.wanted > 0 ? way() == SelectionWay::kScores : fuses_norms<T>(forward.shape);
            if (fused) return ATTNEXPORT_OK;
            forward.key_norms = key_norms;
            const int64_t keys = static_cast<int64_t>(forward.shape.pairs()) * forward.shape.keys;
            return launch_row_norms(forward.k, key_norms, keys, forward.shape.width, -0.5f, stream);
        }
        return ATTNEXPORT_OK;
    }

    int gather(const Device &device, cudaStream_t stream) {
        auto whole = forward;
        whole.splits = 1;
        return launch_gather<General>(whole, way(), select.wanted, gather_memory, device, stream);
    }

    int launch_general(const Device &device, cudaStream_t stream) {
        if constexpr (General::kGeneral && kTopK)
            if (select.wanted > 0) {
                if constexpr (sizeof(T) == 2)
                    if (way() != SelectionWay::kThresholds) return gather(device, stream);
                const int status = launch_select<General>(forward, select, device, stream);
                return status == ATTNEXPORT_OK ? launch_forward<General>(forward, device, stream) : status;
            }
        if constexpr (General::kGeneral && General::kNear) return launch_forward<General>(forward, device, stream);
        return ATTNEXPORT_UNSUPPORTED;
    }
};

}  // namespace attnexport
