// Top-N attention on Hopper.
#include <sm90/launch_lists.cuh>
#include <topn.cuh>

namespace attnexport {

template <class T>
using TopNOfType = TopN;

const sm90::ListRegistration<TopNOfType> topn_on_hopper;

}  // namespace attnexport
