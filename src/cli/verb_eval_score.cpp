// eval score: anybody's predictions, without a model.
#include "cli/verbs.h"

#include "core/error.h"
#include "eval/metrics/score.h"
#include "eval/python_json.h"

#include <map>

namespace tenfold::cli {
namespace {

class EvalScoreVerb final : public Verb {
 public:
  std::string name() const override { return "eval score"; }
  std::string summary() const override { return "Score predictions from a file, without a model"; }
  std::string examples() const override {
    std::string text =
        "  tenfold eval score --cases cases.jsonl > scores.jsonl\n"
        "  tenfold eval score --cases preds_passkey.jsonl --metric infbench.passkey --json\n\n"
        "A line in:   {\"id\": 7, \"metric\": \"longbench.qa_f1_score\", \"prediction\": \"in Paris\", \"references\": "
        "[\"Paris\"],\n"
        "              \"all_classes\": null}\n"
        "A line out:  {\"id\": 7, \"score\": 0.6666666666666666}\n"
        "InfiniteBench's prediction files (pred, ground_truth, label) are read as they are. A Chinese metric without its\n"
        "tables is refused with score null; every other line is scored, and the exit code is 2.\n\nMetrics:\n";
    for (const std::string_view metric : Scorer::names()) text += fmt::format("  {}\n", metric);
    return text;
  }
  void declare(OptionTable& table) override {
    table.group("Cases");
    table.add("cases", cases_, "FILE", "JSON lines {id, metric, prediction, references, all_classes}").required = true;
    table.add("metric", metric_, "NAME", "Metric of the lines that name none");
    table.add_switch("strict-reference", options_.strict_reference,
                     "Bug-compatible with the published evaluation (docs/guide.md)");
    table.add("jieba-dir", options_.jieba_directory, "DIR",
              "Tables of jieba 0.42.1 for the Chinese metrics: the directory of dict.txt and finalseg/");
  }

  int run(Context& context) override {
    struct Line {
      Json id;
      std::string where;
      MetricCase item;
    };
    std::vector<Line> lines;  // all read before any is scored: a bad line leaves no half of an output behind
    for_each_json_line(cases_, [&](Json& object, int64_t number) {
      Line line;
      line.where = fmt::format("{}:{}", cases_, number);
      const auto id = object.find("id");
      if (id == object.end()) throw_input("{}: id: missing, expected a string or an integer", line.where);
      if (!id->is_string() && !id->is_number_integer()) {
        throw_input("{}: id: expected a string or an integer, got {}", line.where, id->type_name());
      }
      line.id = *id;
      line.item = Scorer::read(object, metric_, line.where);
      lines.push_back(std::move(line));
    });
    if (context.common.dry_run) {
      context.console.line(fmt::format("{} cases to score", lines.size()));
      return 0;
    }

    Scorer scorer(options_);
    std::map<std::string, Tally> tallies;
    int64_t refused = 0;
    for (const Line& line : lines) {
      Json out = {{"id", line.id}};
      try {
        out["score"] = scorer.score(line.item);
        tallies[line.item.metric].add(out["score"]);
      } catch (const MetricUnavailable& error) {
        if (refused++ == 0) context.console.note(fmt::format("error: {}: {}", line.where, error.what()));
        out["score"] = nullptr;
        out["refused"] = error.what();
      }
      context.console.line(python_json(out, /*ensure_ascii=*/false));
    }
    tell(context, tallies);
    context.summary["cases"] = lines.size();
    context.summary["refused"] = refused;
    if (refused == 0) return 0;
    context.console.note(fmt::format("{} of {} cases were refused", refused, lines.size()));
    return 2;
  }

 private:
  struct Tally {
    int64_t cases = 0;
    double sum = 0;
    bool numeric = true;
    void add(const Json& score) {
      ++cases;
      numeric = numeric && score.is_number();
      if (numeric) sum += score.get<double>();
    }
  };

  static void tell(Context& context, const std::map<std::string, Tally>& tallies) {
    Json means = Json::object();
    for (const auto& [metric, tally] : tallies) {
      if (!tally.numeric) continue;
      const double mean = tally.sum / static_cast<double>(tally.cases);
      means[metric] = mean;
      context.console.note(fmt::format("{}: mean {:.6f} over {} cases", metric, mean, tally.cases));
    }
    context.summary["means"] = std::move(means);
  }

  std::string cases_;
  std::string metric_;
  Scorer::Options options_;
};

}  // namespace

std::unique_ptr<Verb> make_eval_score_verb() { return std::make_unique<EvalScoreVerb>(); }

}  // namespace tenfold::cli
