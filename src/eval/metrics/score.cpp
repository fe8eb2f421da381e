#include "eval/metrics/score.h"

#include "core/error.h"
#include "eval/metrics/answers.h"
#include "eval/metrics/fuzz.h"
#include "eval/metrics/infbench.h"
#include "eval/metrics/longbench.h"
#include "eval/metrics/numbers.h"
#include "eval/metrics/rouge.h"
#include "eval/metrics/ruler.h"
#include "eval/metrics/text.h"
#include "format/names.h"
#include "text/case.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <initializer_list>
#include <optional>
#include <span>
#include <utility>

namespace tenfold {
namespace {

/// What a metric expects of its references. kLabel and kNumber also take one value outside a list, as InfiniteBench writes it.
enum class References { kNone, kTexts, kLabel, kNumber, kNumbers };

std::string_view kind_of(References references) {
  return references == References::kNumber || references == References::kNumbers ? "a number" : "a string";
}

std::string text_at(const MetricCase& c, size_t i) { return c.references[i].get<std::string>(); }
std::vector<std::string> texts(const MetricCase& c) {
  std::vector<std::string> out;
  for (size_t i = 0; i < c.references.size(); ++i) out.push_back(text_at(c, i));
  return out;
}

infbench::Number number_of(const Json& value) {
  infbench::Number number;
  number.is_float = value.is_number_float();
  number.value = value.get<double>();
  if (!number.is_float) {
    number.digits = value.dump();
  } else if (number.value == std::floor(number.value)) {
    number.digits = fmt::format("{:.0f}", number.value == 0 ? 0.0 : number.value);
  }
  return number;
}

/// The best over the references of score(reference), at least 0; 0 where one of them raises.
template <typename Score>
double best_of(const MetricCase& c, Score&& score) {
  double best = 0;
  for (size_t i = 0; i < c.references.size(); ++i) {
    const std::optional<double> one = score(text_at(c, i));
    if (!one) return 0;
    best = std::max(best, *one);
  }
  return best;
}

std::string joined(const std::vector<std::string_view>& words) {
  std::string out;
  for (const std::string_view word : words) {
    if (!out.empty()) out += ' ';
    out += word;
  }
  return out;
}

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

/// The published generation metric: lower case, no ASCII punctuation, white space collapsed.
Json generation_rouge(const MetricCase& c, bool strict) {
  const auto normalized = [](std::string_view text) { return collapse_spaces(without_ascii_punctuation(lower_case(text))); };
  std::string prediction = normalized(c.prediction);
  if (prediction.empty()) prediction = ":)";
  double one = 0;
  double two = 0;
  double l = 0;
  for (size_t i = 0; i < c.references.size(); ++i) {
    const std::string reference = normalized(text_at(c, i));
    const double whole = rouge_l(prediction, reference, strict ? RougeRecursion::kReference : RougeRecursion::kNone).f;
    if (whole == 0) continue;  // nothing in common, or the original raised and has no score at all
    one = std::max(one, rouge_n(prediction, reference, 1).f);
    two = std::max(two, rouge_n(prediction, reference, 2).f);
    l = std::max(l, whole);
  }
  return {{"rouge-1", one}, {"rouge-2", two}, {"rouge-l", strict ? two : l}};
}

/// The letter after LongBench v2's sentence, with brackets or else without; null where there is none.
Json answer_letter(std::string_view prediction) {
  std::string text(prediction);
  std::erase(text, '*');
  constexpr std::string_view kSentence = "The correct answer is ";
  for (const bool brackets : {true, false}) {
    for (size_t at = text.find(kSentence); at != std::string::npos; at = text.find(kSentence, at + 1)) {
      std::string_view rest = std::string_view(text).substr(at + kSentence.size());
      if (brackets && !rest.starts_with('(')) continue;
      if (brackets) rest.remove_prefix(1);
      const bool letter = !rest.empty() && rest[0] >= 'A' && rest[0] <= 'D';
      if (letter && (!brackets || rest.substr(1).starts_with(')'))) return std::string(rest.substr(0, 1));
    }
  }
  return nullptr;
}

Json truth(bool value) { return value ? 1.0 : 0.0; }

}  // namespace

/// The table of metrics; a friend of Scorer, so that a row may ask for the segmenter.
struct ScoreFunctions {
  struct Metric {
    std::string_view name;
    References references;
    Json (*score)(Scorer& scorer, const MetricCase& c);
    bool classes = false;
  };

