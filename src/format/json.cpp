#include "format/json.h"

#include "core/error.h"
#include "format/file_handle.h"
#include "format/names.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <iterator>
#include <memory>
#include <optional>
#include <unordered_set>
#include <utility>
#include <vector>

namespace tenfold {
namespace {

constexpr size_t kMaxDepth = 64;

/// A character iterator that publishes how far the parser has read, so that every fault has a line and a column.
class TrackedIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  TrackedIterator(const char* at, const char** seen) : at_(at), seen_(seen) {}
  reference operator*() const { return *at_; }
  TrackedIterator& operator++() {
    *seen_ = ++at_;
    return *this;
  }
  bool operator==(const TrackedIterator& other) const { return at_ == other.at_; }
  bool operator!=(const TrackedIterator& other) const { return at_ != other.at_; }

 private:
  const char* at_;
  const char** seen_;
};

/// SAX events to a Json. nlohmann's own builder keeps the last of two equal keys, looks every new key up by walking all
/// earlier ones (a vocabulary has 128,000), and knows no depth limit.
class Builder {
 public:
  Builder(std::string_view text, std::string_view source, int64_t line)
      : text_(text), source_(source), line_(line), seen_(text.data()) {}

  const char** seen() { return &seen_; }
  [[noreturn]] void fail_at(size_t position, std::string_view reason) {
    seen_ = text_.data() + position + 1;
    fail(reason);
  }
  Json take() { return std::move(root_); }

  bool null() { return put(nullptr); }
  bool boolean(bool value) { return put(value); }
  bool number_integer(int64_t value) { return put(value); }
  bool number_unsigned(uint64_t value) { return put(value); }
  bool number_float(double value, const std::string&) { return put(value); }
  bool string(std::string& value) { return put(std::move(value)); }
  bool binary(Json::binary_t&) { return false; }
  bool start_object(size_t) { return open(); }
  bool start_array(size_t) { return open(); }
  bool key(std::string& name) {
    Frame& frame = stack_.back();
    if (!frame.is_new(name)) fail(fmt::format("key {} appears twice (duplicate)", shown(name)));
    frame.keys.push_back(std::move(name));
    return true;
  }
  bool end_object() {
    Frame frame = close();
    Json object = Json::object();
    auto& members = object.get_ref<Json::object_t&>();
    members.reserve(frame.keys.size());  // growing would copy, because a member's key is const
    for (size_t i = 0; i < frame.keys.size(); ++i) members.emplace_back(std::move(frame.keys[i]), std::move(frame.values[i]));
    return put(std::move(object));
  }
  bool end_array() { return put(Json(std::move(close().values))); }
  template <typename Error>
  bool parse_error(size_t, const std::string&, const Error& error) {
    // "[json.exception...] parse error at line 1, column 3: REASON": we name line and column ourselves.
    std::string_view reason = error.what();
    if (const auto at = reason.find("column "); at != std::string_view::npos) {
      if (const auto colon = reason.find(": ", at); colon != std::string_view::npos) reason.remove_prefix(colon + 2);
    } else if (const auto bracket = reason.find("] "); bracket != std::string_view::npos) {
      reason.remove_prefix(bracket + 2);
    }
    fail(reason);
  }

 private:
  struct Frame {
    std::vector<std::string> keys;
    std::unordered_set<std::string> names;  ///< of the keys, once they are many
    Json::array_t values;

    /// Whether `name` is not among the keys yet; the caller then adds it to them.
    bool is_new(const std::string& name) {
      constexpr size_t kFew = 16;
      if (keys.size() < kFew) return std::find(keys.begin(), keys.end(), name) == keys.end();
      if (names.empty()) names.insert(keys.begin(), keys.end());
      return names.insert(name).second;
    }
  };

  [[noreturn]] void fail(std::string_view reason) const {
    const auto read =
        static_cast<size_t>(std::clamp<std::ptrdiff_t>(seen_ - text_.data(), 0, static_cast<std::ptrdiff_t>(text_.size())));
    const std::string_view before = text_.substr(0, read);
    const auto newline = before.substr(0, read - (read > 0 ? 1 : 0)).rfind('\n');
    const auto lines = std::count(before.begin(), before.begin() + static_cast<std::ptrdiff_t>(newline + 1), '\n');
    const size_t column = newline == std::string_view::npos ? read : read - newline - 1;
    throw_input("{}:{}:{}: invalid JSON: {}", source_, line_ + lines, std::max<size_t>(column, 1), safe_reason(reason));
  }
  /// The library quotes the last token, which may be long or hold control characters.
  static std::string safe_reason(std::string_view reason) {
    std::string text;
    for (const char c : reason.substr(0, 300)) text += c >= 0x20 && c <= 0x7e ? c : '?';
    return text;
  }
  template <typename T>
  bool put(T&& value) {
    if (stack_.empty()) {
      root_ = std::forward<T>(value);
    } else {
      stack_.back().values.emplace_back(std::forward<T>(value));
    }
    return true;
  }
  bool open() {
    if (stack_.size() == kMaxDepth) fail(fmt::format("nested deeper than {} levels", kMaxDepth));
    stack_.emplace_back();
    return true;
  }
  Frame close() {
    Frame frame = std::move(stack_.back());
    stack_.pop_back();
    return frame;
  }

