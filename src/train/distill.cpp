#include "train/distill.h"

#include "core/error.h"
#include "core/rng.h"
#include "train/plan.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace tenfold {
namespace {

constexpr uint64_t kWindowStream = 0x77696e64;  // "wind"
constexpr uint64_t kRecordStream = 0x63686174;  // "chat": which step takes a record must not move the text's windows

int64_t limited(int64_t tokens, int64_t most) {
  most = std::min(most, kHeadRows);
  return tokens > 0 ? std::min(tokens, most) : most;
}

int64_t rows_of(const DistillOptions& options, int64_t length) { return limited(options.tokens, length - 1); }

int64_t rows_of(const DistillOptions& options, const DistillRecord& record) {
  const int64_t tokens = options.record_tokens > 0 ? options.record_tokens : options.tokens;
  return std::max(limited(tokens, record.positions()), static_cast<int64_t>(record.always.size()));
}

/// `wanted` of the rows in the order of their numbers, the first `fixed` of them in any case: a partial Fisher-Yates, the first
/// places of a random permutation.
void sample_rows(std::vector<int64_t>& rows, size_t fixed, size_t wanted, Rng& rng) {
  for (size_t i = fixed; i < wanted; ++i) std::swap(rows[i], rows[i + rng.below(rows.size() - i)]);
  rows.resize(wanted);
  std::sort(rows.begin(), rows.end());
}

DistillWindow text_window(const DistillOptions& options, uint64_t seed, int64_t step) {
  Rng rng(seed, mix64(kWindowStream, static_cast<uint64_t>(step)));
  const int64_t length = options.lengths[rng.below(options.lengths.size())];
  const auto text = static_cast<int64_t>(options.text.size());
  TENFOLD_CHECK(length > 1 && length <= text, "a window of {} tokens from {}", length, text);
  const auto from = static_cast<int64_t>(rng.below(static_cast<uint64_t>(text - length + 1)));
  DistillWindow window;
  window.ids = std::span(options.text).subspan(static_cast<size_t>(from), static_cast<size_t>(length));
  window.rows.resize(static_cast<size_t>(length - 1));
  std::iota(window.rows.begin(), window.rows.end(), int64_t{0});
  sample_rows(window.rows, 0, static_cast<size_t>(rows_of(options, length)), rng);
  return window;
}

DistillWindow record_window(const DistillOptions& options, Rng& rng) {
  DistillWindow window;
  window.record = static_cast<int64_t>(rng.below(options.records.size()));
  const DistillRecord& record = options.records[static_cast<size_t>(window.record)];
  window.ids = record.ids;
  window.rows = record.always;
  for (int64_t row = 0; row < record.positions(); ++row) {
    if (!std::binary_search(record.always.begin(), record.always.end(), row)) window.rows.push_back(row);
  }
  sample_rows(window.rows, record.always.size(), static_cast<size_t>(rows_of(options, record)), rng);
  return window;
}

}  // namespace

int64_t DistillRecord::positions() const {
  const auto n = static_cast<int64_t>(ids.size());
  return !always.empty() && always.back() == n - 1 ? n : n - 1;
}

DistillRecord distill_record(Example example, bool ends_with_prompt, std::string where) {
  DistillRecord record;
  for (size_t t = 1; t < example.ids.size(); ++t) {
    if (example.kinds[t] == TokenKind::kAnswer && example.kinds[t - 1] != TokenKind::kAnswer)
      record.always.push_back(static_cast<int64_t>(t) - 1);
  }
  if (ends_with_prompt && !example.ids.empty()) record.always.push_back(static_cast<int64_t>(example.ids.size()) - 1);
  record.ids = std::move(example.ids);
  record.where = std::move(where);
  if (record.positions() < 1) throw_input("{}: the record has {} tokens and nothing to distill", record.where, record.ids.size());
  return record;
}

DistillWindow distill_window(const DistillOptions& options, uint64_t seed, int64_t step) {
  if (options.records.empty()) return text_window(options, seed, step);
  Rng rng(seed, mix64(kRecordStream, static_cast<uint64_t>(step)));
  if (rng.uniform() < options.record_share || options.text.empty()) return record_window(options, rng);
  return text_window(options, seed, step);
}

std::vector<int64_t> distill_lengths(const DistillOptions& options) {
  if (options.weight <= 0) return {};
  std::vector<int64_t> lengths;
  if (!options.text.empty()) lengths = options.lengths;
  for (const DistillRecord& record : options.records) lengths.push_back(static_cast<int64_t>(record.ids.size()));
  return lengths;
}

int64_t distill_length(const DistillOptions& options) {
  int64_t longest = 0;
  for (const int64_t length : distill_lengths(options)) longest = std::max(longest, length);
  return longest;
}

int64_t distill_rows(const DistillOptions& options) {
  if (options.weight <= 0) return 0;
  int64_t most = 0;
  if (!options.text.empty()) {
    for (const int64_t length : options.lengths) most = std::max(most, rows_of(options, length));
  }
  for (const DistillRecord& record : options.records) most = std::max(most, rows_of(options, record));
  return most;
}

uint64_t distill_hash(const DistillOptions& options) {
  uint64_t hash = options.text.size();
  for (const int32_t id : options.text) hash = mix64(hash, static_cast<uint64_t>(id));
  for (const DistillRecord& record : options.records) {
    hash = mix64(hash, record.ids.size());
    for (const int32_t id : record.ids) hash = mix64(hash, static_cast<uint64_t>(id));
    for (const int64_t row : record.always) hash = mix64(hash, static_cast<uint64_t>(row));
  }
  return hash;
}

void check_distillation(const DistillOptions& options, int64_t vocabulary) {
  if (options.weight <= 0) return;
  if (options.text.empty() && options.records.empty()) throw_input("self-distillation has neither text nor records");
  if (!(options.record_share >= 0 && options.record_share <= 1))
    throw_input("--distill-data-share: expected 0 to 1, got {}", options.record_share);
  const int64_t longest = *std::max_element(options.lengths.begin(), options.lengths.end());
  if (!options.text.empty() && static_cast<int64_t>(options.text.size()) < longest) {
    throw_input("--distill-text has {} tokens, and a window takes {}: give more text or shorter --distill-lengths",
                options.text.size(), longest);
  }
  const auto check_ids = [&](std::span<const int32_t> ids, const std::string& where) {
    for (const int32_t id : ids) {
      if (id >= 0 && id < vocabulary) continue;
      throw_input("{}: token id {} is outside the model's vocabulary of {}; the tokenizer belongs to another model", where, id,
                  vocabulary);
    }
  };
  check_ids(options.text, "--distill-text");
  for (const DistillRecord& record : options.records) {
    if (static_cast<int64_t>(record.ids.size()) > longest) {
      throw_input("{}: the record has {} tokens, and the longest of --distill-lengths is {}: leave it out or raise that",
                  record.where, record.ids.size(), longest);
    }
    if (static_cast<int64_t>(record.always.size()) > kHeadRows) {
      throw_input("{}: the record has {} answers, and at most {} are compared at a time: split it", record.where,
                  record.always.size(), kHeadRows);
    }
    check_ids(record.ids, record.where);
  }
}

}  // namespace tenfold
