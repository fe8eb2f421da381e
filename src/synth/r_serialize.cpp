#include "core/error.h"
#include "format/byte_reader.h"
#include "synth/r_lazyload.h"

#include <bit>
#include <cstring>
#include <utility>

namespace tenfold {
namespace {

/// SEXP type codes of R's serialize.c.
enum RType : int {
  kSymbolType = 1,
  kPairList = 2,
  kLanguage = 6,
  kCharacter = 9,
  kLogical = 10,
  kInteger = 13,
  kReal = 14,
  kComplex = 15,
  kStrings = 16,
  kVector = 19,
  kExpression = 20,
  kRaw = 24,
  kAltRep = 238,
  kEmptyEnv = 242,
  kBaseEnv = 241,
  kNilValue = 254,
  kReference = 255,
};

constexpr int kMaxDepth = 64;
constexpr uint32_t kLatin1 = 1U << 2;

struct Unsupported {};  ///< a sort of value that nobody here needs: the variable is left out

std::string latin1_to_utf8(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto u = static_cast<unsigned char>(c);
    if (u < 0x80) {
      out += c;
    } else {
      out += static_cast<char>(0xC0U | (u >> 6));
      out += static_cast<char>(0x80U | (u & 0x3FU));
    }
  }
  return out;
}

class Reader {
 public:
  Reader(std::span<const std::byte> bytes, std::string_view source) : reader_(bytes, source), source_(source) {}

  RValue document() {
    const auto magic = reader_.take(2, "the format mark");
    if (std::memcmp(magic.data(), "X\n", 2) != 0) throw_input("{}: not a serialised R value in XDR form (no 'X' line)", source_);
    const int32_t version = integer("the version");
    if (version != 2 && version != 3) throw_input("{}: serialisation version {}; 2 and 3 are known", source_, version);
    integer("R's version");
    integer("the least R version");
    if (version == 3) reader_.take(integer("the length of the encoding"), "the native encoding");
    return value(0);
  }

 private:
  int32_t integer(std::string_view what) {
    auto raw = reader_.read<uint32_t>(what);
    if constexpr (std::endian::native == std::endian::little) raw = __builtin_bswap32(raw);
    return static_cast<int32_t>(raw);
  }

  /// A vector's length, which must fit into what remains at `bytes_each` per element.
  int64_t length(int64_t bytes_each, std::string_view what) {
    const int32_t n = integer(what);
    if (n < 0) throw_input("{}: {} has length {} at byte {}; long vectors are not read", source_, what, n, reader_.position());
    if (n > reader_.remaining() / bytes_each) {
      throw_input("{}: {} claims {} elements at byte {} but {} bytes remain; the file is truncated or corrupt", source_, what, n,
                  reader_.position(), reader_.remaining());
    }
    return n;
  }

  std::string character(uint32_t flags) {
    const int32_t n = integer("the length of a string");
    if (n == -1) return {};  // NA
    const auto bytes = reader_.take(n, "a string");
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return ((flags >> 12) & kLatin1) != 0 ? latin1_to_utf8(text) : std::string(text);
  }

  std::string character_item() {
    const auto flags = static_cast<uint32_t>(integer("the flags of a string"));
    if ((flags & 0xFFU) != kCharacter) throw_input("{}: expected a string at byte {}", source_, reader_.position());
    return character(flags);
  }

  RValue value(int depth) { return value(static_cast<uint32_t>(integer("the flags of a value")), depth); }

  RValue value(uint32_t flags, int depth) {
    if (depth > kMaxDepth)
      throw_input("{}: values are nested more than {} deep at byte {}", source_, kMaxDepth, reader_.position());
    const auto type = static_cast<int>(flags & 0xFFU);
    RValue out;
    switch (type) {
      case kNilValue: out.kind = RValue::Kind::kNull; return out;
      case kEmptyEnv:
      case kBaseEnv: return out;
      case kReference: return reference(flags);
      case kSymbolType:
        out.kind = RValue::Kind::kSymbol;
        out.strings.push_back(character_item());
        symbols_.push_back(out.strings[0]);
        return out;
      case kPairList:
      case kLanguage: return pairs(flags, depth);
      case kAltRep: return altrep(depth);
      default: break;
    }
    read_vector(type, out, depth);
    if ((flags & (1U << 9)) != 0) attributes(out, depth);
    return out;
  }

