#include "format/peft.h"

#include "core/error.h"
#include "format/json.h"
#include "format/scratch.h"

#include <gtest/gtest.h>

#include <cmath>

namespace tenfold {
namespace {

/// An adapter of rank 2 on q_proj of layer 0 (3 in, 5 out), with `config` as its adapter_config.json.
void write_adapter(const Scratch& dir, const std::string& config) {
  std::vector<float> a(6, 0.5F);
  std::vector<float> b(10, 0.25F);
  const std::vector<SafetensorsItem> items = {
      {peft_lora_key(0, "self_attn.q_proj", 'A'), TensorView("", DType::kF32, {2, 3}, a.data())},
      {peft_lora_key(0, "self_attn.q_proj", 'B'), TensorView("", DType::kF32, {5, 2}, b.data())}};
  write_safetensors(dir / "adapter_model.safetensors", items, {{"format", "pt"}});
  spill(dir / "adapter_config.json", config);
}

PeftConfig parsed(const std::string& fields) {
  const Scratch dir;
  write_adapter(dir, R"({"peft_type":"LORA","r":2,)" + fields + "}");
  return PeftAdapter(dir.path()).config();
}

std::string refusal(const std::string& fields) {
  const Scratch dir;
  write_adapter(dir, R"({"peft_type":"LORA","r":2,"target_modules":["q_proj"])" + fields + "}");
  return message_of<InputError>([&] { PeftAdapter adapter(dir.path()); });
}

std::vector<std::string> targets(const std::string& json) { return parsed("\"target_modules\":" + json).target_modules; }

std::string target_refusal(const std::string& json) {
  const Scratch dir;
  write_adapter(dir, R"({"peft_type":"LORA","r":2,"target_modules":)" + json + "}");
  return message_of<InputError>([&] { PeftAdapter adapter(dir.path()); });
}

using Names = std::vector<std::string>;

TEST(PeftKeys, AreThoseOfPeft) {
  EXPECT_EQ(peft_lora_key(3, "self_attn.q_proj", 'A'), "base_model.model.model.layers.3.self_attn.q_proj.lora_A.weight");
  EXPECT_EQ(peft_lora_key(31, "mlp.down_proj", 'B'), "base_model.model.model.layers.31.mlp.down_proj.lora_B.weight");
  EXPECT_EQ(peft_saved_key("model.embed_tokens"), "base_model.model.model.embed_tokens.weight");
  EXPECT_EQ(peft_saved_key("lm_head"), "base_model.model.lm_head.weight");
}

TEST(PeftConfig, ScaleIsAlphaOverR) {
  PeftConfig config;
  config.r = 16;
  config.lora_alpha = 32;
  EXPECT_EQ(config.scale(), 2.0);
  config.use_rslora = true;
  EXPECT_EQ(config.scale(), 8.0);
}

TEST(PeftConfig, ReadsItsFields) {
  const PeftConfig config = parsed(
      R"("base_model_name_or_path":"meta-llama/x","lora_alpha":16.5,"lora_dropout":0.05,"use_rslora":true,"task_type":"CAUSAL_LM",)"
      R"("target_modules":["v_proj","q_proj","q_proj"],"modules_to_save":["model.norm","embed_tokens","strange_one"],"inference_mode":true)");
  EXPECT_EQ(config.base_model_name_or_path, "meta-llama/x");
  EXPECT_EQ(config.r, 2);
  EXPECT_EQ(config.lora_alpha, 16.5);
  EXPECT_EQ(config.lora_dropout, 0.05);
  EXPECT_TRUE(config.use_rslora);
  EXPECT_EQ(config.target_modules, (Names{"q_proj", "v_proj"}));
  EXPECT_EQ(config.modules_to_save, (Names{"embed_tokens", "norm", "strange_one"}));
}

TEST(PeftConfig, FallsBackToPeftsDefaults) {
  const PeftConfig config =
      parsed(R"("target_modules":["q_proj"],"base_model_name_or_path":null,"task_type":null,"modules_to_save":null)");
  EXPECT_EQ(config.lora_alpha, 8.0);
  EXPECT_EQ(config.lora_dropout, 0.0);
  EXPECT_FALSE(config.use_rslora);
  EXPECT_TRUE(config.modules_to_save.empty());
}

TEST(PeftConfig, ReadsEachSpellingOfTheTargets) {
  EXPECT_EQ(targets(R"j(["self_attn.v_proj","mlp.down_proj"])j"), (Names{"down_proj", "v_proj"}));
  EXPECT_EQ(targets(R"j(".*\\.(q_proj|v_proj)")j"), (Names{"q_proj", "v_proj"}));
  EXPECT_EQ(targets(R"j("^.*\\.(?:o_proj|k_proj)$")j"), (Names{"k_proj", "o_proj"}));
  EXPECT_EQ(targets(R"j(".*q_proj")j"), (Names{"q_proj"}));
  EXPECT_EQ(targets(R"j(".*(up_proj)")j"), (Names{"up_proj"}));
}

TEST(PeftConfig, RefusesTargetsItCannotName) {
  EXPECT_HAS(target_refusal(R"("all-linear")"), "replace it by the list");
  EXPECT_HAS(target_refusal("null"), "target_modules: missing");
  EXPECT_HAS(target_refusal("[]"), "the list is empty");
  EXPECT_HAS(target_refusal("7"), "expected a list of names or a string, got number");
  EXPECT_HAS(target_refusal("[7]"), "expected module names, got number");
  EXPECT_HAS(target_refusal(R"(["q proj"])"), "is not a module name");
  EXPECT_HAS(target_refusal(R"([""])"), "is not a module name");
  EXPECT_HAS(target_refusal(R"(["model.layers.3.self_attn.q_proj"])"), "one layer only");
  for (const char* const regex : {"q_proj", ".*\\\\.(q_proj|v_.*)", "model\\\\.layers\\\\.[0-5]\\\\.q_proj",
                                  ".*\\\\.q_proj|v_proj", ".*()", ".*", "", ".*(a|)", ".*(?!x)q_proj", ".*((q_proj))"}) {
    EXPECT_HAS(target_refusal(fmt::format("\"{}\"", regex)), "not a simple choice of names") << regex;
  }
}

TEST(PeftConfig, RefusesWhatChangesResults) {
  const std::pair<const char*, const char*> keys[] = {{"use_dora", "true"},
                                                      {"use_qalora", "true"},
                                                      {"use_bdlora", R"({"nblocks":2})"},
                                                      {"alora_invocation_tokens", "[1,2]"},
                                                      {"arrow_config", R"({"top_k":3})"},
                                                      {"kasa_config", R"({"beta":1})"},
                                                      {"monteclora_config", R"({"num_samples":3})"},
                                                      {"layer_replication", "[[0,4],[2,5]]"},
                                                      {"target_parameters", R"(["w"])"},
                                                      {"rank_pattern", R"({"q_proj":4})"},
                                                      {"alpha_pattern", R"({"q_proj":4})"},
                                                      {"lora_bias", "true"},
                                                      {"fan_in_fan_out", "true"},
                                                      {"exclude_modules", R"(["lm_head"])"},
                                                      {"layers_to_transform", "[1]"},
                                                      {"layers_to_transform", "0"},
                                                      {"trainable_token_indices", "[5]"},
                                                      {"bias", R"("all")"},
                                                      {"bias", R"("lora_only")"},
                                                      {"init_lora_weights", R"("pissa")"},
                                                      {"init_lora_weights", R"("pissa_niter_4")"},
                                                      {"init_lora_weights", R"("olora")"},
                                                      {"init_lora_weights", R"("loftq")"},
                                                      {"task_type", R"("SEQ_CLS")"}};
  for (const auto& [key, value] : keys) EXPECT_HAS(refusal(fmt::format(R"(,"{}":{})", key, value)), fmt::format("{}: ", key));
}

TEST(PeftConfig, AcceptsTheSameKeysSwitchedOff) {
  EXPECT_NO_THROW(parsed(
      R"("target_modules":["q_proj"],"use_dora":false,"alora_invocation_tokens":null,"layer_replication":null,"rank_pattern":{},)"
      R"("alpha_pattern":{},"lora_bias":false,"fan_in_fan_out":false,"exclude_modules":null,"layers_to_transform":null,"bias":"none",)"
      R"("init_lora_weights":"gaussian","target_parameters":[],"trainable_token_indices":null,"megatron_core":"megatron.core",)"
      R"("some_key_of_a_later_version":3)"));
}

TEST(PeftConfig, RefusesBadNumbers) {
  EXPECT_HAS(refusal(R"(,"lora_dropout":1.0)"), "lora_dropout: 1 is not in [0, 1)");
  EXPECT_HAS(refusal(R"(,"lora_dropout":-0.1)"), "lora_dropout");
  EXPECT_HAS(refusal(R"(,"lora_alpha":"16")"), "lora_alpha: expected a number, got string");
  const auto rank = [](const std::string& r) {
    const Scratch dir;
    write_adapter(dir, R"({"peft_type":"LORA","target_modules":["q_proj"],"r":)" + r + "}");
    return message_of<InputError>([&] { PeftAdapter adapter(dir.path()); });
  };
  EXPECT_HAS(rank("0"), "r: 0 is not a rank");
  EXPECT_HAS(rank("-2"), "r: -2 is not a rank");
  EXPECT_HAS(rank("2.5"), "r: expected an integer");
  EXPECT_HAS(rank("4"), "rank 2, but adapter_config.json says r = 4");
}

TEST(PeftAdapter, RefusesOtherKindsAndBrokenDirectories) {
  const Scratch dir;
  EXPECT_HAS(message_of<InputError>([&] { PeftAdapter adapter(dir.path()); }), "adapter_config.json is missing");
  write_adapter(dir, R"({"peft_type":"IA3","target_modules":["q_proj"]})");
  EXPECT_HAS(message_of<InputError>([&] { PeftAdapter adapter(dir.path()); }), "peft_type: \"IA3\" is not supported");
  write_adapter(dir, "[]");
  EXPECT_HAS(message_of<InputError>([&] { PeftAdapter adapter(dir.path()); }), "expected a JSON object");
  std::filesystem::remove(dir / "adapter_model.safetensors");
  spill(dir / "adapter_model.bin", "x");
  EXPECT_HAS(message_of<InputError>([&] { PeftAdapter adapter(dir.path()); }), "convert adapter_model.bin");
}

TEST(PeftAdapter, RefusesHalfAPair) {
  const Scratch dir;
  write_adapter(dir, R"({"peft_type":"LORA","r":2,"target_modules":["q_proj"]})");
  std::vector<float> a(6);
  const SafetensorsItem only{peft_lora_key(0, "self_attn.q_proj", 'A'), TensorView("", DType::kF32, {2, 3}, a.data())};
  write_safetensors(dir / "adapter_model.safetensors", std::vector{only}, {});
  EXPECT_HAS(message_of<InputError>([&] { PeftAdapter adapter(dir.path()); }), "has no partner");
  const SafetensorsItem flat{only.key, TensorView("", DType::kF32, {6}, a.data())};
  write_safetensors(dir / "adapter_model.safetensors", std::vector{flat}, {});
  EXPECT_HAS(message_of<InputError>([&] { PeftAdapter adapter(dir.path()); }), "a LoRA factor has 2");
}

TEST(PeftAdapter, RoundTrips) {
  const Scratch dir;
  PeftConfig config;
  config.base_model_name_or_path = "org/\"model\"";
  config.r = 2;
  config.lora_alpha = 4;
  config.lora_dropout = 0.05;
  config.target_modules = {"v_proj", "q_proj", "k_proj"};
  config.modules_to_save = {"norm", "embed_tokens"};
  std::vector<float> a(6, 1.0F);
  std::vector<bf16> b(10, bf16(2.0F));
  std::vector<float> norm(3, 3.0F);
  const std::vector<SafetensorsItem> items = {
      {peft_lora_key(0, "self_attn.q_proj", 'A'), TensorView("", DType::kF32, {2, 3}, a.data())},
      {peft_lora_key(0, "self_attn.q_proj", 'B'), TensorView("", DType::kBF16, {5, 2}, b.data())},
      {peft_saved_key("model.norm"), TensorView("", DType::kF32, {3}, norm.data())}};
  const std::string path = dir / "made/on/the/way";
  write_peft_adapter(path, config, items);
  const PeftAdapter adapter(path);
  EXPECT_EQ(adapter.path(), path);
  EXPECT_EQ(adapter.config().base_model_name_or_path, config.base_model_name_or_path);
  EXPECT_EQ(adapter.config().r, 2);
  EXPECT_EQ(adapter.config().lora_alpha, 4.0);
  EXPECT_EQ(adapter.config().lora_dropout, 0.05);
  EXPECT_EQ(adapter.config().target_modules, (Names{"k_proj", "q_proj", "v_proj"}));
  EXPECT_EQ(adapter.config().modules_to_save, (Names{"embed_tokens", "norm"}));
  EXPECT_EQ(adapter.tensors().tensors().size(), 3U);
  EXPECT_EQ(adapter.tensors().metadata().at("format"), "pt");
  EXPECT_EQ(static_cast<float>(adapter.tensors().get(peft_lora_key(0, "self_attn.q_proj", 'B')).view().ptr<bf16>()[9]), 2.0F);

  const Json json = parse_json(slurp(path + "/adapter_config.json"), "config");
  EXPECT_EQ(json["task_type"], "CAUSAL_LM");
  EXPECT_EQ(json["peft_type"], "LORA");
  EXPECT_EQ(json["bias"], "none");
  EXPECT_EQ(json["inference_mode"], true);
  EXPECT_TRUE(json["lora_alpha"].is_number_integer());
  std::string previous;
  for (const auto& [key, value] : json.items()) {
    EXPECT_LT(previous, key) << "the keys are sorted, as PEFT writes them";
    previous = key;
  }
}

}  // namespace
}  // namespace tenfold
