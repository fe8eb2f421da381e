#include "core/checked.h"
#include "core/error.h"
#include "format/safetensors.h"

#include <cstddef>
#include <cstdint>

// A safetensors file is read whole or refused with InputError; its tensors tile the data section.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tenfold;
  const auto bytes = std::as_bytes(std::span(data, size));
  try {
    const SafetensorsFile file(bytes, "fuzz");
    uint64_t header = 0;
    std::memcpy(&header, data, sizeof header);
    int64_t total = 0;
    int64_t sum = 0;
    for (const auto& [name, entry] : file.tensors()) {
      TENFOLD_CHECK(name == entry.name, "{}", name);
      total += static_cast<int64_t>(entry.data.size());
      for (const std::byte b : entry.data) sum += static_cast<int64_t>(b);
      if (!entry.supported || entry.shape.size() > static_cast<size_t>(TensorView::kMaxRank)) continue;
      const TensorView view = entry.view();
      TENFOLD_CHECK(view.bytes() == static_cast<int64_t>(entry.data.size()), "{}: {}", name, view.bytes());
      const auto address = reinterpret_cast<uintptr_t>(view.data);
      TENFOLD_CHECK(view.elements() == 0 || address % static_cast<uintptr_t>(size_of(view.dtype)) == 0, "{} is misaligned", name);
    }
    TENFOLD_CHECK(total == static_cast<int64_t>(size - 8 - header) && sum >= 0, "{} bytes in tensors", total);
  } catch (const InputError&) {
  }
  return 0;
}
