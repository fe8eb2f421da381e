// The forward against transformers, PEFT and bitsandbytes: logits and losses of tiny Llamas, RoPE of every kind, adapters in both
// directions (dev/check_peft.py is the other half), NF4 directories. The goldens come from dev/make_goldens.py.

#include "support/golden.h"

#include "format/json.h"
#include "format/mapped_file.h"
#include "format/scratch.h"
#include "infer/session.h"
#include "model/adapter.h"
#include "model/model.h"

#include <gtest/gtest.h>

#include <filesystem>

namespace tenfold {
namespace {

using test::distance;
using test::forward_tolerance;
using test::golden_path;
using test::golden_rows;
using test::golden_values;

struct ModelGolden : ::testing::Test {
  SafetensorsFile golden{golden_path("tiny.safetensors")};
  Device cpu{2};
  Device& device = test::gpu_or(cpu);

  std::vector<float> logits_after(Session& session, std::span<const int32_t> ids) {
    const auto logits = session.prefill(ids);
    return {logits.begin(), logits.end()};
  }

  /// Logits at the stored positions and the loss of every token, for both sequences.
  void expect_logits(const Model& model, const Adapter* adapter, const std::string& key, const std::string& records) {
    ASSERT_EQ(model.embed_tokens().device, device.kind());
    const auto examples = test::golden_records(golden, records);
    double worst = 0;
    for (const int64_t length : {33, 70}) {
      const auto& ids = test::record_of_length(examples, static_cast<size_t>(length)).ids;
      const auto expected = golden_values<float>(golden, fmt::format("{}.logits_{}", key, length));
      const auto nll = golden_values<float>(golden, fmt::format("{}.nll_{}", key, length));
      const double tolerance = forward_tolerance(model.config(), length);
      const auto width = static_cast<size_t>(model.config().vocabulary);
      // Dynamic RoPE depends on the length of the whole sequence; a session freezes it for its capacity.
      const bool dynamic = model.config().rope.type == RopeType::kDynamic;
      Session session(device, model, adapter, {.capacity = dynamic ? length : 128});
      size_t at = 0;
      for (const int64_t row : golden_rows(golden, length)) {
        const std::vector<float> want(expected.begin() + static_cast<std::ptrdiff_t>(at * width),
                                      expected.begin() + static_cast<std::ptrdiff_t>((at + 1) * width));
        ++at;
        const auto got = logits_after(session, std::span(ids).first(static_cast<size_t>(row) + 1));
        const double error = distance(got, want);
        worst = std::max(worst, error / tolerance);
        EXPECT_LE(error, tolerance) << key << " " << length << " row " << row;
      }
      EXPECT_EQ(at * width, expected.size());
      // A loss is a logit less a mean of logits: at most twice the error of one.
      const auto scored = session.score(ids);
      ASSERT_EQ(scored.size(), nll.size());
      const double allowed = 2 * tolerance * test::largest(expected);
      for (size_t t = 0; t < nll.size(); ++t)
        EXPECT_LE(std::abs(static_cast<double>(scored[t]) - static_cast<double>(nll[t])), allowed)
            << key << " " << length << " token " << t;
    }
    RecordProperty("largest_error_over_tolerance", fmt::format("{:.3f}", worst));
  }

  Model load(const std::string& path, const LoadOptions& options = {}) {
    return test::placed(device, Model::load(path, options));
  }

