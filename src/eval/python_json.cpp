#include "eval/python_json.h"

#include "core/error.h"
#include "eval/metrics/numbers.h"
#include "eval/metrics/text.h"
#include "text/unicode.h"

#include <string_view>

namespace tenfold {
namespace {

void add_escape(std::string& out, uint32_t unit) { out += fmt::format("\\u{:04x}", unit); }

void add_string(std::string& out, std::string_view text, bool ensure_ascii) {
  out += '"';
  for (const char32_t c : to_code_points(text)) {
    switch (c) {
      case '"': out += "\\\""; continue;
      case '\\': out += "\\\\"; continue;
      case '\n': out += "\\n"; continue;
      case '\r': out += "\\r"; continue;
      case '\t': out += "\\t"; continue;
      case '\b': out += "\\b"; continue;
      case '\f': out += "\\f"; continue;
      default: break;
    }
    if (c < 0x20 || (ensure_ascii && c > 0x7F && c < 0x10000)) {
      add_escape(out, static_cast<uint32_t>(c));
    } else if (ensure_ascii && c >= 0x10000) {
      const uint32_t v = static_cast<uint32_t>(c) - 0x10000;
      add_escape(out, 0xD800 + (v >> 10));
      add_escape(out, 0xDC00 + (v & 0x3FF));
    } else {
      append_utf8(out, static_cast<uint32_t>(c));
    }
  }
  out += '"';
}

std::string number(const Json& value) {
  if (!value.is_number_float()) return value.dump();
  const std::string text = python_repr(value.get<double>());
  return text == "nan" ? "NaN" : text == "inf" ? "Infinity" : text == "-inf" ? "-Infinity" : text;
}

void add(std::string& out, const Json& value, bool ensure_ascii) {
  bool first = true;
  const auto separate = [&] {
    if (!first) out += ", ";
    first = false;
  };
  if (value.is_object()) {
    out += '{';
    for (const auto& [key, member] : value.items()) {
      separate();
      add_string(out, key, ensure_ascii);
      out += ": ";
      add(out, member, ensure_ascii);
    }
    out += '}';
  } else if (value.is_array()) {
    out += '[';
    for (const Json& member : value) {
      separate();
      add(out, member, ensure_ascii);
    }
    out += ']';
  } else if (value.is_string()) {
    add_string(out, value.get_ref<const std::string&>(), ensure_ascii);
  } else if (value.is_boolean()) {
    out += value.get<bool>() ? "true" : "false";
  } else if (value.is_null()) {
    out += "null";
  } else {
    out += number(value);
  }
}

}  // namespace

std::string python_json(const Json& value, bool ensure_ascii) {
  std::string out;
  add(out, value, ensure_ascii);
  return out;
}

}  // namespace tenfold
