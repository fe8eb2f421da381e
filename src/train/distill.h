#pragma once

#include "data/example.h"
#include "model/config.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace tenfold {

/// A conversation to be distilled, and which of its positions are compared whatever else is drawn: those that predict the first
/// token of an answer, on which choices between letters hang.
struct DistillRecord {
  std::vector<int32_t> ids;
  std::vector<int64_t> always;  ///< ascending; the last token's, where the record ends with the generation prompt
  std::string where;            ///< "FILE:LINE"

  /// Positions that can be compared: all but the last, and that where it predicts an answer.
  int64_t positions() const;
};
/// Of a record's tokens; `ends_with_prompt`: what follows the last of them is an answer. InputError (naming `where`) when there
/// is nothing to compare.
DistillRecord distill_record(Example example, bool ends_with_prompt, std::string where);

/// Self-distillation against forgetting: each step reads one window of ordinary text or one conversation, too, and KL(base ||
/// tuned) of its next-token distributions is held down. The base reads at its own RoPE.
struct DistillOptions {
  double weight = 0;                                       ///< of the mean KL in the loss; 0: off
  std::vector<int32_t> text;                               ///< tokens that windows are cut from
  std::vector<int64_t> lengths = {512, 1024, 2048, 4096};  ///< of a window, drawn a step; the text must be longer
  std::vector<DistillRecord> records;                      ///< none longer than the longest of the lengths
  double record_share = 0.5;                               ///< of the steps that take a record, where there is text as well
  int64_t tokens = 1024;                                   ///< positions sampled a window; 0: all, as far as the head takes
  int64_t record_tokens = 0;                               ///< the same of a record, those of `always` first; 0: as `tokens`
  RopeConfig base_rope;
};

/// A piece of the text, or a record, and the positions whose predictions are compared, ascending.
struct DistillWindow {
  std::span<const int32_t> ids;
  std::vector<int64_t> rows;
  int64_t record = -1;  ///< its place in `records`; -1: of the text
};
/// A function of (seed, step).
DistillWindow distill_window(const DistillOptions& options, uint64_t seed, int64_t step);
/// Most positions and most tokens of any window; 0 when it is off.
int64_t distill_rows(const DistillOptions& options);
int64_t distill_length(const DistillOptions& options);
/// The length of every window that can come, in no order; empty when it is off.
std::vector<int64_t> distill_lengths(const DistillOptions& options);
/// All that the windows are drawn from, as a number.
uint64_t distill_hash(const DistillOptions& options);

/// InputError when there is nothing to distill, too little text, a token that the vocabulary lacks, a record longer than the
/// longest length or with more answers than the head takes, or a share outside 0 to 1.
void check_distillation(const DistillOptions& options, int64_t vocabulary);

}  // namespace tenfold
