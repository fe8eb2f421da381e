// What document tokens beyond the model's own context count.
#include "train/loss.h"

#include "train/tiny_run.h"

#include <gtest/gtest.h>

namespace tenfold {
namespace {

constexpr int64_t kContext = 50;

ModelConfig of_short_context() {
  ModelConfig shape = test::tiny_shape();
  shape.max_position = kContext;
  return shape;
}

struct ShortContext : test::TinyRun {
  ShortContext() : TinyRun(default_lora(), of_short_context()) { options.lm_loss_tokens = 0; }
};

StepMetrics metrics_of(test::TinyRun& s, double far) {
  s.options.lm_loss_far = far;
  Trainer trainer(s.device, s.model, s.adapter, s.examples, s.options);
  return trainer.forward_backward(std::vector<int64_t>{0, 2}, 0);
}

TEST(FarDocuments, CountByTheirWeight) {
  ShortContext s;
  const StepMetrics alike = metrics_of(s, 1);
  const StepMetrics none = metrics_of(s, 0);
  const StepMetrics more = metrics_of(s, 3);
  EXPECT_EQ(alike.lm_loss, none.lm_loss) << "what is reported is the mean of all";
  EXPECT_EQ(alike.answer_loss, more.answer_loss);
  // The same records cut where the model's own context ends have what a far weight of 0 leaves.
  double near = 0;
  int64_t documents = 0;
  ShortContext cut;
  for (const int64_t record : {0, 2}) {
    Example& example = cut.examples[static_cast<size_t>(record)];
    documents += loss_positions(example, true, 0, 0, 0).documents;
    example.ids.resize(kContext);
    example.kinds.resize(kContext);
  }
  Trainer trainer(cut.device, cut.model, cut.adapter, cut.examples, cut.options);
  for (const int64_t record : {0, 2}) {
    const auto count = loss_positions(cut.examples[static_cast<size_t>(record)], true, 0, 0, 0).documents;
    near += trainer.forward_backward(std::vector<int64_t>{record}, 0).lm_loss * static_cast<double>(count);
  }
  const double mean = s.options.lm_loss_weight * near / static_cast<double>(documents);
  // f32 rows of another length: a few units in the last place of a loss of some 6.
  EXPECT_NEAR(none.loss - none.answer_loss, mean, 1e-5);
  EXPECT_NEAR(more.loss - none.loss, 3 * (alike.loss - none.loss), 1e-9) << "linear in the weight";
  EXPECT_GT(alike.loss - none.loss, 0.1);
}

TEST(FarDocuments, GradientsMatchFiniteDifferences) {
  ShortContext s;
  s.options.lm_loss_far = 3;
  test::expect_gradients_match_differences(s);
}

}  // namespace
}  // namespace tenfold
