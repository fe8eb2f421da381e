#include "text/pretokenizer.h"

#include "core/error.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>

namespace tenfold {

const std::string_view kGpt2Pattern = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
const std::string_view kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const std::string_view kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

namespace {

template <typename T, void (*Free)(T*)>
struct Deleter {
  void operator()(T* p) const { Free(p); }
};
using Code = std::unique_ptr<pcre2_code, Deleter<pcre2_code, pcre2_code_free>>;
using MatchData = std::unique_ptr<pcre2_match_data, Deleter<pcre2_match_data, pcre2_match_data_free>>;
using MatchContext = std::unique_ptr<pcre2_match_context, Deleter<pcre2_match_context, pcre2_match_context_free>>;
using JitStack = std::unique_ptr<pcre2_jit_stack, Deleter<pcre2_jit_stack, pcre2_jit_stack_free>>;

constexpr size_t kJitStackBytes = size_t{16} << 20;

// PCRE2's \s has U+180E, which left White_Space with Unicode 6.3: \s and \S are spelled out.
std::string with_plain_spaces(std::string_view pattern) {
  constexpr std::string_view kSpaces =
      R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
  std::string out;
  bool in_class = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const std::string_view two = pattern.substr(i, 2);
    if (two == "\\s" || (two == "\\S" && !in_class)) {
      out += in_class ? std::string(kSpaces) : fmt::format("[{}{}]", two == "\\S" ? "^" : "", kSpaces);
      ++i;
    } else if (two[0] == '\\') {
      out += two;
      ++i;
    } else if (const size_t end = pattern.find(":]", i); in_class && two == "[:" && end != std::string_view::npos) {
      out += pattern.substr(i, end + 2 - i);
      i = end + 1;
    } else {
      if (!in_class && two[0] == '[') {
        in_class = true;
      } else if (in_class && two[0] == ']') {
        in_class = false;
      }
      out += two[0];
    }
  }
  return out;
}

std::string error_text(int code) {
  std::array<PCRE2_UCHAR, 256> buffer{};
  pcre2_get_error_message(code, buffer.data(), buffer.size());
  return reinterpret_cast<const char*>(buffer.data());
}

}  // namespace

struct SplitRegex::Impl {
  std::string source;
  Code code;
};

SplitRegex::SplitRegex(std::string_view pattern, bool literal, std::string_view source) : impl_(std::make_unique<Impl>()) {
  impl_->source = source;
  const std::string translated = literal ? std::string(pattern) : with_plain_spaces(pattern);
  int error = 0;
  PCRE2_SIZE offset = 0;
  const uint32_t options = PCRE2_UTF | (literal ? PCRE2_LITERAL : PCRE2_UCP);
  impl_->code.reset(
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(), options, &error, &offset, nullptr));
  if (!impl_->code) {
    throw_input("{}: the Split pattern does not compile: {} at byte {} of '{}'", source, error_text(error), offset, translated);
  }
  // Without JIT support PCRE2 interprets: slower, the same result.
  pcre2_jit_compile(impl_->code.get(), PCRE2_JIT_COMPLETE);
}

SplitRegex::SplitRegex(SplitRegex&&) noexcept = default;
SplitRegex& SplitRegex::operator=(SplitRegex&&) noexcept = default;
SplitRegex::~SplitRegex() = default;

std::vector<size_t> SplitRegex::cut(std::string_view piece) const {
  const MatchData match(pcre2_match_data_create_from_pattern(impl_->code.get(), nullptr));
  const MatchContext context(pcre2_match_context_create(nullptr));
  const JitStack stack(pcre2_jit_stack_create(size_t{32} << 10, kJitStackBytes, nullptr));
  if (!match || !context) throw std::bad_alloc();
  if (stack) pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
  std::vector<size_t> ends;
  size_t done = 0;  // all before it is in `ends`
  size_t start = 0;
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(piece.data());
  while (start < piece.size()) {
    const int found =
        pcre2_match(impl_->code.get(), subject, piece.size(), start, PCRE2_NO_UTF_CHECK, match.get(), context.get());
    if (found == PCRE2_ERROR_NOMATCH) break;
    if (found < 0)
      throw_input("{}: the Split pattern gave up on a text of {} bytes: {}", impl_->source, piece.size(), error_text(found));
    const PCRE2_SIZE* ovector = pcre2_get_ovector_pointer(match.get());
    const size_t from = ovector[0];
    const size_t to = ovector[1];
    if (from > done) ends.push_back(from);
    if (to > from) ends.push_back(to);
    done = std::max(done, std::max(from, to));
    start = to;
    if (to <= from) {  // an empty match: step over one character
      start = from + 1;
      while (start < piece.size() && (static_cast<uint8_t>(piece[start]) & 0xC0) == 0x80) ++start;
    }
  }
  if (done < piece.size()) ends.push_back(piece.size());
  return ends;
}

void PreTokenizer::add(Step step) {
  // Digits then GPT-2 is one scanner: the second never sees a digit.
  if (step == Step::kGpt2 && !steps_.empty() && steps_.back() == Step::kDigitsAlone) {
    steps_.back() = Step::kGpt2SplitDigits;
  } else {
    steps_.push_back(step);
  }
}

void PreTokenizer::add_split(std::string_view pattern, std::string_view source) {
  if (pattern == kGpt2Pattern) return add(Step::kGpt2);
  if (pattern == kLlama3Pattern) return add(Step::kLlama3);
  if (pattern == kQwen2Pattern) return add(Step::kQwen2);
  regexes_.emplace_back(pattern, false, source);
  steps_.push_back(Step::kRegex);
}

void PreTokenizer::add_literal_split(std::string_view text, std::string_view source) {
  regexes_.emplace_back(text, true, source);
  steps_.push_back(Step::kRegex);
}

}  // namespace tenfold
