#pragma once

#include "core/tensor.h"
#include "device/device.h"
#include "model/config.h"

#include <cstdint>
#include <vector>

namespace tenfold {

/// Keys (after RoPE) and values of every layer, in the compute dtype. Addressed through a page table, even while a page is a
/// whole sequence: sequence s lies in page s.
class KvCache {
 public:
  /// Room for `sequences` sequences of `capacity` tokens each. Throws DeviceError.
  KvCache(Device& device, const ModelConfig& config, DType dtype, int64_t sequences, int64_t capacity);

  int64_t capacity() const { return capacity_; }
  int64_t length(int64_t sequence) const { return lengths_[static_cast<size_t>(sequence)]; }
  /// Forgets what comes after the first `length` tokens, or marks as many as filled.
  void set_length(int64_t sequence, int64_t length);
  /// First row of a sequence in keys() and values().
  int64_t row(int64_t sequence) const { return pages_[static_cast<size_t>(sequence)] * capacity_; }
  void fill_zero();
  TensorView keys(int64_t layer) const;    ///< (sequences * capacity, G, E)
  TensorView values(int64_t layer) const;  ///< the same shape

  static int64_t bytes(const ModelConfig& config, DType dtype, int64_t sequences, int64_t capacity);

 private:
  int64_t capacity_ = 0;
  int64_t kv_heads_ = 0;
  int64_t head_dim_ = 0;
  DType dtype_ = DType::kF32;
  int64_t layer_rows_ = 0;
  std::vector<int64_t> lengths_;
  std::vector<int64_t> pages_;
  Buffer keys_;
  Buffer values_;
};

}  // namespace tenfold
