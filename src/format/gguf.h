#pragma once

#include "core/layout.h"
#include "core/tensor.h"
#include "format/mapped_file.h"

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace tenfold {

/// A metadata value. Integers of every width are widened (u64 above int64 max is an error); arrays are homogeneous.
/// Strings are views into the mapped file.
struct GgufValue {
  std::variant<int64_t, double, bool, std::string_view, std::vector<int64_t>, std::vector<double>, std::vector<bool>,
               std::vector<std::string_view>>
      value;
};

/// One tensor: dims in our order (rows first: the reverse of the file's), its block layout and its bytes in the map.
struct GgufTensor {
  std::string name;
  WeightLayout layout = WeightLayout::kF32;
  bool supported = true;  ///< false for ggml types we do not read; `type_name` says which
  std::string type_name;
  std::vector<int64_t> shape;
  std::span<const std::byte> data;

  /// As a frozen weight of shape (rows, cols); a 1-d tensor is one row. The view's name is this object's name.
  WeightView weight() const;
};

/// A validated, mapped GGUF v3 (and v2) file (ggml-org/ggml, docs/gguf.md). Throws InputError naming file, item and fault on
/// anything truncated, oversized, duplicated, overlapping, misaligned or mistyped.
class GgufFile {
 public:
  explicit GgufFile(const std::string& path);
  /// The same validation over bytes in memory, for fuzzing and tests; the bytes must outlive the object.
  GgufFile(std::span<const std::byte> bytes, std::string source);

  const std::string& path() const { return path_; }
  const std::map<std::string, GgufTensor>& tensors() const { return tensors_; }
  const GgufTensor& get(std::string_view name) const;
  bool has(std::string_view name) const { return tensors_.contains(std::string(name)); }

  bool has_key(std::string_view key) const { return metadata_.contains(std::string(key)); }
  const std::map<std::string, GgufValue>& metadata() const { return metadata_; }
  /// Typed lookups; InputError when the key is missing or of another type.
  std::string_view string(std::string_view key) const;
  int64_t integer(std::string_view key) const;
  double number(std::string_view key) const;
  const std::vector<std::string_view>& strings(std::string_view key) const;
  const std::vector<int64_t>& integers(std::string_view key) const;
  std::optional<int64_t> integer_if(std::string_view key) const;
  std::optional<double> number_if(std::string_view key) const;
  std::optional<std::string_view> string_if(std::string_view key) const;
  std::optional<bool> boolean_if(std::string_view key) const;

 private:
  void parse(std::span<const std::byte> bytes);

  MappedFile file_;
  std::string path_;
  std::map<std::string, GgufValue> metadata_;
  std::map<std::string, GgufTensor> tensors_;
};

/// Whether the file begins with the GGUF magic. IoError when it cannot be read.
bool is_gguf(const std::string& path);

}  // namespace tenfold
