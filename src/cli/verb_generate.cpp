#include "cli/model_support.h"
#include "cli/sampling_options.h"
#include "cli/verbs.h"

#include "core/error.h"
#include "core/stopwatch.h"
#include "infer/session.h"

namespace tenfold::cli {
namespace {

double per_second(double count, double seconds) { return seconds > 0 ? count / seconds : 0; }

class GenerateVerb final : public Verb {
 public:
  std::string name() const override { return "generate"; }
  std::string summary() const override { return "Answer one prompt, or a file, as it comes"; }
  std::string examples() const override {
    return "  tenfold generate --model SmolLM2.gguf --prompt \"Why is the sky blue?\"\n"
           "  tenfold generate --model SmolLM2.gguf --adapter runs/demo/adapter --prompt-file book-and-question.txt "
           "--max-new-tokens 64\n"
           "  echo 'Once upon a time' | tenfold generate --model SmolLM2.gguf --prompt-file - --raw --temperature 0.8 --top-p "
           "0.95\n";
  }
  void declare(OptionTable& table) override {
    declare_model(table, model_);
    declare_prompt(table, prompt_);
    table.add("system", system_, "TEXT", "A system turn before the prompt");
    table.group("Answer");
    declare_sampling(table, sampling_);
  }
  void check(const OptionTable& table, std::vector<std::string>& errors) const override {
    check_prompt(table, errors);
    check_sampling(sampling_, errors);
  }

  int run(Context& context) override {
    const Tokenizer tokenizer = load_tokenizer(model_.model);
    std::optional<ChatTemplate> chat;
    if (!prompt_.raw) chat = load_chat_template(model_, tokenizer);
    const std::vector<int32_t> ids = prompt_ids(tokenizer, chat, prompt_text(prompt_, context.options));
    if (ids.empty()) throw_input("--prompt: the prompt has no tokens");
    LoadedModel loaded = load_model(model_, context);
    const SessionOptions options = session_options(loaded, static_cast<int64_t>(ids.size()) + sampling_.max_new_tokens,
                                                   context.common, "use a shorter prompt or a smaller --max-new-tokens");
    if (context.common.dry_run) return 0;
    Session session(*loaded.device, loaded.model, loaded.adapter_or_null(), options);
    const double prefill_seconds = prefill(session, ids, context.console);
    const std::vector<int32_t> stops = stop_ids(loaded.model.config(), tokenizer, chat ? &*chat : nullptr);
    return answer(context, session, tokenizer, ids, stops, prefill_seconds);
  }

 private:
  std::vector<int32_t> prompt_ids(const Tokenizer& tokenizer, const std::optional<ChatTemplate>& chat, std::string text) const {
    if (chat) {
      std::vector<ChatMessage> messages;
      if (!system_.empty()) messages.push_back({"system", system_});
      messages.push_back({"user", std::move(text)});
      text = chat->render_text(messages, true);
    }
    EncodeOptions encode;
    encode.add_bos = true;
    return tokenizer.encode(text, encode);
  }

  static double prefill(Session& session, const std::vector<int32_t>& ids, Console& console) {
    Progress progress(console, "reading", static_cast<int64_t>(ids.size()), "tokens");
    progress.update(0);
    const Stopwatch watch;
    session.prefill(ids, [&](int64_t done, int64_t) { progress.update(done); });
    return watch.seconds();
  }

  int answer(Context& context, Session& session, const Tokenizer& tokenizer, const std::vector<int32_t>& ids,
             const std::vector<int32_t>& stops, double prefill_seconds) const {
    TokenStream stream(tokenizer);
    std::string text;
    const auto show = [&](const std::string& piece) {
      text += piece;
      context.console.print(piece);
    };
    const GenerateResult result =
        session.generate(ids, sampling_.max_new_tokens, stops, sampling_of(sampling_, context.common), [&](int32_t id) {
          show(stream.push(id));
          return !context.stop.requested();
        });
    show(stream.finish());
    if (text.empty() || text.back() != '\n') context.console.print("\n");
    const auto new_tokens = static_cast<int64_t>(result.ids.size());
    const double prefill_rate = per_second(static_cast<double>(ids.size()), prefill_seconds);
    const double decode_rate = per_second(static_cast<double>(new_tokens), result.decode_seconds);
    context.console.note(fmt::format("read {} tokens at {:.0f} tokens/s, wrote {} at {:.1f} tokens/s{}", ids.size(), prefill_rate,
                                     new_tokens, decode_rate, result.stopped ? "" : " (not ended by the model)"));
    context.summary["prompt_tokens"] = ids.size();
    context.summary["new_tokens"] = new_tokens;
    context.summary["text"] = text;
    context.summary["stopped"] = result.stopped;
    context.summary["prefill_tokens_per_second"] = prefill_rate;
    context.summary["decode_tokens_per_second"] = decode_rate;
    return context.stop.requested() ? 128 + context.stop.number() : 0;
  }

  ModelOptions model_;
  PromptOptions prompt_;
  std::string system_;
  AnswerOptions sampling_;
};

}  // namespace

std::unique_ptr<Verb> make_generate_verb() { return std::make_unique<GenerateVerb>(); }

}  // namespace tenfold::cli
