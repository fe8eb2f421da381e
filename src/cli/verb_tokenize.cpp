#include "cli/model_support.h"
#include "cli/verbs.h"

#include "core/error.h"
#include "core/stopwatch.h"

namespace tenfold::cli {
namespace {

class TokenizeVerb final : public Verb {
 public:
  std::string name() const override { return "tokenize"; }
  std::string summary() const override { return "Count the tokens of text files, or print their ids"; }
  std::string examples() const override {
    return "  tenfold tokenize --model SmolLM2.gguf --text book.txt\n"
           "  tenfold tokenize --model SmolLM2.gguf --text a.txt b.txt --ids > ids.txt\n";
  }
  void declare(OptionTable& table) override {
    declare_tokenizer(table, model_);
    table.group("Text");
    table.add_many("text", text_, "PATH...", "Text files; - is standard input").required = true;
    table.add_switch("ids", ids_, "Print the ids instead, one line a file");
    table.add_switch("bos", bos_, "Begin with the begin-of-text token where the model's tokenizer puts one");
    table.add_switch("plain", plain_, "Take the text of special tokens as ordinary text");
  }
  int run(Context& context) override {
    const Tokenizer tokenizer = load_tokenizer(model_.model);
    if (context.common.dry_run) return 0;
    EncodeOptions options;
    options.add_bos = bos_;
    options.parse_special = !plain_;
    int64_t tokens = 0;
    Json files = Json::array();
    for (const std::string& path : text_) {
      const std::string text = read_text(path);
      const Stopwatch watch;
      const std::vector<int32_t> ids = tokenizer.encode(text, options);
      const double seconds = watch.seconds();
      const auto count = static_cast<int64_t>(ids.size());
      tokens += count;
      files.push_back({{"path", path}, {"bytes", text.size()}, {"tokens", count}, {"seconds", seconds}});
      if (ids_) {
        context.console.line(fmt::format("{}", fmt::join(ids, " ")));
      } else {
        context.console.line(fmt::format("{:>10} tokens  {:>10}  {:.1f} MB/s  {}", count,
                                         bytes_text(static_cast<int64_t>(text.size())),
                                         static_cast<double>(text.size()) / 1e6 / std::max(seconds, 1e-9), path));
      }
    }
    context.summary["tokens"] = tokens;
    context.summary["files"] = files;
    return 0;
  }

 private:
  ModelOptions model_;
  std::vector<std::string> text_;
  bool ids_ = false;
  bool bos_ = false;
  bool plain_ = false;
};

}  // namespace

std::unique_ptr<Verb> make_tokenize_verb() { return std::make_unique<TokenizeVerb>(); }

}  // namespace tenfold::cli
