// Affine-scaled attention on Hopper.
#include <affine.cuh>
#include <sm90/launch.cuh>

namespace attnexport {

const sm90::Registration<Affine> affine_on_hopper;

}  // namespace attnexport
