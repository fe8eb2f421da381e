// The built program's evaluations: what they ask, keep, score and compare.
#include "cli/program_fixture.h"
#include "support/local_server.h"

#include <algorithm>

namespace tenfold::test {
namespace {

TEST_F(ProgramTest, EvaluatesResumesAndReports) {
  const std::string text = folder_.write("hay/text.txt", [] {
    std::string words;
    for (int i = 0; i < 400; ++i) words += "the water " + std::to_string(i) + ". ";
    return words;
  }());
  const Words needle = {
      "eval",       "needle",   "--model",          model_,   "--haystack", folder_ / "hay", "--lengths", "400,300",
      "--depths",   "0,50,100", "--max-new-tokens", "4",      "--out",      folder_ / "run", "--needle",  " Ann is old. ",
      "--question", " Who?",    "--description",    "Look. ", "--answer",   "Ann",           "--json",    "--threads",
      "1"};
  const Json grid = summary_of(run(needle));
  EXPECT_EQ(grid["cells"].get<int64_t>(), 6);
  for (const char* field : {"hits", "rouge", "by_length"}) EXPECT_TRUE(grid.contains(field)) << field;
  const std::string answers = contents_of(folder_ / "run/eval/needle/answers.jsonl");
  EXPECT_EQ(std::count(answers.begin(), answers.end(), '\n'), 6);
  const Ended again = run(needle);
  expect_contains(again.err, {"6 answers were there already"});
  EXPECT_EQ(contents_of(folder_ / "run/eval/needle/answers.jsonl"), answers);
  // How many answers are written at once changes no byte on a CPU.
  for (const char* batch : {"1", "6"}) {
    summary_of(run(needle + Words{"--batch", batch, "--out", folder_ / ("batch" + std::string(batch))}));
    EXPECT_EQ(contents_of(folder_ / ("batch" + std::string(batch) + "/eval/needle/answers.jsonl")), answers);
  }
  const Json ppl = summary_of(run({"eval", "ppl", "--model", model_, "--text", text, "--window", "256", "--windows", "2", "--out",
                                   folder_ / "run", "--json", "--threads", "1"}));
  for (const char* field : {"nll", "perplexity", "by_position"}) EXPECT_TRUE(ppl.contains(field)) << field;
  const Json key = summary_of(run({"eval", "passkey", "--model", model_, "--lengths", "400", "--num-depths", "2",
                                   "--max-new-tokens", "4", "--out", folder_ / "run", "--json", "--threads", "1"}));
  EXPECT_EQ(key["cells"].get<int64_t>(), 2);
  EXPECT_TRUE(key.contains("accuracy"));
  const Json page = summary_of(run({"report", "base=" + folder_ / "run", "--json"}));
  EXPECT_TRUE(fs::exists(page["output"].get<std::string>()));
  expect_refused({"report", folder_ / "hay"}, 2, {"hay"});
}

TEST_F(ProgramTest, ScoresPredictionsWithoutAModel) {
  const std::string good = folder_.write(
      "good.jsonl",
      R"({"id": "x", "metric": "longbench.qa_f1_score", "prediction": "in Paris", "references": ["Paris"], "all_classes": null}
{"id": 2, "metric": "topic_eval", "prediction": "Tea!", "references": ["tea"]}

{"id": 3, "metric": "normalize_answer", "prediction": "The \u00c9nd", "references": []}
{"id": 4, "metric": "infbench.code_debug", "prediction": " A. f", "references": ["f", "A"]}
)");
  const Ended ended = run({"eval", "score", "--cases", good});
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(ended.out,
            "{\"id\": \"x\", \"score\": 0.6666666666666666}\n{\"id\": 2, \"score\": {\"accuracy\": 1.0, \"f1\": 1.0}}\n"
            "{\"id\": 3, \"score\": \"\xC3\xA9nd\"}\n{\"id\": 4, \"score\": 1.0}\n");
  const Ended strict = run({"eval", "score", "--cases", good, "--strict-reference"});
  expect_contains(strict.out, {"{\"id\": 4, \"score\": 0.0}"});
  const Json summary = summary_of(run({"eval", "score", "--cases", good, "--json"}));
  EXPECT_EQ(summary["cases"], 4);
  EXPECT_EQ(summary["means"]["infbench.code_debug"], 1.0);

  // A bad line is named, and nothing is scored.
  const std::string first = R"({"id": 1, "metric": "fuzz.ratio", "prediction": "a", "references": ["a"]})";
  const auto refused = [&](const std::string& line, const Words& parts) {
    const Ended bad = run({"eval", "score", "--cases", folder_.write("bad.jsonl", first + "\n" + line + "\n")});
    EXPECT_EQ(bad.code, 2) << bad.err;
    EXPECT_EQ(bad.out, "");
    expect_contains(bad.err, Words{"bad.jsonl:2"} + parts);
  };
  refused("{\"id\": 2,", {"invalid JSON"});
  refused("[1]", {"expected a JSON object"});
  refused(R"({"metric": "fuzz.ratio", "prediction": "a", "references": ["a"]})", {"id: missing"});
  refused(R"({"id": [], "metric": "fuzz.ratio", "prediction": "a", "references": ["a"]})", {"id: expected"});
  refused(R"({"id": 2, "metric": "fuzz.ration", "prediction": "a", "references": ["a"]})", {"fuzz.ration", "fuzz.ratio"});
  refused(R"({"id": 2, "metric": "fuzz.ratio", "prediction": 5, "references": ["a"]})",
          {"prediction: expected a string, got number 5"});
  refused(R"({"id": 2, "metric": "fuzz.ratio", "prediction": "a"})", {"references: missing"});
  expect_refused({"eval", "score", "--cases", folder_ / "nowhere.jsonl"}, 4, {"nowhere.jsonl"});
  expect_refused({"eval", "score"}, 2, {"--cases FILE is missing"});

  // A Chinese metric without its tables is refused; the others are scored.
  const std::string mixed = folder_.write(
      "mixed.jsonl",
      first + "\n" + R"({"id": 2, "metric": "longbench.qa_f1_zh_score", "prediction": "a", "references": ["a"]})" + "\n");
  const Ended part = run({"eval", "score", "--cases", mixed, "--jieba-dir", folder_.path()});
  EXPECT_EQ(part.code, 2);
  expect_contains(part.out,
                  {"{\"id\": 1, \"score\": 100}\n", "{\"id\": 2, \"score\": null, \"refused\": \"longbench.qa_f1_zh_score: "});
  expect_contains(part.err, {"mixed.jsonl:2", "python3-jieba", "1 of 2 cases were refused"});
}

TEST_F(ProgramTest, AsksForTopicsAndLetters) {
  const std::string topics =
      folder_.write("topics.json", R"({"context": "the water", "question": "What?", "topics": ["water"], "num_topics": 5}
{"context": "the water again", "question": "What?", "topics": ["fire"], "num_topics": 10}
)");
  const Words common = {"--model", model_, "--out", folder_ / "run", "--threads", "1", "--json"};
  const Words topic =
      Words{"eval", "topic", "--data", topics, "--max-new-tokens", "4", "--reference-layout", folder_ / "t"} + common;
  EXPECT_EQ(summary_of(run(topic))["total"], 2);
  EXPECT_EQ(summary_of(run(topic + Words{"--task", "topic-5", "--num-topics", "5"}))["by_num_topics"].size(), 1U);
  expect_contains(contents_of(folder_ / "t/metrics.log"), {"Metrics   : {\"accuracy\": {\""});

  const auto row = [](int id, const std::string& query) {
    return Json{{"query_id", id}, {"subject", "anatomy"}, {"query", query}, {"choices", {"a", "b", "c", "d"}}, {"answer", 1}}
               .dump() +
           "\n";
  };
  const std::string questions = folder_.write("test.json", row(0, "the water") + row(1, "the fire"));
  const Words mmlu = Words{"eval", "mmlu", "--eval_data", questions, "--reference-layout", folder_ / "m"} + common;
  const Json zero = summary_of(run(mmlu));
  EXPECT_EQ(zero["total"], 2);
  EXPECT_TRUE(zero["STEM"].is_null());
  const std::string answers = contents_of(folder_ / "run/eval/mmlu/answers.jsonl");
  expect_contains(run(mmlu).err, {"2 answers were there already"});
  EXPECT_EQ(contents_of(folder_ / "run/eval/mmlu/answers.jsonl"), answers);
  const Json one = summary_of(run(mmlu + Words{"--few-shot", "1", "--examples", questions, "--task", "mmlu-1"}));
  EXPECT_GT(one["timing"]["reused_tokens"].get<int64_t>(), zero["timing"]["reused_tokens"].get<int64_t>());
  expect_contains(contents_of(folder_ / "m/metrics.log"), {"Metrics   : {\"STEM\": null, \"Social Sciences\": null"});
  expect_refused(mmlu + Words{"--few-shot", "5"}, 2, {"--examples FILE is missing"});
  expect_refused({"eval", "topic", "--model", model_, "--data", questions}, 2, {"test.json:1", "num_topics: missing"});
}

TEST_F(ProgramTest, AsksLongBenchAndScoresItsFiles) {
  const std::string data =
      fs::path(folder_.write("lb/lcc.jsonl", R"({"input": "", "context": "the water", "answers": ["the"], "length": 2}
{"input": "", "context": "the fire", "answers": ["a"], "length": 2}
)"))
          .parent_path()
          .string();
  folder_.write("lb/dataset2prompt.json", R"({"lcc": "{context}: "})");
  folder_.write("lb/dataset2maxlen.json", R"({"lcc": 3})");
  const Words ask = {"eval",         "longbench",     "--model",   model_, "--data", data,
                     "--out",        folder_ / "run", "--threads", "1",    "--json", "--reference-layout",
                     folder_ / "lay"};
  const Ended asked = run(ask);
  expect_contains(asked.err, {"without data, left out: narrativeqa, qasper"});
  const Json summary = summary_of(asked);
  EXPECT_EQ(summary["tasks"]["lcc"]["questions"], 2);
  EXPECT_TRUE(summary["mean_of_16"].is_null());
  const std::string answers = contents_of(folder_ / "run/eval/longbench/answers.jsonl");
  expect_contains(run(ask).err, {"2 answers were there already"});
  EXPECT_EQ(contents_of(folder_ / "run/eval/longbench/answers.jsonl"), answers);
  const fs::path below = fs::path(folder_ / "lay") / fs::path(model_).parent_path().filename() / "tiny.gguf";
  const Json again = summary_of(run({"eval", "longbench", "--load-result", below.string(), "--json"}));
  EXPECT_EQ(again["scores"], summary["scores"]);
  expect_contains(contents_of(folder_ / "lay/metrics.log"),
                  {"Category_Metrics: {\"Code Completion\": ", "Metrics   : {\"lcc\": "});
  expect_refused({"eval", "longbench", "--newline-eos", "x"}, 2,
                 {"--model PATH is missing", "--data PATH is missing", "qa, all or off"});
}

TEST_F(ProgramTest, AsksInfiniteBenchAndScoresItsFiles) {
  const std::string data =
      folder_.write("ib/passkey.jsonl", R"({"id": 0, "context": "the water 7", "input": "What?", "answer": ["7"], "options": []}
)");
  const Words ask = {"eval", "infbench", "--model", model_, "--data", data, "--out", folder_ / "run", "--threads", "1", "--json"};
  EXPECT_EQ(summary_of(run(ask))["tasks"]["passkey"]["questions"], 1);
  const std::string answers = contents_of(folder_ / "run/eval/infbench/answers.jsonl");
  expect_contains(run(ask).err, {"1 answers were there already"});
  EXPECT_EQ(contents_of(folder_ / "run/eval/infbench/answers.jsonl"), answers);
  const std::string saved = folder_.write("preds_passkey.jsonl", R"({"id": 0, "prediction": "7.", "ground_truth": "7"})");
  EXPECT_EQ(summary_of(run({"eval", "infbench", "--load-result", saved, "--json"}))["avg"], 1.0);
  expect_refused(ask + Words{"--max-length", "1", "--first", "-1"}, 2, {"--max-length: expected 2", "--first: expected 0"});
}

TEST_F(ProgramTest, GeneratesAndCompares) {
  const std::string data = folder_.write(
      "talk.jsonl", R"({"conversations": [{"role": "user", "content": "the"}, {"role": "assistant", "content": "water"}]}
{"text": "the well"}
)");
  const Words ask = {"eval", "generation",         "--model",       model_,  "--data", data, "--max-new-tokens", "6", "--threads",
                     "1",    "--reference-layout", folder_ / "lay", "--json"};
  const Ended greedy = run(ask + Words{"--out", folder_ / "run"});
  expect_contains(greedy.err, {"answers of up to 6 tokens, greedy"});
  EXPECT_EQ(summary_of(greedy)["without_target"], 1);
  const fs::path below = fs::path(folder_ / "lay") / fs::path(model_).parent_path().filename() / "tiny.gguf";
  expect_contains(contents_of((below / "talk.result.jsonl").string()), {"\"target\": \"water\", \"index\": 0}"});
  const Words drawn = ask + Words{"--temperature", "1.5", "--seed", "3"};
  ASSERT_EQ(run(drawn + Words{"--out", folder_ / "a"}).code, 0);
  ASSERT_EQ(run(drawn + Words{"--out", folder_ / "b"}).code, 0);
  const std::string answers = contents_of(folder_ / "a/eval/generation/answers.jsonl");
  EXPECT_EQ(contents_of(folder_ / "b/eval/generation/answers.jsonl"), answers);
  EXPECT_NE(contents_of(folder_ / "run/eval/generation/answers.jsonl"), answers);
  expect_refused(ask + Words{"--do-sample", "--temperature", "0", "--out", folder_ / "c"}, 2, {"--temperature above 0"});
}

TEST_F(ProgramTest, AsksRuler) {
  const std::string text = folder_.write("novel.txt", [] {
    std::string words;
    for (int i = 0; i < 400; ++i)
      words += std::string("wate") + static_cast<char>('a' + i % 26) + static_cast<char>('a' + i / 26) + " ";
    return words;
  }());
  const Words ask = {
      "eval",      "ruler", "--model", model_,          "--haystack", text, "--tasks", "vt,niah_single_1", "--lengths", "2000",
      "--samples", "1",     "--out",   folder_ / "run", "--threads",  "1",  "--json"};
  const Json summary = summary_of(run(ask));
  EXPECT_EQ(summary["questions"], 2);
  EXPECT_TRUE(summary["effective_length"].is_null());
  EXPECT_EQ(summary["lengths"][0]["tasks"]["vt"]["questions"], 1);
  expect_contains(run(ask).err, {"2 answers were there already"});
  expect_refused(ask + Words{"--samples", "0", "--reference-layout", "x"}, 2, {"--samples: expected 1", "has no RULER"});
}

TEST_F(ProgramTest, ANeedleIsJudged) {
  const std::string text = folder_.write("pg19.txt", [] {
    std::string words;
    for (int i = 0; i < 300; ++i) words += "the water " + std::to_string(i) + ". ";
    return words;
  }());
  const Words needle = {"eval",    "needle", "--haystack",       text, "--lengths", "400",           "--depths",  "0,100",
                        "--model", model_,   "--max-new-tokens", "4",  "--out",     folder_ / "run", "--threads", "1",
                        "--json"};
  expect_refused(needle + Words{"--judge-url", "http://127.0.0.1:1", "--judge-scores", "x"}, 2,
                 {"expected one of them", "--judge-model NAME is missing"});
  expect_refused(needle + Words{"--judge-model", "m"}, 2, {"--judge-model: needs --judge-url"});
  // What is wrong with the judge shows before anything is asked.
  expect_refused(needle + Words{"--judge-url", "localhost", "--judge-model", "m"}, 2, {"--judge-url: expected http://HOST"});
  expect_refused(needle + Words{"--judge-scores", folder_ / "none"}, 4, {"none"});

  const LocalServer server([](const HttpRequest& request) {
    const std::string text_of = request.number == 1 ? "[[8]]" : "No idea.";
    return http_reply("200 OK", R"({"choices": [{"message": {"content": ")" + text_of + R"("}}]})");
  });
  const Ended judged = run(needle + Words{"--judge-url", server.url(), "--judge-model", "m", "--judge-prompts",
                                          folder_ / "p.jsonl", "--reference-layout", folder_ / "layout"});
  const Json summary = summary_of(judged);
  EXPECT_EQ(summary["gpt_mean"], 8.0);
  EXPECT_EQ(summary["judge"]["graded"], 1);
  EXPECT_EQ(summary["judge"]["nonsense"], 1);
  expect_contains(judged.out, {"judge: mean grade 8.00 over 1 of 2 answers"});
  expect_contains(judged.err, {"1 replies without a grade", "400-100: the reply has no grade", "No idea."});
  EXPECT_TRUE(fs::exists(folder_ / "run/eval/needle/gpt.pdf"));
  expect_contains(contents_of(folder_ / "layout/metrics.log"), {"\"gpt\": {\"400\": {\"0\": 8.0}}"});

  folder_.write("scores.jsonl", "{\"id\": \"400-0\", \"score\": 3}\n{\"id\": \"400-100\", \"score\": 5}\n");
  EXPECT_EQ(summary_of(run(needle + Words{"--judge-scores", folder_ / "scores.jsonl"}))["gpt_mean"], 4.0);
  EXPECT_TRUE(fs::exists(folder_ / "p.jsonl"));
}

TEST_F(ProgramTest, LatentNeedlesManyShotsAndLongBench2) {
  const std::string text = folder_.write("pg19.txt", [] {
    std::string words;
    for (int i = 0; i < 300; ++i) words += "the water " + std::to_string(i) + ". ";
    return words;
  }());
  const Words common = {"--model", model_, "--out", folder_ / "run", "--threads", "1", "--max-new-tokens", "4", "--json"};
  const Words latent = Words{"eval", "latent", "--haystack", text, "--lengths", "500", "--depths", "50", "--pairs", "2"} + common;
  const Json needles = summary_of(run(latent));
  EXPECT_EQ(needles["questions"], 2);
  EXPECT_EQ(needles["by_length"][0]["length"], 500);
  EXPECT_TRUE(needles["effective_length"].is_null());
  expect_contains(run(latent).err, {"2 answers were there already"});
  expect_refused(latent + Words{"--depths", "101", "--reference-layout", "x"}, 2, {"--depths: expected 0 to 100", "no latent"});
  const Words shots = Words{"eval", "manyshot", "--lengths", "4000", "--queries", "2"} + common;
  const Json many = summary_of(run(shots));
  EXPECT_EQ(many["lengths"][0]["questions"], 2);
  EXPECT_EQ(many["classes"], 20);
  expect_refused(shots + Words{"--examples", text}, 2, {"--examples and --data: expected both or neither"});
  Json record = {{"_id", "q"}, {"domain", "d"}, {"difficulty", "easy"}, {"length", "short"}, {"question", "Who?"}};
  for (const char* choice : {"choice_A", "choice_B", "choice_C", "choice_D"}) record[choice] = "x";
  record.update({{"answer", "A"}, {"context", "the water"}, {"response", "The correct answer is (A)"}});
  const std::string data = folder_.write("data.json", Json::array({record}).dump());
  EXPECT_EQ(summary_of(run(Words{"eval", "longbench2", "--data", data} + common))["groups"]["easy"]["questions"], 1);
  const Json saved = summary_of(run({"eval", "longbench2", "--load-result", data, "--json"}));
  EXPECT_EQ(saved["groups"]["overall"]["score"], 100.0);
  expect_refused({"eval", "longbench2", "--max-length", "1"}, 2, {"--model PATH", "--data FILE", "--max-length: expected 2"});
}

TEST_F(ProgramTest, RunsEverythingAndCompares) {
  folder_.write("data/lm/a.txt", [] {
    std::string words;
    for (int i = 0; i < 400; ++i) words += "the water " + std::to_string(i) + ". ";
    return words;
  }());
  folder_.write("data/topics/topic_retrieval.json",
                R"({"context": "the water", "question": "What?", "topics": ["water"], "num_topics": 5})");
  folder_.write("data/mmlu/test.json", "{}\n");
  const Words all = {"eval", "all",       "--model", model_,   "--data", folder_ / "data", "--max-length", "512",    "--first",
                     "1",    "--threads", "1",       "--only", "topic",  "mmlu",           "ppl",          "needle", "--json"};
  const auto before = files();
  const Ended planned = run(all + Words{"--dry-run"});
  expect_contains(planned.out, {"tenfold eval topic --data ", "tenfold eval ppl --window 512 --text "});
  expect_contains(planned.err, {"eval needle: left out: no needle/ or books/"});
  EXPECT_EQ(files(), before);
  // Bad data of one evaluation is said, and the others run.
  for (const char* name : {"a", "b"}) {
    const Ended ended = run(all + Words{"--out", folder_ / name});
    EXPECT_EQ(ended.code, 2);
    expect_contains(ended.err, {"error: ", "test.json:1: subject: missing"});
    const size_t read = ended.err.find("model tiny (");
    EXPECT_NE(read, std::string::npos) << ended.err;
    EXPECT_EQ(ended.err.find("model tiny (", read + 1), std::string::npos) << "the model is read once:\n" << ended.err;
    const Json ran = parse_json(ended.out.substr(ended.out.rfind("\n{") + 1), "the summary").at("ran");
    EXPECT_EQ(ran["topic"], 0);
    EXPECT_EQ(ran["ppl"], 0);
    EXPECT_EQ(ran["mmlu"], 2);
    EXPECT_EQ(ran["needle"], "no data");
  }
  const Ended same = run({"eval", "compare", folder_ / "a", folder_ / "b", "--show", "2", "--json"});
  const Json summary = summary_of(same);
  EXPECT_EQ(summary["tasks"].size(), 2U);
  for (const Json& task : summary["tasks"]) EXPECT_EQ(task["p_value"], 1.0);
  EXPECT_TRUE(fs::exists(folder_ / "b/compare.json"));
  expect_refused({"eval", "compare", folder_ / "a"}, 2, {"expected 2, got 1"});
  expect_refused(all + Words{"--only", "books"}, 2, {"--only: expected some of needle"});
}

TEST_F(ProgramTest, RunsTheEvaluationsOfAFile) {
  const std::string text = folder_.write("two words.txt", [] {
    std::string words;
    for (int i = 0; i < 300; ++i) words += "the water " + std::to_string(i) + ". ";
    return words;
  }());
  const std::string grid = " --lengths 400 --depths 0 --max-new-tokens 4";
  const std::string suite = folder_.write("suite.txt", "# two of a kind\n\nneedle --haystack '" + text + "' --task first" + grid +
                                                           "\nneedle --haystack '" + text +
                                                           "' --needle 'It is here.' --task second" + grid + "\npasskey" + grid);
  const Words common = {"eval", "all", "--model", model_, "--threads", "1", "--out", folder_ / "run", "--json"};
  const Ended ended = run(common + Words{"--suite", suite});
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(parse_json(ended.out.substr(ended.out.rfind("\n{") + 1), "the summary").at("ran").dump(),
            R"({"first":0,"second":0,"passkey":0})");
  for (const char* task : {"first", "second", "passkey"})
    EXPECT_TRUE(fs::exists(fs::path(folder_ / "run/eval") / task / "metrics.json"));
  const auto refused = [&](const std::string& lines, const std::string& why) {
    expect_refused(common + Words{"--suite", folder_.write("bad.txt", lines)}, 2, {why});
  };
  refused("passkey\n\nbooks --all\n", "bad.txt:3: expected one of needle");
  refused("passkey\npasskey --digits 3\n", "bad.txt:2: a line before it goes to eval/passkey, too");
  refused("passkey 'x\n", "bad.txt:1: a ' is not closed");
  refused("# nothing\n", "no line names an evaluation");
  expect_refused(common, 2, {"expected one of --data DIR and --suite FILE"});
  expect_refused(common + Words{"--suite", suite, "--first", "1"}, 2, {"--first: belongs to --data"});
}

TEST_F(ProgramTest, WritesThePublishedSystemsFilesWhenAsked) {
  const std::string text = folder_.write("pg19.txt", [] {
    std::string words;
    for (int i = 0; i < 300; ++i) words += "the water " + std::to_string(i) + ". ";
    return words;
  }());
  const Words common = {"--model", model_, "--out", folder_ / "run", "--threads", "1", "--reference-layout", folder_ / "results"};
  const Words passkey = Words{"eval", "passkey", "--lengths", "400", "--depths", "0,100", "--max-new-tokens", "4"} + common;
  // A dry run leaves everything alone; each whole evaluation adds its entry.
  ASSERT_EQ(run(passkey + Words{"--dry-run"}).code, 0);
  EXPECT_FALSE(fs::exists(folder_ / "results"));
  ASSERT_EQ(run(passkey).code, 0);
  const Words needle = Words{"eval", "needle", "--haystack", text, "--lengths", "400", "--depths", "50", "--max-new-tokens", "4"};
  ASSERT_EQ(run(needle + common).code, 0);
  const fs::path below = fs::path(folder_ / "results") / fs::path(model_).parent_path().filename() / "tiny.gguf";
  const Json answers = parse_json(contents_of((below / "results.json").string()), "results.json");
  EXPECT_TRUE(answers.at("400").at("50").at(0).contains("prediction"));  // the later of the two: they share a directory there
  const Json arguments = parse_json(contents_of((below / "config.json").string()), "config.json");
  EXPECT_EQ(arguments.at("max_new_tokens"), 4);
  EXPECT_EQ(arguments.at("lengths"), Json::array({400}));
  EXPECT_EQ(arguments.at("haystack"), text);
  const std::string log = contents_of(folder_ / "results/metrics.log");
  expect_contains(log, {"Time      : \"", "Command   : \"tenfold eval passkey", "Args      : {\"model\"",
                        "Metrics   : {\"accuracy\": {\"400\": {\"0\": ", "Metrics   : {\"rouge\": {\"400\": {\"50\": "});
  ASSERT_EQ(run(Words{"eval", "ppl", "--text", text, "--window", "256", "--windows", "2"} + common).code, 0);
  expect_contains(contents_of(folder_ / "results/pg19.log"), {"Metrics   : {\"perplexity\": "});
  expect_contains(run({"eval", "needle", "--help"}).out, {"--reference-layout DIR"});
}

}  // namespace
}  // namespace tenfold::test
