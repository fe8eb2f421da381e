#include "synth/r_lazyload.h"

#include "core/error.h"
#include "format/mapped_file.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <string_view>

namespace tenfold {
namespace {

constexpr int64_t kMaxIndexBytes = int64_t{1} << 26;  // a far larger index than any package has
constexpr int64_t kMaxRatio = 1040;                   // deflate cannot shrink further than 1032 to 1

/// Inflates a zlib or gzip stream that must end within `bytes`. `size` is the exact size, or -1 when only `limit` is known.
std::vector<std::byte> inflate_all(std::span<const std::byte> bytes, int64_t size, int64_t limit, const std::string& what) {
  const int64_t bound = size >= 0 ? size : std::min(limit, static_cast<int64_t>(bytes.size()) * kMaxRatio + 1024);
  std::vector<std::byte> out;
  z_stream stream{};
  if (inflateInit2(&stream, 15 + 32) != Z_OK) throw_input("{}: zlib could not start", what);
  stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  int status = Z_OK;
  while (status == Z_OK && static_cast<int64_t>(out.size()) <= bound) {
    const size_t had = out.size();
    // One byte more than allowed: a stream that is too long is then seen, not cut.
    out.resize(std::min(static_cast<size_t>(bound) + 1, had + (size_t{1} << 20)));
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + had);
    stream.avail_out = static_cast<uInt>(out.size() - had);
    const auto offered = stream.avail_out;
    status = inflate(&stream, Z_NO_FLUSH);
    out.resize(had + (offered - stream.avail_out));
    if (status == Z_BUF_ERROR || (status == Z_OK && stream.avail_in == 0 && stream.avail_out > 0)) break;
  }
  inflateEnd(&stream);
  if (status != Z_STREAM_END) throw_input("{}: the compressed data are corrupt, truncated or longer than stated", what);
  if (size >= 0 && static_cast<int64_t>(out.size()) != size)
    throw_input("{}: {} bytes were promised, {} came out", what, size, out.size());
  return out;
}

std::vector<std::byte> index_bytes(const MappedFile& file) {
  const auto bytes = file.bytes();
  const auto begins = [&](std::string_view mark) {
    return bytes.size() >= mark.size() && std::memcmp(bytes.data(), mark.data(), mark.size()) == 0;
  };
  if (begins("X\n")) return {bytes.begin(), bytes.end()};
  if (begins("BZh") || begins("\xFD"
                              "7zXZ")) {
    throw_input("{}: the index is compressed with {}; only zlib/gzip (R's default) is read", file.path(),
                begins("BZh") ? "bzip2" : "xz");
  }
  if (bytes.size() > (size_t{1} << 26)) throw_input("{}: {} bytes are too many for an index", file.path(), bytes.size());
  return inflate_all(bytes, -1, kMaxIndexBytes, file.path());
}

/// The bytes of a variable (R_decompress1 and 3 of serialize.c): bare when nothing is compressed, else a 4-byte big-endian size,
/// for compression 2 and 3 a letter for the method, and the data.
std::vector<std::byte> chunk_bytes(std::span<const std::byte> chunk, int32_t compression, const std::string& what) {
  if (compression == 0) return {chunk.begin(), chunk.end()};
  const size_t header = compression == 1 ? 4 : 5;
  if (chunk.size() < header) throw_input("{}: {} bytes are too few for a chunk", what, chunk.size());
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(chunk[i]); };
  const int64_t size = (byte(0) << 24) | (byte(1) << 16) | (byte(2) << 8) | byte(3);
  const char method = compression == 1 ? '1' : static_cast<char>(chunk[4]);
  const auto body = chunk.subspan(header);
  if (method == '0') {
    if (size != static_cast<int64_t>(body.size()))
      throw_input("{}: {} bytes were promised, {} are there", what, size, body.size());
    return {body.begin(), body.end()};
  }
  if (method != '1') throw_input("{}: compressed with {}; only zlib (R's default) is read", what, method == '2' ? "bzip2" : "xz");
  if (size > static_cast<int64_t>(body.size()) * kMaxRatio)
    throw_input("{}: {} bytes cannot come out of {} compressed ones; the file is corrupt", what, size, body.size());
  return inflate_all(body, size, size, what);
}

const RValue* member(const RValue& list, std::string_view name) {
  if (list.kind != RValue::Kind::kList || list.names.size() != list.items.size()) return nullptr;
  for (size_t i = 0; i < list.names.size(); ++i) {
    if (list.names[i] == name) return &list.items[i];
  }
  return nullptr;
}

std::string without_extension(const std::string& base) {
  return base.ends_with(".rdx") || base.ends_with(".rdb") ? base.substr(0, base.size() - 4) : base;
}

}  // namespace

std::map<std::string, std::vector<std::string>> read_r_character_vectors(const std::string& base) {
  const std::string stem = without_extension(base);
  const MappedFile index_file(stem + ".rdx");
  const MappedFile data_file(stem + ".rdb");
  const auto index = parse_r_serialized(index_bytes(index_file), index_file.path());
  const RValue* variables = index ? member(*index, "variables") : nullptr;
  const RValue* compressed = index ? member(*index, "compressed") : nullptr;
  if (variables == nullptr || variables->kind != RValue::Kind::kList || variables->names.size() != variables->items.size())
    throw_input("{}: no list of named variables: this is no lazy-load index of R", index_file.path());
  const int32_t compression = compressed != nullptr && compressed->integers.size() == 1 ? compressed->integers[0] : 0;
  if (compression < 0 || compression > 3) throw_input("{}: unknown compression {}", index_file.path(), compression);

  std::map<std::string, std::vector<std::string>> found;
  for (size_t i = 0; i < variables->items.size(); ++i) {
    const std::string& name = variables->names[i];
    const std::string what = fmt::format("{}: variable '{}'", data_file.path(), name);
    const std::vector<int32_t>& place = variables->items[i].integers;
    if (place.size() != 2 || place[0] < 0 || place[1] < 0) throw_input("{}: no offset and length in the index", what);
    const int64_t offset = place[0];
    const int64_t length = place[1];
    if (offset > data_file.size() || length > data_file.size() - offset) {
      throw_input("{}: bytes {} to {} lie outside the file of {}; it is truncated or corrupt", what, offset, offset + length,
                  data_file.size());
    }
    const auto chunk = data_file.bytes().subspan(static_cast<size_t>(offset), static_cast<size_t>(length));
    auto value = parse_r_serialized(chunk_bytes(chunk, compression, what), what);
    if (!value || value->kind != RValue::Kind::kStrings) continue;
    if (!found.emplace(name, std::move(value->strings)).second) throw_input("{}: it is listed twice", what);
  }
  return found;
}

}  // namespace tenfold
