// Selective synchronization attention on Hopper, without selections.
#include <sm90/launch.cuh>
#include <ssa.cuh>

namespace attnexport {

template <class T>
using SsaOfAll = Ssa<T, false>;

const sm90::Registration<SsaOfAll> ssa_on_hopper;

}  // namespace attnexport
