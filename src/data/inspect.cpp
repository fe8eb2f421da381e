#include "data/inspect.h"

#include "core/error.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <string_view>
#include <vector>

namespace tenfold {
namespace {

constexpr std::string_view kReset = "\x1b[0m";

std::string_view color_of(TokenKind kind) {
  switch (kind) {
    case TokenKind::kAnswer: return "\x1b[32m";
    case TokenKind::kDocument: return "\x1b[2m";
    case TokenKind::kNone: return "";
  }
  return "";
}

/// C0 controls but newline and tab, and DEL, as Unicode control pictures: text must not move the cursor or set colours.
std::string visible(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto u = static_cast<unsigned char>(c);
    if ((u < 0x20 && c != '\n' && c != '\t') || u == 0x7F) {
      out += "\xE2\x90";
      out += static_cast<char>(u == 0x7F ? 0xA1 : 0x80 + u);
    } else {
      out += c;
    }
  }
  return out;
}

/// How many bytes at the end of `text` begin a UTF-8 sequence that is not whole yet.
size_t unfinished(std::string_view text) {
  for (size_t back = 1; back <= std::min<size_t>(3, text.size()); ++back) {
    const auto u = static_cast<unsigned char>(text[text.size() - back]);
    if ((u & 0xC0U) == 0x80) continue;
    const size_t need = u >= 0xF0 ? 4 : u >= 0xE0 ? 3 : u >= 0xC0 ? 2 : 1;
    return need > back ? back : 0;
  }
  return 0;
}

}  // namespace

DataStats data_stats(std::span<const Record> records, std::span<const Example> examples) {
  DataStats stats;
  stats.records = static_cast<int64_t>(examples.size());
  std::vector<int64_t> lengths;
  std::vector<bool> seen(records.size(), false);
  for (const Example& example : examples) {
    const auto length = static_cast<int64_t>(example.ids.size());
    lengths.push_back(length);
    stats.tokens += length;
    stats.answer_tokens += std::count(example.kinds.begin(), example.kinds.end(), TokenKind::kAnswer);
    const auto bin = static_cast<size_t>(std::bit_width(static_cast<uint64_t>(std::max<int64_t>(length, 1))) - 1);
    if (bin >= stats.histogram.size()) stats.histogram.resize(bin + 1);
    ++stats.histogram[bin];
    const auto from = static_cast<size_t>(example.record);
    TENFOLD_CHECK(from < records.size(), "example of record {} of {}", from, records.size());
    if (seen[from]) continue;  // pieces of one record
    seen[from] = true;
    for (const ChatMessage& message : records[from].messages) {
      ++stats.turns;
      if (message.role == "assistant") ++stats.answers;
    }
  }
  std::sort(lengths.begin(), lengths.end());
  for (size_t i = 0; i < DataStats::kPercents.size() && !lengths.empty(); ++i) {
    const double rank = std::ceil(DataStats::kPercents[i] / 100.0 * static_cast<double>(lengths.size()));
    stats.percentiles[i] = lengths[static_cast<size_t>(std::max(rank, 1.0)) - 1];
  }
  return stats;
}

std::string show_example(const Example& example, const Tokenizer& tokenizer, bool color, bool bars) {
  TENFOLD_CHECK(example.ids.size() == example.kinds.size(), "{} ids, {} kinds", example.ids.size(), example.kinds.size());
  std::string out;
  std::string held;
  TokenKind now = TokenKind::kNone;
  const auto enter = [&](TokenKind kind) {
    if (kind == now) return;
    if (!held.empty()) out += "\xEF\xBF\xBD";
    held.clear();
    if (color) {
      if (now != TokenKind::kNone) out += kReset;
      out += color_of(kind);
    } else if (kind == TokenKind::kAnswer) {
      out += "\xE2\x9F\xA6";
    } else if (now == TokenKind::kAnswer) {
      out += "\xE2\x9F\xA7";
    }
    now = kind;
  };
  for (size_t t = 0; t < example.ids.size(); ++t) {
    enter(example.kinds[t]);
    held += tokenizer.token_bytes(example.ids[t]);
    const size_t rest = unfinished(held);
    out += visible(std::string_view(held).substr(0, held.size() - rest));
    held.erase(0, held.size() - rest);
    if (bars && held.empty() && t + 1 < example.ids.size()) out += '|';
  }
  enter(TokenKind::kNone);
  return out;
}

}  // namespace tenfold