  Model load_rope(const std::string& name, const std::string& shape, const Scratch& scratch) {
    std::filesystem::copy_file(golden_path("tiny_rope/" + name + "/config.json"), scratch / "config.json");
    std::filesystem::create_symlink(golden_path("tiny_" + shape + "/model.safetensors"), scratch / "model.safetensors");
    return load(scratch.path());
  }
};

TEST_F(ModelGolden, TiedHead) { expect_logits(load(golden_path("tiny_tied")), nullptr, "tied", "tied"); }

TEST_F(ModelGolden, UntiedHead) { expect_logits(load(golden_path("tiny_untied")), nullptr, "untied", "untied"); }

struct RopeCase {
  const char* name;
  const char* shape;
  RopeType type;
};

struct RopeGolden : ModelGolden, ::testing::WithParamInterface<RopeCase> {};

TEST_P(RopeGolden, Logits) {
  const Scratch scratch;
  const Model model = load_rope(GetParam().name, GetParam().shape, scratch);
  EXPECT_EQ(model.config().rope.type, GetParam().type);
  expect_logits(model, nullptr, std::string("rope_") + GetParam().name, GetParam().shape);
}

TEST_P(RopeGolden, DiffersFromTheDefault) {
  // The same weights without the scaling: far outside the tolerance, so that the test above can fail.
  const auto scaled = golden_values<float>(golden, fmt::format("rope_{}.logits_70", GetParam().name));
  const auto plain = golden_values<float>(golden, fmt::format("{}.logits_70", GetParam().shape));
  const double tolerance = forward_tolerance(config_from_directory(golden_path(fmt::format("tiny_{}", GetParam().shape))), 70);
  EXPECT_GT(distance(scaled, plain), 100 * tolerance);
}

INSTANTIATE_TEST_SUITE_P(
    All, RopeGolden,
    ::testing::Values(RopeCase{"linear", "tied", RopeType::kLinear}, RopeCase{"dynamic", "tied", RopeType::kDynamic},
                      RopeCase{"llama3", "tied", RopeType::kLlama3}, RopeCase{"yarn", "tied", RopeType::kYarn},
                      RopeCase{"yarn_mscale", "untied", RopeType::kYarn}, RopeCase{"yarn_factor", "untied", RopeType::kYarn}),
    [](const auto& given) { return std::string(given.param.name); });

struct TableCase {
  const char* name;
  int64_t head_dim;
  int64_t max_position;
  int64_t length;
  RopeConfig rope;
};

TEST_F(ModelGolden, FrequenciesOfRealModels) {
  RopeConfig smollm2;
  smollm2.theta = 1e5;
  RopeConfig llama31;
  llama31.type = RopeType::kLlama3;
  llama31.theta = 5e5, llama31.factor = 8, llama31.original_max_position = 8192;
  RopeConfig yarn;
  yarn.type = RopeType::kYarn;
  yarn.theta = 1e6, yarn.factor = 4, yarn.original_max_position = 32768;
  RopeConfig dynamic;
  dynamic.type = RopeType::kDynamic;
  dynamic.factor = 4;
  RopeConfig dynamic_original = dynamic;
  dynamic_original.theta = 1e5, dynamic_original.factor = 2, dynamic_original.original_max_position = 2048;
  RopeConfig linear;
  linear.type = RopeType::kLinear;
  linear.theta = 2e5, linear.factor = 10;
  const std::vector<TableCase> cases = {{"smollm2", 64, 8192, 8192, smollm2},
                                        {"llama31", 128, 131072, 8192, llama31},
                                        {"yarn", 128, 131072, 8192, yarn},
                                        {"dynamic", 128, 4096, 10000, dynamic},
                                        {"dynamic_original", 64, 8192, 20000, dynamic_original},
                                        {"linear", 96, 4096, 8192, linear}};
  for (const TableCase& c : cases) {
    const auto expected = golden_values<float>(golden, fmt::format("rope.{}.inv_freq", c.name));
    const auto got = rope_frequencies(c.rope, c.head_dim, c.max_position, c.length);
    ASSERT_EQ(got.inv_freq.size(), expected.size()) << c.name;
    // torch's pow and ours may each be one unit off, the reciprocal and the scaling round once more each; dynamic's base goes
    // through a power of up to 128 / 126 of a few f32 roundings, and through theta^(i / dim) with i / dim < 1.
    const double relative = (c.rope.type == RopeType::kDynamic ? 12 : 6) * 0x1p-24;
    for (size_t i = 0; i < expected.size(); ++i) {
      const double error = std::abs(static_cast<double>(got.inv_freq[i]) - static_cast<double>(expected[i]));
      EXPECT_LE(error, relative * static_cast<double>(expected[i])) << c.name << " " << i;
    }
    const auto factor = golden_values<float>(golden, fmt::format("rope.{}.attention_factor", c.name)).at(0);
    EXPECT_FLOAT_EQ(got.attention_factor, factor) << c.name;
  }
}

struct PeftCase {
  const char* name;
  const char* model;
};

struct PeftGolden : ModelGolden, ::testing::WithParamInterface<PeftCase> {
  LoadOptions options{.load_in_4bit = std::string(GetParam().name) == "nf4"};
};

TEST_P(PeftGolden, LoadsWhatPeftSaved) {
  const auto [name, shape] = GetParam();
  const Model model = load(golden_path(fmt::format("tiny_{}", shape)), options);
  const Adapter adapter = Adapter::load(device, model, golden_path(fmt::format("tiny_peft_{}", name)));
  expect_logits(model, &adapter, fmt::format("case_{}", name), shape);
}

TEST_P(PeftGolden, SavesWhatItLoaded) {
  const auto [name, shape] = GetParam();
  const Model model = load(golden_path(fmt::format("tiny_{}", shape)));
  const Adapter adapter = Adapter::load(device, model, golden_path(fmt::format("tiny_peft_{}", name)));
  const Scratch scratch;
  adapter.save(scratch.path(), model, "no", DType::kF32);
  const SafetensorsFile theirs(golden_path(fmt::format("tiny_peft_{}/adapter_model.safetensors", name)));
  const SafetensorsFile ours(scratch / "adapter_model.safetensors");
  ASSERT_EQ(ours.tensors().size(), theirs.tensors().size());
  for (const auto& [key, entry] : theirs.tensors()) {
    ASSERT_TRUE(ours.has(key)) << key;
    EXPECT_EQ(ours.get(key).shape, entry.shape) << key;
    EXPECT_EQ(golden_values<float>(ours, key), golden_values<float>(theirs, key)) << key;
  }
  const auto read = [](const std::string& path) { return parse_json(read_text_file(path), path); };
  const Json our_config = read(scratch / "adapter_config.json");
  const Json their_config = read(golden_path(fmt::format("tiny_peft_{}/adapter_config.json", name)));
  for (const char* key : {"peft_type", "task_type", "r", "lora_alpha", "lora_dropout", "use_rslora", "bias"})
    EXPECT_EQ(our_config.at(key), their_config.at(key)) << key;
  for (const char* key : {"target_modules", "modules_to_save"}) {
    const auto sorted = [&](const Json& config) {
      std::vector<std::string> names;
      if (config.contains(key) && config.at(key).is_array()) names = config.at(key).get<std::vector<std::string>>();
      std::sort(names.begin(), names.end());
      return names;
    };
    EXPECT_EQ(sorted(our_config), sorted(their_config)) << key;
  }
  const Adapter again = Adapter::load(device, model, scratch.path());
  const HostCopy restored = again.host_values();
  const HostCopy values = adapter.host_values();
  for (const Parameter& p : adapter.parameters())
    EXPECT_EQ(test::parameter_values(p, restored.view()), test::parameter_values(p, values.view())) << p.key;
}

INSTANTIATE_TEST_SUITE_P(All, PeftGolden,
                         ::testing::Values(PeftCase{"tied", "tied"}, PeftCase{"untied", "untied"}, PeftCase{"nf4", "tied"}),
                         [](const auto& given) { return std::string(given.param.name); });

TEST_F(ModelGolden, HeadFollowsTheTrainedEmbeddingWhenAsked) {
  const Model model = load(golden_path("tiny_tied"));
  LoraConfig config = LoraConfig::parse(8, 16, 0, false, {"q_proj", "k_proj", "v_proj", "o_proj"}, {"embed_tokens", "norm"});
  config.tie_embeddings = true;
  Adapter adapter = Adapter::create(device, model, config, 1);
  test::fill_adapter(device, adapter, SafetensorsFile(golden_path("tiny_peft_tied/adapter_model.safetensors")));
  expect_logits(model, &adapter, "case_tied_follow", "tied");
}

TEST_F(ModelGolden, BitsandbytesDirectoryIsTheModelQuantisedOnLoading) {
  const Model stored = Model::load(golden_path("tiny_nf4"));
  const Model made = Model::load(golden_path("tiny_tied"), {.load_in_4bit = true});
  {
    const Model model = load(golden_path("tiny_nf4"));
    const Adapter adapter = Adapter::load(device, model, golden_path("tiny_peft_nf4"));
    expect_logits(model, &adapter, "case_nf4", "tied");
  }
  for (int64_t i = 0; i < stored.config().layers; ++i) {
    const LayerWeights& a = stored.layer(i);
    const LayerWeights& b = made.layer(i);
    for (const auto& [x, y] : {std::pair{&a.q, &b.q},
                               {&a.k, &b.k},
                               {&a.v, &b.v},
                               {&a.o, &b.o},
                               {&a.gate, &b.gate},
                               {&a.up, &b.up},
                               {&a.down, &b.down}}) {
      ASSERT_EQ(x->layout, WeightLayout::kNF4);
      ASSERT_EQ(y->layout, WeightLayout::kNF4);
      ASSERT_EQ(x->rows, y->rows);
      ASSERT_EQ(x->cols, y->cols);
      EXPECT_EQ(std::memcmp(x->data, y->data, static_cast<size_t>(x->bytes())), 0) << "codes of " << x->name;
      EXPECT_EQ(x->nf4.nested_offset, y->nf4.nested_offset) << x->name;
      const int64_t blocks = x->rows * x->cols / 64;
      EXPECT_EQ(std::memcmp(x->nf4.absmax8, y->nf4.absmax8, static_cast<size_t>(blocks)), 0) << x->name;
      EXPECT_EQ(x->nf4.nested_absmax[0], y->nf4.nested_absmax[0]) << x->name;
    }
  }
}

}  // namespace
}  // namespace tenfold
