// Self-distillation: the gradient of KL(base || tuned) against finite differences, its value against a softmax of its own, and
// windows as a function of the step.
#include "train/distill.h"

#include "train/tiny_run.h"

#include "infer/session.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <set>

#include <unistd.h>

namespace tenfold {
namespace {

using test::TinyRun;

DistillOptions options_for(const TinyRun& s) {
  DistillOptions d;
  d.weight = 0.7;
  d.lengths = {40};
  d.tokens = 12;
  d.base_rope = s.model.config().rope;
  Rng rng(9, 9);
  for (int i = 0; i < 200; ++i)
    d.text.push_back(static_cast<int32_t>(rng.below(static_cast<uint64_t>(s.model.config().vocabulary))));
  return d;
}

TEST(Distill, GradientsMatchFiniteDifferences) {
  // The tuned model reads at another RoPE base than the untouched one; a trained norm and embedding, too.
  TinyRun s(LoraConfig::parse(4, 8, 0, false, {"q_proj", "k_proj", "v_proj", "o_proj", "down_proj"}, {"norm", "embed_tokens"}));
  s.options.distill = options_for(s);
  RopeConfig rope = s.model.config().rope;
  rope.theta *= 20;
  s.model.set_rope(rope);
  test::expect_gradients_match_differences(s);
}

/// Log probabilities of the token after each of the window's positions.
std::vector<std::vector<double>> log_probabilities(Device& device, const Model& model, const Adapter* adapter,
                                                   std::span<const int32_t> ids) {
  std::vector<std::vector<double>> out;
  SessionOptions options;
  options.capacity = static_cast<int64_t>(ids.size());
  options.compute = DType::kF32;
  Session session(device, model, adapter, options);
  for (size_t n = 1; n <= ids.size(); ++n) {
    const std::span<const float> logits = session.prefill(ids.first(n));
    double top = -INFINITY;
    for (const float l : logits) top = std::max(top, static_cast<double>(l));
    double sum = 0;
    for (const float l : logits) sum += std::exp(static_cast<double>(l) - top);
    out.emplace_back();
    for (const float l : logits) out.back().push_back(static_cast<double>(l) - top - std::log(sum));
  }
  return out;
}

TEST(Distill, IsTheMeanDivergenceFromTheUntouchedBase) {
  TinyRun s;
  s.options.distill = options_for(s);
  RopeConfig rope = s.model.config().rope;
  rope.theta *= 20;
  s.model.set_rope(rope);
  Trainer trainer(s.device, s.model, s.adapter, s.examples, s.options);
  const std::vector<int64_t> records = {3};
  const double got = trainer.forward_backward(records, 5).distill_loss;
  const DistillWindow window = distill_window(s.options.distill, s.options.seed, 5);
  ASSERT_EQ(window.ids.size(), 40U);
  ASSERT_EQ(window.rows.size(), 12U);
  const auto tuned = log_probabilities(s.device, s.model, &s.adapter, window.ids);
  s.model.set_rope(s.options.distill.base_rope);
  const auto base = log_probabilities(s.device, s.model, nullptr, window.ids);
  double expected = 0;
  for (const int64_t row : window.rows) {
    const auto& p = base[static_cast<size_t>(row)];
    const auto& q = tuned[static_cast<size_t>(row)];
    for (size_t i = 0; i < p.size(); ++i) expected += std::exp(p[i]) * (p[i] - q[i]) / 12;
  }
  EXPECT_GT(expected, 1e-3);
  // Differences of logits of about ten that carry some 2^-20 of their size each.
  EXPECT_NEAR(got, expected, 40 * 0x1p-20);
}

TEST(Distill, OfAnUntouchedModelIsNothing) {
  TinyRun s;
  s.adapter = Adapter::create(s.device, s.model, s.lora, 1);  // B is zero: tuned and base are one
  s.options.distill = options_for(s);
  s.options.lm_loss_weight = 0;
  Trainer trainer(s.device, s.model, s.adapter, s.examples, s.options);
  const std::vector<int64_t> none;
  EXPECT_NEAR(trainer.forward_backward(none, 0).distill_loss, 0, 1e-6);
  for (const float g : test::host_values(s.device, trainer.gradients())) ASSERT_LE(std::abs(g), 1e-6F);
}

TEST(Distill, WindowsAreAFunctionOfSeedAndStep) {
  TinyRun s;
  DistillOptions d = options_for(s);
  d.lengths = {16, 32};
  std::set<size_t> lengths;
  std::set<const int32_t*> starts;
  for (int64_t step = 0; step < 30; ++step) {
    const DistillWindow a = distill_window(d, 7, step);
    const DistillWindow b = distill_window(d, 7, step);
    EXPECT_EQ(a.ids.data(), b.ids.data());
    EXPECT_EQ(a.rows, b.rows);
    EXPECT_TRUE(std::is_sorted(a.rows.begin(), a.rows.end()));
    EXPECT_EQ(std::set(a.rows.begin(), a.rows.end()).size(), 12U);
    EXPECT_LT(a.rows.back() + 1, static_cast<int64_t>(a.ids.size()));
    lengths.insert(a.ids.size());
    starts.insert(a.ids.data());
  }
  EXPECT_EQ(lengths, (std::set<size_t>{16, 32}));
  EXPECT_GT(starts.size(), 15U);
}

/// Conversations as distill_record leaves them: answers after 6 and 20 tokens; one that ends with the generation prompt.
std::vector<DistillRecord> records_for(const TinyRun& s) {
  std::vector<Example> examples = test::random_examples({30, 24}, s.model.config().vocabulary, 21);
  for (Example& e : examples) std::fill(e.kinds.begin() + 1, e.kinds.end(), TokenKind::kDocument);
  for (const size_t t : {6U, 7U, 20U, 21U, 22U}) examples[0].kinds[t] = TokenKind::kAnswer;
  return {distill_record(examples[0], false, "a.jsonl:1"), distill_record(examples[1], true, "a.jsonl:2")};
}

TEST(DistillRecords, PositionsBeforeAnswersAreAlwaysCompared) {
  TinyRun s;
  DistillOptions d = options_for(s);
  d.text.clear();
  d.records = records_for(s);
  EXPECT_EQ(d.records[0].always, (std::vector<int64_t>{5, 19}));
  EXPECT_EQ(d.records[1].always, (std::vector<int64_t>{23}));
  d.tokens = 4;
  std::set<int64_t> met;
  std::set<std::vector<int64_t>> sets;
  for (int64_t step = 0; step < 40; ++step) {
    const DistillWindow w = distill_window(d, 7, step);
    met.insert(w.record);
    sets.insert(w.rows);
    ASSERT_EQ(w.rows.size(), 4U);
    EXPECT_TRUE(std::is_sorted(w.rows.begin(), w.rows.end()));
    EXPECT_EQ(std::set(w.rows.begin(), w.rows.end()).size(), 4U);
    for (const int64_t row : d.records[static_cast<size_t>(w.record)].always)
      EXPECT_TRUE(std::binary_search(w.rows.begin(), w.rows.end(), row)) << row;
    EXPECT_LT(w.rows.back(), w.record == 0 ? 29 : 24);
    EXPECT_EQ(w.rows, distill_window(d, 7, step).rows);
  }
  EXPECT_EQ(met, (std::set<int64_t>{0, 1}));
  EXPECT_GT(sets.size(), 20U);
  // More answers than positions asked for: all of them.
  d.record_tokens = 1;
  for (int64_t step = 0; step < 10; ++step) {
    const DistillWindow w = distill_window(d, 7, step);
    EXPECT_EQ(w.rows, d.records[static_cast<size_t>(w.record)].always);
  }
  EXPECT_EQ(distill_rows(d), 2);
  EXPECT_EQ(distill_length(d), 30);
  // None left out: all positions, the last where it predicts an answer.
  d.record_tokens = d.tokens = 0;
  EXPECT_EQ(distill_rows(d), 29);
  for (int64_t step = 0; step < 10; ++step) {
    const DistillWindow w = distill_window(d, 7, step);
    EXPECT_EQ(w.rows.size(), w.record == 0 ? 29U : 24U);
  }
}

TEST(DistillRecords, TakeTheirShareAndLeaveTheTextsWindowsAlone) {
  TinyRun s;
  const DistillOptions text = options_for(s);
  DistillOptions both = text;
  both.records = records_for(s);
  both.record_share = 0.25;
  int64_t records = 0;
  for (int64_t step = 0; step < 2000; ++step) {
    const DistillWindow w = distill_window(both, 7, step);
    if (w.record >= 0) {
      ++records;
      continue;
    }
    const DistillWindow alone = distill_window(text, 7, step);
    EXPECT_EQ(w.rows, alone.rows);
    EXPECT_EQ(w.ids.data() - both.text.data(), alone.ids.data() - text.text.data());
  }
  EXPECT_NEAR(static_cast<double>(records), 500, 5 * std::sqrt(2000 * 0.25 * 0.75));
  for (const double share : {0.0, 1.0}) {
    both.record_share = share;
    for (int64_t step = 0; step < 50; ++step) EXPECT_EQ(distill_window(both, 7, step).record >= 0, share == 1.0);
  }
  // The planner covers both.
  EXPECT_EQ(distill_length(both), 40);
  both.records[0].ids.resize(50);
  EXPECT_EQ(distill_length(both), 50);
}

TEST(DistillRecords, GradientsMatchFiniteDifferencesAtTheGenerationPrompt) {
  TinyRun s(LoraConfig::parse(4, 8, 0, false, {"q_proj", "k_proj", "v_proj", "o_proj", "down_proj"}, {"norm", "embed_tokens"}));
  s.options.distill = options_for(s);
  s.options.distill.text.clear();
  s.options.distill.records = {records_for(s)[1]};
  RopeConfig rope = s.model.config().rope;
  rope.theta *= 20;
  s.model.set_rope(rope);
  test::expect_gradients_match_differences(s);
}

TEST(DistillRecords, TheLastPositionIsTheDivergenceFromTheUntouchedBase) {
  TinyRun s;
  s.options.distill = options_for(s);
  s.options.distill.records = {records_for(s)[1]};
  s.options.distill.record_share = 1;
  s.options.distill.record_tokens = 1;
  RopeConfig rope = s.model.config().rope;
  rope.theta *= 20;
  s.model.set_rope(rope);
  Trainer trainer(s.device, s.model, s.adapter, s.examples, s.options);
  const StepMetrics got = trainer.forward_backward(std::vector<int64_t>{3}, 0);
  EXPECT_EQ(got.distill_record, 0);
  const std::span<const int32_t> ids = s.options.distill.records[0].ids;
  const auto q = log_probabilities(s.device, s.model, &s.adapter, ids).back();
  s.model.set_rope(s.options.distill.base_rope);
  const auto p = log_probabilities(s.device, s.model, nullptr, ids).back();
  double expected = 0;
  for (size_t i = 0; i < p.size(); ++i) expected += std::exp(p[i]) * (p[i] - q[i]);
  EXPECT_GT(expected, 1e-3);
  // As above: differences of logits of about ten that carry some 2^-20 of their size each.
  EXPECT_NEAR(got.distill_loss, expected, 40 * 0x1p-20);
}

/// The losses of `steps` steps, with a stop after `stop` of them where that is above 0.
std::vector<double> losses_of(const std::string& out, int64_t stop) {
  std::vector<double> losses;
  int64_t done = 0;
  for (const bool last : {false, true}) {
    if (!last && stop == 0) continue;
    TinyRun s;
    s.options.distill = options_for(s);
    s.options.distill.records = records_for(s);
    s.options.out = out;
    s.options.steps = 6;
    s.options.learning_rate = 1e-2;
    Trainer trainer(s.device, s.model, s.adapter, s.examples, s.options);
    if (stop > 0 && last) {
      EXPECT_EQ(trainer.resume(), stop);
    }
    TrainCallbacks callbacks;
    callbacks.on_step = [&](const StepMetrics& m, int64_t) {
      losses.push_back(m.loss);
      losses.push_back(m.distill_loss);
      done = m.step;
    };
    callbacks.should_stop = [&] { return !last && done == stop; };
    trainer.run(callbacks);
  }
  return losses;
}

TEST(DistillRecords, ResumeChangesNoBit) {
  const auto folder = std::filesystem::temp_directory_path() / fmt::format("tenfold-distill-{}", ::getpid());
  const std::vector<double> whole = losses_of((folder / "whole").string(), 0);
  ASSERT_EQ(whole.size(), 12U);
  EXPECT_EQ(losses_of((folder / "cut").string(), 3), whole);
  // Other records are another run.
  TinyRun s;
  s.options.distill = options_for(s);
  s.options.distill.records = records_for(s);
  s.options.distill.records[0].ids[3] ^= 1;
  s.options.out = (folder / "cut").string();
  s.options.steps = 6;
  s.options.learning_rate = 1e-2;
  EXPECT_THROW(Trainer(s.device, s.model, s.adapter, s.examples, s.options).resume(), InputError);
  std::filesystem::remove_all(folder);
}

/// What the trainer says to a fault.
std::string refusal(TinyRun& s) {
  try {
    Trainer(s.device, s.model, s.adapter, s.examples, s.options);
  } catch (const InputError& fault) {
    return fault.what();
  }
  return {};
}

TEST(DistillRecords, RefusesLongRecordsAndForeignTokens) {
  TinyRun s;
  s.options.distill = options_for(s);
  s.options.distill.text.clear();
  s.options.distill.records = records_for(s);
  EXPECT_EQ(refusal(s), "");
  s.options.distill.lengths = {16, 29};
  EXPECT_NE(refusal(s).find("a.jsonl:1: the record has 30 tokens, and the longest of --distill-lengths is 29"), std::string::npos)
      << refusal(s);
  s.options.distill.lengths = {40};
  s.options.distill.records[1].ids[2] = static_cast<int32_t>(s.model.config().vocabulary);
  EXPECT_NE(refusal(s).find("a.jsonl:2: token id"), std::string::npos) << refusal(s);
  s.options.distill.records.clear();
  EXPECT_NE(refusal(s).find("neither text nor records"), std::string::npos);
  EXPECT_THROW(distill_record({{1}, {TokenKind::kNone}, 0}, false, "b.jsonl:1"), InputError);
  EXPECT_EQ(distill_record({{1}, {TokenKind::kNone}, 0}, true, "b.jsonl:1").always, std::vector<int64_t>{0});
}

TEST(Distill, RefusesATrainedHeadAndTooLittleText) {
  TinyRun head(LoraConfig::parse(4, 8, 0, false, {"q_proj"}, {"lm_head"}));
  head.options.distill = options_for(head);
  EXPECT_THROW(Trainer(head.device, head.model, head.adapter, head.examples, head.options), InputError);
  TinyRun s;
  s.options.distill = options_for(s);
  s.options.distill.lengths = {512};
  EXPECT_THROW(Trainer(s.device, s.model, s.adapter, s.examples, s.options), InputError);
}

}  // namespace
}  // namespace tenfold
