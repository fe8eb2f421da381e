#include "model/kv_cache.h"

#include "core/error.h"

#include <numeric>

namespace tenfold {

KvCache::KvCache(Device& device, const ModelConfig& config, DType dtype, int64_t sequences, int64_t capacity)
    : capacity_(capacity),
      kv_heads_(config.kv_heads),
      head_dim_(config.head_dim),
      dtype_(dtype),
      layer_rows_(sequences * capacity),
      lengths_(static_cast<size_t>(sequences), 0),
      pages_(static_cast<size_t>(sequences)) {
  std::iota(pages_.begin(), pages_.end(), int64_t{0});
  const int64_t half = bytes(config, dtype, sequences, capacity) / 2;
  keys_ = device.allocate("kv cache: keys", MemoryUse::kCache, half);
  values_ = device.allocate("kv cache: values", MemoryUse::kCache, half);
}

int64_t KvCache::bytes(const ModelConfig& config, DType dtype, int64_t sequences, int64_t capacity) {
  return 2 * config.layers * sequences * capacity * config.kv_size() * size_of(dtype);
}

void KvCache::set_length(int64_t sequence, int64_t length) {
  TENFOLD_CHECK(0 <= length && length <= capacity_, "length {} of {}", length, capacity_);
  lengths_[static_cast<size_t>(sequence)] = length;
}

void KvCache::fill_zero() {
  keys_.fill_zero();
  values_.fill_zero();
}

TensorView KvCache::keys(int64_t layer) const {
  TensorView all("kv cache: keys", dtype_, {layer_rows_, kv_heads_, head_dim_}, keys_.data());
  all.device = keys_.device_kind();
  all.data = static_cast<std::byte*>(all.data) + layer * all.bytes();
  return all;
}

TensorView KvCache::values(int64_t layer) const {
  TensorView all("kv cache: values", dtype_, {layer_rows_, kv_heads_, head_dim_}, values_.data());
  all.device = values_.device_kind();
  all.data = static_cast<std::byte*>(all.data) + layer * all.bytes();
  return all;
}

}  // namespace tenfold
