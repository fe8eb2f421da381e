#include "core/error.h"
#include "format/gguf.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

// A GGUF file is read whole or refused with InputError; what it hands out lies inside the input, once.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tenfold;
  const auto bytes = std::as_bytes(std::span(data, size));
  try {
    const GgufFile file(bytes, "fuzz");
    std::vector<std::pair<const std::byte*, const std::byte*>> extents;
    for (const auto& [name, tensor] : file.tensors()) {
      TENFOLD_CHECK(name == tensor.name && !tensor.shape.empty(), "{}", name);
      const std::byte* const begin = tensor.data.data();
      TENFOLD_CHECK(begin >= bytes.data() && begin + tensor.data.size() <= bytes.data() + bytes.size(), "{} lies outside", name);
      TENFOLD_CHECK((begin - bytes.data()) % 8 == 0, "{} is misaligned", name);
      if (tensor.supported) TENFOLD_CHECK(tensor.weight().bytes() == static_cast<int64_t>(tensor.data.size()), "{}", name);
      extents.emplace_back(begin, begin + tensor.data.size());
    }
    std::sort(extents.begin(), extents.end());
    for (size_t i = 1; i < extents.size(); ++i) TENFOLD_CHECK(extents[i - 1].second <= extents[i].first, "overlap");
    for (const auto& [key, value] : file.metadata()) {
      (void)file.has_key(key);
      const auto* const list = std::get_if<std::vector<std::string_view>>(&value.value);
      for (const auto text : list != nullptr ? *list : std::vector<std::string_view>{}) {
        TENFOLD_CHECK(
            text.empty() || (reinterpret_cast<const std::byte*>(text.data()) >= bytes.data() &&
                             reinterpret_cast<const std::byte*>(text.data()) + text.size() <= bytes.data() + bytes.size()),
            "{}", key);
      }
    }
  } catch (const InputError&) {
  }
  return 0;
}
