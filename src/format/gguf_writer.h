#pragma once

#include "core/layout.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tenfold {

enum class GgufType : uint32_t;

/// Builds a GGUF v3 file (ggml-org/ggml, docs/gguf.md): metadata in the order given, tensor data aligned to `alignment` bytes.
/// What it is given is our own: a wrong shape, size or a repeated name aborts (TENFOLD_CHECK).
class GgufWriter {
 public:
  /// `alignment` is a power of two of at least 8; other than 32 it is also written as general.alignment.
  explicit GgufWriter(int64_t alignment = 32);

  /// Metadata, each stored in the ggml type of its C++ type (float as f32, double as f64).
  void set(std::string_view key, uint32_t value);
  void set(std::string_view key, int32_t value);
  void set(std::string_view key, uint64_t value);
  void set(std::string_view key, int64_t value);
  void set(std::string_view key, float value);
  void set(std::string_view key, double value);
  void set(std::string_view key, bool value);
  void set(std::string_view key, std::string_view value);
  void set(std::string_view key, const char* value) { set(key, std::string_view(value)); }
  void set(std::string_view key, const std::string& value) { set(key, std::string_view(value)); }
  void set(std::string_view key, const std::vector<std::string>& values);
  void set(std::string_view key, const std::vector<int32_t>& values);
  void set(std::string_view key, const std::vector<float>& values);

  /// A tensor of `shape`, rows first (the file reverses it), at most 4 dims; its last dim is a whole number of blocks.
  /// `bytes` is a view that must live until `write`.
  void add_tensor(std::string_view name, WeightLayout layout, const std::vector<int64_t>& shape,
                  std::span<const std::byte> bytes);
  /// An F32 tensor that the writer keeps.
  void add_tensor(std::string_view name, const std::vector<int64_t>& shape, std::vector<float> values);
  /// A tensor whose bytes `make` returns when they are written, so that an export holds one tensor at a time.
  void add_tensor(std::string_view name, WeightLayout layout, const std::vector<int64_t>& shape,
                  std::function<std::vector<std::byte>()> make);

  /// Writes the file atomically. Throws IoError.
  void write(const std::string& path) const;
  /// The same file in memory, for tests.
  std::vector<std::byte> bytes() const;

  /// Bytes of a tensor of this layout and shape.
  static int64_t tensor_bytes(WeightLayout layout, std::span<const int64_t> shape);

 private:
  struct Tensor {
    int64_t bytes = 0;
    std::span<const std::byte> view;
    std::vector<float> floats;
    std::function<std::vector<std::byte>()> make;
  };
  using Sink = std::function<void(std::span<const std::byte>)>;

  void begin_key(std::string_view key, GgufType type);
  template <typename T>
  void set_scalar(std::string_view key, GgufType type, T value);
  template <typename T>
  void set_array(std::string_view key, GgufType type, const std::vector<T>& values);
  Tensor& describe(std::string_view name, WeightLayout layout, const std::vector<int64_t>& shape);
  void emit(const Sink& sink) const;

  int64_t alignment_;
  int64_t key_count_ = 0;
  int64_t data_size_ = 0;  ///< aligned end of the tensors added so far
  std::string metadata_;   ///< encoded
  std::string infos_;      ///< encoded
  std::vector<Tensor> tensors_;
  std::set<std::string, std::less<>> names_;  ///< "k:KEY" and "t:TENSOR", to refuse a repetition
};

}  // namespace tenfold
