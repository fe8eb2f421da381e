#include "eval/perplexity.h"

#include "data/text_corpus.h"
#include "eval/reference_layout.h"
#include "eval_fixture.h"

#include <cmath>
#include <map>
#include <set>

namespace tenfold {
namespace {

using test::golden;
using test::input_error;
using test::RuleReader;
using test::TemporaryDirectory;

TEST(Windows, CoverEveryTokenOnce) {
  for (int64_t n = 1; n <= 70; ++n) {
    for (const int64_t length : {1, 2, 7, 16, 33}) {
      for (int64_t stride = 1; stride <= length; ++stride) {
        const auto windows = lay_windows(3, n, length, stride);
        std::vector<int> covered(static_cast<size_t>(n), 0);
        for (const TextWindow& w : windows) {
          EXPECT_EQ(w.text, 3);
          EXPECT_LE(w.end - w.begin, length);
          for (int64_t t = w.first_target; t < w.end; ++t) ++covered[static_cast<size_t>(t)];
        }
        ASSERT_EQ(covered, std::vector<int>(static_cast<size_t>(n), 1)) << n << " " << length << " " << stride;
        EXPECT_EQ(windows.back().end, n);
      }
    }
  }
}

TEST(Windows, OfThePublishedRule) {
  // max_length 8, stride 3, n = 13: [0, 8) whole, [3, 11) from 8, [6, 13) from 11.
  const auto w = lay_windows(0, 13, 8, 3);
  ASSERT_EQ(w.size(), 3U);
  EXPECT_EQ(w[1].begin, 3);
  EXPECT_EQ(w[1].first_target, 8);
  EXPECT_EQ(w[2].first_target, 11);
  EXPECT_EQ(w[2].end, 13);
  EXPECT_EQ(lay_windows(0, 13, 8, 0).size(), 1U);
  EXPECT_EQ(lay_windows(0, 13, 5, 8).size(), 2U) << "strides longer than windows leave gaps";
  EXPECT_EQ(lay_windows(0, 13, 5, 8)[1].first_target, 8);
}

TEST(Windows, SpreadEvenly) {
  const auto all = lay_windows(0, 1003, 10, 10);
  ASSERT_EQ(all.size(), 101U);
  const auto five = spread_windows(all, 5);
  ASSERT_EQ(five.size(), 5U);
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(five[i].begin, static_cast<int64_t>(100 + 200 * i));
    EXPECT_EQ(five[i].end - five[i].begin, 10);
  }
  EXPECT_EQ(spread_windows(all, 0).size(), 101U);
  EXPECT_EQ(spread_windows(all, 500).size(), 101U);
  EXPECT_EQ(spread_windows(all, 100).size(), 100U) << "the short one at the end is left out";
  std::set<int64_t> starts;
  for (const TextWindow& w : spread_windows(all, 99)) starts.insert(w.begin);
  EXPECT_EQ(starts.size(), 99U);
}

TEST(Windows, BucketsDouble) {
  const auto b = position_buckets(5000);
  ASSERT_EQ(b.size(), 4U);
  EXPECT_EQ(b[0].end, 1024);
  EXPECT_EQ(b[1].begin, 1024);
  EXPECT_EQ(b[1].end, 2048);
  EXPECT_EQ(b[3].begin, 4096);
  EXPECT_EQ(b[3].end, 8192);
  EXPECT_EQ(position_buckets(1024).size(), 1U);
  EXPECT_EQ(position_buckets(1025).size(), 2U);
}

/// The loss by brute force: every window scored whole, every target looked up.
struct Brute {
  double sum = 0;
  int64_t tokens = 0;
  std::map<int64_t, std::pair<int64_t, double>> by_bucket;  // first position -> tokens, sum
};

Brute brute(const std::vector<int32_t>& ids, int64_t window, int64_t stride, int32_t bos) {
  Brute out;
  const int64_t length = bos >= 0 ? window - 1 : window;
  std::set<int64_t> done;
  for (int64_t begin = 0; begin < std::ssize(ids); begin += stride) {
    std::vector<int32_t> row;
    std::vector<int64_t> token_of;
    if (bos >= 0) row.push_back(bos), token_of.push_back(-1);
    for (int64_t t = begin; t < std::min(begin + length, static_cast<int64_t>(ids.size())); ++t) {
      row.push_back(ids[static_cast<size_t>(t)]);
      token_of.push_back(t);
    }
    for (size_t p = 0; p < row.size(); ++p) {
      if (token_of[p] < 0 || !done.insert(token_of[p]).second || p == 0) continue;
      const double loss = RuleReader::loss_of(static_cast<int64_t>(p), row[p]);
      int64_t first = 0;
      for (int64_t edge = 1024; edge <= static_cast<int64_t>(p); edge *= 2) first = edge;
      out.by_bucket[first].first += 1;
      out.by_bucket[first].second += loss;
      out.sum += loss;
      ++out.tokens;
    }
    if (begin + length >= std::ssize(ids)) break;
  }
  return out;
}

void compare(const std::string& name, const std::string& path, int64_t window, int64_t stride) {
  SCOPED_TRACE(fmt::format("{} window {} stride {}", name, window, stride));
  const Tokenizer tokenizer = test::small_tokenizer(name);
  PerplexityOptions options;
  options.texts = {path};
  options.window = window;
  options.stride = stride;
  const PerplexityTask task = make_perplexity_task(tokenizer, options);
  EXPECT_LE(task.tokens_needed(), window);
  RuleReader reader(tokenizer, {});
  const PerplexityResult result = run_perplexity(reader, task, {});
  const Brute want =
      brute(tokenizer.encode(read_text_file(path)), window, stride, tokenizer.adds_bos() ? tokenizer.bos_id() : -1);
  EXPECT_EQ(result.tokens, want.tokens);
  // Sums of fewer than 2^13 doubles in two orders: relative error below 2^13 x 2^-53.
  EXPECT_NEAR(result.nll, want.sum / static_cast<double>(want.tokens), 1e-11);
  EXPECT_EQ(result.perplexity, std::exp(result.nll));
  for (const PositionBucket& b : result.by_position) {
    const auto found = want.by_bucket.find(b.begin);
    EXPECT_EQ(b.tokens, found == want.by_bucket.end() ? 0 : found->second.first) << b.begin;
    if (b.tokens > 0) {
      EXPECT_NEAR(b.nll(), found->second.second / static_cast<double>(b.tokens), 1e-11) << b.begin;
    }
  }
}

TEST(Perplexity, EqualsBruteForce) {
  const TemporaryDirectory directory;
  std::string text = read_text_file(golden("haystack/a_harbour.txt")) + read_text_file(golden("haystack/b_hills.md"));
  for (int i = 0; i < 3; ++i) text += text;
  while (text.ends_with('\n')) text.pop_back();
  const std::string path = directory.file("text.jsonl.txt");  // plain text whatever it is called
  test::write(path, "x");
  // clean_text leaves this text as it is, so that both sides encode the same bytes.
  std::string plain;
  for (const char c : text) {
    if (c != '\n') plain += c;
  }
  test::write(path, plain);
  for (const char* name : {"llama3", "qwen2"}) {
    for (const auto& [window, stride] :
         std::vector<std::pair<int64_t, int64_t>>{{64, 64}, {100, 33}, {2500, 2499}, {1500, 700}, {5000, 1}}) {
      if (stride > 1) compare(name, path, window, stride);
    }
  }
}

TEST(Perplexity, PairsSeeTheSameTokensFromTwoPositions) {
  const TemporaryDirectory directory;
  std::string text;
  for (int i = 0; i < 400; ++i) text += fmt::format("word{} ", i * 7 % 131);
  const std::string path = directory.file("t.txt");
  test::write(path, text);
  for (const char* name : {"llama3", "qwen2"}) {
    SCOPED_TRACE(name);
    const Tokenizer tokenizer = test::small_tokenizer(name);
    const int64_t shift = tokenizer.adds_bos() ? 1 : 0;
    PerplexityOptions options;
    options.texts = {path};
    options.paired = PairedPositions{100, 150, 20, 41};  // pieces of 21, 21 and 8
    options.windows = 3;
    options.stride = 60;
    const PerplexityTask task = make_perplexity_task(tokenizer, options);
    EXPECT_EQ(task.tokens_needed(), 150);
    ASSERT_EQ(task.questions.size(), 3U * 4);
    const std::vector<int32_t> ids = tokenizer.encode(load_text(options.texts)[0].text);
    RuleReader reader(tokenizer, {});
    const PerplexityResult result = run_perplexity(reader, task, {});
    ASSERT_EQ(result.pairs.size(), 3U);
    std::vector<double> differences;
    for (const PairedLoss& pair : result.pairs) {
      EXPECT_EQ(pair.tokens, 50);
      double far = 0;
      double near = 0;
      for (int64_t i = 0; i < 50; ++i) {
        const int32_t id = ids[static_cast<size_t>(pair.begin + 100 - shift + i)];
        far += RuleReader::loss_of(100 + i, id) / 50.0;
        near += RuleReader::loss_of(20 + i % 21, id) / 50.0;
      }
      // Sums of 50 doubles below 4 in two orders.
      EXPECT_NEAR(pair.far_nll, far, 1e-13);
      EXPECT_NEAR(pair.near_nll, near, 1e-13);
      differences.push_back(far - near);
    }
    EXPECT_NEAR(result.more_context.mean, (differences[0] + differences[1] + differences[2]) / 3, 1e-13);
    EXPECT_EQ(result.tokens, 3 * 149) << "long windows alone, without the first of each, which nothing or BOS precedes";
    const Json& paired = result.metrics.at("paired");
    EXPECT_EQ(paired.at("positions"), "100..150,20..41");
    EXPECT_EQ(paired.at("pairs").size(), 3U);
    EXPECT_EQ(paired.at("interval").size(), 2U);
    EXPECT_EQ(result.metrics.at("windows"), 3);
    EXPECT_EQ(result.metrics.at("by_position")[0].at("tokens"), 3 * 149);
  }
}

TEST(MeanInterval, IsStudents) {
  // R: qt(0.975, n)
  const std::pair<int64_t, double> known[] = {{1, 12.706204736432102}, {2, 4.302652729911275},  {3, 3.182446305284263},
                                              {4, 2.776445105197799},  {7, 2.364624251592785},  {10, 2.228138851964939},
                                              {30, 2.042272456301238}, {100, 1.983971518523552}};
  for (const auto& [degrees, t] : known) EXPECT_NEAR(student_t_95(degrees), t, 1e-9) << degrees;
  EXPECT_GT(student_t_95(100000), 1.9599639845);
  EXPECT_LT(student_t_95(100000), 1.96);
  const double values[] = {1, 2, 3, 6};
  const MeanInterval m = mean_interval(values);
  EXPECT_DOUBLE_EQ(m.mean, 3.0);
  EXPECT_NEAR(m.interval->high - 3, 3.182446305284263 * std::sqrt(14.0 / 3 / 4), 1e-8);
  EXPECT_NEAR(3 - m.interval->low, m.interval->high - 3, 1e-12);
  EXPECT_FALSE(mean_interval(std::span(values).first(1)).interval);
}

TEST(Perplexity, JsonLinesAverageOverTexts) {
  const TemporaryDirectory directory;
  const std::string path = directory.file("t.jsonl");
  test::write(path,
              "{\"text\": \"one two three four five six seven\"}\n{\"text\": \"eight\", \"other\": 1}\n{\"text\": \"nine ten "
              "eleven\"}\n");
  const Tokenizer tokenizer = test::small_tokenizer("llama3");
  PerplexityOptions options;
  options.texts = {path};
  options.window = 64;
  RuleReader reader(tokenizer, {});
  const PerplexityResult result = run_perplexity(reader, make_perplexity_task(tokenizer, options), {});
  double sum = 0;
  for (const char* text : {"one two three four five six seven", "eight", "nine ten eleven"}) {
    const Brute b = brute(tokenizer.encode(text), 64, 63, tokenizer.bos_id());
    sum += b.sum / static_cast<double>(b.tokens);
  }
  EXPECT_NEAR(result.nll, sum / 3, 1e-12);
  EXPECT_EQ(result.metrics.at("mean_over"), "texts");
  EXPECT_EQ(result.metrics.at("by_text").size(), 3U);

  options.max_texts = 1;
  EXPECT_EQ(run_perplexity(reader, make_perplexity_task(tokenizer, options), {}).metrics.at("by_text")[0].at("text"),
            path + ":1");
  options.strict_reference = true;
  EXPECT_EQ(run_perplexity(reader, make_perplexity_task(tokenizer, options), {}).metrics.at("by_text")[0].at("text"),
            path + ":3");
  options.max_texts = 0;
  options.min_length = 4;
  EXPECT_EQ(run_perplexity(reader, make_perplexity_task(tokenizer, options), {}).metrics.at("by_text").size(), 2U);
}

TEST(Perplexity, ResumesWithEqualMetrics) {
  const TemporaryDirectory directory;
  const Tokenizer tokenizer = test::small_tokenizer("qwen2");
  PerplexityOptions options;
  options.texts = {golden("haystack")};
  options.window = 50;
  const PerplexityTask task = make_perplexity_task(tokenizer, options);
  ASSERT_GE(task.questions.size(), 6U);
  EvalRunOptions run;
  run.directory = directory.file("eval/ppl");
  RuleReader reader(tokenizer, {});
  EvalCallbacks callbacks;
  callbacks.should_stop = [&] { return reader.questions() == 3; };
  EXPECT_TRUE(run_perplexity(reader, task, run, callbacks).run.interrupted);
  const PerplexityResult resumed = run_perplexity(reader, task, run);
  EXPECT_EQ(resumed.run.resumed, 3);
  const PerplexityResult straight = run_perplexity(reader, task, {});
  EXPECT_EQ(resumed.nll, straight.nll);
  EXPECT_EQ(resumed.metrics.at("by_position"), straight.metrics.at("by_position"));
}

TEST(Perplexity, SaysWhatIsWrong) {
  const TemporaryDirectory directory;
  const Tokenizer tokenizer = test::small_tokenizer("qwen2");
  const auto message = [&](const std::function<void(PerplexityOptions&)>& change) {
    PerplexityOptions options;
    options.texts = {golden("haystack")};
    change(options);
    return input_error([&] { make_perplexity_task(tokenizer, options); });
  };
  EXPECT_HAS(message([](auto& o) { o.texts = {}; }), "--text");
  EXPECT_HAS(message([](auto& o) { o.window = 1; }), "--window");
  EXPECT_HAS(message([](auto& o) { o.stride = -2; }), "--stride");
  EXPECT_HAS(message([](auto& o) { o.windows = -1; }), "--windows");
  EXPECT_HAS(message([](auto& o) { o.min_length = 100000; }), "100000 tokens");
  EXPECT_HAS(message([](auto& o) { o.paired = {40, 60, 8, 8}; }), "--paired 40..60,8..8: expected A..B,C..D with 0 < C < D");
  EXPECT_HAS(message([](auto& o) { o.paired = {40, 60, 0, 8}; }), "0 < C");
  EXPECT_HAS(message([](auto& o) { o.paired = {40, 60, 20, 41}; }), "D <= A");
  EXPECT_HAS(message([](auto& o) {
               o.paired = {40, 60, 8, 16}, o.stride = 19;
             }),
             "--stride 19: with --paired 40..60,8..16 at least 20");
  EXPECT_HAS(message([](auto& o) { o.paired = {40, 60, 8, 16}, o.windows = 9999; }), "and --windows asks for 9999");
  EXPECT_HAS(message([](auto& o) { o.paired = {1024, 1 << 20, 8, 16}; }), "the texts hold 0 whole windows");
  EXPECT_HAS(message([](auto& o) { o.texts = {"/nowhere.txt"}; }), "/nowhere.txt");
  EXPECT_HAS(message([](auto& o) { o.texts.push_back("x.jsonl"); }), "two runs");
  test::write(directory.file("t.jsonl"), "{\"text\": \"fine\"}\n{\"text\": 3}\n");
  EXPECT_HAS(message([&](auto& o) { o.texts = {directory.file("t.jsonl")}; }), "t.jsonl:2: text: expected a string");

  PerplexityOptions options;
  options.texts = {golden("haystack")};
  RuleReader reader(tokenizer, {});
  reader.set_capacity(10);
  EXPECT_HAS(input_error([&] { run_perplexity(reader, make_perplexity_task(tokenizer, options), {}); }), "--window");
}

/// A model whose loss is not a number somewhere.
class BrokenModel : public RuleReader {
 public:
  using RuleReader::RuleReader;
  std::vector<float> score(std::span<const int32_t> ids) override {
    auto nll = RuleReader::score(ids);
    nll.back() = std::nanf("");
    return nll;
  }
};

TEST(ReferenceLayout, PerplexityIsOnlyALog) {
  const TemporaryDirectory directory;
  PerplexityResult result;
  result.perplexity = 12.5;
  result.run.answers.resize(3);
  result.run.timing.prefill_seconds = 1.0;
  ReferenceLayout layout;
  layout.directory = directory.file("lm");
  layout.command = "c";
  write_reference_layout(layout, "pg19", result, 3 << 19);
  EXPECT_HAS(read_text_file(directory.file("lm/pg19.log")),
             "Metrics   : {\"perplexity\": 12.5, \"time\": 0.3333, \"memory\": 1.5}\n\n");
}

TEST(Perplexity, NaNIsAnErrorNotAResult) {
  const Tokenizer tokenizer = test::small_tokenizer("qwen2");
  PerplexityOptions options;
  options.texts = {golden("haystack")};
  BrokenModel model(tokenizer, {});
  EXPECT_HAS(input_error([&] { run_perplexity(model, make_perplexity_task(tokenizer, options), {}); }), "nan");
}

}  // namespace
}  // namespace tenfold
