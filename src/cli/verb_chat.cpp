#include "cli/model_support.h"
#include "cli/sampling_options.h"
#include "cli/verbs.h"

#include "core/error.h"
#include "infer/session.h"

#include <iostream>

namespace tenfold::cli {
namespace {

class ChatVerb final : public Verb {
 public:
  std::string name() const override { return "chat"; }
  std::string summary() const override { return "A conversation; /reset forgets it, /exit ends"; }
  std::string examples() const override {
    return "  tenfold chat --model SmolLM2.gguf --adapter runs/demo/adapter --context 8K\n"
           "In it: /reset forgets the conversation, /file PATH sends a file's text, /exit or Ctrl-D ends.\n";
  }
  void declare(OptionTable& table) override {
    declare_model(table, model_);
    table.group("Conversation");
    table.add("context", capacity_, "N", "Tokens that the whole conversation may take");
    table.add("system", system_, "TEXT", "A system turn at the beginning");
    declare_sampling(table, sampling_);
  }
  void check(const OptionTable&, std::vector<std::string>& errors) const override {
    if (capacity_ < 16) errors.push_back(fmt::format("--context: expected 16 or more, got {}", capacity_));
    check_sampling(sampling_, errors);
  }

  int run(Context& context) override {
    const Tokenizer tokenizer = load_tokenizer(model_.model);
    const ChatTemplate chat = load_chat_template(model_, tokenizer);
    LoadedModel loaded = load_model(model_, context);
    const SessionOptions options = session_options(loaded, capacity_, context.common, "use a smaller --context");
    if (context.common.dry_run) return 0;
    Session session(*loaded.device, loaded.model, loaded.adapter_or_null(), options);
    const std::vector<int32_t> stops = stop_ids(loaded.model.config(), tokenizer, &chat);
    context.console.note("/reset forgets the conversation, /file PATH sends a file, /exit ends");
    begin();
    std::string line;
    while (!context.stop.requested() && read_line(context.console, line)) {
      if (line == "/exit" || line == "/quit") break;
      if (line.empty()) continue;
      if (line == "/reset") {
        begin();
        context.console.note("forgotten");
        continue;
      }
      try {
        if (line.starts_with("/file ")) line = read_text(line.substr(6));
        turn(context, session, tokenizer, chat, stops, line);
      } catch (const InputError& error) {
        // A conversation goes on after a mistake.
        context.console.note(error.what());
      }
    }
    context.summary["turns"] = turns_;
    return context.stop.requested() ? 128 + context.stop.number() : 0;
  }

 private:
  void begin() {
    messages_.clear();
    if (!system_.empty()) messages_.push_back({"system", system_});
  }

  static bool read_line(Console& console, std::string& line) {
    if (console.out_is_terminal()) console.print("> ");
    return static_cast<bool>(std::getline(std::cin, line));
  }

  void turn(Context& context, Session& session, const Tokenizer& tokenizer, const ChatTemplate& chat,
            const std::vector<int32_t>& stops, const std::string& text) {
    std::vector<ChatMessage> messages = messages_;
    messages.push_back({"user", text});
    EncodeOptions encode;
    encode.add_bos = true;
    const std::vector<int32_t> ids = tokenizer.encode(chat.render_text(messages, true), encode);
    const int64_t room = session.capacity() - static_cast<int64_t>(ids.size());
    if (room < 1) {
      throw_input("the conversation takes {} tokens and --context is {}; /reset, or start again with a larger --context",
                  ids.size(), session.capacity());
    }
    {
      Progress progress(context.console, "reading", static_cast<int64_t>(ids.size()), "tokens");
      progress.update(0);
      session.prefill(ids, [&](int64_t done, int64_t) { progress.update(done); });
    }
    TokenStream stream(tokenizer);
    std::string answer;
    const auto show = [&](const std::string& piece) {
      answer += piece;
      context.console.print(piece);
    };
    session.generate(ids, std::min(sampling_.max_new_tokens, room), stops, sampling_of(sampling_, context.common),
                     [&](int32_t id) {
                       show(stream.push(id));
                       return !context.stop.requested();
                     });
    show(stream.finish());
    context.console.print("\n");
    messages.push_back({"assistant", answer});
    messages_ = std::move(messages);
    ++turns_;
  }

  ModelOptions model_;
  AnswerOptions sampling_;
  int64_t capacity_ = 8192;
  std::string system_;
  std::vector<ChatMessage> messages_;
  int64_t turns_ = 0;
};

}  // namespace

std::unique_ptr<Verb> make_chat_verb() { return std::make_unique<ChatVerb>(); }

}  // namespace tenfold::cli
