#pragma once

#include "core/dtype.h"
#include "core/tensor.h"
#include "format/mapped_file.h"

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tenfold {

/// One tensor of a safetensors file. `dtype_name` is the file's spelling ("BF16"); `dtype` its element type where we have one.
struct SafetensorsEntry {
  std::string name;
  std::string dtype_name;
  DType dtype = DType::kF32;
  bool supported = true;  ///< false for dtypes we cannot view (F8_*, C64 ...)
  std::vector<int64_t> shape;
  std::span<const std::byte> data;  ///< aligned for its element type

  /// As a view whose name is this object's; the bytes are read-only although the view's pointer is not const. InputError when the
  /// dtype is not supported or the rank is above TensorView::kMaxRank.
  TensorView view() const;
};

/// A validated, mapped safetensors file (huggingface/safetensors, README "Format"): header length, offsets contiguous from 0,
/// sizes equal to shape x dtype, no duplicate. Throws InputError naming file, tensor and fault.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::string& path);
  /// The same validation over bytes in memory, for fuzzing and tests; the bytes must outlive the object.
  SafetensorsFile(std::span<const std::byte> bytes, std::string source);

  const std::string& path() const { return path_; }
  const std::map<std::string, SafetensorsEntry>& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  /// The entry, or InputError that lists near names.
  const SafetensorsEntry& get(std::string_view name) const;
  bool has(std::string_view name) const { return tensors_.contains(std::string(name)); }

 private:
  void parse(std::span<const std::byte> bytes);

  MappedFile file_;
  std::string path_;
  std::map<std::string, SafetensorsEntry> tensors_;
  std::map<std::string, std::string> metadata_;
  std::vector<std::unique_ptr<std::byte[]>> aligned_copies_;  ///< of the tensors that the file keeps at odd addresses
};

/// A tensor to write: name, dtype, shape and contiguous bytes come from the view (its name is the key unless `key` is set).
struct SafetensorsItem {
  std::string key;
  TensorView tensor;
};

/// Writes a safetensors file atomically, tensors ordered by falling dtype alignment, then name; header padded to 8 bytes.
void write_safetensors(const std::string& path, std::span<const SafetensorsItem> items,
                       const std::map<std::string, std::string>& metadata);

/// The tensors of a model directory: model.safetensors, or the shards of model.safetensors.index.json (every mapped name must
/// be in its file).
class SafetensorsDirectory {
 public:
  explicit SafetensorsDirectory(const std::string& directory);
  const SafetensorsEntry& get(std::string_view name) const;
  bool has(std::string_view name) const;
  std::vector<std::string> names() const;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  std::vector<SafetensorsFile> files_;
  std::map<std::string, size_t> file_of_;
};

}  // namespace tenfold
