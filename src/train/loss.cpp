#include "train/loss.h"

#include "core/rng.h"

#include <algorithm>

namespace tenfold {
namespace {

constexpr uint64_t kSampleStream = 0x6c6f7373;  // "loss"

}  // namespace

LossPositions loss_positions(const Example& example, bool with_documents, int64_t document_tokens, uint64_t seed, int64_t step) {
  std::vector<int64_t> documents;
  LossPositions out;
  const auto n = static_cast<int64_t>(example.ids.size());
  for (int64_t t = 1; t < n; ++t) {
    const TokenKind kind = example.kinds[static_cast<size_t>(t)];
    if (kind == TokenKind::kAnswer) out.rows.push_back(t - 1);
    if (kind == TokenKind::kDocument && with_documents) documents.push_back(t - 1);
  }
  out.answers = static_cast<int64_t>(out.rows.size());
  if (document_tokens > 0 && static_cast<int64_t>(documents.size()) > document_tokens) {
    // A partial Fisher-Yates: the first N places of a random permutation.
    Rng rng(seed, mix64(kSampleStream, mix64(static_cast<uint64_t>(example.record), static_cast<uint64_t>(step))));
    for (size_t i = 0; i < static_cast<size_t>(document_tokens); ++i)
      std::swap(documents[i], documents[i + rng.below(documents.size() - i)]);
    documents.resize(static_cast<size_t>(document_tokens));
  }
  out.documents = static_cast<int64_t>(documents.size());
  out.rows.insert(out.rows.end(), documents.begin(), documents.end());
  std::sort(out.rows.begin(), out.rows.end());
  for (const int64_t row : out.rows) {
    out.targets.push_back(example.ids[static_cast<size_t>(row + 1)]);
    out.kinds.push_back(example.kinds[static_cast<size_t>(row + 1)]);
  }
  return out;
}

void fill_loss_weights(const LossPositions& positions, int64_t batch_answers, int64_t batch_documents,
                       const DocumentWeight& document, std::vector<float>& weights) {
  const auto answer = static_cast<float>(batch_answers > 0 ? 1.0 / static_cast<double>(batch_answers) : 0.0);
  const double mean = batch_documents > 0 ? document.lm / static_cast<double>(batch_documents) : 0.0;
  const auto near = static_cast<float>(mean);
  const auto far = static_cast<float>(mean * document.far);
  weights.clear();
  for (size_t i = 0; i < positions.kinds.size(); ++i) {
    const bool is_far = positions.is_far_document(i, document.far_from);
    weights.push_back(positions.kinds[i] == TokenKind::kAnswer ? answer : is_far ? far : near);
  }
}

int64_t most_loss_rows(std::span<const Example> examples, bool with_documents, int64_t document_tokens) {
  int64_t most = 1;
  for (const Example& e : examples) {
    const auto answers = static_cast<int64_t>(std::count(e.kinds.begin(), e.kinds.end(), TokenKind::kAnswer));
    auto documents = static_cast<int64_t>(std::count(e.kinds.begin(), e.kinds.end(), TokenKind::kDocument));
    if (document_tokens > 0) documents = std::min(documents, document_tokens);
    most = std::max(most, answers + (with_documents ? documents : 0));
  }
  return most;
}

}  // namespace tenfold
