#include "eval/wording.h"

#include "core/error.h"
#include "format/json.h"
#include "format/mapped_file.h"

#include <algorithm>

namespace tenfold {

void read_wording(const std::string& path, const std::vector<std::pair<std::string_view, std::string*>>& fields,
                  const std::vector<std::pair<std::string_view, std::string_view>>& cleared) {
  const Json json = parse_json(read_text_file(path), path);
  if (!json.is_object()) throw_input("{}: expected an object of texts, got {}", path, json.type_name());
  const auto field = [&](std::string_view key) {
    const auto found = std::find_if(fields.begin(), fields.end(), [&](const auto& f) { return f.first == key; });
    return found == fields.end() ? nullptr : found->second;
  };
  for (const auto& [key, value] : json.items()) {
    std::string* const to = field(key);
    if (to == nullptr) {
      std::string known;
      for (const auto& f : fields) known += (known.empty() ? "" : ", ") + std::string(f.first);
      throw_input("{}: unknown key \"{}\"; known: {}", path, key, known);
    }
    *to = json_string(json, key, path);
    if (to->empty()) throw_input("{}: {}: expected a text, got \"\"", path, key);
  }
  for (const auto& [set, other] : cleared) {
    if (json.contains(std::string(set)) && !json.contains(std::string(other))) field(other)->clear();
  }
}

}  // namespace tenfold
