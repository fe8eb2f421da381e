#pragma once

#include "eval/language_model.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace tenfold {

/// A Session as an evaluation sees it. The session keeps its cache between prompts, so questions that share a beginning share its
/// prefill. The session must outlive the object.
class SessionModel : public LanguageModel {
 public:
  explicit SessionModel(Session& session) : session_(session) {}

  int64_t capacity() const override { return session_.capacity(); }
  GenerateResult generate(std::span<const int32_t> prompt, int64_t max_new_tokens, std::span<const int32_t> stop_ids,
                          const SamplingOptions& sampling) override {
    return session_.generate(prompt, max_new_tokens, stop_ids, sampling);
  }
  int64_t at_once() const override { return session_.sequences(); }
  std::vector<GenerateResult> generate_together(std::span<const std::span<const int32_t>> prompts, int64_t max_new_tokens,
                                                std::span<const int32_t> stop_ids,
                                                const std::function<bool()>& should_stop) override;
  NextLogits next_logits(std::span<const int32_t> prompt) override;
  std::vector<float> score(std::span<const int32_t> ids) override { return session_.score(ids); }

 private:
  Session& session_;
};

/// Tokens that end an answer: the checkpoint's stop set (generation_config, GGUF; the tokenizer's own where it has none), and the
/// token that ends a turn of the chat template. `strict_reference` takes the checkpoint's set alone (evaluations.md 1.3).
std::vector<int32_t> stop_ids_of(const ModelConfig& config, const Tokenizer& tokenizer, const ChatTemplate& chat,
                                 bool strict_reference = false);

}  // namespace tenfold
