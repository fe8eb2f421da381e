#pragma once

#include "malformed/bytes.h"

#include <vector>

namespace tenfold::malformed {

/// The parts of a GGUF file; each case spoils one of them. Counts follow the lists unless they are set.
struct GgufParts {
  std::string magic = "GGUF";
  uint32_t version = 3;
  int64_t tensor_count = -1;
  int64_t key_count = -1;
  std::vector<std::string> keys;
  std::vector<std::string> infos;
  std::string data;
  int64_t alignment = 32;

  std::string head() const {
    return magic + raw(version) +
           raw(tensor_count < 0 ? static_cast<uint64_t>(infos.size()) : static_cast<uint64_t>(tensor_count)) +
           raw(key_count < 0 ? static_cast<uint64_t>(keys.size()) : static_cast<uint64_t>(key_count));
  }
  /// Everything before the data, without the padding.
  std::string front() const {
    std::string out = head();
    for (const std::string& key : keys) out += key;
    for (const std::string& info : infos) out += info;
    return out;
  }
  std::string encode() const {
    std::string out = front();
    while (static_cast<int64_t>(out.size()) % alignment != 0) out += '\0';
    return out + data;
  }
};

inline std::string gguf_key(std::string_view key, uint32_t type, const std::string& value) {
  return counted(key) + raw(type) + value;
}

inline std::string gguf_info(std::string_view name, const std::vector<uint64_t>& dims, uint32_t type, uint64_t offset) {
  std::string out = counted(name) + raw(static_cast<uint32_t>(dims.size()));
  for (const uint64_t dim : dims) out += raw(dim);
  return out + raw(type) + raw(offset);
}

/// A small valid file: one key of each kind, an F32 tensor of 4 and a Q4_0 tensor of 2 rows of 32.
inline GgufParts valid_gguf() {
  GgufParts parts;
  parts.keys = {gguf_key("general.architecture", 8, counted("llama")),
                gguf_key("a.u32", 4, raw(uint32_t{7})),
                gguf_key("a.f32", 6, raw(1.5F)),
                gguf_key("a.bool", 7, raw(uint8_t{1})),
                gguf_key("a.strings", 9, raw(uint32_t{8}) + raw(uint64_t{2}) + counted("x") + counted("yz")),
                gguf_key("a.ints", 9, raw(uint32_t{5}) + raw(uint64_t{2}) + raw(int32_t{-1}) + raw(int32_t{2}))};
  parts.infos = {gguf_info("first", {4}, 0, 0), gguf_info("second", {32, 2}, 2, 32)};
  parts.data = std::string(16, '\1') + std::string(16, '\0') + std::string(36, '\2') + std::string(28, '\0');
  return parts;
}

namespace detail {

/// The valid file with one more key, or with one more tensor info.
inline std::string with_key(const std::string& key) {
  GgufParts parts = valid_gguf();
  parts.keys.push_back(key);
  return parts.encode();
}
inline std::string with_info(const std::string& info) {
  GgufParts parts = valid_gguf();
  parts.infos.push_back(info);
  return parts.encode();
}
/// A file that ends inside its last key or info: nothing follows, so that every missing byte is missed.
inline std::string ending_in_key(const std::string& key) {
  GgufParts parts;
  parts.keys = {key};
  return parts.front();
}
inline std::string ending_in_info(const std::string& info) {
  GgufParts parts;
  parts.infos = {info};
  return parts.front();
}
/// The parts after one change.
template <typename Change>
std::string changed(Change change) {
  GgufParts parts = valid_gguf();
  change(parts);
  return parts.encode();
}

inline void add_header_cases(std::vector<Case>& cases) {
  const std::string valid = valid_gguf().encode();
  cases.push_back({"HEADER_EMPTY_FILE", "", "magic"});
  cases.push_back({"HEADER_THREE_BYTES", "GGU", "magic"});
  cases.push_back({"HEADER_BAD_MAGIC", "GGML" + valid.substr(4), "not a GGUF file"});
  cases.push_back({"HEADER_LOWER_CASE_MAGIC", "gguf" + valid.substr(4), "not a GGUF file"});
  cases.push_back({"HEADER_NO_VERSION", "GGUF", "version"});
  cases.push_back({"HEADER_HALF_VERSION", valid.substr(0, 6), "version"});
  cases.push_back({"HEADER_VERSION_0", changed([](auto& p) { p.version = 0; }), "version 0"});
  cases.push_back({"HEADER_VERSION_1", changed([](auto& p) { p.version = 1; }), "version 1"});
  cases.push_back({"HEADER_VERSION_4", changed([](auto& p) { p.version = 4; }), "version 4"});
  cases.push_back({"HEADER_BIG_ENDIAN", changed([](auto& p) { p.version = 0x03000000; }), "big-endian"});
  cases.push_back({"HEADER_NO_TENSOR_COUNT", valid.substr(0, 15), "tensor count"});
  cases.push_back({"HEADER_NO_KEY_COUNT", valid.substr(0, 8) + raw(uint64_t{0}) + "1234567", "key count"});
  cases.push_back({"HEADER_TENSOR_COUNT_MAX", valid.substr(0, 8) + raw(UINT64_MAX) + valid.substr(16), "tensor count"});
  cases.push_back({"HEADER_TENSOR_COUNT_1000", changed([](auto& p) { p.tensor_count = 1000; }), "tensor count"});
  cases.push_back({"HEADER_KEY_COUNT_MAX", valid.substr(0, 16) + raw(UINT64_MAX) + valid.substr(24), "key count"});
  cases.push_back({"HEADER_KEY_COUNT_1000", changed([](auto& p) { p.key_count = 1000; }), "key count"});
  cases.push_back({"HEADER_ONE_KEY_TOO_MANY", changed([](auto& p) { p.key_count = 7; }), ""});
  cases.push_back({"HEADER_ONE_KEY_TOO_FEW", changed([](auto& p) { p.key_count = 5; }), ""});
  cases.push_back({"HEADER_ONE_TENSOR_TOO_MANY", changed([](auto& p) { p.tensor_count = 3; }), ""});
}

inline void add_key_cases(std::vector<Case>& cases) {
  const auto u32 = [](uint32_t value) { return raw(value); };
  const auto u64 = [](uint64_t value) { return raw(value); };
  // The smallest key that passes the count check, so that the reader reaches the fault itself.
  const std::string pad(32, '\0');
  cases.push_back({"KV_KEY_LENGTH_HALF", ending_in_key(std::string(3, '\1') + pad).substr(0, 40 - 13), "key count"});
  cases.push_back({"KV_KEY_LENGTH_MAX", with_key(u64(UINT64_MAX) + "key" + u32(4) + u32(1)), "key length"});
  cases.push_back({"KV_KEY_LENGTH_SIGN_BIT", with_key(u64(uint64_t{1} << 63) + "key" + u32(4) + u32(1)), "key length"});
  cases.push_back({"KV_KEY_LENGTH_PAST_END", ending_in_key(u64(20) + std::string(19, 'k')), "key length"});
  cases.push_back({"KV_KEY_EMPTY", with_key(gguf_key("", 4, u32(1))), "empty"});
  cases.push_back({"KV_KEY_65536_BYTES", with_key(gguf_key(std::string(65536, 'k'), 4, u32(1))), "at most 65535"});
  cases.push_back({"KV_KEY_DUPLICATE", with_key(gguf_key("a.u32", 4, u32(7))), "\"a.u32\" appears twice"});
  cases.push_back({"KV_KEY_DUPLICATE_OTHER_TYPE", with_key(gguf_key("a.u32", 7, std::string(1, '\0'))), "appears twice"});
  cases.push_back({"KV_TYPE_HALF", ending_in_key(counted("twelve_bytes") + std::string(2, '\4')), "value type"});
  cases.push_back({"KV_TYPE_13", with_key(gguf_key("k", 13, u64(0))), "unknown value type 13"});
  cases.push_back({"KV_TYPE_MAX", with_key(gguf_key("k", UINT32_MAX, u64(0))), "unknown value type"});
  cases.push_back({"KV_U32_HALF", ending_in_key(gguf_key("four", 4, std::string(2, '\1'))), "\"four\""});
  cases.push_back({"KV_F64_HALF", ending_in_key(gguf_key("four", 12, std::string(7, '\1'))), "\"four\""});
  cases.push_back({"KV_U64_ABOVE_63_BITS", with_key(gguf_key("k", 10, u64(UINT64_MAX))), "63 bits"});
  cases.push_back({"KV_BOOL_2", with_key(gguf_key("k", 7, std::string(1, '\2'))), "a bool is 0 or 1"});
  cases.push_back({"KV_STRING_LENGTH_MAX", with_key(gguf_key("k", 8, u64(UINT64_MAX))), "\"k\""});
  cases.push_back({"KV_STRING_PAST_END", ending_in_key(gguf_key("k", 8, u64(5) + "four")), "\"k\""});
  cases.push_back(
      {"KV_ARRAY_OF_ARRAYS", with_key(gguf_key("k", 9, u32(9) + u64(1) + u32(4) + u64(1) + u32(1))), "array of arrays"});
  cases.push_back({"KV_ARRAY_TYPE_99", with_key(gguf_key("k", 9, u32(99) + u64(1) + u32(1))), "element type 99"});
  cases.push_back({"KV_ARRAY_TYPE_HALF", ending_in_key(gguf_key("k", 9, std::string(3, '\4'))), "\"k\""});
  cases.push_back({"KV_ARRAY_LENGTH_HALF", ending_in_key(gguf_key("k", 9, u32(4) + std::string(7, '\0'))), "array length"});
  cases.push_back({"KV_ARRAY_LENGTH_MAX", with_key(gguf_key("k", 9, u32(0) + u64(UINT64_MAX))), "array length"});
  // 2^61 items of 8 bytes are 2^64 bytes, which wrap to none.
  cases.push_back({"KV_ARRAY_LENGTH_WRAPS", with_key(gguf_key("k", 9, u32(10) + u64(uint64_t{1} << 61))), "array length"});
  cases.push_back({"KV_ARRAY_STRINGS_2_TO_40", with_key(gguf_key("k", 9, u32(8) + u64(uint64_t{1} << 40))), "array length"});
  cases.push_back({"KV_ARRAY_PAST_END", ending_in_key(gguf_key("k", 9, u32(4) + u64(2) + u32(1))), "array length"});
  cases.push_back({"KV_ARRAY_STRING_PAST_END", ending_in_key(gguf_key("k", 9, u32(8) + u64(1) + u64(100) + "short")), "\"k\""});
  cases.push_back({"KV_ARRAY_BOOL_7", with_key(gguf_key("k", 9, u32(7) + u64(2) + std::string("\1\7"))), "a bool is 0 or 1"});
  cases.push_back({"KV_ARRAY_U64_ABOVE_63_BITS", with_key(gguf_key("k", 9, u32(10) + u64(1) + u64(UINT64_MAX))), "63 bits"});
  cases.push_back({"KV_ALIGNMENT_0", with_key(gguf_key("general.alignment", 4, u32(0))), "general.alignment is 0"});
  cases.push_back({"KV_ALIGNMENT_4", with_key(gguf_key("general.alignment", 4, u32(4))), "general.alignment is 4"});
  cases.push_back({"KV_ALIGNMENT_48", with_key(gguf_key("general.alignment", 4, u32(48))), "power of two"});
  cases.push_back(
      {"KV_ALIGNMENT_NEGATIVE", with_key(gguf_key("general.alignment", 5, raw(int32_t{-32}))), "general.alignment is -32"});
  cases.push_back(
      {"KV_ALIGNMENT_2_TO_62", with_key(gguf_key("general.alignment", 10, u64(uint64_t{1} << 62))), "outside the file"});
  cases.push_back(
      {"KV_ALIGNMENT_STRING", with_key(gguf_key("general.alignment", 8, counted("32"))), "expected an integer, got a string"});
}

inline void add_tensor_cases(std::vector<Case>& cases) {
  const auto f32 = [](const std::vector<uint64_t>& dims, uint64_t offset = 96) {
    return with_info(gguf_info("third", dims, 0, offset));
  };
  cases.push_back({"TENSOR_NAME_LENGTH_MAX", with_info(raw(UINT64_MAX) + std::string(40, 'n')), "tensor name length"});
  cases.push_back({"TENSOR_NAME_PAST_END", ending_in_info(raw(uint64_t{40}) + std::string(39, 'n')), "tensor name length"});
  cases.push_back({"TENSOR_NAME_EMPTY", with_info(gguf_info("", {4}, 0, 96)), "without a name"});
  cases.push_back({"TENSOR_NAME_65_BYTES", with_info(gguf_info(std::string(65, 'n'), {4}, 0, 96)), "at most 64"});
  cases.push_back({"TENSOR_NAME_DUPLICATE", with_info(gguf_info("first", {4}, 0, 96)), "\"first\" appears twice"});
  cases.push_back({"TENSOR_DIMS_0", with_info(gguf_info("third", {}, 0, 96)), "n_dims is 0"});
  cases.push_back({"TENSOR_DIMS_5", f32({1, 1, 1, 1, 1}), "n_dims is 5"});
  cases.push_back(
      {"TENSOR_DIMS_MAX", with_info(counted("third") + raw(UINT32_MAX) + std::string(40, '\1')), "n_dims is 4294967295"});
  cases.push_back({"TENSOR_DIM_ZERO", f32({4, 0}), "dim 1 is 0"});
  cases.push_back({"TENSOR_DIM_NEGATIVE", f32({UINT64_MAX, 1}), "dim 0 is 18446744073709551615"});
  cases.push_back({"TENSOR_ELEMENTS_OVERFLOW", f32({uint64_t{1} << 32, uint64_t{1} << 32}), "63 bits"});
  cases.push_back({"TENSOR_ELEMENTS_OVERFLOW_4D", f32({1 << 16, 1 << 16, 1 << 16, 1 << 16}), "63 bits"});
  cases.push_back({"TENSOR_BYTES_OVERFLOW", f32({uint64_t{1} << 62}), "63 bits"});
  cases.push_back({"TENSOR_TYPE_999", with_info(gguf_info("third", {4}, 999, 96)), "ggml type 999"});
  cases.push_back({"TENSOR_TYPE_REMOVED", with_info(gguf_info("third", {32}, 4, 96)), "removed ggml type 4"});
  cases.push_back({"TENSOR_ROW_NOT_WHOLE_BLOCKS", with_info(gguf_info("third", {33}, 2, 96)), "not whole blocks of 32"});
  cases.push_back({"TENSOR_ROW_576_IN_Q6_K", with_info(gguf_info("third", {576}, 14, 96)), "not whole blocks of 256"});
  // 16 x 2 elements are one block of 32 together, but no row is.
  cases.push_back({"TENSOR_BLOCK_ACROSS_ROWS", with_info(gguf_info("third", {16, 2}, 2, 96)), "not whole blocks of 32"});
  cases.push_back({"TENSOR_INFO_WITHOUT_TYPE",
                   ending_in_info(counted("a_name_of_19_bytes_") + raw(uint32_t{1}) + raw(uint64_t{4})), "tensor type"});
  cases.push_back(
      {"TENSOR_INFO_WITHOUT_OFFSET",
       ending_in_info(counted("a_name_of_19_bytes_") + raw(uint32_t{1}) + raw(uint64_t{4}) + raw(uint32_t{0}) + "1234567"),
       "tensor offset"});
  cases.push_back(
      {"TENSOR_INFO_HALF_A_DIM", ending_in_info(counted("a_name_of_19_bytes_") + raw(uint32_t{1}) + "1234"), "tensor dims"});
}

inline void add_data_cases(std::vector<Case>& cases) {
  const auto f32 = [](const std::vector<uint64_t>& dims, uint64_t offset) {
    return with_info(gguf_info("third", dims, 0, offset));
  };
  const std::string valid = valid_gguf().encode();
  cases.push_back({"DATA_OFFSET_MISALIGNED", f32({1}, 4), "misaligned"});
  cases.push_back({"DATA_OFFSET_OFF_BY_ONE", f32({1}, 97), "misaligned"});
  cases.push_back({"DATA_OFFSET_MAX", f32({1}, UINT64_MAX), "63 bits"});
  cases.push_back({"DATA_OFFSET_PLUS_SIZE_WRAPS", f32({8}, (uint64_t{1} << 63) - 32), "outside the file"});
  cases.push_back({"DATA_OFFSET_AT_END", f32({1}, 96), "outside the file"});
  cases.push_back({"DATA_SIZE_PAST_END", f32({1 << 20}, 0), "outside the file"});
  cases.push_back({"DATA_SIZE_2_TO_50", f32({uint64_t{1} << 50}, 0), "outside the file"});
  cases.push_back({"DATA_SAME_OFFSET", f32({4}, 0), "overlap"});
  cases.push_back({"DATA_INSIDE_ANOTHER", f32({1}, 64), "overlap"});
  cases.push_back({"DATA_REACHES_INTO_NEXT", changed([](auto& p) { p.infos[0] = gguf_info("first", {9}, 0, 0); }), "overlap"});
  cases.push_back({"DATA_LAST_BYTE_MISSING", valid.substr(0, valid.size() - 29), "outside the file"});
  cases.push_back({"DATA_SECTION_MISSING", valid_gguf().front(), "outside the file"});
  cases.push_back({"DATA_ALIGNMENT_64_OFFSET_32", changed([](auto& p) {
                     p.keys.push_back(gguf_key("general.alignment", 4, raw(uint32_t{64})));
                     p.alignment = 64;
                   }),
                   "misaligned"});
}

}  // namespace detail

inline std::vector<Case> gguf_cases() {
  std::vector<Case> cases;
  detail::add_header_cases(cases);
  detail::add_key_cases(cases);
  detail::add_tensor_cases(cases);
  detail::add_data_cases(cases);
  return cases;
}

}  // namespace tenfold::malformed
