#include "cli/model_support.h"
#include "cli/verbs.h"

#include "core/error.h"
#include "format/atomic_file.h"
#include "format/names.h"
#include "synth/chats.h"
#include "synth/synthesize.h"

#include <filesystem>

namespace tenfold::cli {
namespace {

class DataSynthVerb final : public Verb {
 public:
  std::string name() const override { return "data synth"; }
  std::string summary() const override { return "Long training records made from plain text, with no model and no network"; }
  std::string examples() const override {
    return "  tenfold data synth --model SmolLM2.gguf --text novels/ --records 60 --min-length 1K --max-length 8K --output "
           "train.jsonl\n"
           "  tenfold data synth --model SmolLM2.gguf --text novels/ --chat --records 2000 --output chat.jsonl\n"
           "The model gives the tokenizer and the template that lengths are counted with; its weights are not read.\n";
  }
  void declare(OptionTable& table) override {
    declare_tokenizer(table, model_);
    table.group("Records");
    table.add_many("text", options_.texts, "PATH...", "Text files, folders of *.txt and *.md, or an R data base (.rdx)")
        .required = true;
    table.add("output", output_, "FILE", "JSON lines to write").required = true;
    table.add("records", options_.records, "N", "Records to make");
    table.add_switch(
        "chat", chat_,
        "Short conversations instead, for train --distill-data: choices, yes or no, instructions on a paragraph, sums, "
        "meanings, talk; 30 to 600 tokens");
    table.add("min-length", options_.min_length, "N", "Least tokens of a record, template included");
    table.add("max-length", options_.max_length, "N", "Most tokens of a record");
    table.add("length-distribution", options_.lengths, "NAME",
              "log-uniform, uniform, or a list such as 1024,2048,4096 taken in turn");
    table.add("min-questions", options_.min_questions, "N", "Least questions a record");
    table.add("max-questions", options_.max_questions, "N", "Most questions a record");
    table.add("unwrap", unwrap_, "WHEN", "Join the lines of hard-wrapped paragraphs: auto, always or never");
    table.group("Shares of the questions");
    table.add("share-facts", options_.shares.facts, "X", "About invented facts");
    table.add("share-clauses", options_.shares.clauses, "X", "About who did what, in sentences put together anew each time");
    table.add("share-numbers", options_.shares.numbers, "X", "About invented numbers and codes");
    table.add("share-multi", options_.shares.multi, "X", "About several sentences that belong together");
    table.add("share-sentences", options_.shares.sentences, "X", "About sentences of other texts");
    table.add("share-passages", options_.shares.passages, "X", "Passages of the text to complete");
    table.add("share-quoted", options_.quoted, "X", "Of the answers about facts: that quote the sentence as the text has it");
  }
  void check(const OptionTable& table, std::vector<std::string>& errors) const override {
    for (const Option& option : table.all()) {
      const bool shapes = option.name.starts_with("share-") || option.name.ends_with("-length") ||
                          option.name.ends_with("-questions") || option.name == "length-distribution";
      if (chat_ && shapes && option.given())
        errors.push_back(fmt::format("--{}: belongs to long records; --chat has no such choice", option.name));
    }
    if (options_.records < 1) errors.push_back(fmt::format("--records: expected 1 or more, got {}", options_.records));
    if (options_.min_length > options_.max_length) {
      errors.push_back(fmt::format("--min-length {} is above --max-length {}", options_.min_length, options_.max_length));
    }
    if (unwrap_ != "auto" && unwrap_ != "always" && unwrap_ != "never") {
      errors.push_back(fmt::format("--unwrap: expected auto, always or never, got {}", shown(unwrap_)));
    }
  }

  int run(Context& context) override {
    const Tokenizer tokenizer = load_tokenizer(model_.model);
    const ChatTemplate chat = load_chat_template(model_, tokenizer);
    SynthOptions options = options_;
    options.seed = static_cast<uint64_t>(context.common.seed);
    options.unwrap = unwrap_ == "auto" ? Unwrap::kAuto : (unwrap_ == "always" ? Unwrap::kAlways : Unwrap::kNever);
    if (context.common.dry_run) return 0;
    std::string lines;
    const auto made_by = [&](const auto& make) {
      Progress progress(context.console, "making", options.records, "records");
      int64_t made = 0;
      return make([&](const Json& record) {
        lines += record.dump() + "\n";
        progress.update(++made);
      });
    };
    const SynthReport report = made_by([&](const auto& sink) {
      const ChatOptions chats{options.texts, options.unwrap, options.records, options.seed};
      return chat_ ? synthesize_chats(chats, tokenizer, chat, sink) : synthesize(options, tokenizer, chat, sink);
    });
    write(lines);
    print(context, report);
    return 0;
  }

 private:
  void write(const std::string& lines) const {
    const std::filesystem::path folder = std::filesystem::path(output_).parent_path();
    if (!folder.empty()) make_directories(folder.string());
    write_file_atomically(output_, lines);
  }

  void print(Context& context, const SynthReport& report) const {
    context.console.line(fmt::format("{}: {} records of {} to {} tokens, {} tokens, from {} texts", output_, report.records,
                                     report.shortest, report.longest, report.tokens, report.documents));
    std::string kinds;
    Json by_kind = Json::object();
    for (const auto& [kind, count] : report.questions) {
      kinds += fmt::format("{}{} {}", kinds.empty() ? "" : ", ", count, kind);
      by_kind[std::string(kind)] = count;
    }
    context.console.line(fmt::format("{} questions: {}", report.all_questions(), kinds));
    if (report.dropped_paragraphs > 0) {
      context.console.note(
          fmt::format("{} paragraphs left out: they hold wording of the evaluations", report.dropped_paragraphs));
    }
    context.summary["records"] = report.records;
    context.summary["tokens"] = report.tokens;
    context.summary["shortest"] = report.shortest;
    context.summary["longest"] = report.longest;
    context.summary["questions"] = report.all_questions();
    context.summary["by_kind"] = by_kind;
    context.summary["output"] = output_;
  }

  ModelOptions model_;
  SynthOptions options_;
  std::string output_;
  std::string unwrap_ = "auto";
  bool chat_ = false;
};

}  // namespace

std::unique_ptr<Verb> make_data_synth_verb() { return std::make_unique<DataSynthVerb>(); }

}  // namespace tenfold::cli
