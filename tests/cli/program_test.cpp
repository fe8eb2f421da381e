// The built program as a user meets it: exit codes, what it says, what it writes and what it leaves alone.
#include "cli/program_fixture.h"

#include "ops/cpu_features.h"

#include <algorithm>

namespace tenfold::test {
namespace {

TEST_F(ProgramTest, SaysWhatItIsAndCanDo) {
  EXPECT_EQ(run({"--version"}).code, 0);
  const Ended help = run({"--help"});
  EXPECT_EQ(help.code, 0);
  expect_contains(help.out, {"train", "eval needle", "generate", "plan"});
  const Ended page = run({"train", "--help"});
  EXPECT_EQ(page.code, 0);
  expect_contains(page.out, {"--learning-rate X", "Examples:", "--resume"});
  expect_refused({"trian"}, 2, {"\"trian\" is not a verb", "train"});
  expect_refused({"eval", "neddle"}, 2, {"needle", "passkey", "ppl"});
}

TEST_F(ProgramTest, OptionErrorsComeTogetherAndNothingIsWritten) {
  expect_refused(train("run") + Words{"--learnin-rate", "1", "--lora-dropout", "2", "--lora-targets", "q_prj"}, 2,
                 {"--learnin-rate", "--learning-rate"});
  expect_refused(train("run") + Words{"--lora-dropout", "2", "--lora-targets", "q_prj", "--schedule", "up"}, 2,
                 {"3 problems", "--lora-dropout", "q_proj", "--schedule"});
  expect_refused({"train"}, 2, {"2 problems", "--model PATH is missing", "--data PATH... is missing"});
  const std::string recipe = folder_.write("r.toml", "lora-rank = 4\n");
  expect_refused(train("run") + Words{"--config", recipe}, 2, {"r.toml:1", "lora-rank", "near names"});
}

TEST_F(ProgramTest, BadModelsAreRefusedWithCodeTwo) {
  const std::string bytes = contents_of(model_);
  for (const size_t keep : {size_t{0}, size_t{3}, size_t{40}, bytes.size() / 2, bytes.size() - 1}) {
    const std::string cut = folder_.write("cut.gguf", bytes.substr(0, keep));
    expect_refused({"logits", "--model", cut, "--prompt", "a", "--raw", "--threads", "1"}, 2, {"cut.gguf"});
    expect_refused({"train", "--model", cut, "--data", folder_ / "data.jsonl", "--out", folder_ / "run"}, 2, {"cut.gguf"});
  }
  expect_refused({"generate", "--model", folder_ / "nowhere.gguf", "--prompt", "a"}, 2, {"nowhere.gguf"});
  fs::create_directories(folder_ / "empty");
  expect_refused({"generate", "--model", folder_ / "empty", "--prompt", "a"}, 2, {"tokenizer.json"});
  // No CUDA library, no driver, no such GPU: which of them depends on the machine.
  expect_refused({"logits", "--model", model_, "--prompt", "a", "--device", "cuda:99"}, 3, {"--device cuda"});
  expect_refused({"logits", "--model", model_, "--prompt", "a", "--device", "tpu"}, 2, {"--device"});
  expect_refused({"logits", "--model", model_, "--prompt", "a", "--host-memory", "1K"}, 3, {"memory"});
}

TEST_F(ProgramTest, BadDataIsRefusedWithFileAndLine) {
  const auto with = [&](const std::string& data) {
    return Words{"train", "--model", model_, "--data", data, "--out", folder_ / "run", "--threads", "1"};
  };
  expect_refused(with(folder_ / "nowhere.jsonl"), 2, {"nowhere.jsonl"});
  expect_refused(with(folder_.write("bad.jsonl", tiny_records(1) + "{\"conversations\": [\n")), 2, {"bad.jsonl", "2"});
  expect_refused(with(folder_.write("empty.jsonl", "")), 2, {"empty.jsonl"});
  expect_refused(with(folder_.write("role.jsonl", R"({"conversations": [{"role": "boss", "content": "x"}]})")), 2,
                 {"role.jsonl", "boss"});
  // A record longer than --max-length: an error that names the choices, unless one is taken.
  expect_refused(with(folder_ / "data.jsonl") + Words{"--max-length", "32"}, 2, {"data.jsonl", "drop", "split"});
  expect_refused(with(folder_ / "data.jsonl") + Words{"--max-length", "32", "--too-long", "drop"}, 2, {"none is left"});
  expect_refused(with(folder_ / "data.jsonl") + Words{"--too-long", "shorten"}, 2, {"--too-long", "split"});
}

TEST_F(ProgramTest, TokenizeLogitsAndGenerateAgree) {
  const std::string text = folder_.write("text.txt", "The water in the well.");
  const Ended ids = run({"tokenize", "--model", model_, "--text", text, "--ids", "--json"});
  const Json counted = summary_of(ids);
  const std::string line = ids.out.substr(0, ids.out.find('\n'));
  EXPECT_EQ(std::count(line.begin(), line.end(), ' ') + 1, counted["tokens"].get<int64_t>());
  const Json logits = summary_of(run(
      {"logits", "--model", model_, "--prompt", "The water in the well.", "--raw", "--top", "3", "--json", "--threads", "1"}));
  ASSERT_EQ(logits["top"].size(), 3U);
  EXPECT_EQ(logits["ids"].size(), counted["tokens"].get<size_t>());
  EXPECT_GE(logits["top"][0]["logit"].get<double>(), logits["top"][1]["logit"].get<double>());
  EXPECT_TRUE(std::isfinite(logits["mean_nll"].get<double>()));
  EXPECT_GT(logits["mean_nll"].get<double>(), 0);
  for (const char* field : {"version", "device", "seconds"}) EXPECT_TRUE(logits.contains(field)) << field;
  const Words generate = {"generate",         "--model", model_,   "--prompt-file", text,
                          "--max-new-tokens", "5",       "--json", "--threads",     "1"};
  const Ended first = run(generate);
  const Json answer = summary_of(first);
  EXPECT_LE(answer["new_tokens"].get<int64_t>(), 5);
  for (const char* field : {"prompt_tokens", "text", "prefill_tokens_per_second", "decode_tokens_per_second"})
    EXPECT_TRUE(answer.contains(field)) << field;
  EXPECT_EQ(summary_of(run(generate))["text"], answer["text"]);
}

TEST_F(ProgramTest, ChatRemembersResetsAndEnds) {
  const std::string talk = folder_.write("talk.txt", "hello\n/reset\nhello again\n/exit\nnever read\n");
  Program::Limits limits;
  limits.in = talk;
  Program chat({"chat", "--model", model_, "--context", "256", "--max-new-tokens", "4", "--json", "--threads", "1"}, limits);
  const Json summary = summary_of(chat.wait());
  EXPECT_EQ(summary["turns"].get<int64_t>(), 2);
}

TEST_F(ProgramTest, TrainsAndUsesTheAdapter) {
  const Json trained = summary_of(run(train("run") + Words{"--json", "--rope-theta", "2e4"}));
  EXPECT_EQ(trained["steps"].get<int64_t>(), 4);
  EXPECT_TRUE(std::isfinite(trained["final_loss"].get<double>()));
  for (const char* field : {"tokens", "train_seconds", "tokens_per_second", "adapter"})
    EXPECT_TRUE(trained.contains(field)) << field;
  for (const char* file : {"config.toml", "memory.json", "metrics.jsonl", "adapter/adapter_config.json",
                           "adapter/adapter_model.safetensors", "adapter/tenfold.json"}) {
    EXPECT_TRUE(fs::exists(folder_ / "run" + "/" + file)) << file;
  }
  const std::string adapter = folder_ / "run/adapter";
  const Ended with =
      run({"logits", "--model", model_, "--adapter", adapter, "--prompt", "the", "--raw", "--json", "--threads", "1"});
  summary_of(with);
  expect_contains(with.err, {"theta 20000", "adapter"});
  // A second run into the same directory would overwrite it.
  expect_refused(train("run"), 2, {"--resume"});
  // An adapter of another shape of model.
  TinyShape other;
  other.hidden = 32;
  other.heads = 2;
  other.kv_heads = 1;
  write_tiny_model(folder_ / "other.gguf", other);
  expect_refused({"logits", "--model", folder_ / "other.gguf", "--adapter", adapter, "--prompt", "the", "--raw"}, 2,
                 {"another model"});
  expect_refused({"logits", "--model", model_, "--adapter", folder_ / "nowhere", "--prompt", "the", "--raw"}, 2, {"nowhere"});
  // Its config.toml is a recipe that makes the same run.
  const Ended again = run({"train", "--config", folder_ / "run/config.toml", "--out", folder_ / "again", "--json"});
  EXPECT_EQ(summary_of(again)["final_loss"], trained["final_loss"]);
}

TEST_F(ProgramTest, ChoosesTheRopeBase) {
  // Heads of 16, base 1e4, made for 512: pair 4 of 8 went round 0.81 times, so twice the length takes 1e4 x 2^(16 / 8).
  const Ended trained = run(train("run") + Words{"--json", "--rope-theta", "auto", "--max-length", "1K"});
  EXPECT_DOUBLE_EQ(summary_of(trained)["rope_theta"].get<double>(), 4e4);
  expect_contains(trained.err, {"--rope-theta auto: theta 40000 from 10000 for 1024 tokens instead of 512: pair 4 of 8"});
  const std::string config = contents_of(folder_ / "run/config.toml");
  expect_contains(config, {"rope-theta = \"auto\"", "# fact: --rope-theta auto: theta 40000", "# fact: RoPE theta 40000"});
  expect_contains(contents_of(folder_ / "run/adapter/tenfold.json"), {"\"rope_theta\": 40000.0"});
  // Its config.toml makes the same choice; an adapter's notes go before the rule.
  const Ended again = run({"train", "--config", folder_ / "run/config.toml", "--out", folder_ / "again", "--json"});
  EXPECT_EQ(summary_of(again)["final_loss"], summary_of(trained)["final_loss"]);
  const Words logits = {"logits", "--model",   model_, "--prompt",     "the", "--raw",
                        "--json", "--threads", "1",    "--rope-theta", "auto"};
  const Ended adapted = run(logits + Words{"--adapter", folder_ / "run/adapter"});
  EXPECT_DOUBLE_EQ(summary_of(adapted)["rope_theta"].get<double>(), 4e4);
  expect_contains(adapted.err, {"as the adapter was trained"});
  EXPECT_DOUBLE_EQ(summary_of(run(logits + Words{"--rope-length", "512"}))["rope_theta"].get<double>(), 1e4);
  expect_refused(logits, 2, {"--rope-theta auto", "--rope-length N"});
  expect_refused(logits + Words{"--rope-length", "1K", "--rope-type", "linear"}, 2, {"scaled already (linear)"});
  expect_refused({"logits", "--model", model_, "--prompt", "the", "--rope-theta", "automatic"}, 2, {"--rope-theta", "automatic"});
}

TEST_F(ProgramTest, AnAdapterKeepsTheRopeDivisorsOfItsModel) {
  TinyShape shape;
  shape.rope_divisor = 3;
  write_tiny_model(model_, shape);
  const auto loss = [&](const Words& more) {
    return summary_of(run(Words{"logits", "--model", model_, "--prompt", "the water in the well", "--raw", "--json"} + more))
        .at("mean_nll");
  };
  // With steps that f32 cannot see the adapter learns nothing and must change nothing.
  ASSERT_EQ(run(train("run") + Words{"--learning-rate", "1e-30"}).code, 0);
  EXPECT_EQ(loss({"--adapter", folder_ / "run/adapter"}), loss({}));
  write_tiny_model(folder_ / "plain.gguf");
  EXPECT_NE(loss({"--model", folder_ / "plain.gguf"}), loss({}));
}

TEST_F(ProgramTest, DryRunPlansAndWritesNothing) {
  const auto before = files();
  const Ended plan = run(train("run") + Words{"--dry-run", "--json"});
  expect_contains(plan.out, {"steps = 4", "total"});
  EXPECT_GT(summary_of(plan)["planned_host_bytes"].get<int64_t>(), 0);
  EXPECT_EQ(files(), before);
}

TEST_F(ProgramTest, MakesAndShowsTrainingRecords) {
  std::string text;
  for (int i = 0; i < 900; ++i)
    text +=
        "The old clerk of number " + std::to_string(i) + " walked slowly to the river and looked at the grey water for a while. ";
  const std::string path = folder_.write("book.txt", text);
  const std::string output = folder_ / "made/long.jsonl";
  const Json made = summary_of(run({"data", "synth", "--model", model_, "--text", path, "--records", "3", "--min-length", "1K",
                                    "--max-length", "2K", "--output", output, "--json"}));
  EXPECT_EQ(made["records"].get<int64_t>(), 3);
  EXPECT_LE(made["longest"].get<int64_t>(), 2048);
  const Json stats = summary_of(run({"data", "stats", "--model", model_, "--data", output, "--json"}));
  EXPECT_EQ(stats["records"].get<int64_t>(), 3);
  EXPECT_EQ(stats["tokens"], made["tokens"]);
  EXPECT_EQ(run({"data", "show", "--model", model_, "--data", output, "--record", "2"}).code, 0);
  expect_refused({"data", "show", "--model", model_, "--data", output, "--record", "9"}, 2, {"there are 3 records"});
  expect_refused({"data", "extract", "--r-lazyload", path, "--output", folder_ / "r"}, 2, {"book.txt"});
}

TEST_F(ProgramTest, PlansAndBenches) {
  const Json plan = summary_of(run({"plan", "--shape", "tiny", "--length", "256", "--json", "--threads", "1"}));
  EXPECT_GT(plan["planned_host_bytes"].get<int64_t>(), 0);
  EXPECT_GT(plan["longest_length"].get<int64_t>(), 256);
  // Training and prefill are predicted apart, by the shares measured at their lengths; between two lengths, between their shares.
  const auto share = [&](const Words& more) {
    return summary_of(run(Words{"plan", "--shape", "tiny", "--json", "--threads", "1"} + more))
        .at("share_of_roofline")
        .get<double>();
  };
  const bool tiles = ops::cpu_isa() == ops::CpuIsa::kAmxBf16;  // whose ceiling is so high that its shares are others
  EXPECT_DOUBLE_EQ(share({"--length", "256"}), tiles ? 0.24 : 0.77);
  EXPECT_DOUBLE_EQ(share({"--length", "64K"}), tiles ? 0.20 : 0.54);
  EXPECT_NEAR(share({"--length", "4K"}), tiles ? 0.215 : 0.60, 1e-9);
  EXPECT_NEAR(share({"--length", "1K", "--infer"}), tiles ? 0.295 : 0.69, 1e-9);
  for (const char* verb : {"step", "prefill", "decode"}) {
    const Json bench =
        summary_of(run({"bench", verb, "--model", model_, "--length", "64", "--repeats", "1", "--json", "--threads", "1"}));
    for (const char* field :
         {"step_seconds", "tokens_per_second", "share_of_roofline", "peak_host_bytes", "planned_host_bytes"}) {
      EXPECT_TRUE(bench.contains(field)) << verb << " " << field;
    }
  }
  expect_refused({"plan", "--shape", "llama9"}, 2, {"llama9", "smollm2-135m"});
}

TEST_F(ProgramTest, AFullDiskBehindStdoutIsAnIoError) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "there is no /dev/full";
  Program::Limits limits;
  limits.out = "/dev/full";
  Program program({"--help"}, limits);
  EXPECT_EQ(program.wait().code, 4);
}

}  // namespace
}  // namespace tenfold::test
