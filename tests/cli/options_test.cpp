// Command lines and recipes: aliases, lists, sizes, precedence, and every fault at once.
#include "cli/options.h"
#include "cli/verb.h"
#include "core/error.h"
#include "data/tiny_tokenizer.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace tenfold::cli {
namespace {

using test::TemporaryFolder;
using Words = std::vector<std::string>;

/// A verb's options with one of each sort.
struct Options {
  OptionTable table;
  std::string model, adapter, prompt, config;
  std::vector<std::string> data;
  std::vector<int64_t> lengths;
  int64_t steps = 10;
  double rate = 5e-5;
  std::optional<double> theta;
  ByteSize memory;
  bool nf4 = false;
  bool shuffle = true;
  std::vector<std::string> errors, notes;

  Options() {
    table.add("model", model, "PATH", "model");
    table.add("adapter", adapter, "DIR", "adapter");
    table.add("prompt", prompt, "TEXT", "prompt");
    table.add("config", config, "FILE", "recipe");
    table.add_many("data", data, "PATH...", "data");
    table.add_many("lengths", lengths, "N,...", "lengths");
    table.add("steps", steps, "N", "steps");
    table.add("learning-rate", rate, "X", "rate");
    table.add("rope-theta", theta, "X", "theta");
    table.add("host-memory", memory, "SIZE", "memory");
    table.add_switch("load-in-4bit", nf4, "nf4");
    table.add_switch("shuffle", shuffle, "shuffle");
  }
  bool parse(const Words& words) {
    const bool help = read_command_line(words, table, errors, notes);
    if (!config_path(words).empty()) read_recipe(config_path(words), table, errors, notes);
    read_values(table, errors);
    return help;
  }
  static std::string config_path(const Words& words) {
    for (size_t i = 0; i + 1 < words.size(); ++i) {
      if (words[i] == "--config") return words[i + 1];
    }
    return {};
  }
  std::string all_errors() const {
    std::string out;
    for (const std::string& error : errors) out += error + "\n";
    return out;
  }
};

TEST(CommandLine, TakesThePublishedRecipesOwnFlags) {
  Options o;
  o.parse({"--model_name_or_path", "m.gguf", "--lora", "dir", "--train_data", "a.json", "b.json[50]", "--load_in_4_bit",
           "--rope_theta", "200e6", "--test_length", "8000,16K", "--lr", "1e-3"});
  EXPECT_EQ(o.all_errors(), "");
  EXPECT_EQ(o.model, "m.gguf");
  EXPECT_EQ(o.adapter, "dir");
  EXPECT_EQ(o.data, (Words{"a.json", "b.json[50]"}));
  EXPECT_TRUE(o.nf4);
  EXPECT_DOUBLE_EQ(o.theta.value(), 200e6);
  EXPECT_EQ(o.lengths, (std::vector<int64_t>{8000, 16384}));
  EXPECT_DOUBLE_EQ(o.rate, 1e-3);
}

TEST(CommandLine, FlagsWithoutMeaningAreNamedOnceAndTakeTheirValue) {
  Options o;
  o.parse({"--attn_impl", "flash_attention_2", "--use_reentrant", "True", "--bf16", "--gradient_checkpointing", "--model", "m"});
  EXPECT_EQ(o.all_errors(), "");
  EXPECT_EQ(o.model, "m");
  ASSERT_EQ(o.notes.size(), 4U);
  EXPECT_NE(o.notes[0].find("--attn_impl"), std::string::npos) << o.notes[0];
}

TEST(CommandLine, SwitchesMayCarryAValueOrBeNegated) {
  Options o;
  o.parse({"--load-in-4bit", "True", "--no-shuffle"});
  EXPECT_EQ(o.all_errors(), "");
  EXPECT_TRUE(o.nf4);
  EXPECT_FALSE(o.shuffle);
  Options p;
  p.parse({"--load_in_4bit=false", "--shuffle"});
  EXPECT_FALSE(p.nf4);
  EXPECT_TRUE(p.shuffle);
}

TEST(CommandLine, ValuesThatLookLikeOptionsListsOrNothing) {
  Options o;
  o.parse({"--prompt", "-1 is a number", "--adapter", "[a]"});
  EXPECT_EQ(o.prompt, "-1 is a number");
  EXPECT_EQ(o.adapter, "[a]");
  Options p;
  p.parse({"--prompt", "--what is this", "--model="});
  EXPECT_EQ(p.all_errors(), "");
  EXPECT_EQ(p.prompt, "--what is this");
  EXPECT_EQ(p.model, "");
  Options q;
  q.parse({"--prompt=--model", "--model", "x"});
  EXPECT_EQ(q.prompt, "--model");
  EXPECT_EQ(q.model, "x");
  Options r;
  r.parse({"--prompt", "", "--steps", "3"});
  EXPECT_TRUE(r.table.given("prompt"));
  EXPECT_EQ(r.steps, 3);
}

TEST(CommandLine, TheLastOfARepeatedOptionWins) {
  Options o;
  o.parse({"--steps", "3", "--steps", "4"});
  EXPECT_EQ(o.steps, 4);
}

TEST(CommandLine, EveryFaultIsToldTogetherWithTheNearestName) {
  Options o;
  o.parse({"--learnin-rate", "3", "--steps", "ten", "--host-memory", "much", "stray", "--model", "--adapter", "d"});
  ASSERT_EQ(o.errors.size(), 5U) << o.all_errors();
  test::expect_contains(o.all_errors(), {"--learnin-rate: unknown option; near names: \"--learning-rate\"",
                                         "\"stray\": unexpected", "--model: a value is missing",
                                         "--steps: expected a whole number", "got \"ten\"", "--host-memory: expected a size"});
  EXPECT_EQ(o.adapter, "d");
}

TEST(CommandLine, RequiredOptionsThatAreMissingAreErrors) {
  Options o;
  o.table.find("model")->required = true;
  o.parse({"--steps", "1"});
  test::expect_contains(o.all_errors(), {"--model PATH is missing"});
}

TEST(CommandLine, AsksForHelp) {
  Options o;
  EXPECT_TRUE(o.parse({"--steps", "1", "--help"}));
  EXPECT_FALSE(Options().parse({"--steps", "1"}));
}

TEST(Values, Counts) {
  EXPECT_EQ(parse_count("8192"), 8192);
  EXPECT_EQ(parse_count("8K"), 8192);
  EXPECT_EQ(parse_count("1.5k"), 1536);
  EXPECT_EQ(parse_count("2M"), 2097152);
  EXPECT_EQ(parse_count("2e5"), 200000);
  EXPECT_EQ(parse_count("200e6"), 200000000);
  EXPECT_EQ(parse_count("-1"), -1);
  EXPECT_EQ(parse_count("9223372036854775807"), INT64_MAX);
  for (const char* text : {"", "x", "8Q", "1.5", "8 K", "1e30", "nan", "inf", "0x10", "9223372036854775808", "--", "1K2"}) {
    EXPECT_THROW(parse_count(text), InputError) << text;
  }
}

TEST(Values, RealsAndBytes) {
  EXPECT_DOUBLE_EQ(parse_real("200e6"), 2e8);
  EXPECT_DOUBLE_EQ(parse_real("-0.5"), -0.5);
  for (const char* text : {"", "nan", "inf", "1x", "1e400"}) EXPECT_THROW(parse_real(text), InputError) << text;
  EXPECT_EQ(parse_bytes("24GiB").bytes, int64_t{24} << 30);
  EXPECT_EQ(parse_bytes("24 GiB").bytes, int64_t{24} << 30);
  EXPECT_EQ(parse_bytes("1.5GB").bytes, 1500000000);
  EXPECT_EQ(parse_bytes("4096").bytes, 4096);
  EXPECT_EQ(parse_bytes("2k").bytes, 2048);
  for (const char* text : {"", "GiB", "-1GiB", "1XB", "1e30", "nan"}) EXPECT_THROW(parse_bytes(text), InputError) << text;
}

TEST(Values, TomlTextReadsBackTheSame) {
  EXPECT_EQ(toml_text(std::string("a\"b\\c\nd\te\x01")), "\"a\\\"b\\\\c\\nd\\te\\u0001\"");
  EXPECT_EQ(toml_text(2e5), "200000.0");
  EXPECT_EQ(toml_text(1e-5), "1e-05");
  EXPECT_EQ(toml_text(std::vector<int64_t>{1, 2}), "[1, 2]");
  EXPECT_EQ(toml_text(std::optional<double>()), "");
}

TEST(Recipe, FillsWhatTheCommandLineDidNotGive) {
  const TemporaryFolder folder;
  const std::string path = folder.write(
      "r.toml",
      "# comment\nmodel = 'a.gguf'\nlearning_rate = 1e-3\nsteps = 60\nrope-theta = 2e5\n"
      "data = ['x', 'y']\nlengths = [1024, '2K']\nload-in-4bit = true\nhost-memory = '2GiB'\nuse_reentrant = true\n");
  Options o;
  o.parse({"--config", path, "--steps", "7", "--data", "z"});
  EXPECT_EQ(o.all_errors(), "");
  EXPECT_EQ(o.model, "a.gguf");
  EXPECT_EQ(o.steps, 7);
  EXPECT_EQ(o.data, Words{"z"});
  EXPECT_DOUBLE_EQ(o.rate, 1e-3);
  EXPECT_DOUBLE_EQ(o.theta.value(), 2e5);
  EXPECT_EQ(o.lengths, (std::vector<int64_t>{1024, 2048}));
  EXPECT_TRUE(o.nf4);
  EXPECT_EQ(o.memory.bytes, int64_t{2} << 30);
  ASSERT_EQ(o.notes.size(), 1U);
  test::expect_contains(o.notes[0], {"r.toml:10", "use_reentrant"});
}

TEST(Recipe, ResolvedOptionsAreARecipeThatGivesTheSame) {
  const TemporaryFolder folder;
  Options o;
  o.parse({"--prompt", "two\nlines \"quoted\"", "--data", "a", "b", "--lengths", "1K,2K", "--rope-theta", "2e5", "--no-shuffle"});
  const std::string resolved = o.table.resolved();
  Options again;
  again.parse({"--config", folder.write("config.toml", resolved)});
  EXPECT_EQ(again.all_errors(), "");
  EXPECT_EQ(again.table.resolved(), resolved);
}

TEST(Recipe, FaultsAreToldTogetherWithFileAndLine) {
  const TemporaryFolder folder;
  const std::string path = folder.write("r.toml", "lora_q = 4\nsteps = 'ten'\n\n[section]\nx = 1\n");
  Options o;
  o.parse({"--config", path});
  ASSERT_EQ(o.errors.size(), 3U) << o.all_errors();
  test::expect_contains(o.all_errors(), {"r.toml:1: unknown key \"lora_q\"", "r.toml:4: unknown key \"section\"",
                                         "r.toml:2: steps: expected a whole number"});
  Options p;
  p.parse({"--config", folder.write("nested.toml", "model = { a = 1 }\ndata = [['x']]\nsteps = [1, 2]\nprompt = 2020-01-01\n")});
  ASSERT_EQ(p.errors.size(), 4U) << p.all_errors();
  test::expect_contains(p.all_errors(),
                        {"nested.toml:1", "nested.toml:2", "nested.toml:3: steps takes one value", "nested.toml:4"});
}

TEST(Recipe, WhatIsNotTomlIsToldWithItsLine) {
  const TemporaryFolder folder;
  for (const char* text : {"steps = \n", "a = 1\na = 2\n", "steps = 1 2\n", "\"unclosed = 1\n", "steps = 1\n\xff\n", "[[[["}) {
    Options o;
    o.parse({"--config", folder.write("bad.toml", text)});
    ASSERT_EQ(o.errors.size(), 1U) << text;
    test::expect_contains(o.errors[0], {"bad.toml:", "not TOML"});
  }
  Options missing;
  missing.parse({"--config", folder / "nowhere.toml"});
  test::expect_contains(missing.all_errors(), {"there is no file"});
}

TEST(Shell, QuotesWhatAShellWouldTakeApart) {
  EXPECT_EQ(shell_quoted("a/b.toml"), "a/b.toml");
  EXPECT_EQ(shell_quoted(""), "''");
  EXPECT_EQ(shell_quoted("it's here"), "'it'\\''s here'");
  EXPECT_EQ(shell_quoted("x[5]"), "'x[5]'");
  const auto words = [](std::string_view line) { return shell_words(line, "line 1"); };
  EXPECT_TRUE(words(" \t\r").empty());
  EXPECT_EQ(words(" a  'b c'd \"e\\\"f\" g\\ h ''"), (std::vector<std::string>{"a", "b cd", "e\"f", "g h", ""}));
  EXPECT_EQ(words(R"('a\b' c\)"), (std::vector<std::string>{"a\\b", "c\\"}));
  EXPECT_THROW(words("a 'b"), InputError);
  EXPECT_THROW(words("a \"b"), InputError);
  for (const char* word : {"a/b.toml", "", "it's here", "x[5]", "two words", "a\\b\"c"})
    EXPECT_EQ(words(shell_quoted(word)), (std::vector<std::string>{word}));
}

// Each verb's options are found under their own names: no alias or ignored flag shadows one, and none is declared twice.
TEST(Verbs, OptionNamesAreTheirOwnAndDistinct) {
  for (const auto& verb : make_verbs()) {
    OptionTable table;
    verb->declare(table);
    std::vector<std::string> names;
    for (const Option& option : table.all()) {
      EXPECT_EQ(canonical_name(option.name), option.name) << verb->name();
      EXPECT_FALSE(is_ignored_option(option.name)) << verb->name() << " --" << option.name;
      EXPECT_EQ(std::count(names.begin(), names.end(), option.name), 0) << verb->name() << " --" << option.name;
      names.push_back(option.name);
    }
    const std::string help = help_text(table, verb->name(), verb->summary(), verb->examples());
    for (const std::string& name : names) {
      if (!table.find(name)->positional) {
        EXPECT_NE(help.find("--" + name), std::string::npos) << verb->name();
      }
    }
  }
}

}  // namespace
}  // namespace tenfold::cli
