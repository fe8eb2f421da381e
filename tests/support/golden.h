#pragma once

// What the tests against PyTorch share: the goldens of dev/make_goldens.py, the tolerance they are held to, and why.

#include "data/example.h"
#include "format/safetensors.h"
#include "model/adapter.h"
#include "model/model.h"
#include "support/placed.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

namespace tenfold::test {

/// In the source tree, or beside the program where that is not (dev/bundle --tests).
inline std::string golden_path(const std::string& name) {
  namespace fs = std::filesystem;
  static const fs::path root = fs::exists(TENFOLD_SOURCE_DIR "/tests/golden")
                                   ? fs::path(TENFOLD_SOURCE_DIR)
                                   : fs::canonical("/proc/self/exe").parent_path().parent_path();
  return root / "tests/golden" / name;
}

/// A tensor of a golden file as a vector; the dtype must be T's.
template <typename T>
std::vector<T> golden_values(const SafetensorsFile& file, const std::string& key) {
  const auto& entry = file.get(key);
  EXPECT_EQ(entry.dtype, DTypeOf<T>::value) << key;
  std::vector<T> out(entry.data.size() / sizeof(T));
  std::memcpy(out.data(), entry.data.data(), out.size() * sizeof(T));
  return out;
}

/// The positions whose logits are stored for a sequence of `length` tokens.
inline std::vector<int64_t> golden_rows(const SafetensorsFile& file, int64_t length) {
  std::istringstream text(file.metadata().at("rows_" + std::to_string(length)));
  std::vector<int64_t> rows;
  for (int64_t row = 0; text >> row;) rows.push_back(row);
  EXPECT_FALSE(rows.empty());
  return rows;
}

/// The training records of a shape ("tied", "untied").
inline std::vector<Example> golden_records(const SafetensorsFile& file, const std::string& shape) {
  const auto ids = golden_values<int32_t>(file, "records." + shape + ".ids");
  const auto kinds = golden_values<uint8_t>(file, "records." + shape + ".kinds");
  std::vector<Example> out;
  size_t at = 0;
  for (const int64_t length : golden_values<int64_t>(file, "records." + shape + ".lengths")) {
    Example e;
    e.record = static_cast<int64_t>(out.size());
    for (int64_t t = 0; t < length; ++t, ++at) {
      e.ids.push_back(ids.at(at));
      e.kinds.push_back(kinds.at(at) == 0 ? TokenKind::kNone : kinds.at(at) == 1 ? TokenKind::kAnswer : TokenKind::kDocument);
    }
    out.push_back(std::move(e));
  }
  return out;
}

inline const Example& record_of_length(const std::vector<Example>& records, size_t length) {
  const auto found = std::find_if(records.begin(), records.end(), [&](const Example& e) { return e.ids.size() == length; });
  if (found == records.end()) throw std::runtime_error("no golden record has that length");
  return *found;
}

/// Relative error of the logits in f32, against the largest logit of a row. The goldens are f64 on f32 weights.
///
/// Rounding: a K-term f32 dot product of terms of mixed signs errs by about sqrt(K) u of its size, u = 2^-24; 4 sqrt(K) u holds
/// but for 1 in 3,000 (Higham and Mary 2019). The longest path through a block holds two norms and the products of q or k,
/// scores, values, o, gate or up and down; their errors are independent, so squares add up, over the blocks and the head.
///
/// RoPE: transformers rounds position * inv_freq to f32, we do not: an angle differs by up to u of itself, evenly spread (the rms
/// is 1 / sqrt(3) of that), but for the first frequency, 1, whose product is exact. With r the rms of the other frequencies, a
/// score (up to 8 here, made of a q and a k) differs by 8 sqrt(2) T r u / sqrt(3), and so, relatively, does its probability.
inline double forward_tolerance(const ModelConfig& c, int64_t tokens) {
  const auto terms = static_cast<double>(c.layers * (4 * c.hidden + 2 * c.head_dim + tokens + c.q_size() + c.ffn) + c.hidden);
  double squares = 0;
  for (const float f : rope_frequencies(c.rope, c.head_dim, c.max_position, tokens).inv_freq)
    if (f != 1.0F) squares += static_cast<double>(f) * static_cast<double>(f);
  const double r = std::sqrt(squares / static_cast<double>(c.head_dim / 2));
  const double rope = 8 * std::sqrt(2.0 / 3.0) * static_cast<double>(tokens) * r * std::sqrt(static_cast<double>(c.layers));
  return std::hypot(4 * std::sqrt(terms), rope) * 0x1p-24;
}

/// Relative error of a gradient against the largest of its tensor: the activations it is made of carry the forward's error, and
/// the backward runs through the same products again and sums over the tokens.
inline double backward_tolerance(const ModelConfig& c, int64_t tokens) { return 3 * forward_tolerance(c, tokens); }

inline double largest(const std::vector<float>& values) {
  double out = 0;
  for (const float v : values) out = std::max(out, std::abs(static_cast<double>(v)));
  return out;
}

/// max |actual - expected| over max |expected|; infinite when anything is not finite or the sizes differ.
inline double distance(const std::vector<float>& actual, const std::vector<float>& expected) {
  if (actual.size() != expected.size() || expected.empty()) return INFINITY;
  double worst = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    const double error = std::abs(static_cast<double>(actual[i]) - static_cast<double>(expected[i]));
    if (!std::isfinite(error)) return INFINITY;
    worst = std::max(worst, error);
  }
  return worst / std::max(largest(expected), 1e-300);
}

/// Copies a PEFT file's tensors into an adapter of the same parameters; fails on a key or shape that is not there.
inline void fill_adapter(Device& device, Adapter& adapter, const SafetensorsFile& file) {
  ASSERT_EQ(file.tensors().size(), adapter.parameters().size());
  for (const Parameter& p : adapter.parameters()) {
    const auto values = golden_values<float>(file, p.key);
    ASSERT_EQ(static_cast<int64_t>(values.size()), p.rows * p.cols) << p.key;
    set_values(device, adapter.flat(), values, p.offset);
  }
}

/// Of a flat array in host memory.
inline std::vector<float> parameter_values(const Parameter& p, const TensorView& flat) {
  TENFOLD_CHECK(flat.device == DeviceKind::kCpu, "{} lies on a device", flat.name);
  const float* first = flat.ptr<float>() + p.offset;
  return {first, first + p.rows * p.cols};
}

}  // namespace tenfold::test
