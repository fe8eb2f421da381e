// The files that RULER's two question tasks are made of.
#include "core/error.h"
#include "eval/answer_task.h"
#include "eval/ruler_samples.h"
#include "format/mapped_file.h"

#include <unordered_map>

namespace tenfold {
namespace {

const Json& list_at(const Json& object, std::string_view key, const std::string& where) {
  if (!object.is_object()) throw_input("{}: expected an object, got {}", where, object.type_name());
  const auto found = object.find(std::string(key));
  if (found == object.end()) throw_input("{}: {}: missing, expected a list", where, key);
  if (!found->is_array()) throw_input("{}: {}: expected a list, got {}", where, key, found->type_name());
  return *found;
}

/// Documents by their text, each once.
class Shelf {
 public:
  explicit Shelf(std::vector<std::string>& documents) : documents_(documents) {}
  size_t place(const std::string& text) {
    const auto [entry, fresh] = places_.try_emplace(text, documents_.size());
    if (fresh) documents_.push_back(text);
    return entry->second;
  }

 private:
  std::vector<std::string>& documents_;
  std::unordered_map<std::string, size_t> places_;
};

void check_found(const RulerDocuments& documents, const std::string& path) {
  if (documents.questions.empty()) throw_input("{}: expected questions with answers, got none", path);
}

}  // namespace

RulerDocuments RulerDocuments::from_squad(const std::string& path) {
  const Json file = parse_json(read_text_file(path), path);
  RulerDocuments out;
  Shelf shelf(out.documents);
  for (const Json& article : list_at(file, "data", path)) {
    for (const Json& paragraph : list_at(article, "paragraphs", path + ": data[]")) {
      const std::string where = path + ": data[].paragraphs[]";
      const size_t gold = shelf.place(json_string(paragraph, "context", where));
      for (const Json& asked : list_at(paragraph, "qas", where)) {
        if (json_bool_or(asked, "is_impossible", false, where)) continue;
        Question question{json_string(asked, "question", where), {}, {gold}};
        for (const Json& answer : list_at(asked, "answers", where))
          question.outputs.push_back(json_string(answer, "text", where));
        if (!question.outputs.empty()) out.questions.push_back(std::move(question));
      }
    }
  }
  check_found(out, path);
  return out;
}

RulerDocuments RulerDocuments::from_hotpot(const std::string& path) {
  const Json file = parse_json(read_text_file(path), path);
  if (!file.is_array()) throw_input("{}: expected a list of questions, got {}", path, file.type_name());
  RulerDocuments out;
  Shelf shelf(out.documents);
  for (size_t i = 0; i < file.size(); ++i) {
    const std::string where = fmt::format("{}: [{}]", path, i);
    Question question{json_string(file[i], "question", where), {json_string(file[i], "answer", where)}, {}};
    for (const Json& page : list_at(file[i], "context", where)) {
      if (!page.is_array() || page.size() != 2 || !page[0].is_string() || !page[1].is_array()) {
        throw_input("{}: context: expected [title, [sentences]]", where);
      }
      std::string text = page[0].get<std::string>() + "\n";
      for (const std::string& sentence : row_texts({{"sentences", page[1]}}, "sentences", where)) text += sentence;
      question.gold.push_back(shelf.place(text));
    }
    out.questions.push_back(std::move(question));
  }
  check_found(out, path);
  return out;
}

}  // namespace tenfold
