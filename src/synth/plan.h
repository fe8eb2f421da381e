#pragma once

#include "synth/assemble.h"

namespace tenfold {

/// Draws everything that a record of `target` tokens is made of, from the stream (seed, index) alone.
/// InputError when the corpus offers nothing to ask with these shares.
RecordPlan plan_record(const SynthCorpus& corpus, const SynthOptions& options, int64_t target, double bytes_per_token,
                       int64_t index);

}  // namespace tenfold
