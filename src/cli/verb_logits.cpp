#include "cli/model_support.h"
#include "cli/verbs.h"

#include "core/error.h"
#include "infer/session.h"

#include <algorithm>
#include <numeric>

namespace tenfold::cli {
namespace {

/// Indices of the `n` largest, falling; equal logits in the order of their ids.
std::vector<int32_t> largest(std::span<const float> logits, int64_t n) {
  std::vector<int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  const auto keep = static_cast<std::ptrdiff_t>(std::min<int64_t>(n, static_cast<int64_t>(ids.size())));
  std::partial_sort(ids.begin(), ids.begin() + keep, ids.end(), [&](int32_t a, int32_t b) {
    const float x = logits[static_cast<size_t>(a)];
    const float y = logits[static_cast<size_t>(b)];
    return x != y ? x > y : a < b;
  });
  ids.resize(static_cast<size_t>(keep));
  return ids;
}

class LogitsVerb final : public Verb {
 public:
  std::string name() const override { return "logits"; }
  std::string summary() const override { return "The ids of a prompt, the top logits after it and its mean loss"; }
  std::string examples() const override {
    return "  tenfold logits --model SmolLM2.gguf --prompt \"The capital of France is\" --raw --top 5\n"
           "  tenfold logits --model SmolLM2.gguf --prompt-file page.txt --raw --compute-dtype f32 --json\n";
  }
  void declare(OptionTable& table) override {
    declare_model(table, model_);
    declare_prompt(table, prompt_);
    table.add("top", top_, "N", "How many logits to print");
  }
  void check(const OptionTable& table, std::vector<std::string>& errors) const override {
    check_prompt(table, errors);
    if (top_ < 1) errors.push_back(fmt::format("--top: expected 1 or more, got {}", top_));
  }

  int run(Context& context) override {
    const Tokenizer tokenizer = load_tokenizer(model_.model);
    std::string text = prompt_text(prompt_, context.options);
    if (!prompt_.raw) {
      const std::vector<ChatMessage> messages = {{"user", text}};
      text = load_chat_template(model_, tokenizer).render_text(messages, true);
    }
    EncodeOptions encode;
    encode.add_bos = true;
    const std::vector<int32_t> ids = tokenizer.encode(text, encode);
    if (ids.empty()) throw_input("--prompt: the prompt has no tokens");
    if (context.common.dry_run) return 0;
    LoadedModel loaded = load_model(model_, context);
    const SessionOptions options =
        session_options(loaded, static_cast<int64_t>(ids.size()), context.common, "use a shorter prompt");
    Session session(*loaded.device, loaded.model, loaded.adapter_or_null(), options);
    const double mean_nll = mean_loss(session, ids, context.console);
    print(context, tokenizer, ids, session.prefill(ids), mean_nll);
    return 0;
  }

 private:
  static double mean_loss(Session& session, const std::vector<int32_t>& ids, Console& console) {
    if (ids.size() < 2) return 0;
    Progress progress(console, "score", static_cast<int64_t>(ids.size()), "tokens");
    progress.update(0);
    const std::vector<float> nll = session.score(ids, [&](int64_t done, int64_t) { progress.update(done); });
    return std::accumulate(nll.begin() + 1, nll.end(), 0.0) / static_cast<double>(nll.size() - 1);
  }

  void print(Context& context, const Tokenizer& tokenizer, const std::vector<int32_t>& ids, std::span<const float> logits,
             double mean_nll) {
    Json top = Json::array();
    context.console.line(fmt::format("{} tokens, mean loss {:.6f}", ids.size(), mean_nll));
    context.console.line(fmt::format("ids {}", fmt::join(ids, " ")));
    for (const int32_t id : largest(logits, top_)) {
      const float logit = logits[static_cast<size_t>(id)];
      const std::string piece = Json(tokenizer.decode(std::vector<int32_t>{id})).dump();
      context.console.line(fmt::format("{:>8} {:>12.6f}  {}", id, logit, piece));
      top.push_back({{"id", id}, {"logit", logit}, {"token", tokenizer.decode(std::vector<int32_t>{id})}});
    }
    context.summary["ids"] = ids;
    context.summary["top"] = top;
    context.summary["mean_nll"] = mean_nll;
  }

  ModelOptions model_;
  PromptOptions prompt_;
  int64_t top_ = 10;
};

}  // namespace

std::unique_ptr<Verb> make_logits_verb() { return std::make_unique<LogitsVerb>(); }

}  // namespace tenfold::cli
