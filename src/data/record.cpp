#include "data/record.h"

#include "core/error.h"
#include "core/rng.h"
#include "data/files.h"
#include "format/json.h"
#include "format/mapped_file.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <optional>
#include <string_view>
#include <utility>

namespace tenfold {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kSampleStream = 0x5245434F5244;  // "RECORD": keeps this draw apart from the seed's other uses

struct Spec {
  std::string path;
  std::optional<int64_t> count;
};

/// Cuts a trailing `[N]` off, unless a file of exactly that name exists.
Spec parse_spec(const std::string& text, const std::string& data_root) {
  constexpr std::string_view kPrefix = "long-llm:";
  Spec spec{text, std::nullopt};
  std::error_code ignored;
  if (text.ends_with(']') && !fs::exists(text, ignored)) {
    const size_t open = text.rfind('[');
    if (open == std::string::npos)
      throw_input("data '{}': a ']' without '['; N random records of a file are written FILE[N]", text);
    const std::string_view digits = std::string_view(text).substr(open + 1, text.size() - open - 2);
    int64_t count = 0;
    const auto [end, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), count);
    if (fault != std::errc() || end != digits.data() + digits.size() || count < 1)
      throw_input("data '{}': expected a positive whole number in [N], got '{}'", text, digits);
    spec = {text.substr(0, open), count};
  }
  if (spec.path.starts_with(kPrefix)) {
    if (data_root.empty())
      throw_input("data '{}': 'long-llm:' stands for the data root, which is not set; give --data-root", text);
    spec.path = (fs::path(data_root) / spec.path.substr(kPrefix.size())).string();
  }
  if (spec.path.empty()) throw_input("data '{}': the path is empty", text);
  return spec;
}

ChatMessage message_of(const Json& turn, int64_t index, const std::string& at) {
  if (!turn.is_object())
    throw_input("{}: turn {}: expected an object with role and content, got {}", at, index, turn.type_name());
  ChatMessage message;
  for (const auto& [key, to] : {std::pair{"role", &message.role}, std::pair{"content", &message.content}}) {
    const auto found = turn.find(key);
    if (found == turn.end()) throw_input("{}: turn {}: '{}' is missing", at, index, key);
    if (!found->is_string()) throw_input("{}: turn {}: '{}': expected a string, got {}", at, index, key, found->type_name());
    *to = found->get<std::string>();
  }
  if (message.role != "user" && message.role != "assistant" && message.role != "system")
    throw_input("{}: turn {}: unknown role '{}'; the roles are system, user and assistant", at, index, message.role);
  return message;
}

void check_turns(const std::vector<ChatMessage>& messages, Unanswered unanswered, const std::string& at) {
  if (messages.empty()) throw_input("{}: 'conversations' is empty", at);
  if (messages[0].role == "assistant")
    throw_input("{}: turn 1: the first turn must be the user's (or system), got assistant", at);
  bool answered = false;
  for (size_t i = 0; i < messages.size(); ++i) {
    if (i > 0 && messages[i].role == "system") throw_input("{}: turn {}: a system turn may only come first", at, i + 1);
    answered = answered || messages[i].role == "assistant";
  }
  if (!answered && unanswered == Unanswered::kError)
    throw_input("{}: no assistant turn, so there is nothing to learn from it", at);
}

Record record_of(const Json& object, Unanswered unanswered, const std::string& file, int64_t line) {
  Record record{{}, {}, file, line};
  const std::string at = where(record);
  if (!object.is_object()) throw_input("{}: expected an object, got {}", at, object.type_name());
  const auto turns = object.find("conversations");
  const auto text = object.find("text");
  if (turns != object.end() && text != object.end())
    throw_input("{}: both 'conversations' and 'text': a record is one or the other", at);
  if (turns == object.end() && text == object.end()) throw_input("{}: neither 'conversations' nor 'text'", at);
  if (text != object.end()) {
    if (!text->is_string()) throw_input("{}: 'text': expected a string, got {}", at, text->type_name());
    record.text = text->get<std::string>();
    if (record.text.empty()) throw_input("{}: 'text' is empty", at);
    return record;
  }
  if (!turns->is_array()) throw_input("{}: 'conversations': expected an array of turns, got {}", at, turns->type_name());
  for (const Json& turn : *turns)
    record.messages.push_back(message_of(turn, static_cast<int64_t>(record.messages.size()) + 1, at));
  check_turns(record.messages, unanswered, at);
  return record;
}

bool begins_with_bracket(const std::string& file) {
  const MappedFile mapped(file);
  for (const std::byte b : mapped.bytes()) {
    const auto c = static_cast<char>(b);
    if (c != ' ' && c != '\t' && c != '\r' && c != '\n') return c == '[';
  }
  return false;
}

void read_file(const std::string& file, Unanswered unanswered, std::vector<Record>& to) {
  const size_t before = to.size();
  if (begins_with_bracket(file)) {
    const Json array = parse_json(read_text_file(file), file);
    int64_t index = 0;
    for (const Json& object : array) to.push_back(record_of(object, unanswered, file, ++index));
  } else {
    for_each_json_line(file, [&](Json& object, int64_t line) { to.push_back(record_of(object, unanswered, file, line)); });
  }
  if (to.size() == before) throw_input("{}: the file holds no record", file);
}

void sample(std::vector<Record>& records, int64_t count, uint64_t seed, uint64_t place) {
  const auto have = static_cast<int64_t>(records.size());
  if (have <= count) return;
  std::vector<size_t> order(records.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  Rng rng(seed, mix64(kSampleStream, place));
  rng.shuffle(order);
  order.resize(static_cast<size_t>(count));
  std::sort(order.begin(), order.end());
  std::vector<Record> picked;
  picked.reserve(order.size());
  for (const size_t i : order) picked.push_back(std::move(records[i]));
  records = std::move(picked);
}

}  // namespace

std::string where(const Record& record) { return fmt::format("{}:{}", record.source, record.line); }

std::vector<Record> load_records(std::span<const std::string> specs, const std::string& data_root, uint64_t seed,
                                 Unanswered unanswered) {
  if (specs.empty()) throw_input("no training data: give --data with at least one file or folder");
  std::vector<Record> all;
  for (size_t place = 0; place < specs.size(); ++place) {
    const Spec spec = parse_spec(specs[place], data_root);
    std::vector<Record> records;
    for (const std::string& file : files_at(spec.path, "data", {".jsonl", ".json"})) read_file(file, unanswered, records);
    if (spec.count && *spec.count > static_cast<int64_t>(records.size()))
      spdlog::warn("data '{}': {} records asked for, all {} taken", specs[place], *spec.count, records.size());
    if (spec.count) sample(records, *spec.count, seed, place);
    all.insert(all.end(), std::make_move_iterator(records.begin()), std::make_move_iterator(records.end()));
  }
  return all;
}

}  // namespace tenfold