  static RougeRecursion recursion(const Scorer& s) {
    return s.options_.strict_reference ? RougeRecursion::kReference : RougeRecursion::kNone;
  }
  static Json rouge(Scorer& s, const MetricCase& c) {
    return best_of(c, [&](const std::string& reference) { return rouge_l(c.prediction, reference, recursion(s)).f; });
  }
  static Json rouge_zh(Scorer& s, const MetricCase& c) {
    const Segmenter& segmenter = s.segmenter(c.metric);
    const std::string prediction = joined(segmenter.cut(c.prediction));
    return best_of(
        c, [&](const std::string& reference) { return rouge_l(prediction, joined(segmenter.cut(reference)), recursion(s)).f; });
  }
  static Json qa_f1_zh(Scorer& s, const MetricCase& c) {
    const Segmenter& segmenter = s.segmenter(c.metric);
    const auto tokens = [&](const std::string& text) {
      std::vector<std::string> out;
      for (const std::string_view word : segmenter.cut(text)) {
        if (std::string token = normalize_zh_answer(word); !token.empty()) out.push_back(std::move(token));
      }
      return out;
    };
    const auto views = [](const std::vector<std::string>& words) {
      return std::vector<std::string_view>(words.begin(), words.end());
    };
    const auto prediction = tokens(c.prediction);
    return best_of(c, [&](const std::string& reference) {
      const auto answer = tokens(reference);
      return token_f1(views(prediction), views(answer));
    });
  }
  static Json passkey(Scorer&, const MetricCase& c) {
    const std::string found(first_digits(c.prediction));
    const double accuracy = best_of(c, [&](const std::string& key) { return found == key ? 1.0 : 0.0; });
    const double fuzz = best_of(c, [&](const std::string& key) { return python_round(fuzz_ratio(found, key) / 100.0, 2); });
    return {{"accuracy", accuracy}, {"fuzz", fuzz}};
  }
  static Json topic(Scorer&, const MetricCase& c) {
    const std::string output = lower_case(c.prediction);
    const double accuracy =
        best_of(c, [&](const std::string& target) { return contains(output, lower_case(target)) ? 1.0 : 0.0; });
    const double f1 = best_of(c, [&](const std::string& target) { return python_round(qa_f1(c.prediction, target), 4); });
    return {{"accuracy", accuracy}, {"f1", f1}};
  }
  static Json fuzz(Scorer&, const MetricCase& c) {
    return static_cast<int64_t>(best_of(c, [&](const std::string& text) { return fuzz_ratio(c.prediction, text) / 1.0; }));
  }
  /// rouge's own assertion: as many predictions as references.
  static Json summary(Scorer& s, const MetricCase& c) {
    return c.references.size() == 1 ? rouge_l(c.prediction, text_at(c, 0), recursion(s)).f : 0.0;
  }
  static Json math_calc(Scorer&, const MetricCase& c) {
    std::vector<infbench::Number> labels;
    for (const Json& value : c.references) labels.push_back(number_of(value));
    return infbench::math_calc(c.prediction, labels);
  }
  template <bool (*test)(std::string_view, std::string_view)>
  static Json on_text(Scorer&, const MetricCase& c) {
    return truth(!c.references.empty() && test(c.prediction, text_at(c, 0)));
  }
  template <bool (*test)(std::string_view, const infbench::Number&)>
  static Json on_number(Scorer&, const MetricCase& c) {
    return truth(!c.references.empty() && test(c.prediction, number_of(c.references[0])));
  }
  template <double (*one)(std::string_view, std::string_view)>
  static Json best(Scorer&, const MetricCase& c) {
    return best_of(c, [&](const std::string& reference) { return one(c.prediction, reference); });
  }

