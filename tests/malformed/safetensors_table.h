#pragma once

#include "malformed/bytes.h"

#include <vector>

namespace tenfold::malformed {

/// A safetensors file of this header and `data` bytes of data.
inline std::string safetensors(const std::string& header, size_t data) { return counted(header) + std::string(data, '\7'); }

/// A small valid file: metadata, two tensors, an empty one and a scalar; 8 + 12 + 0 + 2 bytes of data.
inline std::string valid_safetensors() {
  return safetensors(
      R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
      R"("b":{"dtype":"BF16","shape":[2,3],"data_offsets":[8,20]},"empty":{"dtype":"F32","shape":[0,5],"data_offsets":[20,20]},)"
      R"("scalar":{"dtype":"F16","shape":[],"data_offsets":[20,22]}}   )",
      22);
}

namespace detail {

/// One F32 tensor "w" with these fields.
inline std::string one(const std::string& fields, size_t data = 8) { return safetensors("{\"w\":{" + fields + "}}", data); }

/// Two U8 tensors at [b1, e1) and [b2, e2).
inline std::string two(int b1, int e1, int b2, int e2, size_t data) {
  const auto entry = [](int b, int e) {
    return "{\"dtype\":\"U8\",\"shape\":[" + std::to_string(e - b) + "],\"data_offsets\":[" + std::to_string(b) + "," +
           std::to_string(e) + "]}";
  };
  return safetensors("{\"x\":" + entry(b1, e1) + ",\"y\":" + entry(b2, e2) + "}", data);
}

inline void add_safetensors_header_cases(std::vector<Case>& cases) {
  const std::string valid = valid_safetensors();
  cases.push_back({"HEADER_EMPTY_FILE", "", "header length"});
  cases.push_back({"HEADER_SEVEN_BYTES", valid.substr(0, 7), "header length"});
  cases.push_back({"HEADER_LENGTH_0", raw(uint64_t{0}) + "{}", "does not begin with '{'"});
  cases.push_back({"HEADER_LENGTH_MAX", raw(UINT64_MAX) + "{}", "at most 100000000"});
  cases.push_back({"HEADER_LENGTH_SIGN_BIT", raw(uint64_t{1} << 63) + "{}", "at most 100000000"});
  cases.push_back({"HEADER_LENGTH_ABOVE_CAP", raw(uint64_t{100000001}) + "{}", "at most 100000000"});
  cases.push_back({"HEADER_LENGTH_AT_CAP", raw(uint64_t{100000000}) + "{}", "needs 100000000 bytes but 2 remain"});
  cases.push_back({"HEADER_LENGTH_PAST_END", raw(uint64_t{3}) + "{}", "needs 3 bytes but 2 remain"});
  cases.push_back({"HEADER_LENGTH_ONE_SHORT", raw(uint64_t{1}) + "{}", "invalid JSON"});
  cases.push_back({"HEADER_SPACE_FIRST", safetensors(" {}", 0), "does not begin with '{'"});
  cases.push_back({"HEADER_ARRAY", safetensors("[]", 0), "does not begin with '{'"});
  cases.push_back({"HEADER_NOT_JSON", safetensors("{nope}", 0), "invalid JSON"});
  cases.push_back({"HEADER_JSON_CUT", safetensors("{\"a\":", 0), "invalid JSON"});
  cases.push_back({"HEADER_TRAILING_TEXT", safetensors("{} x", 0), "invalid JSON"});
  cases.push_back({"HEADER_TWO_OBJECTS", safetensors("{}{}", 0), "invalid JSON"});
  cases.push_back({"HEADER_ZERO_PADDING", safetensors(std::string("{}\0\0", 4), 0), "invalid JSON"});
  cases.push_back({"HEADER_BAD_UTF8", safetensors("{\"\xff\":1}", 0), "invalid JSON"});
  cases.push_back({"HEADER_UTF8_OVERLONG", safetensors("{\"\xc0\xaf\":1}", 0), "invalid JSON"});
  cases.push_back({"HEADER_LONE_SURROGATE", safetensors("{\"\\ud83d\":1}", 0), "invalid JSON"});
  cases.push_back({"HEADER_DEEP", safetensors("{\"a\":" + std::string(2000, '['), 0), "nested deeper than 64"});
  cases.push_back({"HEADER_DEEP_OBJECTS",
                   [] {
                     std::string text;
                     for (int i = 0; i < 100; ++i) text += "{\"a\":";
                     return safetensors(text, 0);
                   }(),
                   "nested deeper than 64"});
  cases.push_back(
      {"HEADER_DUPLICATE_TENSOR",
       safetensors(R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"w":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
                   2),
       "\"w\" appears twice"});
  cases.push_back(
      {"HEADER_DUPLICATE_ESCAPED",
       safetensors(
           R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"\u0077":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
           2),
       "\"w\" appears twice"});
  cases.push_back({"HEADER_DUPLICATE_FIELD", one(R"("dtype":"F32","shape":[2],"shape":[2],"data_offsets":[0,8])"),
                   "\"shape\" appears twice"});
  cases.push_back({"HEADER_DUPLICATE_METADATA", safetensors(R"({"__metadata__":{},"__metadata__":{}})", 0), "appears twice"});
  cases.push_back({"METADATA_LIST", safetensors(R"({"__metadata__":["pt"]})", 0), "__metadata__ must be an object"});
  cases.push_back({"METADATA_NUMBER", safetensors(R"({"__metadata__":{"format":1}})", 0), "must be a string, got number"});
  cases.push_back(
      {"METADATA_NESTED", safetensors(R"({"__metadata__":{"format":{"a":"b"}}})", 0), "must be a string, got object"});
}

inline void add_safetensors_entry_cases(std::vector<Case>& cases) {
  cases.push_back({"ENTRY_STRING", safetensors(R"({"w":"F32"})", 0), "expected an object, got string"});
  cases.push_back({"ENTRY_NULL", safetensors(R"({"w":null})", 0), "expected an object, got null"});
  cases.push_back({"ENTRY_EMPTY", one("", 0), "dtype is missing"});
  cases.push_back({"DTYPE_MISSING", one(R"("shape":[2],"data_offsets":[0,8])"), "dtype is missing"});
  cases.push_back({"DTYPE_NUMBER", one(R"("dtype":32,"shape":[2],"data_offsets":[0,8])"), "dtype must be a string"});
  cases.push_back({"DTYPE_UNKNOWN", one(R"("dtype":"F128","shape":[2],"data_offsets":[0,8])"), "unknown dtype \"F128\""});
  cases.push_back({"DTYPE_LOWER_CASE", one(R"("dtype":"f32","shape":[2],"data_offsets":[0,8])"), "unknown dtype \"f32\""});
  cases.push_back({"SHAPE_MISSING", one(R"("dtype":"F32","data_offsets":[0,8])"), "shape is missing"});
  cases.push_back({"SHAPE_NUMBER", one(R"("dtype":"F32","shape":2,"data_offsets":[0,8])"), "shape must be an array"});
  cases.push_back({"SHAPE_NEGATIVE", one(R"("dtype":"F32","shape":[-2],"data_offsets":[0,8])"), "non-negative integers"});
  cases.push_back({"SHAPE_TWO_NEGATIVES", one(R"("dtype":"F32","shape":[-1,-2],"data_offsets":[0,8])"), "non-negative integers"});
  cases.push_back({"SHAPE_FLOAT", one(R"("dtype":"F32","shape":[2.0],"data_offsets":[0,8])"), "non-negative integers"});
  cases.push_back({"SHAPE_STRING", one(R"("dtype":"F32","shape":["2"],"data_offsets":[0,8])"), "non-negative integers"});
  cases.push_back(
      {"SHAPE_ABOVE_63_BITS", one(R"("dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,8])"), "overflows"});
  cases.push_back({"SHAPE_ABOVE_64_BITS", one(R"("dtype":"F32","shape":[36893488147419103232],"data_offsets":[0,8])"),
                   "non-negative integers"});
  // 2^32 x 2^32 elements wrap to none; 2^59 elements of 32 bits wrap to none too.
  cases.push_back(
      {"SHAPE_PRODUCT_OVERFLOW", one(R"("dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0])", 0), "overflows"});
  cases.push_back(
      {"SHAPE_BITS_OVERFLOW", one(R"("dtype":"F32","shape":[576460752303423488],"data_offsets":[0,0])", 0), "overflows"});
  cases.push_back(
      {"SHAPE_SMALLER_THAN_DATA", one(R"("dtype":"F32","shape":[1],"data_offsets":[0,8])"), "its shape takes 4 bytes"});
  cases.push_back(
      {"SHAPE_LARGER_THAN_DATA", one(R"("dtype":"F32","shape":[3],"data_offsets":[0,8])"), "its shape takes 12 bytes"});
  cases.push_back(
      {"SHAPE_SCALAR_WITH_8_BYTES", one(R"("dtype":"F32","shape":[],"data_offsets":[0,8])"), "its shape takes 4 bytes"});
  cases.push_back({"SHAPE_HALF_A_BYTE", one(R"("dtype":"F4","shape":[3],"data_offsets":[0,1])", 1), "not whole bytes"});
  cases.push_back({"OFFSETS_MISSING", one(R"("dtype":"F32","shape":[2])"), "data_offsets is missing"});
  cases.push_back({"OFFSETS_NUMBER", one(R"("dtype":"F32","shape":[2],"data_offsets":8)"), "array of 2 integers"});
  cases.push_back({"OFFSETS_ONE", one(R"("dtype":"F32","shape":[2],"data_offsets":[0])"), "array of 2 integers"});
  cases.push_back({"OFFSETS_THREE", one(R"("dtype":"F32","shape":[2],"data_offsets":[0,8,16])"), "array of 2 integers"});
  cases.push_back({"OFFSETS_NEGATIVE", one(R"("dtype":"F32","shape":[2],"data_offsets":[-8,0])"), "non-negative integers"});
  cases.push_back({"OFFSETS_FLOAT", one(R"("dtype":"F32","shape":[2],"data_offsets":[0,8.0])"), "non-negative integers"});
  cases.push_back({"OFFSETS_STRING", one(R"("dtype":"F32","shape":[2],"data_offsets":["0","8"])"), "non-negative integers"});
  cases.push_back({"OFFSETS_BACKWARDS", one(R"("dtype":"F32","shape":[2],"data_offsets":[8,0])"), "run backwards"});
  cases.push_back({"OFFSETS_MAX", one(R"("dtype":"F32","shape":[2],"data_offsets":[18446744073709551607,18446744073709551615])"),
                   "overflows"});
  cases.push_back({"OFFSETS_PAST_END", one(R"("dtype":"F32","shape":[2],"data_offsets":[0,8])", 7), "outside the file"});
  cases.push_back({"OFFSETS_BEYOND_END", one(R"("dtype":"F32","shape":[2],"data_offsets":[8,16])"), "outside the file"});
}

inline void add_safetensors_data_cases(std::vector<Case>& cases) {
  cases.push_back({"DATA_HOLE_AT_START", one(R"("dtype":"F32","shape":[1],"data_offsets":[4,8])"), "a hole before it"});
  cases.push_back({"DATA_HOLE_BETWEEN", two(0, 4, 5, 8, 8), "a hole before it"});
  cases.push_back({"DATA_OVERLAP", two(0, 5, 4, 8, 8), "overlaps"});
  cases.push_back({"DATA_SHARED", two(0, 8, 0, 8, 8), "overlaps"});
  cases.push_back({"DATA_INSIDE_ANOTHER", two(0, 8, 2, 4, 8), "overlaps"});
  cases.push_back({"DATA_EMPTY_INSIDE_ANOTHER", two(0, 8, 4, 4, 8), "overlaps"});
  cases.push_back({"DATA_TRAILING_BYTE", two(0, 4, 4, 8, 9), "trailing bytes"});
  cases.push_back({"DATA_WITHOUT_TENSORS", safetensors("{}", 1), "trailing bytes"});
  cases.push_back({"DATA_LAST_BYTE_MISSING", valid_safetensors().substr(0, valid_safetensors().size() - 1), "outside the file"});
  cases.push_back({"DATA_MISSING", two(0, 4, 4, 8, 0), "outside the file"});
}

}  // namespace detail

inline std::vector<Case> safetensors_cases() {
  std::vector<Case> cases;
  detail::add_safetensors_header_cases(cases);
  detail::add_safetensors_entry_cases(cases);
  detail::add_safetensors_data_cases(cases);
  return cases;
}

}  // namespace tenfold::malformed
