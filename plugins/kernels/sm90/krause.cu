// Krause attention on Hopper, without neighbourhoods and selections.
#include <krause.cuh>
#include <sm90/launch.cuh>

namespace attnexport {

template <class T>
using KrauseOfAll = Krause<T, false>;

const sm90::Registration<KrauseOfAll> krause_on_hopper;

}  // namespace attnexport
