#include "eval/needle.h"
#include "eval/passkey.h"
#include "eval_fixture.h"

#include <map>
#include <set>
#include <tuple>

namespace tenfold {
namespace {

using test::golden;

/// Every golden prompt that shares a tokenizer, a template and the switches is one grid.
struct GoldenGrid {
  std::vector<Json> lines;
  std::set<int64_t> lengths;
  std::set<int64_t> depths;
};

std::map<std::string, GoldenGrid> golden_grids(Json& wording) {
  std::map<std::string, GoldenGrid> grids;
  for_each_json_line(golden("eval_prompts.jsonl"), [&](Json& line, int64_t) {
    if (line.contains("made_by")) {
      wording = line.at("wording");
      return;
    }
    const bool strict = line.contains("strict") && line.at("strict").get<bool>();
    const std::string key =
        fmt::format("{} {} {} clean {} strict {}", line.at("task").get<std::string>(), line.at("tokenizer").get<std::string>(),
                    line.at("template").get<std::string>(), line.at("clean_up").get<bool>(), strict);
    GoldenGrid& grid = grids[key];
    grid.lengths.insert(line.at("length").get<int64_t>());
    grid.depths.insert(line.at("depth").get<int64_t>());
    grid.lines.push_back(std::move(line));
  });
  return grids;
}

void fill(GridOptions& options, const GoldenGrid& grid) {
  options.lengths.assign(grid.lengths.begin(), grid.lengths.end());
  options.depths.assign(grid.depths.begin(), grid.depths.end());
  options.clean_up = grid.lines[0].at("clean_up").get<bool>();
  options.strict_reference = grid.lines[0].contains("strict") && grid.lines[0].at("strict").get<bool>();
}

GridTask make_task(const Tokenizer& tokenizer, const ChatTemplate& chat, const GoldenGrid& grid, const Json& wording) {
  const auto text = [&](const char* key) { return wording.at(key).get<std::string>(); };
  if (grid.lines[0].at("task") == "needle") {
    NeedleOptions options;
    fill(options, grid);
    options.haystack = golden("haystack");
    options.wording = {text("description"), text("needle"), text("question"), "Dolores Park"};
    return make_needle_task(tokenizer, chat, options);
  }
  PasskeyOptions options;
  fill(options, grid);
  options.wording = {text("description"), text("noise"), text("information"), text("pass_question")};
  return make_passkey_task(tokenizer, chat, options);
}

TEST(PromptGolden, EqualsTheIndependentScript) {
  Json wording;
  const auto grids = golden_grids(wording);
  EXPECT_EQ(grids.size(), 12U);
  for (const auto& [key, grid] : grids) {
    SCOPED_TRACE(key);
    const Tokenizer tokenizer = test::small_tokenizer(grid.lines[0].at("tokenizer").get<std::string>());
    const ChatTemplate chat = ChatTemplate::by_name(grid.lines[0].at("template").get<std::string>());
    const GridTask task = make_task(tokenizer, chat, grid, wording);
    std::map<std::string, const EvalQuestion*> by_id;
    for (const EvalQuestion& question : task.questions) by_id[question.id] = &question;
    ASSERT_EQ(by_id.size(), grid.lines.size());
    for (const Json& line : grid.lines) {
      const std::string id = fmt::format("{}-{}", line.at("length").get<int64_t>(), line.at("depth").get<int64_t>());
      SCOPED_TRACE(id);
      const EvalQuestion& question = *by_id.at(id);
      if (line.contains("ids")) {
        EXPECT_EQ(question.prompt, line.at("ids").get<std::vector<int32_t>>());
      }
      EXPECT_EQ(std::ssize(question.prompt), line.at("tokens").get<int64_t>());
      EXPECT_EQ(hash_of_ids(question.prompt), line.at("hash").get<std::string>());
      if (line.contains("key")) {
        EXPECT_EQ(question.about.at("target"), line.at("key"));
      }
    }
  }
}

}  // namespace
}  // namespace tenfold
