#include "eval/session_model.h"

#include "cli/tiny_model.h"
#include "device/device.h"
#include "eval/haystack.h"
#include "eval/needle.h"
#include "eval/perplexity.h"
#include "eval_fixture.h"
#include "format/gguf.h"
#include "model/model.h"

#include <cmath>
#include <filesystem>
#include <set>

namespace tenfold {
namespace {

using test::golden;

TEST(StopIds, OfTheCheckpointAndTheTemplate) {
  const Tokenizer tokenizer = test::small_tokenizer("llama3");
  const ChatTemplate chat = ChatTemplate::by_name("llama-3");
  ModelConfig config;
  config.eos_ids = {2261};
  const int32_t end = tokenizer.id_of("<|eot_id|>");
  EXPECT_EQ(stop_ids_of(config, tokenizer, chat), (std::vector<int32_t>{2261, end}));
  EXPECT_EQ(stop_ids_of(config, tokenizer, chat, /*strict_reference=*/true), (std::vector<int32_t>{2261}));
  config.eos_ids = {2261, end};
  EXPECT_EQ(stop_ids_of(config, tokenizer, chat).size(), 2U) << "no token twice";
  EXPECT_EQ(stop_ids_of(config, tokenizer, ChatTemplate::by_name("no")).size(), 2U);
}

/// A grid's prompts share their beginnings in the cache; what follows each is bit for bit what a session says that never saw
/// another.
TEST(SharedPrefix, ChangesNoBitOfAGrid) {
  const test::TemporaryDirectory folder;
  test::write_tiny_model(folder.file("tiny.gguf"), {.seed = 7});
  Device device;
  const Model model = Model::load(folder.file("tiny.gguf"));
  const Tokenizer tokenizer = Tokenizer::from_gguf(GgufFile(folder.file("tiny.gguf")));
  const ChatTemplate chat = ChatTemplate::detect(tokenizer.chat_template_text());
  NeedleOptions options;
  options.haystack = golden("haystack");
  options.lengths = {600, 900};
  options.depths = {0, 30, 60, 100};
  const GridTask task = make_needle_task(tokenizer, chat, options);
  Session session(device, model, nullptr, {.capacity = task.tokens_needed()});
  SessionModel reader(session);
  int64_t prompt_tokens = 0;
  int64_t reused = 0;
  std::set<std::vector<float>> different;
  for (const EvalQuestion& question : task.questions) {
    const NextLogits next = reader.next_logits(question.prompt);
    Session cold(device, model, nullptr, {.capacity = task.tokens_needed()});
    EXPECT_EQ(SessionModel(cold).next_logits(question.prompt).logits, next.logits) << question.id;
    different.insert(next.logits);
    prompt_tokens += std::ssize(question.prompt);
    reused += next.reused_tokens;
  }
  EXPECT_EQ(different.size(), task.questions.size()) << "logits that never differ would prove nothing";
  // In the order of their needles each prompt reuses all that precedes the needle of the one before.
  EXPECT_GT(reused, prompt_tokens / 3);
}

/// The real model over the small haystack: slow machines take a few seconds.
class RealModelTest : public ::testing::Test {
 protected:
  static constexpr const char* kModel = TENFOLD_SOURCE_DIR "/demo/SmolLM2-135M-Instruct.Q4_1.gguf";
  void SetUp() override {
    if (!std::filesystem::exists(kModel)) GTEST_SKIP() << kModel << " is not there; make demo fetches it";
  }
};

TEST_F(RealModelTest, FindsANeedleAndReusesWhatPrecedesIt) {
  Device device;
  const Model model = Model::load(kModel);
  const Tokenizer tokenizer = Tokenizer::from_gguf(GgufFile(kModel));
  const ChatTemplate chat = ChatTemplate::detect(tokenizer.chat_template_text());
  NeedleOptions options;
  options.haystack = golden("haystack");
  options.lengths = {900};
  options.depths = {50, 100};
  options.max_new_tokens = 24;
  options.stop_ids = stop_ids_of(model.config(), tokenizer, chat);
  const GridTask task = make_needle_task(tokenizer, chat, options);
  Session session(device, model, nullptr, {.capacity = task.tokens_needed()});
  SessionModel reader(session);
  const GridResult result = run_needle(reader, tokenizer, task, {});
  EXPECT_EQ(result.total, 2);
  EXPECT_GE(result.hits, 1) << result.metrics.dump(1);
  // The second prompt begins as the first: system turn, description and half of the context.
  EXPECT_GT(result.run.timing.reused_tokens, 400);

  // A cold session gives the last question the same answer: what was reused changes nothing.
  Session cold(device, model, nullptr, {.capacity = task.tokens_needed()});
  SessionModel cold_reader(cold);
  const auto answer = cold_reader.generate(task.questions.back().prompt, options.max_new_tokens, options.stop_ids, {});
  EXPECT_EQ(answer.reused_tokens, 0);
  EXPECT_EQ(tokenizer.decode(answer.ids, {.skip_special = true}), result.run.answers.back().at("output"));
}

TEST_F(RealModelTest, LossOfEnglishIsLowAndOfNoiseHigh) {
  Device device;
  const Model model = Model::load(kModel);
  const Tokenizer tokenizer = Tokenizer::from_gguf(GgufFile(kModel));
  PerplexityOptions options;
  options.texts = {golden("haystack/a_harbour.txt")};
  options.window = 128;
  const PerplexityTask task = make_perplexity_task(tokenizer, options);
  Session session(device, model, nullptr, {.capacity = 128});
  SessionModel reader(session);
  const PerplexityResult result = run_perplexity(reader, task, {});
  // Fluent English of a 135M model lies near 3.5 nats a token; a uniform guess would be ln 49152 = 10.8.
  EXPECT_GT(result.nll, 2.0);
  EXPECT_LT(result.nll, 5.5);
  std::vector<int32_t> noise;
  for (int32_t i = 0; i < 100; ++i) noise.push_back((i * 7919 + 13) % 49152);
  const auto nll = reader.score(noise);
  double sum = 0;
  for (const float v : nll) sum += v;
  EXPECT_GT(sum / 99, 9.0);
}

}  // namespace
}  // namespace tenfold
