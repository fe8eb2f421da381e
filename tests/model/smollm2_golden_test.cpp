// SmolLM2-135M-Instruct from its Q4_1 GGUF against transformers in f64 on the same dequantised weights
// (dev/make_smollm2_golden.py). Skips where the model has not been fetched (`make demo` fetches it).

#include "format/json.h"
#include "format/mapped_file.h"
#include "infer/session.h"
#include "model/model.h"
#include "ops/cpu_features.h"
#include "support/golden.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>

namespace tenfold {
namespace {

struct SmolLm2Golden : ::testing::Test {
  static constexpr const char* kModel = TENFOLD_SOURCE_DIR "/demo/SmolLM2-135M-Instruct.Q4_1.gguf";

  void SetUp() override {
    if (!std::filesystem::exists(kModel)) GTEST_SKIP() << kModel << " is not there; make demo fetches it";
    const std::string path = test::golden_path("smollm2.json");
    golden = parse_json(read_text_file(path), path);
    model = std::make_unique<Model>(Model::load(kModel));
    ids = golden.at("ids").get<std::vector<int32_t>>();
    allowed =
        test::forward_tolerance(model->config(), static_cast<int64_t>(ids.size())) * golden.at("largest_logit").get<double>();
  }

  Device device{2};
  Json golden;
  std::unique_ptr<Model> model;
  std::vector<int32_t> ids;
  double allowed = 0;  ///< error of a logit
};

TEST_F(SmolLm2Golden, TopLogits) {
  Session session(device, *model, nullptr, {.capacity = 256});
  double worst = 0;
  for (const Json& top : golden.at("top")) {
    const auto position = top.at("position").get<size_t>();
    const auto logits = session.prefill(std::span(ids).first(position + 1));
    ASSERT_EQ(logits.size(), 49152U);
    const auto best = top.at("ids").get<std::vector<size_t>>();
    const auto values = top.at("logits").get<std::vector<double>>();
    ASSERT_EQ(best.size(), 20U);
    for (size_t i = 0; i < best.size(); ++i) {
      const double error = std::abs(static_cast<double>(logits[best[i]]) - values[i]);
      worst = std::max(worst, error);
      EXPECT_LE(error, allowed) << "position " << position << " id " << best[i];
    }
    // None of the others may lie above the twentieth by more than the error of both.
    size_t above = 0;
    for (const float logit : logits) above += static_cast<double>(logit) > values.back() + 2 * allowed ? 1U : 0U;
    EXPECT_LE(above, 19U) << "position " << position;
  }
  RecordProperty("largest_error", fmt::format("{:.2e} of {:.2e}", worst, allowed));
}

TEST_F(SmolLm2Golden, Loss) {
  Session session(device, *model, nullptr, {.capacity = 256});
  const auto nll = session.score(ids);
  const auto expected = golden.at("nll").get<std::vector<double>>();
  ASSERT_EQ(nll.size(), expected.size() + 1);
  double mean = 0;
  for (size_t t = 1; t < nll.size(); ++t) {
    EXPECT_LE(std::abs(static_cast<double>(nll[t]) - expected[t - 1]), 2 * allowed) << "token " << t;
    mean += static_cast<double>(nll[t]) / static_cast<double>(expected.size());
  }
  EXPECT_LE(std::abs(mean - golden.at("mean_nll").get<double>()), 2 * allowed);
}

TEST_F(SmolLm2Golden, LossInBf16) {
  if (ops::default_compute_dtype() != DType::kBF16) GTEST_SKIP() << "no AVX-512 BF16: the compute dtype is f32 here";
  Session session(device, *model, nullptr, {.capacity = 256, .compute = DType::kBF16});
  const auto nll = session.score(ids);
  double mean = 0;
  for (size_t t = 1; t < nll.size(); ++t) mean += static_cast<double>(nll[t]) / static_cast<double>(nll.size() - 1);
  // Some ten roundings to bf16 (2^-9 each, independent) a block: sqrt(10 L) 2^-9 of the largest logit, at most twice that in a
  // token's loss; the mean of n tokens errs by 1 / sqrt(n) of it.
  const double n = static_cast<double>(ids.size() - 1);
  const double token =
      2 * std::sqrt(10.0 * static_cast<double>(model->config().layers)) * 0x1p-9 * golden.at("largest_logit").get<double>();
  EXPECT_LE(std::abs(mean - golden.at("mean_nll").get<double>()), token / std::sqrt(n));
  RecordProperty("difference", fmt::format("{}", mean - golden.at("mean_nll").get<double>()));
}

TEST_F(SmolLm2Golden, GreedyContinuations) {
  Session session(device, *model, nullptr, {.capacity = 256});
  for (const Json& c : golden.at("continuations")) {
    const auto prompt = c.at("ids").get<std::vector<int32_t>>();
    const auto expected = c.at("continuation").get<std::vector<int32_t>>();
    // The two best logits are nowhere nearer than 0.008, a hundred times the error of PyTorch's own f32 (`f32_distance`).
    const auto got = session.generate(prompt, static_cast<int64_t>(expected.size()), {});
    EXPECT_EQ(got.ids, expected) << c.at("prompt").get<std::string>();
  }
}

}  // namespace
}  // namespace tenfold
