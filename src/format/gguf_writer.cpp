#include "format/gguf_writer.h"

#include "core/checked.h"
#include "core/error.h"
#include "format/atomic_file.h"
#include "format/gguf_types.h"

#include <bit>
#include <cstring>
#include <type_traits>
#include <utility>

namespace tenfold {
namespace {

template <typename T>
requires std::is_trivially_copyable_v<T>
void put(std::string& out, T value) {
  char raw[sizeof(T)];
  std::memcpy(raw, &value, sizeof(T));
  out.append(raw, sizeof(T));
}

void put_string(std::string& out, std::string_view text) {
  put(out, static_cast<uint64_t>(text.size()));
  out += text;
}

template <typename T>
void put_array(std::string& out, GgufType type, const std::vector<T>& values) {
  put(out, static_cast<uint32_t>(type));
  put(out, static_cast<uint64_t>(values.size()));
  for (const T& value : values) {
    if constexpr (std::is_same_v<T, std::string>) {
      put_string(out, value);
    } else {
      put(out, value);
    }
  }
}

}  // namespace

GgufWriter::GgufWriter(int64_t alignment) : alignment_(alignment) {
  TENFOLD_CHECK(alignment >= 8 && alignment <= (int64_t{1} << 30) && std::has_single_bit(static_cast<uint64_t>(alignment)),
                "alignment {}", alignment);
  if (alignment != kGgufDefaultAlignment) set("general.alignment", static_cast<uint32_t>(alignment));
}

void GgufWriter::begin_key(std::string_view key, GgufType type) {
  TENFOLD_CHECK(!key.empty() && static_cast<int64_t>(key.size()) <= kGgufMaxKey, "key of {} bytes", key.size());
  TENFOLD_CHECK(names_.insert("k:" + std::string(key)).second, "{}: set twice", key);
  put_string(metadata_, key);
  put(metadata_, static_cast<uint32_t>(type));
  ++key_count_;
}

template <typename T>
void GgufWriter::set_scalar(std::string_view key, GgufType type, T value) {
  begin_key(key, type);
  put(metadata_, value);
}
template <typename T>
void GgufWriter::set_array(std::string_view key, GgufType type, const std::vector<T>& values) {
  begin_key(key, GgufType::kArray);
  put_array(metadata_, type, values);
}

void GgufWriter::set(std::string_view key, uint32_t value) { set_scalar(key, GgufType::kU32, value); }
void GgufWriter::set(std::string_view key, int32_t value) { set_scalar(key, GgufType::kI32, value); }
void GgufWriter::set(std::string_view key, uint64_t value) { set_scalar(key, GgufType::kU64, value); }
void GgufWriter::set(std::string_view key, int64_t value) { set_scalar(key, GgufType::kI64, value); }
void GgufWriter::set(std::string_view key, float value) { set_scalar(key, GgufType::kF32, value); }
void GgufWriter::set(std::string_view key, double value) { set_scalar(key, GgufType::kF64, value); }
void GgufWriter::set(std::string_view key, bool value) { set_scalar(key, GgufType::kBool, static_cast<uint8_t>(value)); }
void GgufWriter::set(std::string_view key, std::string_view value) {
  begin_key(key, GgufType::kString);
  put_string(metadata_, value);
}
void GgufWriter::set(std::string_view key, const std::vector<std::string>& values) { set_array(key, GgufType::kString, values); }
void GgufWriter::set(std::string_view key, const std::vector<int32_t>& values) { set_array(key, GgufType::kI32, values); }
void GgufWriter::set(std::string_view key, const std::vector<float>& values) { set_array(key, GgufType::kF32, values); }

int64_t GgufWriter::tensor_bytes(WeightLayout layout, std::span<const int64_t> shape) {
  TENFOLD_CHECK(!shape.empty() && shape.back() % block_elements(layout) == 0, "rows of {} in {}",
                shape.empty() ? 0 : shape.back(), name_of(layout));
  const auto elements = checked_product(shape);
  TENFOLD_CHECK(elements.has_value(), "too many elements");
  const auto bytes = checked_mul(*elements / block_elements(layout), block_bytes(layout));
  TENFOLD_CHECK(bytes.has_value(), "too many bytes");
  return *bytes;
}

GgufWriter::Tensor& GgufWriter::describe(std::string_view name, WeightLayout layout, const std::vector<int64_t>& shape) {
  TENFOLD_CHECK(!name.empty() && static_cast<int64_t>(name.size()) <= kGgufMaxName, "tensor name of {} bytes", name.size());
  TENFOLD_CHECK(names_.insert("t:" + std::string(name)).second, "{}: added twice", name);
  TENFOLD_CHECK(!shape.empty() && shape.size() <= 4, "{}: {} dims", name, shape.size());
  Tensor tensor;
  tensor.bytes = tensor_bytes(layout, shape);
  TENFOLD_CHECK(tensor.bytes > 0, "{}: an empty tensor", name);
  put_string(infos_, name);
  put(infos_, static_cast<uint32_t>(shape.size()));
  for (size_t i = shape.size(); i-- > 0;) put(infos_, static_cast<uint64_t>(shape[i]));
  put(infos_, ggml_type_of(layout));
  put(infos_, static_cast<uint64_t>(data_size_));
  data_size_ += round_up(tensor.bytes, alignment_);
  tensors_.push_back(std::move(tensor));
  return tensors_.back();
}

void GgufWriter::add_tensor(std::string_view name, WeightLayout layout, const std::vector<int64_t>& shape,
                            std::span<const std::byte> bytes) {
  Tensor& tensor = describe(name, layout, shape);
  TENFOLD_CHECK(static_cast<int64_t>(bytes.size()) == tensor.bytes, "{}: {} bytes given, its shape takes {}", name, bytes.size(),
                tensor.bytes);
  tensor.view = bytes;
}

void GgufWriter::add_tensor(std::string_view name, const std::vector<int64_t>& shape, std::vector<float> values) {
  Tensor& tensor = describe(name, WeightLayout::kF32, shape);
  TENFOLD_CHECK(static_cast<int64_t>(values.size() * sizeof(float)) == tensor.bytes,
                "{}: {} values given, its shape takes {} bytes", name, values.size(), tensor.bytes);
  tensor.floats = std::move(values);
}

void GgufWriter::add_tensor(std::string_view name, WeightLayout layout, const std::vector<int64_t>& shape,
                            std::function<std::vector<std::byte>()> make) {
  describe(name, layout, shape).make = std::move(make);
}

void GgufWriter::emit(const Sink& sink) const {
  std::string header = "GGUF";
  put(header, uint32_t{3});
  put(header, static_cast<uint64_t>(tensors_.size()));
  put(header, static_cast<uint64_t>(key_count_));
  header += metadata_;
  header += infos_;
  header.resize(static_cast<size_t>(round_up(static_cast<int64_t>(header.size()), alignment_)), '\0');
  sink(std::as_bytes(std::span(header)));
  const std::vector<std::byte> zeros(static_cast<size_t>(alignment_));
  for (const Tensor& tensor : tensors_) {
    std::vector<std::byte> made;
    std::span<const std::byte> bytes = tensor.view;
    if (!tensor.floats.empty()) bytes = std::as_bytes(std::span(tensor.floats));
    if (tensor.make) bytes = made = tensor.make();
    const auto n = static_cast<int64_t>(bytes.size());
    TENFOLD_CHECK(n == tensor.bytes, "a tensor of {} bytes came with {}", tensor.bytes, n);
    sink(bytes);
    sink(std::span(zeros).first(static_cast<size_t>(round_up(n, alignment_) - n)));
  }
}

void GgufWriter::write(const std::string& path) const {
  AtomicFile file(path);
  emit([&](std::span<const std::byte> bytes) { file.write(bytes); });
  file.commit();
}

std::vector<std::byte> GgufWriter::bytes() const {
  std::vector<std::byte> all;
  emit([&](std::span<const std::byte> part) { all.insert(all.end(), part.begin(), part.end()); });
  return all;
}

}  // namespace tenfold
