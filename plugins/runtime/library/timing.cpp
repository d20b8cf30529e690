#include "timing.h"

#include "errors.h"

#include <chrono>

namespace attnrt {
namespace {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::duration<double, std::milli>;

constexpr Milliseconds kWarmUp{200};

template <class Body>
double milliseconds(Body &&body) {
    const Clock::time_point start = Clock::now();
    body();
    return Milliseconds(Clock::now() - start).count();
}

template <class Launch>
double gpu_milliseconds(const Stream &stream, const Event &start, const Event &end, Launch &&launch) {
    start.record(stream.get());
    launch();
    end.record(stream.get());
    stream.wait();
    return end.milliseconds_since(start);
}

template <class Body>
void warm_up(Body &&body) {
    const Clock::time_point start = Clock::now();
    do body();
    while (Clock::now() - start < kWarmUp);
}

// Arrays on the device and on the host for runs of these inputs.
struct Prepared {
    std::vector<attnrt_array> inputs, outputs, host_outputs;
    std::vector<std::vector<char>> host_memory;
};

Prepared prepare(Execution &execution, Arrays inputs) {
    Prepared prepared;
    prepared.inputs = execution.upload(inputs);
    prepared.outputs = execution.allocate(inputs);
    prepared.host_outputs = prepared.outputs;
    for (attnrt_array &output : prepared.host_outputs) {
        prepared.host_memory.emplace_back(bytes_of(output));
        output.data = prepared.host_memory.back().data();
    }
    return prepared;
}

}  // namespace

void time_runs(Execution &execution, Arrays inputs, int32_t repeats, const attnrt_times &times) {
    const Prepared prepared = prepare(execution, inputs);
    const Stream &stream = execution.stream();
    const Event start, end;
    const auto enqueue = [&] { execution.enqueue_bound(stream.get()); };
    const auto call = [&] { execution.enqueue(view(prepared.inputs), view(prepared.outputs), stream.get()); };
    const auto waiting = [&](auto &&body) {
        return milliseconds([&] {
            body();
            stream.wait();
        });
    };
    warm_up([&] { waiting(call); });
    // In turn, so that a change of clocks meets each alike.
    for (int32_t index = 0; index < repeats; ++index) {
        if (times.gpu != nullptr) times.gpu[index] = gpu_milliseconds(stream, start, end, enqueue);
        if (times.enqueue != nullptr) times.enqueue[index] = waiting(enqueue);
        if (times.call != nullptr) times.call[index] = waiting(call);
        if (times.run != nullptr)
            times.run[index] = milliseconds([&] { execution.run(inputs, view(prepared.host_outputs)); });
    }
}

void time_graph(Execution &execution, Arrays inputs, int32_t repeats, const attnrt_times &times) {
    const Prepared prepared = prepare(execution, inputs);
    const Stream &stream = execution.stream();
    const Event start, end;
    // TensorRT may allocate in the first run at these shapes.
    execution.enqueue(view(prepared.inputs), view(prepared.outputs), stream.get());
    stream.wait();
    const Graph graph(stream.get(), [&] { execution.enqueue_bound(stream.get()); });
    const auto launch = [&] { graph.launch(stream.get()); };
    const auto launch_and_wait = [&] {
        launch();
        stream.wait();
    };
    warm_up(launch_and_wait);
    for (int32_t index = 0; index < repeats; ++index) {
        if (times.gpu != nullptr) times.gpu[index] = gpu_milliseconds(stream, start, end, launch);
        if (times.enqueue != nullptr) times.enqueue[index] = milliseconds(launch_and_wait);
    }
}

}  // namespace attnrt
