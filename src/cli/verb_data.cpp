// data stats, data show, data extract: looking at training records, and text out of R's data bases.
#include "cli/model_support.h"
#include "cli/verbs.h"

#include "core/error.h"
#include "data/inspect.h"
#include "data/record.h"
#include "format/atomic_file.h"
#include "format/names.h"
#include "synth/r_lazyload.h"

#include <filesystem>

namespace tenfold::cli {
namespace {

namespace fs = std::filesystem;

/// What the verbs that read records share.
struct RecordOptions {
  ModelOptions model;
  std::vector<std::string> data;
  std::string data_root = "/data/long-llm";
};

void declare_records(OptionTable& table, RecordOptions& options) {
  declare_tokenizer(table, options.model);
  table.group("Data");
  table
      .add_many("data", options.data, "PATH...",
                "JSON lines of conversations or text, or folders of them; X[N] takes N at random")
      .required = true;
  table.add("data-root", options.data_root, "DIR", "What long-llm: stands for in --data");
}

class DataStatsVerb final : public Verb {
 public:
  std::string name() const override { return "data stats"; }
  std::string summary() const override { return "Records, tokens, answers and lengths of training data"; }
  std::string examples() const override { return "  tenfold data stats --model SmolLM2.gguf --data long.jsonl\n"; }
  void declare(OptionTable& table) override {
    declare_records(table, options_);
    table.add("max-length", max_length_, "N", "Report how many records are longer; 0: no limit");
  }
  int run(Context& context) override {
    const Tokenizer tokenizer = load_tokenizer(options_.model.model);
    const ChatTemplate chat = load_chat_template(options_.model, tokenizer);
    const std::vector<Record> records =
        load_records(options_.data, options_.data_root, static_cast<uint64_t>(context.common.seed));
    if (context.common.dry_run) return 0;
    EncodeReport report;
    const int64_t limit = max_length_ > 0 ? max_length_ : int64_t{1} << 40;
    const std::vector<Example> examples = encode_records(records, tokenizer, chat, limit, TooLong::kDrop, report);
    const DataStats stats = data_stats(records, examples);
    print(context, report, stats);
    return 0;
  }

 private:
  void print(Context& context, const EncodeReport& report, const DataStats& stats) const {
    Console& out = context.console;
    out.line(fmt::format("records        {:>12}   ({} longer than --max-length left out)", stats.records, report.dropped));
    out.line(fmt::format("turns          {:>12}   ({} answers)", stats.turns, stats.answers));
    out.line(fmt::format("tokens         {:>12}", stats.tokens));
    out.line(
        fmt::format("answer tokens  {:>12}   ({:.2f} %)", stats.answer_tokens,
                    100.0 * static_cast<double>(stats.answer_tokens) / static_cast<double>(std::max<int64_t>(1, stats.tokens))));
    Json percentiles = Json::object();
    std::string line = "tokens a record";
    for (size_t i = 0; i < DataStats::kPercents.size(); ++i) {
      line += fmt::format("  {}%: {}", DataStats::kPercents[i], stats.percentiles[i]);
      percentiles[fmt::format("{}", DataStats::kPercents[i])] = stats.percentiles[i];
    }
    out.line(line);
    const int64_t most = stats.histogram.empty() ? 0 : *std::max_element(stats.histogram.begin(), stats.histogram.end());
    for (size_t bin = 0; bin < stats.histogram.size(); ++bin) {
      if (stats.histogram[bin] == 0) continue;
      out.line(fmt::format("  {:>8} - {:<8} {:>7}  {}", int64_t{1} << bin, (int64_t{2} << bin) - 1, stats.histogram[bin],
                           std::string(static_cast<size_t>((stats.histogram[bin] * 50 + most - 1) / most), '#')));
    }
    context.summary["records"] = stats.records;
    context.summary["dropped"] = report.dropped;
    context.summary["tokens"] = stats.tokens;
    context.summary["answer_tokens"] = stats.answer_tokens;
    context.summary["longest"] = report.longest;
    context.summary["percentiles"] = percentiles;
  }

