#include "eval/metrics/segmenter.h"

#include "core/error.h"
#include "eval/metrics/text.h"
#include "format/json.h"
#include "format/mapped_file.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <utility>

namespace tenfold {
namespace {

enum State : size_t { kBegin, kMiddle, kEnd, kSingle };
constexpr std::string_view kLetters = "BMES";
/// What stands for log 0; sums with it absorb what is added, so ties are decided as jieba decides them: by the states' letters.
constexpr double kLogZero = -3.14e100;
/// States that may precede each state; the one with the greater letter first.
constexpr size_t kBefore[4][2] = {{kSingle, kEnd}, {kMiddle, kBegin}, {kMiddle, kBegin}, {kSingle, kEnd}};

bool is_han(char32_t c) { return c >= 0x4E00 && c <= 0x9FD5; }
bool is_ascii_alnum(char32_t c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
/// What the dictionary is asked about; everything else is cut into characters.
bool is_run_character(char32_t c) {
  return is_han(c) || is_ascii_alnum(c) ||
         (c < 0x80 && std::string_view("+#&._%-").find(static_cast<char>(c)) != std::string_view::npos);
}

/// Length in bytes of the longest beginning of `text` whose characters all satisfy `is`.
template <typename Predicate>
size_t run_length(std::string_view text, Predicate&& is) {
  size_t at = 0;
  while (at < text.size()) {
    const Character c = character_at(text, at);
    if (!is(c.value)) break;
    at += c.size;
  }
  return at;
}

/// Byte offsets of the characters of a text, its size last.
std::vector<size_t> offsets_of(std::string_view text) {
  std::vector<size_t> offsets;
  for (size_t at = 0; at < text.size(); at += character_at(text, at).size) offsets.push_back(at);
  offsets.push_back(text.size());
  return offsets;
}

/// The table that a prob_*.py assigns to P: a Python dict of strings and numbers, which is JSON but for its quotes.
Json read_table(const std::string& path) {
  std::string text = read_text_file(path, int64_t{1} << 28);
  const size_t begin = text.find("P={");
  if (begin == std::string::npos) throw_input("{}: expected a line P={{...}}, as in jieba 0.42.1; found none", path);
  for (char& c : text) c = c == '\'' ? '"' : c;
  const auto lines = std::count(text.begin(), text.begin() + static_cast<ptrdiff_t>(begin), '\n');
  // As many lines as were left out, so that a fault is named by its own line.
  return parse_json(std::string(static_cast<size_t>(lines), '\n') + text.substr(begin + 2), path);
}

/// Adds {state letter: probability} of an object to a row.
void read_states(const Json& table, std::array<double, 4>& row, const std::string& path) {
  if (!table.is_object()) throw_input("{}: expected a table of the states B, M, E, S, got {}", path, table.type_name());
  for (const auto& [letter, value] : table.items()) {
    const size_t state = letter.size() == 1 ? kLetters.find(letter[0]) : std::string_view::npos;
    if (state == std::string_view::npos) throw_input("{}: expected the states B, M, E, S, got \"{}\"", path, letter);
    row[state] = json_number(table, letter, path);
  }
}

}  // namespace

Segmenter::Segmenter(const std::string& directory) {
  const auto path = [&](std::string_view name) { return (std::filesystem::path(directory) / name).string(); };
  for (const std::string_view name : {"dict.txt", "finalseg/prob_start.py", "finalseg/prob_trans.py", "finalseg/prob_emit.py"}) {
    std::error_code error;
    if (std::filesystem::is_regular_file(path(name), error)) continue;
    throw_input(
        "{}: not found; cutting Chinese words needs the tables of jieba 0.42.1. Install Debian's python3-jieba, or name the "
        "package's "
        "directory (the one that holds dict.txt and finalseg/) with --jieba-dir",
        path(name));
  }
  read_dictionary(path("dict.txt"));
  read_model(path("finalseg"));
}

void Segmenter::read_dictionary(const std::string& path) {
  dictionary_ = read_text_file(path, int64_t{1} << 30);
  if (const size_t valid = valid_utf8_prefix(dictionary_); valid != dictionary_.size()) {
    const auto line = std::count(dictionary_.begin(), dictionary_.begin() + static_cast<ptrdiff_t>(valid), '\n') + 1;
    throw_input("{}:{}: expected UTF-8, got the byte 0x{:02x}", path, line, static_cast<uint8_t>(dictionary_[valid]));
  }
  words_.reserve(dictionary_.size() / 8);
  int64_t total = 0;
  int64_t number = 0;
  for (size_t begin = 0; begin < dictionary_.size();) {
    const size_t end = std::min(dictionary_.find('\n', begin), dictionary_.size());
    const std::string_view line = strip(std::string_view(dictionary_).substr(begin, end - begin));
    begin = end + 1;
    ++number;
    const size_t space = line.find(' ');
    const std::string_view word = line.substr(0, space);
    int64_t count = -1;
    if (space != std::string_view::npos) {
      const std::string_view rest = line.substr(space + 1, std::min(line.find(' ', space + 1), line.size()) - space - 1);
      const auto [stop, error] = std::from_chars(rest.data(), rest.data() + rest.size(), count);
      if (error != std::errc{} || stop != rest.data() + rest.size()) count = -1;
    }
    constexpr int64_t kMost = int64_t{1} << 40;
    if (word.empty() || count < 0 || count > kMost) {
      throw_input("{}:{}: expected a word, a space and how often it occurs, got {}", path, number,
                  line.size() > 80 ? line.substr(0, 80) : line);
    }
    words_[word] = count;
    total += count;
    for (const size_t offset : offsets_of(word)) {
      if (offset > 0) words_.try_emplace(word.substr(0, offset), 0);
    }
  }
  if (total == 0) throw_input("{}: expected words with how often they occur, got none", path);
  log_total_ = std::log(static_cast<double>(total));
}

void Segmenter::read_model(const std::string& directory) {
  const auto path = [&](std::string_view name) { return (std::filesystem::path(directory) / name).string(); };
  start_.fill(kLogZero);
  for (auto& row : step_) row.fill(kLogZero);
  read_states(read_table(path("prob_start.py")), start_, path("prob_start.py"));
  const auto rows = [](const Json& table, const std::string& file, auto&& visit) {
    for (size_t state = 0; state < kStates; ++state) {
      const std::string letter(1, kLetters[state]);
      if (!table.is_object() || !table.contains(letter))
        throw_input("{}: expected the states B, M, E, S, got no {}", file, letter);
      if (!table.at(letter).is_object())
        throw_input("{}: {}: expected a table, got {}", file, letter, table.at(letter).type_name());
      visit(state, table.at(letter));
    }
  };
  rows(read_table(path("prob_trans.py")), path("prob_trans.py"),
       [&](size_t from, const Json& row) { read_states(row, step_[from], path("prob_trans.py")); });
  const std::string emit = path("prob_emit.py");
  rows(read_table(emit), emit, [&](size_t state, const Json& row) {
    for (const auto& [character, value] : row.items()) {
      const std::u32string points = to_code_points(character);
      if (points.size() != 1 || !value.is_number())
        throw_input("{}: expected one character and a number, got \"{}\"", emit, character);
      const auto [entry, added] = emitted_.try_emplace(points[0]);
      if (added) entry->second.fill(kLogZero);
      entry->second[state] = value.get<double>();
    }
  });
}

int64_t Segmenter::frequency(std::string_view word) const {
  const auto found = words_.find(word);
  return found == words_.end() ? -1 : found->second;
}

std::vector<std::string_view> Segmenter::cut(std::string_view text) const {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    if (const size_t length = run_length(text, is_run_character); length > 0) {
      cut_run(text.substr(0, length), out);
      text.remove_prefix(length);
      continue;
    }
    const size_t size = text.starts_with("\r\n") ? 2 : character_at(text, 0).size;
    out.push_back(text.substr(0, size));
    text.remove_prefix(size);
  }
  return out;
}

void Segmenter::cut_run(std::string_view run, std::vector<std::string_view>& out) const {
  const std::vector<size_t> offsets = offsets_of(run);
  const size_t n = offsets.size() - 1;
  const auto piece = [&](size_t i, size_t j) { return run.substr(offsets[i], offsets[j] - offsets[i]); };
  // From each character the end of the best first word and the log probability of the best way from there, found backwards.
  std::vector<size_t> next(n);
  std::vector<double> best(n + 1, 0);
  for (size_t k = n; k-- > 0;) {
    bool any = false;
    const auto consider = [&](size_t end, int64_t count) {
      const double score = std::log(static_cast<double>(std::max<int64_t>(count, 1))) - log_total_ + best[end];
      if (any && score < best[k]) return;  // of equal ways the longer word
      any = true;
      best[k] = score;
      next[k] = end;
    };
    for (size_t end = k + 1; end <= n; ++end) {
      const int64_t count = frequency(piece(k, end));
      if (count < 0) break;
      if (count > 0) consider(end, count);
    }
    if (!any) consider(k + 1, std::max<int64_t>(frequency(piece(k, k + 1)), 0));
  }
  // Neighbouring single characters are looked at again: together they may be a word that nobody wrote down.
  size_t loose = 0;
  const auto flush = [&](size_t end) {
    if (end == loose) return;
    const std::string_view text = piece(loose, end);
    if (end - loose > 1 && frequency(text) <= 0) {
      cut_unknown(text, out);
    } else {
      for (size_t i = loose; i < end; ++i) out.push_back(piece(i, i + 1));
    }
  };
  for (size_t k = 0; k < n; k = next[k]) {
    if (next[k] == k + 1) continue;
    flush(k);
    out.push_back(piece(k, next[k]));
    loose = next[k];
  }
  flush(n);
}

void Segmenter::cut_unknown(std::string_view text, std::vector<std::string_view>& out) const {
  const auto take = [&](size_t length) {
    out.push_back(text.substr(0, length));
    text.remove_prefix(length);
  };
  while (!text.empty()) {
    if (const size_t han = run_length(text, is_han); han > 0) {
      cut_by_model(text.substr(0, han), out);
      text.remove_prefix(han);
      continue;
    }
    const size_t rest = run_length(text, [](char32_t c) { return !is_han(c); });
    size_t length = run_length(text.substr(0, rest), is_ascii_alnum);
    if (length == 0) {  // signs up to the next letter or digit stay together
      take(run_length(text.substr(0, rest), [](char32_t c) { return !is_ascii_alnum(c); }));
      continue;
    }
    // [a-zA-Z0-9]+(\.\d+)?%?
    if (length + 1 < rest && text[length] == '.' && is_digit(text[length + 1])) {
      for (++length; length < rest && is_digit(text[length]); ++length) {
      }
    }
    if (length < rest && text[length] == '%') ++length;
    take(length);
  }
}

void Segmenter::cut_by_model(std::string_view text, std::vector<std::string_view>& out) const {
  const std::vector<size_t> offsets = offsets_of(text);
  const size_t n = offsets.size() - 1;
  std::vector<std::array<size_t, kStates>> from(n);
  std::array<double, kStates> now = start_;
  for (size_t t = 0; t < n; ++t) {
    const auto found = emitted_.find(character_at(text, offsets[t]).value);
    const auto emission = [&](size_t state) { return found == emitted_.end() ? kLogZero : found->second[state]; };
    const std::array<double, kStates> before = now;
    for (size_t state = 0; state < kStates; ++state) {
      if (t == 0) {
        now[state] = start_[state] + emission(state);
        continue;
      }
      const auto score = [&](size_t previous) { return before[previous] + step_[previous][state] + emission(state); };
      const auto [first, second] = kBefore[state];
      from[t][state] = score(second) > score(first) ? second : first;
      now[state] = score(from[t][state]);
    }
  }
  std::vector<size_t> states(n);
  states[n - 1] = now[kEnd] > now[kSingle] ? kEnd : kSingle;
  for (size_t t = n - 1; t > 0; --t) states[t - 1] = from[t][states[t]];
  size_t begin = 0;
  size_t done = 0;
  for (size_t t = 0; t < n; ++t) {
    if (states[t] == kBegin) begin = t;
    if (states[t] != kEnd && states[t] != kSingle) continue;
    const size_t first = states[t] == kSingle ? t : begin;
    out.push_back(text.substr(offsets[first], offsets[t + 1] - offsets[first]));
    done = t + 1;
  }
  if (done < n) out.push_back(text.substr(offsets[done]));
}

}  // namespace tenfold
