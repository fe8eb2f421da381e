#include "eval/ruler_samples.h"

#include "core/error.h"
#include "eval/metrics/text.h"
#include "eval/prompt.h"
#include "eval/wording.h"
#include "format/json.h"
#include "format/mapped_file.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <numeric>
#include <utility>

namespace tenfold {

/// The eight needle tasks: what hides the needles and how many there are.
struct RulerSamples::Niah {
  enum class Hay { kNoise, kEssay, kNeedles };
  std::string_view name;
  Hay hay;
  bool uuid_keys;
  bool uuid_values;
  int64_t keys;
  int64_t values;
  int64_t queries;

  static const Niah* find(std::string_view task);
};

namespace {

using Values = std::vector<std::pair<std::string_view, std::string_view>>;

constexpr int64_t kCommonWords = 10;
constexpr int64_t kHops = 4;
constexpr int64_t kDepths = 40;

std::string uuid(Rng& rng) {
  uint64_t high = rng.next_u64();
  uint64_t low = rng.next_u64();
  high = (high & ~uint64_t{0xF000}) | 0x4000;              // version 4
  low = (low & ~(uint64_t{3} << 62)) | uint64_t{1} << 63;  // RFC 4122's variant
  const std::string hex = fmt::format("{:016x}{:016x}", high, low);
  return fmt::format("{}-{}-{}-{}-{}", hex.substr(0, 8), hex.substr(8, 4), hex.substr(12, 4), hex.substr(16, 4), hex.substr(20));
}

std::string magic_value(bool is_uuid, Rng& rng) { return is_uuid ? uuid(rng) : std::to_string(rng.between(1000000, 9999999)); }

/// `count` different numbers below n, rising.
std::vector<int64_t> sample_below(int64_t n, int64_t count, Rng& rng) {
  TENFOLD_CHECK(count <= n, "{} of {}", count, n);
  std::set<int64_t> chosen;
  while (std::ssize(chosen) < count) chosen.insert(static_cast<int64_t>(rng.below(static_cast<uint64_t>(n))));
  return {chosen.begin(), chosen.end()};
}

std::string joined(const std::vector<std::string>& parts, std::string_view by) { return fmt::format("{}", fmt::join(parts, by)); }

/// Puts parts, in their order, at sampled places between lines.
void scatter(std::vector<std::string>& lines, const std::vector<std::string>& parts, Rng& rng) {
  const std::vector<int64_t> places = sample_below(std::ssize(lines), std::ssize(parts), rng);
  for (size_t i = parts.size(); i-- > 0;) lines.insert(lines.begin() + places[i], parts[i]);
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
  return text;
}

/// The wording for one query and one value, by the benchmark's own rules.
std::string singular(std::string text) {
  return replaced(replaced(replaced(replaced(std::move(text), "Some", "A"), "are all", "is"), "are", "is"), "answers", "answer");
}

bool ends_sentence(std::string_view word) {
  for (const std::string_view title : {"Mr.", "Mrs.", "Ms.", "Dr.", "St.", "Esq."}) {
    if (word == title) return false;
  }
  while (!word.empty() && (word.back() == '"' || word.back() == '\'' || word.back() == ')')) word.remove_suffix(1);
  return !word.empty() && (word.back() == '.' || word.back() == '!' || word.back() == '?');
}

std::string numbered(const std::vector<std::string_view>& words) {
  std::string out;
  for (size_t i = 0; i < words.size(); ++i) out += fmt::format("{}{}. {}", i > 0 ? " " : "", i + 1, words[i]);
  return out;
}

/// The first `kCommonWords` of the words often, the others seldom, all in random order.
std::vector<std::string_view> word_list(std::span<const std::string_view> words, int64_t often, int64_t seldom, Rng& rng) {
  std::vector<std::string_view> list;
  for (size_t i = 0; i < words.size(); ++i) {
    list.insert(list.end(), static_cast<size_t>(i < kCommonWords ? often : seldom), words[i]);
  }
  rng.shuffle(list);
  return list;
}

std::vector<std::string> first_ten(std::span<const std::string_view> words) {
  return {words.begin(), words.begin() + kCommonWords};
}

}  // namespace

const RulerSamples::Niah* RulerSamples::Niah::find(std::string_view task) {
  static constexpr std::array<Niah, 8> kAll = {{
      {"niah_single_1", Hay::kNoise, false, false, 1, 1, 1},
      {"niah_single_2", Hay::kEssay, false, false, 1, 1, 1},
      {"niah_single_3", Hay::kEssay, false, true, 1, 1, 1},
      {"niah_multikey_1", Hay::kEssay, false, false, 4, 1, 1},
      {"niah_multikey_2", Hay::kNeedles, false, false, 1, 1, 1},
      {"niah_multikey_3", Hay::kNeedles, true, true, 1, 1, 1},
      {"niah_multivalue", Hay::kEssay, false, false, 1, 4, 1},
      {"niah_multiquery", Hay::kEssay, false, false, 4, 1, 4},
  }};
  const auto found = std::find_if(kAll.begin(), kAll.end(), [&](const Niah& niah) { return niah.name == task; });
  return found == kAll.end() ? nullptr : &*found;
}

RulerWording RulerWording::from_json(const std::string& path) {
  RulerWording w;
  read_wording(path, {{"noise", &w.noise},
                      {"needle", &w.needle},
                      {"niah", &w.niah},
                      {"niah_answer", &w.niah_answer},
                      {"vt", &w.vt},
                      {"vt_answer", &w.vt_answer},
                      {"cwe", &w.cwe},
                      {"cwe_answer", &w.cwe_answer},
                      {"fwe", &w.fwe},
                      {"fwe_answer", &w.fwe_answer},
                      {"qa", &w.qa},
                      {"qa_answer", &w.qa_answer}});
  return w;
}

RulerSamples::RulerSamples(std::string text, RulerWording wording)
    : text_(std::move(text)), wording_(std::move(wording)), running_(split_words(text_)) {
  std::set<std::string_view> words;
  for (const std::string_view word : running_) {
    const bool plain = std::all_of(word.begin(), word.end(), [](char c) { return c >= 'a' && c <= 'z'; });
    if (plain && word.size() >= 4 && word.size() <= 12) words.insert(word);
  }
  vocabulary_.assign(words.begin(), words.end());
  if (vocabulary_.size() < 200) {
    throw_input(
        "eval ruler: --haystack: expected a long text with at least 200 different words of 4 to 12 small letters, got {}; keys "
        "and "
        "lists are made of them",
        vocabulary_.size());
  }
}

std::vector<std::string> RulerSamples::tasks() {
  return {"niah_single_1",
          "niah_single_2",
          "niah_single_3",
          "niah_multikey_1",
          "niah_multikey_2",
          "niah_multikey_3",
          "niah_multivalue",
          "niah_multiquery",
          "vt",
          "cwe",
          "fwe",
          "qa_1",
          "qa_2"};
}

int64_t RulerSamples::new_tokens(std::string_view task) {
  return task == "vt" ? 30 : task == "cwe" ? 120 : task == "fwe" ? 50 : task.starts_with("qa_") ? 32 : 128;
}

int64_t RulerSamples::least(std::string_view task) {
  if (task == "vt") return kHops + 1;
  if (task == "fwe") return 80;  // below, the fourth word is no more frequent than the fifth
  return task.starts_with("qa_") ? 0 : 4;
}

int64_t RulerSamples::most(const std::string& task, int64_t length) const {
  if (task == "cwe") return std::ssize(vocabulary_) - 2 * kCommonWords - 40;
  if (task.starts_with("qa_")) return std::ssize(documents_.at(task).documents) - 20;
  return length;  // every unit takes a token at least
}

std::string RulerSamples::word_key(Rng& rng) const { return fmt::format("{}-{}", rng.pick(vocabulary_), rng.pick(vocabulary_)); }

std::string RulerSamples::essay(int64_t words, const std::vector<std::string>& needles, Rng& rng) const {
  std::vector<std::string> sentences(1);
  for (int64_t i = 0; i < words; ++i) {
    const std::string_view word = running_[static_cast<size_t>(i % std::ssize(running_))];
    std::string& sentence = sentences.back();
    if (!sentence.empty()) sentence += ' ';
    sentence += word;
    if (ends_sentence(word) && i + 1 < words) sentences.emplace_back();
  }
  const std::vector<int64_t> depths = sample_below(kDepths, std::ssize(needles), rng);
  for (size_t i = needles.size(); i-- > 0;) {
    const auto depth = std::round(100.0 * static_cast<double>(depths[i]) / (kDepths - 1));
    const auto place = static_cast<int64_t>(static_cast<double>(sentences.size()) * depth / 100);
    sentences.insert(sentences.begin() + std::min(place, std::ssize(sentences)), needles[i]);
  }
  return joined(sentences, " ");
}

RulerSample RulerSamples::needles(const Niah& niah, int64_t size, Rng& rng) const {
  const std::string_view kind = niah.uuid_values ? "uuids" : "numbers";
  std::set<std::string> taken;
  const auto new_key = [&] {
    for (;;) {
      if (const auto [key, fresh] = taken.insert(niah.uuid_keys ? uuid(rng) : word_key(rng)); fresh) return *key;
    }
  };
  const auto needle = [&](const std::string& key, const std::string& value) {
    return fill_template(wording_.needle, Values{{"type_needle_v", kind}, {"key", key}, {"value", value}},
                         "ruler wording: needle");
  };
  std::vector<std::string> keys;
  std::vector<std::vector<std::string>> values;
  std::vector<std::string> hidden;
  for (int64_t k = 0; k < niah.keys; ++k) {
    keys.push_back(new_key());
    auto& own = values.emplace_back();
    while (std::ssize(own) < niah.values) {
      own.push_back(magic_value(niah.uuid_values, rng));
      hidden.push_back(needle(keys.back(), own.back()));
    }
  }
  rng.shuffle(hidden);
  std::string context;
  if (niah.hay == Niah::Hay::kEssay) {
    context = essay(size, hidden, rng);
  } else {
    std::vector<std::string> lines;
    for (int64_t i = 0; i < size; ++i) {
      lines.push_back(niah.hay == Niah::Hay::kNoise ? wording_.noise : needle(new_key(), magic_value(niah.uuid_values, rng)));
    }
    scatter(lines, hidden, rng);
    context = joined(lines, "\n");
  }
  RulerSample sample;
  std::string query;
  for (const int64_t k : sample_below(niah.keys, niah.queries, rng)) {
    const auto at = static_cast<size_t>(k);
    const bool last = std::ssize(sample.outputs) + niah.values == niah.queries * niah.values;
    query += (query.empty() ? "" : last ? ", and " : ", ") + keys[at];
    sample.outputs.insert(sample.outputs.end(), values[at].begin(), values[at].end());
  }
  const bool one = niah.queries * niah.values == 1;
  const Values places = {{"type_needle_v", one ? kind.substr(0, kind.size() - 1) : kind}, {"query", query}, {"context", context}};
  sample.input = fill_template(one ? singular(wording_.niah) : wording_.niah, places, "ruler wording: niah");
  sample.answer_prefix = fill_template(one ? singular(wording_.niah_answer) : wording_.niah_answer, std::span(places).first(2),
                                       "ruler wording: niah_answer");
  return sample;
}

RulerSample RulerSamples::variables(int64_t size, Rng& rng) const {
  std::set<std::string> taken;
  const auto make = [&](int64_t lines_of_noise) {
    std::vector<std::string> names;
    while (std::ssize(names) < kHops + 1) {
      std::string name;
      for (int i = 0; i < 5; ++i) name += static_cast<char>('A' + rng.below(26));
      if (taken.insert(name).second) names.push_back(std::move(name));
    }
    const std::string value = std::to_string(rng.between(10000, 99999));
    std::vector<std::string> chain = {fmt::format("VAR {} = {}", names[0], value)};
    for (size_t i = 1; i < names.size(); ++i) chain.push_back(fmt::format("VAR {} = VAR {} ", names[i], names[i - 1]));
    std::vector<std::string> lines(static_cast<size_t>(lines_of_noise), wording_.noise);
    scatter(lines, chain, rng);
    const std::string context = joined(lines, "\n");
    const std::string count = std::to_string(names.size());
    const Values places = {{"query", value}, {"num_v", count}, {"context", context}};
    return RulerSample{fill_template(wording_.vt, places, "ruler wording: vt"),
                       fill_template(wording_.vt_answer, std::span(places).first(2), "ruler wording: vt_answer"),
                       std::move(names)};
  };
  const RulerSample example = make(kHops + 1);
  RulerSample sample = make(size);
  sample.input = fmt::format("{}{} {}\n\n{}", example.input, example.answer_prefix, joined(example.outputs, " "), sample.input);
  return sample;
}

RulerSample RulerSamples::common_words(int64_t size, int64_t length, Rng& rng) const {
  const bool small = length < 4096;
  const int64_t example_words = small ? 20 : 40;
  const int64_t all = size + kCommonWords;
  std::vector<std::string_view> words;
  for (const int64_t i : sample_below(std::ssize(vocabulary_), all + example_words, rng)) {
    words.push_back(vocabulary_[static_cast<size_t>(i)]);
  }
  rng.shuffle(words);
  const std::span<const std::string_view> whole(words);
  const auto question = [&](std::span<const std::string_view> chosen, int64_t often, int64_t seldom) {
    const std::string context = numbered(word_list(chosen, often, seldom, rng));
    return fill_template(wording_.cwe, Values{{"context", context}}, "ruler wording: cwe");
  };
  RulerSample sample;
  sample.answer_prefix = fill_template(wording_.cwe_answer, Values{}, "ruler wording: cwe_answer");
  const auto example = whole.last(static_cast<size_t>(example_words));
  const auto asked = whole.first(static_cast<size_t>(all));
  std::string answer;
  for (size_t i = 0; i < kCommonWords; ++i) answer += fmt::format("{}{}. {}", i > 0 ? " " : "", i + 1, example[i]);
  sample.input = fmt::format("{}{} {}\n{}", question(example, small ? 3 : 10, small ? 1 : 3), sample.answer_prefix, answer,
                             question(asked, small ? 6 : 30, small ? 1 : 3));
  sample.outputs = first_ten(asked);
  return sample;
}

RulerSample RulerSamples::coded_words(int64_t size, int64_t length, Rng& rng) const {
  const int64_t vocabulary = std::max<int64_t>(length / 50, 8);
  std::set<std::string> taken;
  std::vector<std::string> words = {"..."};
  while (std::ssize(words) < vocabulary) {
    std::string word;
    for (int i = 0; i < 6; ++i) word += static_cast<char>('a' + rng.below(26));
    if (taken.insert(word).second) words.push_back(std::move(word));
  }
  // The k-th word comes size * k^-2 / zeta(2) times.
  constexpr double kZeta2 = std::numbers::pi * std::numbers::pi / 6;
  std::vector<std::string> text;
  for (size_t k = 0; k < words.size(); ++k) {
    const double rank = static_cast<double>(k) + 1;
    text.insert(text.end(), static_cast<size_t>(static_cast<double>(size) / (rank * rank * kZeta2)), words[k]);
  }
  rng.shuffle(text);
  const std::string context = joined(text, " ");
  return {fill_template(wording_.fwe, Values{{"context", context}}, "ruler wording: fwe"),
          fill_template(wording_.fwe_answer, Values{}, "ruler wording: fwe_answer"),
          {words[1], words[2], words[3]}};
}

RulerSample RulerSamples::documents(const std::string& task, int64_t size, int64_t index, Rng& rng) const {
  const RulerDocuments& all = documents_.at(task);
  const auto& question = all.questions[static_cast<size_t>(index % std::ssize(all.questions))];
  std::set<size_t> chosen(question.gold.begin(), question.gold.end());
  const size_t wanted = std::min(chosen.size() + static_cast<size_t>(size), all.documents.size());
  while (chosen.size() < wanted) chosen.insert(static_cast<size_t>(rng.below(all.documents.size())));
  std::vector<size_t> order(chosen.begin(), chosen.end());
  rng.shuffle(order);
  std::string context;
  for (size_t i = 0; i < order.size(); ++i) {
    context += fmt::format("{}Document {}:\n{}", i > 0 ? "\n\n" : "", i + 1, all.documents[order[i]]);
  }
  const Values places = {{"query", question.text}, {"context", context}};
  return {fill_template(wording_.qa, places, "ruler wording: qa"),
          fill_template(wording_.qa_answer, std::span(places).first(1), "ruler wording: qa_answer"), question.outputs};
}

RulerSample RulerSamples::make(const std::string& task, int64_t size, int64_t length, int64_t index, Rng rng) const {
  if (const Niah* niah = Niah::find(task)) return needles(*niah, size, rng);
  if (task == "vt") return variables(size, rng);
  if (task == "cwe") return common_words(size, length, rng);
  if (task == "fwe") return coded_words(size, length, rng);
  return documents(task, size, index, rng);
}

}  // namespace tenfold
