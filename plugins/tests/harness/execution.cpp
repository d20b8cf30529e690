#include "execution.h"

#include "check.h"
#include "cuda_check.h"
#include "expectations.h"

#include <vector>

namespace harness {
namespace {

class Run {
  public:
    Run(const Case &given, size_t workspace_bytes, Place place, const Enqueue &enqueue)
        : place_(place),
          enqueue_(enqueue),
          workspace_bytes_(workspace_bytes),
          output_(place, given.output.bytes()),
          workspace_(place, workspace_bytes) {
        for (const Tensor &input : given.inputs) {
            inputs_.emplace_back(place, input.data);
            input_pointers_.push_back(inputs_.back().data());
        }
        if (place_ == Place::kDevice) cuda_check(cudaStreamCreate(&stream_));
    }

    ~Run() {
        if (stream_ != nullptr) cudaStreamDestroy(stream_);
    }

    std::vector<char> direct() {
        poison();
        check(launch(), "enqueue succeeds");
        return result();
    }

    std::vector<char> from_graph() {
        poison();
        cudaGraph_t graph;
        cudaGraphExec_t executable;
        cuda_check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeGlobal));
        const bool launched = launch();
        cuda_check(cudaStreamEndCapture(stream_, &graph));
        check(launched, "enqueue succeeds while a CUDA graph is captured");
        cuda_check(cudaGraphInstantiateWithFlags(&executable, graph, 0));
        cuda_check(cudaGraphLaunch(executable, stream_));
        const std::vector<char> bytes = result();
        cuda_check(cudaGraphExecDestroy(executable));
        cuda_check(cudaGraphDestroy(graph));
        return bytes;
    }

    std::vector<char> without_plugin(const attnexport_op &op, const Case &given) {
        poison();
        const DirectCall call(op, given, input_pointers_.data(), output_.data());
        check(op.launch(call.get(), workspace_.data(), workspace_bytes_, stream_) == ATTNEXPORT_OK,
              "the operator launches without the plugin");
        return result();
    }

    bool inputs_unchanged(const Case &given) const {
        for (size_t place = 0; place < inputs_.size(); ++place)
            if (inputs_[place].read() != given.inputs[place].data) return false;
        return true;
    }

    bool guards_intact() const {
        for (const Buffer &input : inputs_)
            if (!input.guards_intact()) return false;
        return output_.guards_intact() && workspace_.guards_intact();
    }

  private:
    void poison() {
        output_.fill_with_nans();
        workspace_.fill_with_nans();
    }

    bool launch() {
        void *const outputs[] = {output_.data()};
        return enqueue_(input_pointers_.data(), outputs, workspace_.data(), stream_);
    }

    std::vector<char> result() const {
        if (place_ == Place::kDevice) cuda_check(cudaStreamSynchronize(stream_));
        return output_.read();
    }

    Place place_;
    const Enqueue &enqueue_;
    size_t workspace_bytes_;
    Buffer output_, workspace_;
    std::vector<Buffer> inputs_;
    std::vector<const void *> input_pointers_;
    cudaStream_t stream_ = nullptr;
};

}  // namespace

void check_execution(const attnexport_op &op, const Case &given, size_t workspace_bytes, Place place,
                     const Enqueue &enqueue) {
    Run run(given, workspace_bytes, place, enqueue);
    const std::vector<char> first = run.direct();
    check(run.direct() == first, "a second run gives equal bits");
    if (place == Place::kDevice) check(run.from_graph() == first, "a CUDA graph gives equal bits");
    check(run.without_plugin(op, given) == first, "which gives equal bits, too");
    check(run.inputs_unchanged(given), "the inputs are unchanged");
    check(run.guards_intact(), "nothing is written outside the output and the workspace");
    if (!given.output_path.empty()) write_file(given.output_path, first);
}

}  // namespace harness