  RecordOptions options_;
  int64_t max_length_ = 0;
};

class DataShowVerb final : public Verb {
 public:
  std::string name() const override { return "data show"; }
  std::string summary() const override { return "A record as the model sees it: tokens and loss mask in colour"; }
  std::string examples() const override {
    return "  tenfold data show --model SmolLM2.gguf --data long.jsonl --record 3\n"
           "  tenfold data show --model SmolLM2.gguf --data long.jsonl --ids | less -R\n";
  }
  void declare(OptionTable& table) override {
    declare_records(table, options_);
    table.group("Show");
    table.add("record", record_, "N", "Which record, from 1");
    table.add_switch("bars", bars_, "A bar between the tokens");
    table.add_switch("ids", ids_, "Ids and what each is as a target, one token a line");
    table.add("color", color_, "WHEN", "auto, always or never");
  }
  void check(const OptionTable&, std::vector<std::string>& errors) const override {
    if (record_ < 1) errors.push_back(fmt::format("--record: expected 1 or more, got {}", record_));
    if (color_ != "auto" && color_ != "always" && color_ != "never") errors.push_back("--color: expected auto, always or never");
  }
  int run(Context& context) override {
    const Tokenizer tokenizer = load_tokenizer(options_.model.model);
    const ChatTemplate chat = load_chat_template(options_.model, tokenizer);
    const std::vector<Record> records =
        load_records(options_.data, options_.data_root, static_cast<uint64_t>(context.common.seed));
    if (record_ > static_cast<int64_t>(records.size())) throw_input("--record {}: there are {} records", record_, records.size());
    if (context.common.dry_run) return 0;
    const Record& record = records[static_cast<size_t>(record_ - 1)];
    const Example example = encode_record(record, tokenizer, chat);
    const auto answers = std::count(example.kinds.begin(), example.kinds.end(), TokenKind::kAnswer);
    context.console.note(
        fmt::format("{}: {} tokens, {} of answers, template {}", where(record), example.ids.size(), answers, chat.name()));
    if (ids_) {
      for (size_t t = 0; t < example.ids.size(); ++t) {
        const char* kind =
            example.kinds[t] == TokenKind::kAnswer ? "answer" : (example.kinds[t] == TokenKind::kDocument ? "text" : "-");
        context.console.line(fmt::format("{:>7} {:>8} {:<7} {}", t, example.ids[t], kind,
                                         Json(tokenizer.decode(std::vector<int32_t>{example.ids[t]})).dump()));
      }
    } else {
      const bool color = color_ == "always" || (color_ == "auto" && context.console.out_colours());
      context.console.line(show_example(example, tokenizer, color, bars_));
    }
    context.summary["tokens"] = example.ids.size();
    context.summary["answer_tokens"] = answers;
    return 0;
  }

 private:
  RecordOptions options_;
  int64_t record_ = 1;
  bool bars_ = false;
  bool ids_ = false;
  std::string color_ = "auto";
};

class DataExtractVerb final : public Verb {
 public:
  std::string name() const override { return "data extract"; }
  std::string summary() const override { return "Text files out of an R package's lazy-load data base"; }
  std::string examples() const override {
    return "  apt-get download r-cran-janeaustenr && dpkg-deb -x r-cran-janeaustenr_*.deb austen\n"
           "  tenfold data extract --r-lazyload austen/usr/lib/R/site-library/janeaustenr/data/Rdata --output novels\n";
  }
  void declare(OptionTable& table) override {
    table.group("Data");
    table.add("r-lazyload", path_, "PATH", "The data base: PATH.rdx and PATH.rdb, with or without the extension").required = true;
    table.add("output", output_, "DIR", "Folder for NAME.txt, one a variable of texts").required = true;
    table.add_many("only", only_, "NAME...", "These variables; else all");
  }
  int run(Context& context) override {
    const fs::path base = fs::path(path_).replace_extension();
    for (const char* extension : {".rdx", ".rdb"}) {
      const std::string file =
          (fs::path(path_).extension() == extension ? fs::path(path_) : fs::path(path_ + extension)).string();
      const std::string other = base.string() + extension;
      if (!fs::is_regular_file(file) && !fs::is_regular_file(other))
        throw_input("--r-lazyload {}: there is no file {}", path_, shown(file));
    }
    const auto variables = read_r_character_vectors(path_);
    for (const std::string& name : only_) {
      if (!variables.contains(name)) throw_input("--only {}: not in the data base; there are {}", name, names(variables));
    }
    if (variables.empty()) throw_input("{}: there is no text in this data base", path_);
    for (const auto& [name, lines] : variables) {
      if (name.find('/') != std::string::npos || name.starts_with("."))
        throw_input("{}: a variable called {} cannot become a file", path_, name);
    }
    if (context.common.dry_run) return 0;
    make_directories(output_);
    Json files = Json::array();
    for (const auto& [name, lines] : variables) {
      if (!only_.empty() && std::find(only_.begin(), only_.end(), name) == only_.end()) continue;
      std::string text;
      for (const std::string& line : lines) text += line + "\n";
      const std::string file = (fs::path(output_) / (name + ".txt")).string();
      write_file_atomically(file, text);
      context.console.line(
          fmt::format("{:<28} {:>8} lines  {:>10}", file, lines.size(), bytes_text(static_cast<int64_t>(text.size()))));
      files.push_back({{"path", file}, {"lines", lines.size()}, {"bytes", text.size()}});
    }
    context.summary["files"] = files;
    return 0;
  }

 private:
  static std::string names(const std::map<std::string, std::vector<std::string>>& variables) {
    std::string out;
    for (const auto& [name, lines] : variables) out += (out.empty() ? "" : ", ") + name;
    return out;
  }

  std::string path_;
  std::string output_;
  std::vector<std::string> only_;
};

}  // namespace

std::unique_ptr<Verb> make_data_stats_verb() { return std::make_unique<DataStatsVerb>(); }
std::unique_ptr<Verb> make_data_show_verb() { return std::make_unique<DataShowVerb>(); }
std::unique_ptr<Verb> make_data_extract_verb() { return std::make_unique<DataExtractVerb>(); }

}  // namespace tenfold::cli
