#include "core/checked.h"
#include "core/error.h"
#include "format/atomic_file.h"
#include "format/json.h"
#include "format/safetensors.h"

#include <algorithm>
#include <cstring>
#include <set>

namespace tenfold {
namespace {

std::string_view safetensors_name(DType dtype) {
  switch (dtype) {
    case DType::kF32: return "F32";
    case DType::kBF16: return "BF16";
    case DType::kF16: return "F16";
    case DType::kF64: return "F64";
    case DType::kI64: return "I64";
    case DType::kI32: return "I32";
    case DType::kI16: return "I16";
    case DType::kI8: return "I8";
    case DType::kU8: return "U8";
    case DType::kBool: return "BOOL";
  }
  TENFOLD_CHECK(false, "dtype {}", static_cast<int>(dtype));
}

std::string_view key_of(const SafetensorsItem& item) { return item.key.empty() ? std::string_view(item.tensor.name) : item.key; }

/// The items as upstream orders them: the widest dtypes first, so that each starts aligned, then by name.
std::vector<const SafetensorsItem*> in_file_order(std::span<const SafetensorsItem> items) {
  std::vector<const SafetensorsItem*> order;
  std::set<std::string_view> keys;
  for (const SafetensorsItem& item : items) {
    const TensorView& t = item.tensor;
    TENFOLD_CHECK(!key_of(item).empty() && key_of(item) != "__metadata__" && keys.insert(key_of(item)).second, "key \"{}\"",
                  key_of(item));
    TENFOLD_CHECK(t.device == DeviceKind::kCpu && t.is_contiguous() && (t.data != nullptr || t.elements() == 0),
                  "{}: only contiguous tensors in host memory are written", key_of(item));
    order.push_back(&item);
  }
  std::sort(order.begin(), order.end(), [](const SafetensorsItem* a, const SafetensorsItem* b) {
    const int64_t wide_a = size_of(a->tensor.dtype);
    const int64_t wide_b = size_of(b->tensor.dtype);
    return wide_a != wide_b ? wide_a > wide_b : key_of(*a) < key_of(*b);
  });
  return order;
}

std::string encode_header(const std::vector<const SafetensorsItem*>& order, const std::map<std::string, std::string>& metadata) {
  std::string header = "{";
  if (!metadata.empty()) header += "\"__metadata__\":" + Json(metadata).dump();
  int64_t offset = 0;
  for (const SafetensorsItem* item : order) {
    const TensorView& t = item->tensor;
    if (header.size() > 1) header += ',';
    header += Json(key_of(*item)).dump() + fmt::format(":{{\"dtype\":\"{}\",\"shape\":[", safetensors_name(t.dtype));
    for (int i = 0; i < t.rank; ++i) header += fmt::format("{}{}", i > 0 ? "," : "", t.dim(i));
    header += fmt::format("],\"data_offsets\":[{},{}]}}", offset, offset + t.bytes());
    offset += t.bytes();
  }
  header += '}';
  header.resize(static_cast<size_t>(round_up(static_cast<int64_t>(header.size()), 8)), ' ');
  return header;
}

}  // namespace

void write_safetensors(const std::string& path, std::span<const SafetensorsItem> items,
                       const std::map<std::string, std::string>& metadata) {
  const auto order = in_file_order(items);
  const std::string header = encode_header(order, metadata);
  std::string prefix(sizeof(uint64_t), '\0');
  const auto length = static_cast<uint64_t>(header.size());
  std::memcpy(prefix.data(), &length, sizeof(length));
  AtomicFile file(path);
  file.write(prefix + header);
  for (const SafetensorsItem* item : order) {
    file.write(std::span(static_cast<const std::byte*>(item->tensor.data), static_cast<size_t>(item->tensor.bytes())));
  }
  file.commit();
}

}  // namespace tenfold
