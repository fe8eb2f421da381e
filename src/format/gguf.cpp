#include "format/gguf.h"

#include "core/checked.h"
#include "core/error.h"
#include "format/byte_reader.h"
#include "format/file_handle.h"
#include "format/gguf_types.h"
#include "format/names.h"

#include <algorithm>
#include <array>
#include <bit>
#include <set>
#include <utility>

namespace tenfold {
namespace {

// Far above any real vocabulary; bounds what a large hostile file can make us allocate when small integers are widened.
constexpr uint64_t kMaxArrayElements = uint64_t{1} << 26;

/// A u64 length that must fit what is left of the file, counted in items of `item_bytes`.
int64_t read_count(ByteReader& in, std::string_view source, std::string_view what, int64_t item_bytes) {
  const auto n = in.read<uint64_t>(what);
  if (n > static_cast<uint64_t>(in.remaining() / item_bytes)) {
    throw_input("{}: {} at byte {} says {}, but only {} bytes remain; the file is truncated or corrupt", source, what,
                in.position() - 8, n, in.remaining());
  }
  return static_cast<int64_t>(n);
}

std::string_view read_string(ByteReader& in, std::string_view source, std::string_view what) {
  const auto bytes = in.take(read_count(in, source, what, 1), what);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Bytes that a value of a scalar type takes; strings count their length field; 0 for arrays and unknown types.
int64_t scalar_bytes(GgufType type) {
  switch (type) {
    case GgufType::kU8:
    case GgufType::kI8:
    case GgufType::kBool: return 1;
    case GgufType::kU16:
    case GgufType::kI16: return 2;
    case GgufType::kU32:
    case GgufType::kI32:
    case GgufType::kF32: return 4;
    case GgufType::kString:
    case GgufType::kU64:
    case GgufType::kI64:
    case GgufType::kF64: return 8;
    case GgufType::kArray: return 0;
  }
  return 0;
}

/// Reads the values of one metadata key; `source` and `key` (made safe to print) are for messages.
struct ValueReader {
  ByteReader& in;
  std::string_view source;
  std::string key;

  int64_t integer(GgufType type) {
    switch (type) {
      case GgufType::kU8: return in.read<uint8_t>(key);
      case GgufType::kI8: return in.read<int8_t>(key);
      case GgufType::kU16: return in.read<uint16_t>(key);
      case GgufType::kI16: return in.read<int16_t>(key);
      case GgufType::kU32: return in.read<uint32_t>(key);
      case GgufType::kI32: return in.read<int32_t>(key);
      case GgufType::kI64: return in.read<int64_t>(key);
      default: break;
    }
    const auto value = in.read<uint64_t>(key);
    if (value > static_cast<uint64_t>(INT64_MAX)) throw_input("{}: {}: {} does not fit 63 bits", source, key, value);
    return static_cast<int64_t>(value);
  }
  double number(GgufType type) {
    return type == GgufType::kF32 ? static_cast<double>(in.read<float>(key)) : in.read<double>(key);
  }
  bool boolean() {
    const auto value = in.read<uint8_t>(key);
    if (value > 1) throw_input("{}: {}: a bool is 0 or 1, got {}", source, key, value);
    return value == 1;
  }
  std::string_view string() { return read_string(in, source, key); }

  template <typename T, typename Read>
  GgufValue array(int64_t n, Read read) {
    GgufValue value;
    auto& values = value.value.template emplace<std::vector<T>>();
    values.reserve(static_cast<size_t>(n));  // n was compared with the bytes that remain
    for (int64_t i = 0; i < n; ++i) values.push_back(read());
    return value;
  }

  GgufValue read_array() {
    const auto raw = in.read<uint32_t>(key);
    const auto type = static_cast<GgufType>(raw);
    if (type == GgufType::kArray) throw_input("{}: {}: an array of arrays is not supported", source, key);
    const int64_t item = scalar_bytes(type);
    if (item == 0) throw_input("{}: {}: unknown array element type {}", source, key, raw);
    const int64_t n = read_count(in, source, "array length", item);
    if (static_cast<uint64_t>(n) > kMaxArrayElements) {
      throw_input("{}: {}: an array of {} elements, at most {} are read", source, key, n, kMaxArrayElements);
    }
    switch (type) {
      case GgufType::kF32:
      case GgufType::kF64: return array<double>(n, [&] { return number(type); });
      case GgufType::kBool: return array<bool>(n, [&] { return boolean(); });
      case GgufType::kString: return array<std::string_view>(n, [&] { return string(); });
      default: return array<int64_t>(n, [&] { return integer(type); });
    }
  }

  GgufValue read() {
    const auto raw = in.read<uint32_t>("value type");
    const auto type = static_cast<GgufType>(raw);
    if (raw > static_cast<uint32_t>(GgufType::kF64)) throw_input("{}: {}: unknown value type {}", source, key, raw);
    switch (type) {
      case GgufType::kArray: return read_array();
      case GgufType::kF32:
      case GgufType::kF64: return {number(type)};
      case GgufType::kBool: return {boolean()};
      case GgufType::kString: return {string()};
      default: return {integer(type)};
    }
  }
};

constexpr std::array<std::string_view, 8> kValueNames = {
    "an integer",        "a number",           "a bool", "a string", "an array of integers", "an array of numbers",
    "an array of bools", "an array of strings"};

template <typename T>
constexpr size_t value_index() {
  return GgufValue{T{}}.value.index();
}

/// The value of `key` as T, or null when the key is missing; InputError when it is of another type.
template <typename T>
const T* find_value(const std::map<std::string, GgufValue>& metadata, const std::string& source, std::string_view key) {
  const auto it = metadata.find(std::string(key));
  if (it == metadata.end()) return nullptr;
  const T* const value = std::get_if<T>(&it->second.value);
  if (value == nullptr) {
    throw_input("{}: key {}: expected {}, got {}", source, key, kValueNames[value_index<T>()],
                kValueNames[it->second.value.index()]);
  }
  return value;
}

template <typename T>
const T& need_value(const std::map<std::string, GgufValue>& metadata, const std::string& source, std::string_view key) {
  const T* const value = find_value<T>(metadata, source, key);
  if (value != nullptr) return *value;
  throw_input("{}: key {} is missing; {} is needed{}", source, key, kValueNames[value_index<T>()],
              near_names(key, [&](const auto& visit) {
                for (const auto& [name, ignored] : metadata) visit(name);
              }));
}

/// A tensor info as read, before the data section is known.
struct Placed {
  GgufTensor tensor;
  int64_t offset = 0;
  int64_t bytes = 0;
};

std::vector<int64_t> read_shape(ByteReader& in, const std::string& source, std::string_view name) {
  const auto dims = in.read<uint32_t>("tensor n_dims");
  if (dims < 1 || dims > kGgufMaxDims)
    throw_input("{}: tensor {}: n_dims is {}, expected 1 to {}", source, shown(name), dims, kGgufMaxDims);
  std::vector<int64_t> shape(dims);
  for (size_t i = dims; i-- > 0;) {
    const auto size = in.read<uint64_t>("tensor dims");
    if (size == 0 || size > static_cast<uint64_t>(INT64_MAX)) {
      throw_input("{}: tensor {}: dim {} is {}, expected 1 to {}", source, shown(name), dims - 1 - i, size, INT64_MAX);
    }
    shape[i] = static_cast<int64_t>(size);
  }
  return shape;
}

Placed read_tensor_info(ByteReader& in, const std::string& source) {
  const std::string_view name = read_string(in, source, "tensor name length");
  if (name.empty()) throw_input("{}: a tensor without a name before byte {}", source, in.position());
  if (static_cast<int64_t>(name.size()) > kGgufMaxName) {
    throw_input("{}: tensor name {} has {} bytes, at most {} are allowed", source, shown(name), name.size(), kGgufMaxName);
  }
  Placed placed;
  placed.tensor.name = std::string(name);
  placed.tensor.shape = read_shape(in, source, name);
  const auto id = in.read<uint32_t>("tensor type");
  const GgmlType* const type = ggml_type(id);
  if (type == nullptr) throw_input("{}: tensor {}: unknown or removed ggml type {}", source, shown(name), id);
  placed.tensor.type_name = std::string(type->name);
  placed.tensor.supported = type->layout.has_value();
  placed.tensor.layout = type->layout.value_or(WeightLayout::kF32);
  const int64_t cols = placed.tensor.shape.back();
  if (cols % type->elements != 0) {
    throw_input("{}: tensor {}: rows of {} are not whole blocks of {} ({})", source, shown(name), cols, type->elements,
                type->name);
  }
  const auto elements = checked_product(placed.tensor.shape);
  const auto bytes = elements ? checked_mul(*elements / type->elements, type->bytes) : std::nullopt;
  if (!bytes) throw_input("{}: tensor {}: its dims multiply to more than 63 bits", source, shown(name));
  placed.bytes = *bytes;
  const auto offset = in.read<uint64_t>("tensor offset");
  if (offset > static_cast<uint64_t>(INT64_MAX))
    throw_input("{}: tensor {}: offset {} does not fit 63 bits", source, shown(name), offset);
  placed.offset = static_cast<int64_t>(offset);
  return placed;
}

/// Sets the data of every tensor; refuses what is misaligned, outside the file or shared.
void place_data(std::vector<Placed>& infos, std::span<const std::byte> bytes, int64_t start, int64_t alignment,
                const std::string& source) {
  const int64_t available = static_cast<int64_t>(bytes.size()) - start;
  for (Placed& info : infos) {
    if (info.offset % alignment != 0) {
      throw_input("{}: tensor {}: offset {} is misaligned; a multiple of general.alignment {} is needed", source,
                  shown(info.tensor.name), info.offset, alignment);
    }
    const auto end = checked_add(info.offset, info.bytes);
    if (!end || *end > available) {
      throw_input(
          "{}: tensor {}: {} bytes at offset {} end outside the file, whose data section has {}; the file is truncated or "
          "corrupt",
          source, shown(info.tensor.name), info.bytes, info.offset, std::max<int64_t>(available, 0));
    }
    info.tensor.data = bytes.subspan(static_cast<size_t>(start + info.offset), static_cast<size_t>(info.bytes));
  }
  std::sort(infos.begin(), infos.end(), [](const Placed& a, const Placed& b) { return a.offset < b.offset; });
  for (size_t i = 1; i < infos.size(); ++i) {
    if (infos[i - 1].offset + infos[i - 1].bytes > infos[i].offset) {
      throw_input("{}: tensors {} and {} overlap", source, shown(infos[i - 1].tensor.name), shown(infos[i].tensor.name));
    }
  }
}

void check_version(uint32_t version, const std::string& source) {
  if (version == 2 || version == 3) return;
  if (version != 0 && (version & 0xffffU) == 0) throw_input("{}: a big-endian GGUF file; convert it to little-endian", source);
  throw_input("{}: GGUF version {}, expected 2 or 3; convert it with a current llama.cpp", source, version);
}

int64_t read_alignment(const std::map<std::string, GgufValue>& metadata, const std::string& source) {
  const int64_t* const given = find_value<int64_t>(metadata, source, "general.alignment");
  const int64_t alignment = given != nullptr ? *given : kGgufDefaultAlignment;
  if (alignment < 8 || !std::has_single_bit(static_cast<uint64_t>(alignment))) {
    throw_input("{}: general.alignment is {}, expected a power of two of at least 8", source, alignment);
  }
  return alignment;
}

}  // namespace

WeightView GgufTensor::weight() const {
  if (!supported) throw_input("tensor {}: ggml type {} is not supported as a weight", name, type_name);
  WeightView view;
  view.name = name.c_str();
  view.layout = layout;
  view.cols = shape.back();
  view.rows = 1;
  for (size_t i = 0; i + 1 < shape.size(); ++i) view.rows *= shape[i];
  view.data = data.data();
  return view;
}

GgufFile::GgufFile(const std::string& path) : file_(path), path_(path) { parse(file_.bytes()); }

GgufFile::GgufFile(std::span<const std::byte> bytes, std::string source) : path_(std::move(source)) { parse(bytes); }

void GgufFile::parse(std::span<const std::byte> bytes) {
  constexpr int64_t kSmallestKey = 8 + 1 + 4 + 1;
  constexpr int64_t kSmallestInfo = 8 + 1 + 4 + 8 + 4 + 8;
  ByteReader in(bytes, path_);
  const auto magic = in.take(4, "magic");
  if (std::memcmp(magic.data(), "GGUF", 4) != 0) {
    throw_input("{}: not a GGUF file: the magic is {}, expected \"GGUF\"", path_,
                shown({reinterpret_cast<const char*>(magic.data()), magic.size()}));
  }
  check_version(in.read<uint32_t>("version"), path_);
  const auto tensor_count = in.read<uint64_t>("tensor count");
  if (tensor_count > static_cast<uint64_t>(in.remaining() / kSmallestInfo)) {
    throw_input("{}: tensor count is {}, more than the file's {} bytes can hold", path_, tensor_count, bytes.size());
  }
  const auto key_count = in.read<uint64_t>("key count");
  if (key_count > static_cast<uint64_t>(in.remaining() / kSmallestKey)) {
    throw_input("{}: key count is {}, more than the file's {} bytes can hold", path_, key_count, bytes.size());
  }
  for (uint64_t i = 0; i < key_count; ++i) {
    const std::string_view key = read_string(in, path_, "key length");
    if (key.empty()) throw_input("{}: metadata key {} of {} is empty", path_, i + 1, key_count);
    if (static_cast<int64_t>(key.size()) > kGgufMaxKey) {
      throw_input("{}: metadata key {} has {} bytes, at most {} are allowed", path_, shown(key), key.size(), kGgufMaxKey);
    }
    if (has_key(key)) throw_input("{}: metadata key {} appears twice (duplicate)", path_, shown(key));
    metadata_.emplace(std::string(key), ValueReader{in, path_, "key " + shown(key)}.read());
  }
  const int64_t alignment = read_alignment(metadata_, path_);
  std::vector<Placed> infos;
  std::set<std::string_view> names;
  for (uint64_t i = 0; i < tensor_count; ++i) infos.push_back(read_tensor_info(in, path_));
  for (const Placed& info : infos) {
    if (!names.insert(info.tensor.name).second)
      throw_input("{}: tensor {} appears twice (duplicate)", path_, shown(info.tensor.name));
  }
  names.clear();
  const auto start = checked_add(in.position(), alignment - 1);
  TENFOLD_CHECK(start.has_value(), "position {}, alignment {}", in.position(), alignment);
  place_data(infos, bytes, *start / alignment * alignment, alignment, path_);
  for (Placed& info : infos) {
    std::string name = info.tensor.name;
    tensors_.emplace(std::move(name), std::move(info.tensor));
  }
}

const GgufTensor& GgufFile::get(std::string_view name) const {
  const auto it = tensors_.find(std::string(name));
  if (it != tensors_.end()) return it->second;
  throw_input("{}: there is no tensor {}{}", path_, shown(name), near_names(name, [&](const auto& visit) {
                for (const auto& [known, ignored] : tensors_) visit(known);
              }));
}

std::string_view GgufFile::string(std::string_view key) const { return need_value<std::string_view>(metadata_, path_, key); }
int64_t GgufFile::integer(std::string_view key) const { return need_value<int64_t>(metadata_, path_, key); }
const std::vector<std::string_view>& GgufFile::strings(std::string_view key) const {
  return need_value<std::vector<std::string_view>>(metadata_, path_, key);
}
const std::vector<int64_t>& GgufFile::integers(std::string_view key) const {
  return need_value<std::vector<int64_t>>(metadata_, path_, key);
}
double GgufFile::number(std::string_view key) const {
  const auto value = number_if(key);
  return value ? *value : need_value<double>(metadata_, path_, key);
}
std::optional<int64_t> GgufFile::integer_if(std::string_view key) const {
  const auto* const value = find_value<int64_t>(metadata_, path_, key);
  return value != nullptr ? std::optional(*value) : std::nullopt;
}
std::optional<double> GgufFile::number_if(std::string_view key) const {
  const auto it = metadata_.find(std::string(key));
  if (it != metadata_.end() && std::holds_alternative<int64_t>(it->second.value)) {
    return static_cast<double>(std::get<int64_t>(it->second.value));
  }
  const auto* const value = find_value<double>(metadata_, path_, key);
  return value != nullptr ? std::optional(*value) : std::nullopt;
}
std::optional<std::string_view> GgufFile::string_if(std::string_view key) const {
  const auto* const value = find_value<std::string_view>(metadata_, path_, key);
  return value != nullptr ? std::optional(*value) : std::nullopt;
}
std::optional<bool> GgufFile::boolean_if(std::string_view key) const {
  const auto* const value = find_value<bool>(metadata_, path_, key);
  return value != nullptr ? std::optional(*value) : std::nullopt;
}

bool is_gguf(const std::string& path) {
  const FileHandle file = open_for_reading(path);
  std::array<char, 4> magic{};
  int64_t have = 0;
  while (have < 4) {
    const int64_t n = read_some(file, path, magic.data() + have, 4 - have);
    if (n == 0) return false;
    have += n;
  }
  return std::string_view(magic.data(), magic.size()) == "GGUF";
}

}  // namespace tenfold
