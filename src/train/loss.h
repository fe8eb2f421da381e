#pragma once

#include "data/example.h"

#include <cstdint>
#include <span>
#include <vector>

namespace tenfold {

/// Which positions of a record carry loss. Row i's hidden state is at position rows[i] and predicts targets[i] = ids[rows[i] +
/// 1].
struct LossPositions {
  std::vector<int64_t> rows;  ///< ascending
  std::vector<int32_t> targets;
  std::vector<TokenKind> kinds;  ///< kAnswer or kDocument
  int64_t answers = 0;
  int64_t documents = 0;
};

/// All answer targets, and of the document targets all (`document_tokens` 0) or that many, drawn without replacement as a
/// function of (seed, record, step). `with_documents` false leaves them out.
LossPositions loss_positions(const Example& example, bool with_documents, int64_t document_tokens, uint64_t seed, int64_t step);

/// Weights of each row in the loss: 1 / answers and lm_weight / documents, with the counts of the whole global batch.
void fill_loss_weights(const LossPositions& positions, int64_t batch_answers, int64_t batch_documents, double lm_weight,
                       std::vector<float>& weights);

/// Most rows that any example can have.
int64_t most_loss_rows(std::span<const Example> examples, bool with_documents, int64_t document_tokens);

}  // namespace tenfold
