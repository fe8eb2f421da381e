#pragma once

#include <nlohmann/json.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace tenfold {

using Json = nlohmann::ordered_json;

/// Parses hostile JSON: depth at most 64, duplicate keys rejected, invalid UTF-8 rejected. InputError names `source` and the
/// line and column of the fault.
Json parse_json(std::string_view text, std::string_view source);

/// Typed lookups that say what is wrong: InputError "SOURCE: KEY: expected a string, got number".
std::string json_string(const Json& object, std::string_view key, std::string_view source);
int64_t json_int(const Json& object, std::string_view key, std::string_view source);
double json_number(const Json& object, std::string_view key, std::string_view source);
bool json_bool_or(const Json& object, std::string_view key, bool fallback, std::string_view source);
int64_t json_int_or(const Json& object, std::string_view key, int64_t fallback, std::string_view source);
double json_number_or(const Json& object, std::string_view key, double fallback, std::string_view source);
std::string json_string_or(const Json& object, std::string_view key, std::string_view fallback, std::string_view source);

/// Calls `visit(object, line_number)` for each line of a JSON-lines file (1-based; blank lines are skipped).
/// A malformed line is an InputError naming file and line. A last line without newline is read like any other.
void for_each_json_line(const std::string& path, const std::function<void(Json&, int64_t)>& visit);

}  // namespace tenfold
