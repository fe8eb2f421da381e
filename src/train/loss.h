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

  /// Whether row i predicts a document token whose place in its record is `from` or later.
  bool is_far_document(size_t i, int64_t from) const { return kinds[i] == TokenKind::kDocument && rows[i] + 1 >= from; }
};

/// All answer targets, and of the document targets all (`document_tokens` 0) or that many, drawn without replacement as a
/// function of (seed, record, step). `with_documents` false leaves them out.
LossPositions loss_positions(const Example& example, bool with_documents, int64_t document_tokens, uint64_t seed, int64_t step);

/// How much document tokens count beside the answers.
struct DocumentWeight {
  double lm = 0;         ///< of their mean
  double far = 1;        ///< of those at `far_from` or later, beside the others' 1
  int64_t far_from = 0;  ///< a token's place in its record
};

/// Weights of each row in the loss: 1 / answers and lm / documents, with the counts of the whole global batch; far ones times
/// `far`, the count left as it is, so that a batch with long records has more document loss.
void fill_loss_weights(const LossPositions& positions, int64_t batch_answers, int64_t batch_documents,
                       const DocumentWeight& document, std::vector<float>& weights);

/// Most rows that any example can have.
int64_t most_loss_rows(std::span<const Example> examples, bool with_documents, int64_t document_tokens);

}  // namespace tenfold
