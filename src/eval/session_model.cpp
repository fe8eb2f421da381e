#include "eval/session_model.h"

#include "core/stopwatch.h"

#include <algorithm>

namespace tenfold {

std::vector<GenerateResult> SessionModel::generate_together(std::span<const std::span<const int32_t>> prompts,
                                                            int64_t max_new_tokens, std::span<const int32_t> stop_ids,
                                                            const std::function<bool()>& should_stop) {
  // A session for one has kernels for that.
  if (session_.sequences() == 1) return {session_.generate(prompts.front(), max_new_tokens, stop_ids)};
  return session_.generate_together(prompts, max_new_tokens, stop_ids, should_stop);
}

NextLogits SessionModel::next_logits(std::span<const int32_t> prompt) {
  const Stopwatch watch;
  NextLogits next;
  next.reused_tokens = session_.reusable(prompt);
  const std::span<const float> logits = session_.prefill(prompt);
  next.logits.assign(logits.begin(), logits.end());
  next.seconds = watch.seconds();
  return next;
}

std::vector<int32_t> stop_ids_of(const ModelConfig& config, const Tokenizer& tokenizer, const ChatTemplate& chat,
                                 bool strict_reference) {
  std::vector<int32_t> ids = config.eos_ids;
  if (ids.empty()) ids = tokenizer.eos_ids();
  if (strict_reference) return ids;
  const std::string end = chat.end_of_turn();
  const int32_t id = end.empty() ? -1 : tokenizer.id_of(end);
  if (id >= 0 && std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
  return ids;
}

}  // namespace tenfold