  static std::span<const Metric> all();
  static const Metric& find(std::string_view name, std::string_view source);
};

std::span<const ScoreFunctions::Metric> ScoreFunctions::all() {
  using enum References;
  static constexpr Metric kMetrics[] = {
      {"longbench.rouge_score", kTexts, rouge},
      {"longbench.rouge_zh_score", kTexts, rouge_zh},
      {"longbench.qa_f1_score", kTexts, best<qa_f1>},
      {"longbench.qa_f1_zh_score", kTexts, qa_f1_zh},
      {"longbench.classification_score", kTexts,
       [](Scorer&, const MetricCase& c) -> Json {
         return best_of(c, [&](const std::string& r) { return classification_score(c.prediction, r, c.all_classes); });
       },
       /*classes=*/true},
      {"longbench.code_sim_score", kTexts, best<code_sim_score>},
      {"longbench.count_score", kTexts, best<count_score>},
      {"longbench.retrieval_score", kTexts,
       [](Scorer&, const MetricCase& c) -> Json {
         return best_of(c, [&](const std::string& r) { return retrieval_score(c.prediction, r, kParagraph); });
       }},
      {"longbench.retrieval_zh_score", kTexts,
       [](Scorer&, const MetricCase& c) -> Json {
         return best_of(c, [&](const std::string& r) { return retrieval_score(c.prediction, r, kParagraphZh); });
       }},
      {"infbench.passkey", kLabel, on_text<infbench::first_number_is>},
      {"infbench.number_string", kLabel, on_text<infbench::first_number_is>},
      {"infbench.kv_retrieval", kLabel, on_text<infbench::kv_retrieval>},
      {"infbench.longdialogue_qa_eng", kLabel, on_text<infbench::longdialogue_qa>},
      {"infbench.longbook_choice_eng", kTexts,
       [](Scorer&, const MetricCase& c) { return truth(infbench::longbook_choice(c.prediction, texts(c))); }},
      {"infbench.longbook_qa_eng", kTexts, best<qa_f1>},
      {"infbench.longbook_sum_eng", kTexts, summary},
      {"infbench.longbook_qa_chn", kTexts, best<qa_f1_characters>},
      {"infbench.math_find", kNumber, on_number<infbench::math_find>},
      {"infbench.math_calc", kNumbers, math_calc},
      {"infbench.code_run", kNumber, on_number<infbench::code_run>},
      {"infbench.code_debug", kTexts,
       [](Scorer& s, const MetricCase& c) {
         return truth(infbench::code_debug(c.prediction, texts(c), !s.options_.strict_reference));
       }},
      {"fuzz.ratio", kTexts, fuzz},
      {"passkey_eval", kTexts, passkey},
      {"topic_eval", kTexts, topic},
      {"generation.rouge", kTexts,
       [](Scorer& s, const MetricCase& c) { return generation_rouge(c, s.options_.strict_reference); }},
      {"ruler.string_match_all", kTexts,
       [](Scorer&, const MetricCase& c) -> Json { return python_round(100 * ruler_share(c.prediction, texts(c)), 2); }},
      {"ruler.string_match_part", kTexts,
       [](Scorer&, const MetricCase& c) -> Json { return ruler_share(c.prediction, texts(c)) > 0 ? 100.0 : 0.0; }},
      {"longbench_v2.extract_answer", kNone, [](Scorer&, const MetricCase& c) { return answer_letter(c.prediction); }},
      {"normalize_answer", kNone, [](Scorer&, const MetricCase& c) -> Json { return normalize_answer(c.prediction); }},
      {"normalize_zh_answer", kNone, [](Scorer&, const MetricCase& c) -> Json { return normalize_zh_answer(c.prediction); }},
  };
  return kMetrics;
}

const ScoreFunctions::Metric& ScoreFunctions::find(std::string_view name, std::string_view source) {
  const auto metrics = all();
  const auto found = std::find_if(metrics.begin(), metrics.end(), [&](const Metric& m) { return m.name == name; });
  if (found != metrics.end()) return *found;
  throw_input("{}: metric: expected the name of a metric (`tenfold eval score --help` lists them), got {}{}", source, shown(name),
              near_names(name, [&](const std::function<void(std::string_view)>& each) {
                for (const Metric& metric : metrics) each(metric.name);
              }));
}

std::vector<std::string_view> Scorer::names() {
  std::vector<std::string_view> names;
  for (const auto& metric : ScoreFunctions::all()) names.push_back(metric.name);
  return names;
}

namespace {

/// The value of the first of some members that the object has; null pointer where it has none.
const Json* any_of(const Json& object, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (const auto found = object.find(name); found != object.end()) return &*found;
  }
  return nullptr;
}

void read_references(MetricCase& c, const Json& object, References expected, std::string_view source) {
  const Json* const given = any_of(object, {"references", "ground_truth", "label"});
  if (expected == References::kNone) return;
  const bool one_will_do = expected == References::kLabel || expected == References::kNumber;
  const std::string_view kind = kind_of(expected);
  const bool numbers = kind == "a number";
  if (given == nullptr) throw_input("{}: references: missing; {} expects a list, each entry {}", source, c.metric, kind);
  if (!given->is_array() && !(one_will_do && (given->is_string() || given->is_number()))) {
    throw_input("{}: references: expected a list for {}, got {}", source, c.metric, given->type_name());
  }
  if (given->is_array()) {
    c.references.assign(given->begin(), given->end());
  } else {
    c.references = {*given};
  }
  for (size_t i = 0; i < c.references.size(); ++i) {
    const Json& value = c.references[i];
    if (numbers ? value.is_number() : value.is_string()) continue;
    throw_input("{}: references[{}]: expected {} for {}, got {}", source, i, kind, c.metric, value.type_name());
  }
}

void read_classes(MetricCase& c, const Json& object, bool wanted, std::string_view source) {
  const Json* const given = any_of(object, {"all_classes"});
  if (given == nullptr || given->is_null()) {
    if (wanted) throw_input("{}: all_classes: missing; {} expects the list of every class's name", source, c.metric);
    return;
  }
  if (!given->is_array()) throw_input("{}: all_classes: expected a list of strings or null, got {}", source, given->type_name());
  for (const Json& name : *given) {
    if (!name.is_string())
      throw_input("{}: all_classes[{}]: expected a string, got {}", source, c.all_classes.size(), name.type_name());
    c.all_classes.push_back(name.get<std::string>());
  }
}

}  // namespace

MetricCase Scorer::read(const Json& object, std::string_view metric, std::string_view source) {
  MetricCase c;
  c.metric = metric.empty() || object.contains("metric") ? json_string(object, "metric", source) : std::string(metric);
  const auto& found = ScoreFunctions::find(c.metric, source);
  const bool short_name = !object.contains("prediction") && object.contains("pred");
  c.prediction = json_string(object, short_name ? "pred" : "prediction", source);
  read_references(c, object, found.references, source);
  read_classes(c, object, found.classes, source);
  return c;
}

Json Scorer::score(const MetricCase& item) { return ScoreFunctions::find(item.metric, "score").score(*this, item); }

const Segmenter& Scorer::segmenter(std::string_view metric) {
  if (segmenter_ == nullptr) {
    try {
      segmenter_ = std::make_unique<Segmenter>(options_.jieba_directory);
    } catch (const InputError& error) {
      throw MetricUnavailable(fmt::format("{}: {}", metric, error.what()));
    }
  }
  return *segmenter_;
}

}  // namespace tenfold
