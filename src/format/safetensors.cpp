#include "format/safetensors.h"

#include "core/checked.h"
#include "core/error.h"
#include "format/byte_reader.h"
#include "format/json.h"
#include "format/names.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <optional>
#include <utility>

namespace tenfold {
namespace {

constexpr uint64_t kMaxHeader = 100'000'000;

struct TypeInfo {
  std::string_view name;
  int64_t bits;
  std::optional<DType> dtype;
};

// safetensors/src/tensor.rs, enum Dtype.
constexpr std::array<TypeInfo, 22> kTypes = {{
    {"BOOL", 8, DType::kBool},  {"U8", 8, DType::kU8},    {"I8", 8, DType::kI8},
    {"I16", 16, DType::kI16},   {"U16", 16, {}},          {"F16", 16, DType::kF16},
    {"BF16", 16, DType::kBF16}, {"I32", 32, DType::kI32}, {"U32", 32, {}},
    {"F32", 32, DType::kF32},   {"C64", 64, {}},          {"F64", 64, DType::kF64},
    {"I64", 64, DType::kI64},   {"U64", 64, {}},          {"F4", 4, {}},
    {"F6_E2M3", 6, {}},         {"F6_E3M2", 6, {}},       {"F8_E5M2", 8, {}},
    {"F8_E4M3", 8, {}},         {"F8_E8M0", 8, {}},       {"F8_E4M3FNUZ", 8, {}},
    {"F8_E5M2FNUZ", 8, {}},
}};

const TypeInfo* find_type(std::string_view name) {
  for (const TypeInfo& type : kTypes) {
    if (type.name == name) return &type;
  }
  return nullptr;
}

/// A non-negative integer of the header; doubles and negatives are mistyped here, whatever their value.
int64_t read_size(const Json& value, const std::string& source, std::string_view name, std::string_view field) {
  if (!value.is_number_unsigned())
    throw_input("{}: tensor {}: {} must be non-negative integers, got {}", source, shown(name), field, value.type_name());
  const auto size = value.get<uint64_t>();
  if (size > static_cast<uint64_t>(INT64_MAX))
    throw_input("{}: tensor {}: {} has {}, which overflows", source, shown(name), field, size);
  return static_cast<int64_t>(size);
}

const Json& need_field(const Json& entry, const char* field, const std::string& source, std::string_view name) {
  const auto it = entry.find(field);
  if (it == entry.end()) throw_input("{}: tensor {}: {} is missing", source, shown(name), field);
  return *it;
}

struct Placed {
  SafetensorsEntry entry;
  int64_t begin = 0;
  int64_t end = 0;
  int64_t element_bytes = 1;
};

Placed read_entry(const std::string& name, const Json& json, const std::string& source, std::span<const std::byte> data) {
  if (!json.is_object()) throw_input("{}: tensor {}: expected an object, got {}", source, shown(name), json.type_name());
  Placed placed;
  placed.entry.name = name;
  const Json& dtype = need_field(json, "dtype", source, name);
  if (!dtype.is_string()) throw_input("{}: tensor {}: dtype must be a string, got {}", source, shown(name), dtype.type_name());
  placed.entry.dtype_name = dtype.get<std::string>();
  const TypeInfo* const type = find_type(placed.entry.dtype_name);
  if (type == nullptr) throw_input("{}: tensor {}: unknown dtype {}", source, shown(name), shown(placed.entry.dtype_name));
  placed.entry.supported = type->dtype.has_value();
  placed.entry.dtype = type->dtype.value_or(DType::kU8);
  placed.element_bytes = std::max<int64_t>(1, type->bits / 8);

  const Json& shape = need_field(json, "shape", source, name);
  if (!shape.is_array()) throw_input("{}: tensor {}: shape must be an array, got {}", source, shown(name), shape.type_name());
  for (const Json& size : shape) placed.entry.shape.push_back(read_size(size, source, name, "shape"));

  const Json& offsets = need_field(json, "data_offsets", source, name);
  if (!offsets.is_array() || offsets.size() != 2) {
    throw_input("{}: tensor {}: data_offsets must be an array of 2 integers", source, shown(name));
  }
  placed.begin = read_size(offsets[0], source, name, "data_offsets");
  placed.end = read_size(offsets[1], source, name, "data_offsets");
  const auto available = static_cast<int64_t>(data.size());
  if (placed.begin > placed.end) {
    throw_input("{}: tensor {}: data_offsets [{}, {}) run backwards", source, shown(name), placed.begin, placed.end);
  }
  if (placed.end > available) {
    throw_input(
        "{}: tensor {}: data_offsets [{}, {}) end outside the file, whose data section has {} bytes; the file is truncated or "
        "corrupt",
        source, shown(name), placed.begin, placed.end, available);
  }
  const auto elements = checked_product(placed.entry.shape);
  const auto bits = elements ? checked_mul(*elements, type->bits) : std::nullopt;
  if (!bits) throw_input("{}: tensor {}: the product of its shape overflows", source, shown(name));
  if (*bits % 8 != 0)
    throw_input("{}: tensor {}: {} elements of {} bits are not whole bytes", source, shown(name), *elements, type->bits);
  if (*bits / 8 != placed.end - placed.begin) {
    throw_input("{}: tensor {}: its shape takes {} bytes, its data_offsets have {}", source, shown(name), *bits / 8,
                placed.end - placed.begin);
  }
  placed.entry.data = data.subspan(static_cast<size_t>(placed.begin), static_cast<size_t>(placed.end - placed.begin));
  return placed;
}

std::map<std::string, std::string> read_metadata(const Json& json, const std::string& source) {
  if (!json.is_object()) throw_input("{}: __metadata__ must be an object, got {}", source, json.type_name());
  std::map<std::string, std::string> metadata;
  for (const auto& [key, value] : json.items()) {
    if (!value.is_string()) throw_input("{}: __metadata__ {}: must be a string, got {}", source, shown(key), value.type_name());
    metadata.emplace(key, value.get<std::string>());
  }
  return metadata;
}

/// The tensors must tile the data section: no byte unused (it could hide something), none used twice.
void check_tiling(std::vector<Placed>& placed, int64_t data_bytes, const std::string& source) {
  std::sort(placed.begin(), placed.end(),
            [](const Placed& a, const Placed& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  int64_t at = 0;
  for (const Placed& p : placed) {
    if (p.begin != at) {
      throw_input("{}: tensor {}: its data begin at {}, expected {} ({})", source, shown(p.entry.name), p.begin, at,
                  p.begin < at ? "it overlaps the tensor before it" : "a hole before it");
    }
    at = p.end;
  }
  if (at != data_bytes) {
    throw_input("{}: the tensors end at {} but the data section has {} bytes (trailing bytes)", source, at, data_bytes);
  }
}

}  // namespace

TensorView SafetensorsEntry::view() const {
  if (!supported) throw_input("tensor {}: dtype {} is not supported", name, dtype_name);
  if (shape.size() > static_cast<size_t>(TensorView::kMaxRank)) {
    throw_input("tensor {}: {} dims, at most {} are supported", name, shape.size(), TensorView::kMaxRank);
  }
  return {name.c_str(), dtype, shape, const_cast<std::byte*>(data.data())};
}

SafetensorsFile::SafetensorsFile(const std::string& path) : file_(path), path_(path) { parse(file_.bytes()); }

SafetensorsFile::SafetensorsFile(std::span<const std::byte> bytes, std::string source) : path_(std::move(source)) {
  parse(bytes);
}

void SafetensorsFile::parse(std::span<const std::byte> bytes) {
  ByteReader in(bytes, path_);
  const auto header_bytes = in.read<uint64_t>("header length");
  if (header_bytes > kMaxHeader) {
    throw_input("{}: header length is {}, at most {} is allowed; this is not a safetensors file or it is corrupt", path_,
                header_bytes, kMaxHeader);
  }
  const auto raw = in.take(static_cast<int64_t>(header_bytes), "header");
  const std::string_view header(reinterpret_cast<const char*>(raw.data()), raw.size());
  if (!header.starts_with('{')) throw_input("{}: the header does not begin with '{{'; this is not a safetensors file", path_);
  Json json = parse_json(header, path_ + " (header)");
  const auto data = in.take(in.remaining(), "data");
  std::vector<Placed> placed;
  for (const auto& [name, value] : json.items()) {
    if (name == "__metadata__") {
      metadata_ = read_metadata(value, path_);
    } else {
      placed.push_back(read_entry(name, value, path_, data));
    }
  }
  check_tiling(placed, static_cast<int64_t>(data.size()), path_);
  for (Placed& p : placed) {
    const auto size = p.entry.data.size();
    if (size > 0 && reinterpret_cast<uintptr_t>(p.entry.data.data()) % static_cast<uintptr_t>(p.element_bytes) != 0) {
      auto copy = std::make_unique_for_overwrite<std::byte[]>(size);
      std::memcpy(copy.get(), p.entry.data.data(), size);
      p.entry.data = {copy.get(), size};
      aligned_copies_.push_back(std::move(copy));
    }
    std::string name = p.entry.name;
    tensors_.emplace(std::move(name), std::move(p.entry));
  }
}

const SafetensorsEntry& SafetensorsFile::get(std::string_view name) const {
  const auto it = tensors_.find(std::string(name));
  if (it != tensors_.end()) return it->second;
  throw_input("{}: there is no tensor {}{}", path_, shown(name), near_names(name, [&](const auto& visit) {
                for (const auto& [known, ignored] : tensors_) visit(known);
              }));
}

SafetensorsDirectory::SafetensorsDirectory(const std::string& directory) : path_(directory) {
  namespace fs = std::filesystem;
  const fs::path root(directory);
  std::error_code error;
  if (!fs::is_directory(root, error)) throw_io("cannot read the model directory {}: no such directory", directory);
  const std::string single = (root / "model.safetensors").string();
  if (fs::exists(single, error)) {
    files_.emplace_back(single);
    for (const auto& [name, ignored] : files_[0].tensors()) file_of_.emplace(name, 0);
    return;
  }
  const std::string index = (root / "model.safetensors.index.json").string();
  if (!fs::exists(index, error)) {
    throw_input(
        "{}: neither model.safetensors nor model.safetensors.index.json is there; a Hugging Face model directory is expected"
        " (pytorch_model.bin files must be converted to safetensors first)",
        directory);
  }
  const Json json = parse_json(read_text_file(index), index);
  const auto map = json.is_object() ? json.find("weight_map") : json.end();
  if (map == json.end() || !map->is_object())
    throw_input("{}: weight_map: expected an object of tensor name to file name", index);
  std::map<std::string, size_t> opened;
  for (const auto& [name, value] : map->items()) {
    if (!value.is_string()) throw_input("{}: weight_map {}: expected a file name, got {}", index, shown(name), value.type_name());
    const auto file = value.get<std::string>();
    // The index comes with the download: it must not name files elsewhere on the machine.
    if (file.empty() || file == "." || file == ".." || file.find('/') != std::string::npos ||
        file.find('\0') != std::string::npos) {
      throw_input("{}: weight_map {}: {} is not a file name in the same directory", index, shown(name), shown(file));
    }
    const auto [it, added] = opened.emplace(file, files_.size());
    if (added) files_.emplace_back((root / file).string());
    if (!files_[it->second].has(name))
      throw_input("{}: weight_map puts {} into {}, which does not have it", index, shown(name), file);
    file_of_.emplace(name, it->second);
  }
}

const SafetensorsEntry& SafetensorsDirectory::get(std::string_view name) const {
  const auto it = file_of_.find(std::string(name));
  if (it != file_of_.end()) return files_[it->second].get(name);
  throw_input("{}: there is no tensor {}{}", path_, shown(name), near_names(name, [&](const auto& visit) {
                for (const auto& [known, ignored] : file_of_) visit(known);
              }));
}

bool SafetensorsDirectory::has(std::string_view name) const { return file_of_.contains(std::string(name)); }

std::vector<std::string> SafetensorsDirectory::names() const {
  std::vector<std::string> all;
  for (const auto& [name, ignored] : file_of_) all.push_back(name);
  return all;
}

}  // namespace tenfold