  std::string_view text_;
  std::string_view source_;
  int64_t line_;
  const char* seen_;
  std::vector<Frame> stack_;
  Json root_;
};

Json parse_json_at(std::string_view text, std::string_view source, int64_t line) {
  Builder builder(text, source, line);
  const TrackedIterator begin(text.data(), builder.seen());
  const TrackedIterator end(text.data() + text.size(), builder.seen());
  Json::sax_parse(begin, end, &builder);
  // The library takes a NUL for the end of its input; whatever follows would go unread.
  if (const auto nul = text.find('\0'); nul != std::string_view::npos) builder.fail_at(nul, "a NUL byte");
  return builder.take();
}

/// The member `key` of an object; null pointer when it is missing (a JSON null is a value here).
const Json* find_member(const Json& object, std::string_view key, std::string_view source) {
  if (!object.is_object()) throw_input("{}: {}: looked up in a JSON {}, expected an object", source, key, object.type_name());
  const auto it = object.find(std::string(key));
  return it == object.end() ? nullptr : &*it;
}

/// The member, or null pointer when it is missing or null, as Hugging Face writes what is not set.
const Json* find_set(const Json& object, std::string_view key, std::string_view source) {
  const Json* const value = find_member(object, key, source);
  return value == nullptr || value->is_null() ? nullptr : value;
}

const Json& need_member(const Json& object, std::string_view key, std::string_view source, std::string_view kind) {
  const Json* const value = find_member(object, key, source);
  if (value == nullptr) throw_input("{}: {}: missing, expected {}", source, key, kind);
  return *value;
}

[[noreturn]] void throw_type(const Json& value, std::string_view key, std::string_view source, std::string_view kind) {
  const bool simple = value.is_number() || value.is_boolean();
  throw_input("{}: {}: expected {}, got {}{}", source, key, kind, value.type_name(),
              simple ? fmt::format(" {}", value.dump()) : std::string());
}

std::string as_string(const Json& value, std::string_view key, std::string_view source) {
  if (!value.is_string()) throw_type(value, key, source, "a string");
  return value.get<std::string>();
}

int64_t as_int(const Json& value, std::string_view key, std::string_view source) {
  if (value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) {
    throw_type(value, key, source, "an integer of 63 bits");
  }
  if (value.is_number_integer()) return value.get<int64_t>();
  // 4096.0 and 1e5 are how some writers spell integers; beyond 2^53 a double no longer knows which one it is.
  if (value.is_number_float()) {
    const auto number = value.get<double>();
    if (std::abs(number) <= 0x1p53 && number == std::floor(number)) return static_cast<int64_t>(number);
  }
  throw_type(value, key, source, "an integer");
}

double as_number(const Json& value, std::string_view key, std::string_view source) {
  if (!value.is_number()) throw_type(value, key, source, "a number");
  return value.get<double>();
}

}  // namespace

Json parse_json(std::string_view text, std::string_view source) { return parse_json_at(text, source, 1); }

std::string json_string(const Json& object, std::string_view key, std::string_view source) {
  return as_string(need_member(object, key, source, "a string"), key, source);
}
int64_t json_int(const Json& object, std::string_view key, std::string_view source) {
  return as_int(need_member(object, key, source, "an integer"), key, source);
}
double json_number(const Json& object, std::string_view key, std::string_view source) {
  return as_number(need_member(object, key, source, "a number"), key, source);
}
bool json_bool_or(const Json& object, std::string_view key, bool fallback, std::string_view source) {
  const Json* const value = find_set(object, key, source);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) throw_type(*value, key, source, "true or false");
  return value->get<bool>();
}
int64_t json_int_or(const Json& object, std::string_view key, int64_t fallback, std::string_view source) {
  const Json* const value = find_set(object, key, source);
  return value == nullptr ? fallback : as_int(*value, key, source);
}
double json_number_or(const Json& object, std::string_view key, double fallback, std::string_view source) {
  const Json* const value = find_set(object, key, source);
  return value == nullptr ? fallback : as_number(*value, key, source);
}
std::string json_string_or(const Json& object, std::string_view key, std::string_view fallback, std::string_view source) {
  const Json* const value = find_set(object, key, source);
  return value == nullptr ? std::string(fallback) : as_string(*value, key, source);
}

namespace {

void visit_line(std::string_view line, const std::string& path, int64_t number,
                const std::function<void(Json&, int64_t)>& visit) {
  if (number == 1 && line.starts_with("\xef\xbb\xbf")) line.remove_prefix(3);
  if (line.find_first_not_of(" \t\r") == std::string_view::npos) return;
  Json value = parse_json_at(line, path, number);
  if (!value.is_object()) throw_input("{}:{}: expected a JSON object, got {}", path, number, value.type_name());
  visit(value, number);
}

}  // namespace

void for_each_json_line(const std::string& path, const std::function<void(Json&, int64_t)>& visit) {
  constexpr int64_t kChunk = 1 << 16;
  constexpr size_t kLongestLine = size_t{1} << 31;
  const FileHandle file = open_for_reading(path);
  const auto chunk = std::make_unique_for_overwrite<char[]>(kChunk);
  std::string torn;  // the beginning of a line that continues in the next chunk
  int64_t number = 1;
  for (;;) {
    const int64_t n = read_some(file, path, chunk.get(), kChunk);
    if (n == 0) break;
    std::string_view rest(chunk.get(), static_cast<size_t>(n));
    for (size_t end = rest.find('\n'); end != std::string_view::npos; end = rest.find('\n')) {
      if (torn.empty()) {
        visit_line(rest.substr(0, end), path, number, visit);
      } else {
        torn += rest.substr(0, end);
        visit_line(torn, path, number, visit);
        torn.clear();
      }
      rest.remove_prefix(end + 1);
      ++number;
    }
    torn += rest;
    if (torn.size() > kLongestLine) throw_input("{}:{}: a line of more than {} bytes", path, number, kLongestLine);
  }
  if (!torn.empty()) visit_line(torn, path, number, visit);
}

}  // namespace tenfold
