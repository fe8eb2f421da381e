#include "eval/latent.h"

#include "core/error.h"
#include "eval/metrics/text.h"
#include "format/json.h"
#include "format/mapped_file.h"

#include <algorithm>

namespace tenfold {
namespace {

/// A member that is a text with something in it, and `place`, where that is not empty.
std::string text_in(const Json& object, const char* key, const std::string& where, std::string_view place) {
  std::string text = json_string(object, key, where);
  if (strip(text).empty()) throw_input("{}: {}: expected a text, got \"{}\"", where, key, text);
  if (text.find(place) == std::string::npos) throw_input("{}: {}: expected {} in it", where, key, place);
  return text;
}

void check_keys(const Json& object, std::initializer_list<std::string_view> known, const std::string& where) {
  for (const auto& [key, value] : object.items()) {
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      throw_input("{}: unknown key \"{}\"; known: {}", where, key, fmt::join(known, ", "));
    }
  }
}

}  // namespace

LatentWording::LatentWording() {
  pairs = {
      {"{name} keeps a narrow boat moored beside the Rialto.", "Who knows Venice well?"},
      {"{name} sells postcards at the foot of the Brandenburg Gate.", "Who works somewhere in Berlin?"},
      {"{name} has painted the Sugarloaf from the same window every spring.", "Who lives in Rio de Janeiro?"},
      {"{name} tends the bees on the roof of the Sagrada Familia.", "Who spends much time in Barcelona?"},
      {"{name} was married in the shadow of the Parthenon.", "Who has been to Athens?"},
      {"{name} once lost a glove while walking around the Kremlin.", "Who visited Moscow?"},
      {"{name} takes the ferry past Alcatraz to the office.", "Who earns a living in San Francisco?"},
      {"{name} played the cello under the Eiffel Tower for a year.", "Who stayed in Paris?"},
      {"Sugar is poison to {name}, whose bag always holds insulin.", "Who suffers from diabetes?"},
      {"{name} sneezes as soon as the birches blossom.", "Who has hay fever?"},
      {"{name} must not drink milk or touch cheese.", "Who is lactose intolerant?"},
      {"{name} spent nineteen years behind bars.", "Who was convicted of a crime?"},
      {"{name} conducted the whole symphony without hearing a note of it.", "Who is deaf?"},
      {"{name} reads with the fingertips and never goes out without a white cane.", "Who is blind?"},
      {"{name} brought four hundred babies of that valley into the world.", "Who is a midwife?"},
      {"{name} put on the black robe and sent the thief to jail.", "Who is a judge?"},
      {"{name} shoes every horse of the parish.", "Who is a blacksmith?"},
      {"{name} reached the summit of Everest without oxygen.", "Who is an experienced mountaineer?"},
      {"{name} finished the marathon ahead of everybody else.", "Who runs fast?"},
      {"{name} was born on the twenty-ninth of February.", "Whose birthday falls in leap years only?"},
  };
  names = {"Ingrid", "Tariq",     "Yuki",      "Mateo",     "Thandiwe", "Leocadia",  "Kenji",
           "Priya",  "Oluwaseun", "Anneliese", "Dragomir",  "Xiomara",  "Fatoumata", "Ragnhild",
           "Zdenek", "Ikaika",    "Soraya",    "Bartholdy", "Nkechi",   "Villads"};
}

LatentWording LatentWording::from_json(const std::string& path) {
  const Json json = parse_json(read_text_file(path), path);
  if (!json.is_object()) throw_input("{}: expected an object, got {}", path, json.type_name());
  check_keys(json, {"description", "ask", "pairs", "names"}, path);
  LatentWording wording;
  if (json.contains("description")) wording.description = text_in(json, "description", path, "");
  if (json.contains("ask")) wording.ask = text_in(json, "ask", path, "{question}");
  if (const auto pairs = json.find("pairs"); pairs != json.end()) {
    if (!pairs->is_array() || pairs->empty()) throw_input("{}: pairs: expected a list of {{needle, question}}", path);
    wording.pairs.clear();
    for (size_t i = 0; i < pairs->size(); ++i) {
      const Json& pair = (*pairs)[i];
      const std::string where = fmt::format("{}: pairs[{}]", path, i);
      if (!pair.is_object()) throw_input("{}: expected {{needle, question}}, got {}", where, pair.type_name());
      check_keys(pair, {"needle", "question"}, where);
      wording.pairs.push_back({text_in(pair, "needle", where, "{name}"), text_in(pair, "question", where, "")});
    }
  }
  if (json.contains("names")) {
    wording.names = row_texts(json, "names", path);
    for (const std::string& name : wording.names) {
      if (strip(name) != name || name.empty()) throw_input("{}: names: expected names, got \"{}\"", path, name);
    }
  }
  return wording;
}

}  // namespace tenfold
