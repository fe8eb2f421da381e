// How a decoded token begins; the other ops of ops/decode.h lie beside those that they are made of (gemv.cu, rope.cu,
// attention_decode.cu). What reads the place at its start must not overlap with what writes it, so these are plain launches.
#include "ops/decode.h"

#include "ops/cuda/attention_bodies.h"
#include "ops/cuda/bodies.h"
#include "ops/cuda/device_rows.h"

namespace tenfold::cuda {
namespace {

__global__ void put_place(ops::DecodePlace* place, ops::DecodePlace value) { *place = value; }

ops::DecodePlace* place_of(const TensorView& t) { return static_cast<ops::DecodePlace*>(t.data); }

}  // namespace

bool decodes(int64_t head_dim) { return head_dim <= kDecodeHeadDim; }

void decode_place(Exec& exec, int64_t position, int32_t id, const TensorView& place) {
  put_place<<<1, 1, 0, context_of(exec).stream()>>>(place_of(place), ops::DecodePlace{position, id});
  TENFOLD_LAUNCHED();
}

void decode_begin(Exec& exec, const TensorView& place, const WeightView& table, const TensorView& inv_freq,
                  float attention_factor, const TensorView& x, const TensorView& cos, const TensorView& sin) {
  const Context& context = context_of(exec);
  const ops::DecodePlace* p = place_of(place);
  // The id is the lower half of its word.
  embedding_of(context, reinterpret_cast<const int32_t*>(&p->id), table, x);
  rope_table_of(context, inv_freq.ptr<float>(), &p->position, attention_factor, cos, sin);
}

}  // namespace tenfold::cuda
