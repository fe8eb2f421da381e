#pragma once

#include "core/dtype.h"
#include "core/error.h"
#include "core/layout.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

namespace tenfold {

enum class DeviceKind : uint8_t { kCpu, kCuda };

/// A non-owning view of a dense tensor: name, dtype, shape, strides in elements, device, pointer. Trivially copyable.
/// The name must outlive the view (a literal or a member of the owner); it appears in every message about the tensor.
struct TensorView {
  static constexpr int kMaxRank = 4;

  const char* name = "";
  DType dtype = DType::kF32;
  DeviceKind device = DeviceKind::kCpu;
  int rank = 0;
  std::array<int64_t, kMaxRank> shape{};
  std::array<int64_t, kMaxRank> strides{};
  void* data = nullptr;

  TensorView() = default;
  /// A contiguous row-major view on the CPU.
  TensorView(const char* label, DType type, std::initializer_list<int64_t> dims, void* pointer)
      : TensorView(label, type, std::span<const int64_t>(dims.begin(), dims.size()), pointer) {}
  TensorView(const char* label, DType type, std::span<const int64_t> dims, void* pointer);

  bool empty() const { return data == nullptr; }
  int64_t dim(int i) const { return shape[static_cast<size_t>(i)]; }
  int64_t stride(int i) const { return strides[static_cast<size_t>(i)]; }
  int64_t elements() const;
  int64_t bytes() const { return elements() * size_of(dtype); }
  bool is_contiguous() const;

  /// Typed pointer to the first element; aborts if T is not the dtype.
  template <typename T>
  T* ptr() const {
    TENFOLD_CHECK(dtype == DTypeOf<T>::value, "{}: dtype is {}", name, name_of(dtype));
    return static_cast<T*>(data);
  }
  /// Typed pointer to row i of the leading dimension.
  template <typename T>
  T* row(int64_t i) const {
    return ptr<T>() + i * strides[0];
  }
  /// Rows [begin, end) of the leading dimension.
  TensorView rows(int64_t begin, int64_t end) const;
  /// The same bytes under another shape; the view must be contiguous.
  TensorView reshaped(std::initializer_list<int64_t> dims) const;
};

/// "[T, D]" style text of a shape, for messages.
std::string shape_text(const TensorView& t);

/// Scales of an NF4 weight with double quantisation (bitsandbytes, functional.py). `absmax8` empty means plain f32 `absmax`.
struct Nf4Scales {
  const float* absmax = nullptr;         ///< [ceil(n/64)], when not doubly quantised
  const uint8_t* absmax8 = nullptr;      ///< [ceil(n/64)], codes into nested_code
  const float* nested_absmax = nullptr;  ///< [ceil(n/64/256)]
  const float* nested_code = nullptr;    ///< [256]
  float nested_offset = 0.0F;
  const float* code = nullptr;  ///< [16], the quant_map stored beside the weight
};

/// A non-owning view of a frozen weight (rows = out features, cols = in features): the only type a product takes for one.
/// Each row is a whole number of blocks, except NF4, whose blocks of 64 run over the flattened array.
struct WeightView {
  const char* name = "";
  WeightLayout layout = WeightLayout::kF32;
  DeviceKind device = DeviceKind::kCpu;
  int64_t rows = 0;
  int64_t cols = 0;
  const std::byte* data = nullptr;
  Nf4Scales nf4;

  bool empty() const { return data == nullptr; }
  int64_t elements() const { return rows * cols; }
  /// Bytes of the codes or elements (NF4: without its scales).
  int64_t bytes() const;
  /// Bytes of one row; for layouts whose rows are whole blocks.
  int64_t row_bytes() const;
  /// Rows [begin, end) of a weight; not for NF4 with cols % 64 != 0.
  WeightView slice_rows(int64_t begin, int64_t end) const;
};

}  // namespace tenfold