  void read_vector(int type, RValue& out, int depth) {
    switch (type) {
      case kLogical:
      case kInteger: {
        out.kind = RValue::Kind::kIntegers;
        const int64_t n = length(4, "an integer vector");
        out.integers.reserve(static_cast<size_t>(n));
        for (int64_t i = 0; i < n; ++i) out.integers.push_back(integer("an integer"));
        return;
      }
      case kReal: reader_.take(length(8, "a real vector") * 8, "a real vector"); return;
      case kComplex: reader_.take(length(16, "a complex vector") * 16, "a complex vector"); return;
      case kRaw: reader_.take(length(1, "a raw vector"), "a raw vector"); return;
      case kStrings: {
        out.kind = RValue::Kind::kStrings;
        const int64_t n = length(8, "a character vector");
        out.strings.reserve(static_cast<size_t>(n));
        for (int64_t i = 0; i < n; ++i) out.strings.push_back(character_item());
        return;
      }
      case kVector:
      case kExpression: {
        out.kind = RValue::Kind::kList;
        const int64_t n = length(4, "a list");
        for (int64_t i = 0; i < n; ++i) out.items.push_back(value(depth + 1));
        return;
      }
      default: throw Unsupported();
    }
  }

  RValue reference(uint32_t flags) {
    const int64_t packed = flags >> 8;
    const int64_t index = packed != 0 ? packed : integer("a reference");
    if (index < 1 || index > static_cast<int64_t>(symbols_.size()))
      throw_input("{}: reference {} of {} at byte {}", source_, index, symbols_.size(), reader_.position());
    RValue out;
    out.kind = RValue::Kind::kSymbol;
    out.strings.push_back(symbols_[static_cast<size_t>(index - 1)]);
    return out;
  }

  /// The cells of a pair list are read in a loop: their number is bounded by the bytes, not by the stack.
  RValue pairs(uint32_t flags, int depth) {
    RValue out;
    out.kind = RValue::Kind::kPairs;
    while (true) {
      const auto type = static_cast<int>(flags & 0xFFU);
      if (type == kNilValue) return out;
      if (type != kPairList && type != kLanguage) throw Unsupported();
      if ((flags & (1U << 9)) != 0) value(depth + 1);
      std::string tag;
      if ((flags & (1U << 10)) != 0) {
        const RValue symbol = value(depth + 1);
        if (symbol.kind == RValue::Kind::kSymbol) tag = symbol.strings[0];
      }
      out.names.push_back(std::move(tag));
      out.items.push_back(value(depth + 1));
      flags = static_cast<uint32_t>(integer("the flags of a list's rest"));
    }
  }

  void attributes(RValue& of, int depth) {
    RValue list = value(depth + 1);
    if (list.kind != RValue::Kind::kPairs) return;
    for (size_t i = 0; i < list.items.size(); ++i) {
      if (list.names[i] == "names" && list.items[i].kind == RValue::Kind::kStrings) of.names = std::move(list.items[i].strings);
    }
  }

  /// An alternative representation: its class, its state, its attributes. Only wrappers around a plain vector are unfolded.
  RValue altrep(int depth) {
    const RValue info = value(depth + 1);
    RValue state = value(depth + 1);
    value(depth + 1);
    const bool wrapper = info.kind == RValue::Kind::kPairs && !info.items.empty() &&
                         info.items[0].kind == RValue::Kind::kSymbol && info.items[0].strings[0].starts_with("wrap_");
    if (!wrapper || state.items.empty()) return {};
    return std::move(state.items[0]);
  }

  ByteReader reader_;
  std::string source_;
  std::vector<std::string> symbols_;
};

}  // namespace

std::optional<RValue> parse_r_serialized(std::span<const std::byte> bytes, std::string_view source) {
  try {
    return Reader(bytes, source).document();
  } catch (const Unsupported&) {
    return std::nullopt;
  }
}

}  // namespace tenfold
