// The loss and every gradient of a block against an f64 computation of the test's own (host_reference.h): small ones in every
// dtype, and on a GPU one of an 8B's heads at 80K tokens.
#include "train/host_reference.h"
#include "train/tiny_run.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace tenfold {
namespace {

using test::HostReference;
using test::Vector;

struct ReferenceCase {
  const char* name;
  int64_t tokens, hidden, heads, kv_heads, head_dim, ffn, vocabulary;
  DType compute;
  int64_t reach = 0;  ///< positions jump to below it

  ModelConfig config() const {
    ModelConfig c = config_of_shape("tiny");
    c.name = name;
    c.layers = 1, c.hidden = hidden, c.heads = heads, c.kv_heads = kv_heads, c.head_dim = head_dim, c.ffn = ffn;
    c.vocabulary = vocabulary, c.max_position = 131072, c.tied_head = false;
    c.rope.theta = 5e5;
    return c;
  }
};

std::ostream& operator<<(std::ostream& out, const ReferenceCase& c) { return out << c.name; }

/// Cases of the CPU's sizes, and of those that cuDNN takes and the program has no room for on a CPU. None fills its padding.
std::vector<ReferenceCase> reference_cases() {
  return {{"f32", 300, 64, 4, 2, 16, 96, 257, DType::kF32},
          {"bf16", 300, 64, 4, 2, 16, 96, 257, DType::kBF16},
          {"bf16_heads_of_64", 300, 128, 4, 1, 64, 160, 257, DType::kBF16},
          {"bf16_heads_of_128", 300, 512, 4, 1, 128, 1024, 1024, DType::kBF16},
          {"f32_with_jumps", 300, 64, 4, 2, 16, 96, 257, DType::kF32, 60000},
          {"bf16_heads_of_64_with_jumps", 300, 128, 4, 1, 64, 160, 257, DType::kBF16, 60000},
          {"bf16_80k", 81920 - 50, 512, 4, 1, 128, 1024, 1024, DType::kBF16}};
}

/// Positions with loss: around every power of two and the chunks of 8192, at both ends, and some between.
std::set<int64_t> positions_of(int64_t tokens) {
  std::set<int64_t> positions = {0, 1, tokens - 3, tokens - 2};
  for (int64_t power = 64; power < tokens; power *= 2)
    for (const int64_t near : {power - 1, power, power + 1}) positions.insert(std::min(near, tokens - 2));
  Rng rng(7, 7);
  while (positions.size() < 48) positions.insert(static_cast<int64_t>(rng.below(static_cast<uint64_t>(tokens - 1))));
  return positions;
}

/// Loss on those positions alone. Tokens there have ids below 64, the others ids from 64 on: what reaches an embedding from there
/// came through keys and values.
Example example_of(const ReferenceCase& c) {
  const std::set<int64_t> positions = positions_of(c.tokens);
  Example example;
  Rng rng(8, 8);
  for (int64_t t = 0; t < c.tokens; ++t) {
    const bool with_loss = positions.contains(t);
    const auto ids = static_cast<uint64_t>(with_loss ? 64 : c.vocabulary - 64);
    example.ids.push_back(static_cast<int32_t>(rng.below(ids)) + (with_loss ? 0 : 64));
    example.kinds.push_back(positions.contains(t - 1) ? TokenKind::kAnswer : TokenKind::kNone);
  }
  return example;
}

/// |actual - expected| over |expected|; infinite where anything is not finite.
double distance(const float* actual, const double* expected, int64_t n) {
  double error = 0, norm = 0;
  for (int64_t i = 0; i < n; ++i) {
    error += std::pow(static_cast<double>(actual[i]) - expected[i], 2);
    norm += expected[i] * expected[i];
  }
  const double relative = std::sqrt(error) / std::sqrt(norm);
  return std::isfinite(relative) ? relative : INFINITY;
}

/// Relative error of a tensor's norm, against f64 on the same weights. Errors are independent, so squares add up.
///
/// bf16: on the longest path a value is rounded some 26 times: x, h, u, q, RoPE, P, o, x_mid, h, gate and up, a, x_out, h on its
/// way to the logits, d_logits, d_x, d_a, d_gate, d_x, d_o, dS, d_q, RoPE, v on its way back, and s B, A and the head as
/// operands. A score is made of q and k, each rounded twice: relative to its probability that counts as often as the score is
/// large. 2^-8 is twice the largest error of a rounding.
/// f32: as test::forward_tolerance and backward_tolerance, without their other RoPE; the score counts alike.
double tolerance_of(const ReferenceCase& c, const HostReference& reference) {
  const double score = reference.score_size();
  if (c.compute == DType::kBF16) return 0x1p-8 * std::sqrt(26 + 4 * score * score);
  const auto terms = static_cast<double>(5 * c.hidden + 2 * c.head_dim + c.tokens + c.heads * c.head_dim + c.ffn);
  return 3 * 4 * std::sqrt(terms) * 0x1p-24 * std::hypot(1.0, score);
}

class Reference : public testing::TestWithParam<ReferenceCase> {};

TEST_P(Reference, LossAndEveryGradient) {
  const ReferenceCase& c = GetParam();
  if (c.tokens > 1000 && test::gpu() == nullptr) GTEST_SKIP() << "for a GPU";
  Device cpu(2);
  Device& device = test::gpu_or(cpu);
  const Model on_host = Model::random(c.config(), WeightLayout::kBF16, 3);
  const Model model = test::placed(device, Model::random(c.config(), WeightLayout::kBF16, 3));
  const LoraConfig lora =
      LoraConfig::parse(8, 16, 0, false, {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"},
                        {"embed_tokens", "norm", "lm_head"});
  Adapter adapter = Adapter::create(device, model, lora, 3);
  std::vector<float> values = test::host_values(device, adapter.flat());
  Rng rng(3, 2);
  for (float& v : values) v += 0.03F * static_cast<float>(rng.normal());
  // Larger inputs of the attention, so that some keys matter more than others.
  const TensorView norm = adapter.attn_norm(0, adapter.flat());
  const auto first = values.begin() + (norm.ptr<float>() - adapter.flat().ptr<float>());
  std::for_each(first, first + c.hidden, [](float& v) { v += 0.5F; });
  test::set_values(device, adapter.flat(), values);

  const Example example = example_of(c);
  TrainOptions options;
  options.compute = c.compute;
  options.steps = 1;
  if (c.reach > 0) options.skip = {.share = 1, .length = c.reach};
  Trainer trainer(device, model, adapter, {&example, 1}, options);
  const std::vector<int64_t> record = {0};
  const double loss = trainer.forward_backward(record, 0).loss;
  const std::vector<float> gradient = test::host_values(device, trainer.gradients());

  TensorView flat("values", DType::kF32, {adapter.elements()}, values.data());
  std::vector<int64_t> places;
  fill_positions(options.skip, c.tokens, options.seed, example.record, 0, places);
  if (c.reach > 0) {
    ASSERT_GT(places.back(), 2 * c.tokens) << "no far jump to speak of; take another seed";
  }
  const HostReference reference(on_host, adapter, flat, example, places);
  ASSERT_EQ(reference.rows(), static_cast<int64_t>(positions_of(c.tokens).size()));
  const double tolerance = tolerance_of(c, reference);
  double worst = 0;
  for (const Parameter& p : adapter.parameters()) {
    const bool embedding = p.key.find("embed_tokens") != std::string::npos;
    // The embedding's rows of positions with loss, then those that only keys and values reach.
    const int64_t cut = embedding ? 64 * p.cols : p.rows * p.cols;
    for (const auto& [from, to] : {std::pair(int64_t{0}, cut), std::pair(cut, p.rows * p.cols)}) {
      if (from == to) continue;
      const double error = distance(gradient.data() + p.offset + from, reference.gradient().data() + p.offset + from, to - from);
      EXPECT_LE(error, tolerance) << p.key << " from element " << from;
      worst = std::max(worst, error / tolerance);
    }
  }
  // A row's loss is a logit less a mean of logits, each off by `tolerance` of the logits' size; rows are independent, and 6
  // standard deviations are never met.
  const double allowed = 6 * std::sqrt(2.0 / static_cast<double>(reference.rows())) * tolerance * reference.logit_size();
  EXPECT_LE(std::abs(loss - reference.loss()), allowed) << loss << " for " << reference.loss();
  std::printf("%s: loss %.6f for %.6f, off by %.3f of what is allowed; gradients by %.3f of %.2e; scores of %.1f\n", c.name, loss,
              reference.loss(), std::abs(loss - reference.loss()) / allowed, worst, tolerance, reference.score_size());
}

INSTANTIATE_TEST_SUITE_P(All, Reference, testing::ValuesIn(reference_cases()),
                         [](const auto& given) { return std::string(given.param.name); });

}  // namespace
}  // namespace tenfold
