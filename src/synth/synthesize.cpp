#include "synth/synthesize.h"

#include "core/error.h"
#include "core/rng.h"
#include "data/example.h"
#include "synth/assemble.h"
#include "synth/plan.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <utility>

namespace tenfold {
namespace {

constexpr int64_t kSlack = 32;         ///< tokens by which a record may fall short of its target
constexpr int64_t kAim = 8;            ///< tokens under the target that the search aims at
constexpr int64_t kLeastLength = 256;  ///< a record needs room for its questions
constexpr int64_t kMostQuestions = 256;
constexpr uint64_t kLengthStream = 0x4C454E475448;  // "LENGTH"

std::vector<int64_t> parse_list(const std::string& text) {
  std::vector<int64_t> values;
  const char* at = text.data();
  const char* end = at + text.size();
  while (true) {
    int64_t value = 0;
    const auto [next, fault] = std::from_chars(at, end, value);
    if (fault != std::errc() || (next != end && *next != ','))
      throw_input("--lengths '{}': expected log-uniform, uniform or a list of tokens such as 1024,2048,4096", text);
    values.push_back(value);
    if (next == end) return values;
    at = next + 1;
  }
}

/// The point of a golden-ratio sequence: any first n of them lie evenly in [0, 1), so that few records already cover all lengths.
double even_point(uint64_t seed, int64_t index) {
  Rng rng(seed, kLengthStream);
  const double x = rng.uniform() + static_cast<double>(index) * 0.6180339887498949;
  return x - std::floor(x);
}

}  // namespace

std::string_view name_of(AskKind kind) {
  switch (kind) {
    case AskKind::kFact: return "facts";
    case AskKind::kClause: return "clauses";
    case AskKind::kNumber: return "numbers";
    case AskKind::kMulti: return "multi";
    case AskKind::kSentence: return "sentences";
    case AskKind::kPassage: return "passages";
  }
  return "";
}

Synthesizer::Synthesizer(SynthOptions options, SynthCorpus corpus, const Tokenizer& tokenizer, const ChatTemplate& chat)
    : options_(std::move(options)), corpus_(std::move(corpus)), tokenizer_(tokenizer), chat_(chat) {
  if (options_.lengths != "log-uniform" && options_.lengths != "uniform") fixed_lengths_ = parse_list(options_.lengths);
  check_options();
  measure();
}

void Synthesizer::check_options() const {
  const auto& o = options_;
  if (o.records < 1) throw_input("--records {}: expected at least 1", o.records);
  if (o.min_length > o.max_length) throw_input("--min-length {} is above --max-length {}", o.min_length, o.max_length);
  if (o.min_length < kLeastLength)
    throw_input("--min-length {}: a record with questions needs at least {} tokens", o.min_length, kLeastLength);
  for (const int64_t length : fixed_lengths_) {
    if (length < o.min_length || length > o.max_length)
      throw_input("--lengths {}: {} lies outside [--min-length {}, --max-length {}]", o.lengths, length, o.min_length,
                  o.max_length);
  }
  if (o.min_questions < 1 || o.min_questions > o.max_questions || o.max_questions > kMostQuestions) {
    throw_input("questions a record: {} to {}; expected 1 <= least <= most <= {}", o.min_questions, o.max_questions,
                kMostQuestions);
  }
  if (!(o.quoted >= 0.0 && o.quoted <= 1.0)) throw_input("--share-quoted {}: expected 0 to 1", o.quoted);
  double sum = 0.0;
  for (const double share :
       {o.shares.facts, o.shares.clauses, o.shares.numbers, o.shares.multi, o.shares.sentences, o.shares.passages}) {
    if (!(share >= 0.0) || !std::isfinite(share)) throw_input("a share of the questions is {}; expected a number >= 0", share);
    sum += share;
  }
  if (!(sum > 0.0)) throw_input("all shares of the questions are 0");
}

void Synthesizer::measure() {
  constexpr int64_t kSample = 1 << 15;
  int64_t bytes = 0;
  int64_t tokens = 0;
  for (const TextDocument& document : corpus_.documents()) {
    const std::string_view text = document.text;
    const size_t begin = std::min(text.find_first_of(" \n", text.size() / 3), text.size() - 1);
    const std::string_view sample = cut_text(text.substr(begin), kSample);
    bytes += static_cast<int64_t>(sample.size());
    tokens += static_cast<int64_t>(tokenizer_.encode(sample).size());
    if (bytes > 16 * kSample) break;
  }
  bytes_per_token_ = static_cast<double>(bytes) / static_cast<double>(std::max<int64_t>(tokens, 1));
  const double needed = static_cast<double>(options_.max_length) * bytes_per_token_;
  if (static_cast<double>(corpus_.bytes()) < needed) {
    throw_input(
        "--text: {} bytes of text, about {:.0f} tokens, are too few for records of up to {} tokens; give more text or a smaller "
        "--max-length",
        corpus_.bytes(), static_cast<double>(corpus_.bytes()) / bytes_per_token_, options_.max_length);
  }
}

int64_t Synthesizer::target_length(int64_t index) const {
  if (!fixed_lengths_.empty()) return fixed_lengths_[static_cast<size_t>(index) % fixed_lengths_.size()];
  // What falls short by the slack still has the least length.
  const auto low = static_cast<double>(std::min(options_.min_length + kSlack, options_.max_length));
  const auto high = static_cast<double>(options_.max_length);
  const double u = even_point(options_.seed, index);
  const double x = options_.lengths == "uniform" ? low + u * (high - low) : low * std::pow(high / low, u);
  return std::min(static_cast<int64_t>(std::llround(x)), options_.max_length);
}

std::optional<SynthRecord> Synthesizer::fit(const RecordPlan& plan) const {
  auto bytes = static_cast<int64_t>(static_cast<double>(plan.target) * bytes_per_token_);
  std::optional<SynthRecord> best;
  Layout layout;
  // Newton's way: the error in tokens, taken as bytes, corrects the length. Places and passages follow it for three rounds; then
  // they stay, so that the tokens only rise with the bytes and the search ends.
  for (int round = 0; round < 16; ++round) {
    if (round < 3 || bytes < static_cast<int64_t>(layout.least)) layout = lay_out(plan, bytes);
    SynthRecord record = assemble(plan, layout, bytes);
    record.tokens = static_cast<int64_t>(encode_record({record.messages, {}, {}, 0}, tokenizer_, chat_).ids.size());
    const int64_t missing = plan.target - record.tokens;
    if (missing >= 0 && !record.asks.empty() && (!best || record.tokens > best->tokens)) best = std::move(record);
    if (best && plan.target - best->tokens <= kSlack) break;
    if (missing < 0 && bytes == 0) break;
    const auto step = static_cast<int64_t>(static_cast<double>(missing - kAim) * bytes_per_token_);
    bytes = std::max<int64_t>(bytes + (step == 0 ? -1 : step), 0);
  }
  return best;
}

SynthRecord Synthesizer::make(int64_t index) const {
  RecordPlan plan = plan_record(corpus_, options_, target_length(index), bytes_per_token_, index);
  while (true) {
    if (auto record = fit(plan)) return std::move(*record);
    // A short record with long questions: one fewer.
    if (plan.asks.size() <= 1) break;
    plan.asks.pop_back();
  }
  throw_input("record {}: a question with its sentences is longer than {} tokens; raise --min-length", index, plan.target);
}

SynthReport::SynthReport(const SynthCorpus& corpus, std::span<const std::string_view> kinds)
    : documents(static_cast<int64_t>(corpus.documents().size())), dropped_paragraphs(corpus.dropped_paragraphs()) {
  for (const std::string_view kind : kinds) questions.emplace_back(kind, 0);
}

void SynthReport::add(int64_t record_tokens) {
  shortest = records == 0 ? record_tokens : std::min(shortest, record_tokens);
  longest = std::max(longest, record_tokens);
  tokens += record_tokens;
  ++records;
}

int64_t SynthReport::all_questions() const {
  int64_t sum = 0;
  for (const auto& [kind, count] : questions) sum += count;
  return sum;
}

Json json_of(std::span<const ChatMessage> messages) {
  Json turns = Json::array();
  for (const ChatMessage& message : messages) turns.push_back(Json{{"role", message.role}, {"content", message.content}});
  return Json{{"conversations", std::move(turns)}};
}

Json json_of(const SynthRecord& record) { return json_of(record.messages); }

SynthReport synthesize(const SynthOptions& options, const Tokenizer& tokenizer, const ChatTemplate& chat,
                       const std::function<void(const Json& record)>& sink) {
  const Synthesizer synthesizer(options, SynthCorpus(load_synth_texts(options.texts, options.unwrap)), tokenizer, chat);
  std::array<std::string_view, kAskKinds> kinds;
  for (int kind = 0; kind < kAskKinds; ++kind) kinds[static_cast<size_t>(kind)] = name_of(static_cast<AskKind>(kind));
  SynthReport report(synthesizer.corpus(), kinds);
  for (int64_t i = 0; i < options.records; ++i) {
    const SynthRecord record = synthesizer.make(i);
    report.add(record.tokens);
    for (const SynthAsk& ask : record.asks) ++report.questions[static_cast<size_t>(ask.kind)].second;
    sink(json_of(record));
  }
  return report;
}

}  // namespace tenfold
