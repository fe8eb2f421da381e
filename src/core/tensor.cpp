#include "core/tensor.h"

#include "core/checked.h"

namespace tenfold {

TensorView::TensorView(const char* label, DType type, std::span<const int64_t> dims, void* pointer)
    : name(label), dtype(type), rank(static_cast<int>(dims.size())), data(pointer) {
  TENFOLD_CHECK(dims.size() <= kMaxRank, "{}: rank {}", label, dims.size());
  int64_t stride = 1;
  for (size_t i = dims.size(); i-- > 0;) {
    shape[i] = dims[i];
    strides[i] = stride;
    stride *= dims[i];
  }
}

int64_t TensorView::elements() const {
  int64_t n = 1;
  for (int i = 0; i < rank; ++i) n *= dim(i);
  return n;
}

bool TensorView::is_contiguous() const {
  int64_t expected = 1;
  for (int i = rank; i-- > 0;) {
    if (dim(i) != 1 && stride(i) != expected) return false;
    expected *= dim(i);
  }
  return true;
}

TensorView TensorView::rows(int64_t begin, int64_t end) const {
  TENFOLD_CHECK(rank >= 1 && 0 <= begin && begin <= end && end <= dim(0), "{}: rows [{}, {}) of {}", name, begin, end, dim(0));
  TensorView out = *this;
  out.shape[0] = end - begin;
  out.data = static_cast<std::byte*>(data) + begin * stride(0) * size_of(dtype);
  return out;
}

TensorView TensorView::reshaped(std::initializer_list<int64_t> dims) const {
  TensorView out(name, dtype, dims, data);
  out.device = device;
  TENFOLD_CHECK(is_contiguous() && out.elements() == elements(), "{}: {} as {}", name, shape_text(*this), shape_text(out));
  return out;
}

std::string shape_text(const TensorView& t) {
  std::string text = "[";
  for (int i = 0; i < t.rank; ++i) text += fmt::format("{}{}", i > 0 ? ", " : "", t.dim(i));
  return text + "]";
}

int64_t WeightView::bytes() const { return ceil_div(elements(), block_elements(layout)) * block_bytes(layout); }

int64_t WeightView::row_bytes() const {
  TENFOLD_CHECK(cols % block_elements(layout) == 0, "{}: {} columns of {}", name, cols, name_of(layout));
  return cols / block_elements(layout) * block_bytes(layout);
}

WeightView WeightView::slice_rows(int64_t begin, int64_t end) const {
  TENFOLD_CHECK(0 <= begin && begin <= end && end <= rows, "{}: rows [{}, {}) of {}", name, begin, end, rows);
  WeightView out = *this;
  out.rows = end - begin;
  out.data = data + begin * row_bytes();
  if (layout == WeightLayout::kNF4) {
    const int64_t block = begin * cols / block_elements(layout);
    TENFOLD_CHECK(block % 256 == 0 || nf4.absmax8 == nullptr, "{}: nested NF4 slice at block {}", name, block);
    if (nf4.absmax != nullptr) out.nf4.absmax = nf4.absmax + block;
    if (nf4.absmax8 != nullptr) {
      out.nf4.absmax8 = nf4.absmax8 + block;
      out.nf4.nested_absmax = nf4.nested_absmax + block / 256;
    }
  }
  return out;
}

}  // namespace tenfold
