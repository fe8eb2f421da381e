#include "report/report.h"

#include "core/error.h"
#include "format/mapped_file.h"
#include "report/chart.h"
#include "report/colour.h"
#include "report/heat_map.h"
#include "report/html.h"

#include <cairo.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>
#include <string>
#include <vector>

/// LeakSanitizer's own hook: fontconfig keeps 288 bytes of its configuration, which only FcFini would free.
extern "C" const char* __lsan_default_suppressions() { return "leak:libfontconfig\n"; }

namespace tenfold {
namespace {

namespace fs = std::filesystem;

/// A folder of run directories, removed afterwards.
class RunFolders {
 public:
  RunFolders() {
    std::string name = (fs::temp_directory_path() / "tenfold-report-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
    root_ = name;
  }
  RunFolders(const RunFolders&) = delete;
  RunFolders& operator=(const RunFolders&) = delete;
  ~RunFolders() {
    std::error_code error;
    fs::remove_all(root_, error);
  }
  std::string path(const std::string& name) const { return (root_ / name).string(); }
  void write(const std::string& name, const std::string& text) const {
    fs::create_directories((root_ / name).parent_path());
    std::ofstream(root_ / name, std::ios::binary) << text;
  }

 private:
  fs::path root_;
};

constexpr const char* kHostile = "<script>alert(\"x\")</script> & ' </td></table> \xE2\x80\xAE \x01";

/// A needle evaluation of 2 x 2 cells, three answered; one answer attacks the page.
void write_needle(const RunFolders& runs, const std::string& run, bool tuned) {
  const std::string folder = run + "/eval/needle/";
  const Json config = {{"task", "needle"},
                       {"lengths", {1024, 8000}},
                       {"depths", {0, 100}},
                       {"wording", {{"needle", "\n\nN is <b>M</b>.\n\n"}, {"question", "What is N?"}, {"answer", "<b>M</b>"}}},
                       {"model", {{"model", "m<i>.gguf"}, {"fingerprint", "00ff"}}},
                       {"notes", {{"command", "tenfold eval needle --needle '<x>'"}, {"version", "0.1.0"}}}};
  runs.write(folder + "config.json", config.dump(2));
  std::string lines;
  const auto answer = [&](int length, int depth, bool hit, double rouge, const std::string& output) {
    const Json line = {{"id", fmt::format("{}-{}", length, depth)},
                       {"prompt_hash", "0"},
                       {"prompt_tokens", length + 10},
                       {"length", length},
                       {"depth", depth},
                       {"target", "N is M."},
                       {"output", output},
                       {"hit", hit},
                       {"exact", hit},
                       {"rouge", rouge}};
    lines += line.dump() + "\n";
  };
  answer(1024, 0, true, 0.97, "N is M.");
  answer(1024, 100, tuned, tuned ? 1.0 : 0.25, kHostile);
  answer(8000, 0, tuned, tuned ? 0.97 : 0.0, "\xE9\x9B\xA8 \xF0\x9F\x98\x80");
  runs.write(folder + "answers.jsonl", lines);
  runs.write(folder + "metrics.json", R"({"task": "needle", "hit_rate_interval": [0.1, 0.9], "prompt_tokens": {"sum": 99999},
    "timing": {"prefill_seconds": 100, "decode_seconds": 1, "reused_tokens": 5, "prefill_tokens_per_second": 1234.5}})");
}

void write_ppl(const RunFolders& runs, const std::string& run, double late) {
  runs.write(run + "/eval/ppl/config.json", R"({"task": "ppl", "window": 2048})");
  const Json metrics = {
      {"task", "ppl"},
      {"paired",
       {{"positions", "1K..2K,1..1K"},
        {"windows", 8},
        {"far_nll", late},
        {"near_nll", 3.5},
        {"difference", late - 3.5},
        {"interval", {-0.5, 0.25}}}},
      {"by_position", Json::array({{{"positions", "0-1K"}, {"begin", 0}, {"end", 1024}, {"tokens", 1023}, {"nll", 3.25}},
                                   {{"positions", "1K-2K"}, {"begin", 1024}, {"end", 2048}, {"tokens", 1024}, {"nll", late}}})}};
  runs.write(run + "/eval/ppl/metrics.json", metrics.dump());
}

void write_train(const RunFolders& runs, const std::string& run) {
  std::string lines;
  for (int step = 1; step <= 9; ++step) {
    const Json line = {{"step", step},
                       {"loss", step == 4 ? Json(nullptr) : Json(3.0 / step)},
                       {"answer_loss", 2.0 / step},
                       {"lm_loss", 1.0},
                       {"learning_rate", 1e-3 / step},
                       {"grad_norm", 0.5},
                       {"tokens", 1000 * step},
                       {"seconds", 2.0},
                       {"peak_bytes", 1 << 30}};
    lines += line.dump() + "\n";
  }
  lines += "{\"step\": 9, \"eval\": \"needle\"}\n";
  for (const int64_t step : {4, 9}) {
    const Json held = {{"hits", step - 2},
                       {"total", 8},
                       {"best", true},
                       {"by_length", Json::array({{{"length", 1024}, {"hits", 2}, {"total", 4}},
                                                  {{"length", 81920}, {"hits", step - 4}, {"total", 4}}})}};
    const Json loss = {
        {"nll", 3.25},
        {"by_position", Json::array({{{"positions", "0-1K"}, {"nll", 3.5}}, {{"positions", "64K-128K"}, {"nll", 3.125}}})}};
    lines += Json{{"step", step}, {"held", held}, {"held_loss", loss}}.dump() + "\n";
  }
  runs.write(run + "/metrics.jsonl", lines);
  runs.write(run + "/config.toml",
             "# tenfold 0.1.0 train\n# command: tenfold train --data <x>\n# fact: planned bytes 2147483648\nmodel = \"a & b\"\n");
  runs.write(
      run + "/memory.json",
      R"({"planned": [{"name": "weights", "use": "weights", "bytes": 1e6}, {"name": "Adam", "use": "optimizer", "bytes": 5e5}]})");
}

/// Every tag of the page is closed in order, attributes are quoted, and only the tags we write appear.
void expect_well_formed(const std::string& html) {
  static const std::set<std::string> kKnown = {
      "html", "head",    "meta",     "title", "style",  "body",       "main",   "header", "section", "footer",  "h1",
      "h2",   "h3",      "p",        "div",   "span",   "table",      "thead",  "tbody",  "tfoot",   "tr",      "th",
      "td",   "caption", "colgroup", "col",   "figure", "figcaption", "strong", "em",     "br",      "details", "summary",
      "pre",  "code",    "ul",       "li",    "svg",    "path",       "circle", "line",   "text"};
  std::vector<std::string> open;
  size_t at = html.find('\n') + 1;  // after the doctype
  ASSERT_TRUE(html.starts_with("<!DOCTYPE html>\n"));
  int tags = 0;
  while ((at = html.find('<', at)) != std::string::npos) {
    const size_t end = html.find('>', at);
    ASSERT_NE(end, std::string::npos);
    const bool closing = html[at + 1] == '/';
    const bool in_itself = html[end - 1] == '/';
    size_t stop = at + 1 + (closing ? 1 : 0);
    const size_t name_begin = stop;
    while (std::isalnum(static_cast<unsigned char>(html[stop]))) ++stop;
    const std::string name = html.substr(name_begin, stop - name_begin);
    ASSERT_TRUE(kKnown.contains(name)) << "<" << name << "> near " << html.substr(at, 120);
    if (closing) {
      ASSERT_FALSE(open.empty());
      ASSERT_EQ(open.back(), name) << html.substr(at > 200 ? at - 200 : 0, 300);
      open.pop_back();
    } else {
      const std::string attributes = html.substr(stop, end - stop - (in_itself ? 1 : 0));
      ASSERT_EQ(std::count(attributes.begin(), attributes.end(), '"') % 2, 0) << attributes;
      ASSERT_EQ(attributes.find(" on"), std::string::npos) << attributes;
      if (!in_itself) open.push_back(name);
    }
    ++tags;
    at = end + 1;
    if (name == "style" && !closing) at = html.find("</style>", at);
  }
  EXPECT_TRUE(open.empty());
  EXPECT_GT(tags, 100);
}

std::string page(const RunFolders& runs) {
  return render_report(ReportInputs{{"base=" + runs.path("base"), "tuned=" + runs.path("tuned")}, ""});
}

class ReportTest : public ::testing::Test {
 protected:
  void SetUp() override {
    write_needle(runs_, "base", false);
    write_needle(runs_, "tuned", true);
    write_ppl(runs_, "base", 6.5);
    write_ppl(runs_, "tuned", 3.125);
    write_train(runs_, "tuned");
  }
  std::string error_of(const std::function<void()>& act) {
    try {
      act();
    } catch (const InputError& error) {
      return error.what();
    }
    ADD_FAILURE() << "no InputError";
    return "";
  }
  RunFolders runs_;
};

#define EXPECT_HAS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text).substr(0, 3000)

TEST_F(ReportTest, IsWellFormedAndLoadsNothing) {
  const std::string html = page(runs_);
  expect_well_formed(html);
  for (const char* bad :
       {"http:", "https:", "//", "src=", "href=", "url(", "@import", "<script", "<link", "<iframe", "javascript:"}) {
    EXPECT_EQ(html.find(bad), std::string::npos) << bad;
  }
  EXPECT_LT(html.size(), 200000U);
}

TEST_F(ReportTest, SaysWhatChanged) {
  const std::string html = page(runs_);
  EXPECT_HAS(html, "The needle is found in 3 of 3 places; before, in 1");
  EXPECT_HAS(html, "3.25 \xE2\x86\x92 3.25");
  EXPECT_HAS(html, "6.50 \xE2\x86\x92 3.12");
  EXPECT_HAS(html,
             "\xE2\x88\x92"
             "3.375");
  EXPECT_HAS(html, "The same target tokens at positions 1K..2K,1..1K");
  EXPECT_HAS(html,
             "\xE2\x88\x92"
             "0.500 to +0.250");
  EXPECT_HAS(html, "The adapter kept is that of step 9: 7 of 8.");
  EXPECT_HAS(html, "step 4: 2 of 8");
  EXPECT_HAS(html, "tenfold train --data &lt;x&gt;");
  EXPECT_HAS(html, "tenfold eval needle --needle &#39;&lt;x&gt;&#39;");
  EXPECT_HAS(html,
             "(10\xE2\x80\x93"
             "90 %)");
  EXPECT_HAS(html, "1.00 GiB");  // the peak
  EXPECT_HAS(html, "not asked yet");
  EXPECT_HAS(html, ">1K<");
  EXPECT_HAS(html, ">8,000<");
  EXPECT_HAS(html, "Adam");
}

TEST_F(ReportTest, AnswersAreTextNotMarkup) {
  const std::string html = page(runs_);
  EXPECT_EQ(html.find("<script"), std::string::npos);
  EXPECT_HAS(html, "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt; &amp; &#39; &lt;/td&gt;&lt;/table&gt;");
  EXPECT_HAS(html, "\xE9\x9B\xA8 \xF0\x9F\x98\x80");
  EXPECT_EQ(html.find('\x01'), std::string::npos);
  EXPECT_HAS(html, "m&lt;i&gt;.gguf");
}

TEST_F(ReportTest, OneRunAndPartsOfRuns) {
  expect_well_formed(render_report(ReportInputs{{runs_.path("base")}, ""}));
  EXPECT_HAS(render_report(ReportInputs{{runs_.path("base") + "/"}, ""}), ">base<");
  write_train(runs_, "alone");
  const std::string html = render_report(ReportInputs{{runs_.path("alone")}, ""});
  expect_well_formed(html);
  EXPECT_HAS(html, "9 steps, loss 0.333");
  EXPECT_HAS(render_report(ReportInputs{{runs_.path("alone")}, "A <title>"}), "A &lt;title&gt;");
  write_ppl(runs_, "ppl", 1.0);
  expect_well_formed(render_report(ReportInputs{{runs_.path("ppl")}, ""}));
}

TEST_F(ReportTest, NeedlesOfOnesOwnShareATable) {
  for (const char* name : {"needle-bridges", "needle-zoo"}) {
    for (const char* run : {"base", "tuned"}) {
      fs::copy(runs_.path(std::string(run) + "/eval/needle"), runs_.path(std::string(run) + "/eval/" + name),
               fs::copy_options::recursive);
    }
  }
  fs::remove_all(runs_.path("base/eval/needle-zoo"));
  const std::string html = page(runs_);
  expect_well_formed(html);
  EXPECT_HAS(html, "The needle is found in 3 of 3 places; before, in 1");
  EXPECT_HAS(html, "Other needles");
  EXPECT_HAS(html, "at 1K tokens");
  EXPECT_HAS(html, "6 of 6");  // tuned, both needles
  EXPECT_HAS(html, "1 of 3");  // base, the one it has
}

TEST_F(ReportTest, ScoresOfOtherEvaluations) {
  const auto put = [&](const std::string& run, int hits) {
    runs_.write(run + "/eval/ruler/config.json", R"({"task": "ruler"})");
    std::string lines;
    for (int i = 0; i < 8; ++i) {
      lines += fmt::format(R"({{"id": "r{}", "task": "{}", "prompt_tokens": {}, "hit": {}, "score": {}}})", i,
                           i % 2 == 0 ? "vt" : "cwe", i < 4 ? 900 : 4097, i < hits, i < hits ? 1 : 0.25) +
               "\n";
    }
    runs_.write(run + "/eval/ruler/answers.jsonl", lines);
  };
  put("base", 2);
  put("tuned", 7);
  runs_.write("tuned/eval/longbench/config.json", R"({"task": "longbench"})");
  runs_.write("tuned/eval/longbench/answers.jsonl", R"({"id": "a", "task": "qasper", "prompt_tokens": 5000, "score": 0.125})"
                                                    "\n");
  const std::string html = page(runs_);
  expect_well_formed(html);
  EXPECT_HAS(html, "2 of 8 (25.0 %)");
  EXPECT_HAS(html, "7 of 8 (87.5 %)");
  EXPECT_HAS(html, "4 of 4 (100.0 %)");  // vt, tuned: questions 0, 2, 4, 6
  EXPECT_HAS(html, "up to 1K tokens");
  EXPECT_HAS(html, "up to 8K tokens");
  EXPECT_HAS(html, "0.125 over 1");
  EXPECT_HAS(html, "tuned has not ended.");
  runs_.write("base/eval/ruler/answers.jsonl", R"({"id": "a", "hit": 3, "prompt_tokens": 5000})"
                                               "\n");
  EXPECT_HAS(error_of([&] { page(runs_); }), "answers.jsonl:1");
}

TEST_F(ReportTest, ManyStepsStaySmall) {
  std::string lines;
  for (int step = 1; step <= 30000; ++step)
    lines += fmt::format("{{\"step\": {}, \"loss\": {}, \"tokens\": 10, \"seconds\": 0.5}}\n", step, 3.0 / step);
  runs_.write("long/metrics.jsonl", lines);
  const std::string html = render_report(ReportInputs{{runs_.path("long")}, ""});
  expect_well_formed(html);
  EXPECT_LT(html.size(), 150000U);
  EXPECT_HAS(html, "30,000");
  EXPECT_HAS(html, "300,000");
}

TEST_F(ReportTest, AnUnfinishedEvaluationIsShown) {
  fs::remove(runs_.path("base/eval/needle/metrics.json"));
  fs::remove(runs_.path("tuned/eval/needle/answers.jsonl"));
  const std::string html = page(runs_);
  expect_well_formed(html);
  EXPECT_HAS(html, "0 of 0 found");
}

TEST_F(ReportTest, NamesWhatIsMalformed) {
  const auto message = [&](const std::string& file, const std::string& text) {
    const std::string path = runs_.path(file);
    const std::string before = fs::exists(path) ? read_text_file(path) : "";
    runs_.write(file, text);
    const std::string what = error_of([&] { page(runs_); });
    if (before.empty())
      fs::remove(path);
    else
      runs_.write(file, before);
    EXPECT_NE(what.find(fs::path(file).filename().string()), std::string::npos) << what;
    return what;
  };
  EXPECT_HAS(message("base/eval/needle/config.json", "{"), "config.json:1");
  EXPECT_HAS(message("base/eval/needle/config.json", "[]"), "expected an object");
  EXPECT_HAS(message("base/eval/needle/config.json", R"({"task": 3})"), "task: expected a string");
  EXPECT_HAS(message("base/eval/needle/config.json", R"({"task": "needle", "depths": [0]})"), "lengths");
  EXPECT_HAS(message("base/eval/needle/config.json", R"({"task": "needle", "lengths": ["x"], "depths": [0]})"), "lengths");
  EXPECT_HAS(message("base/eval/needle/config.json", R"({"task": "needle", "lengths": [], "depths": [0]})"), "lengths");
  const std::string good =
      R"({"length": 1024, "depth": 0, "prompt_tokens": 5, "hit": true, "exact": true, "rouge": 1, "target": "", "output": ""})";
  EXPECT_HAS(message("base/eval/needle/answers.jsonl", good + "\n" + good + "\n"),
             "answers.jsonl:2: length 1024 at depth 0 is answered twice");
  EXPECT_HAS(
      message(
          "base/eval/needle/answers.jsonl",
          R"({"length": 7, "depth": 0, "prompt_tokens": 5, "hit": true, "exact": true, "rouge": 1, "target": "", "output": ""})"),
      "not in the grid");
  EXPECT_HAS(message("base/eval/needle/answers.jsonl", R"({"length": 1024, "depth": 0, "prompt_tokens": 5, "exact": true})"),
             "hit: missing");
  EXPECT_HAS(message("base/eval/needle/answers.jsonl",
                     R"({"length": 1024, "depth": 0, "prompt_tokens": 5, "hit": true, "exact": true, "rouge": "1"})"),
             "rouge: expected a number");
  EXPECT_HAS(message("base/eval/ppl/metrics.json", R"({"by_position": 3})"), "by_position: expected an array");
  EXPECT_HAS(message("base/eval/ppl/metrics.json", R"({"by_position": [{"positions": "x"}]})"), "by_position[0]: begin");
  EXPECT_HAS(message("base/eval/ppl/metrics.json", R"({"paired": []})"), "paired: expected an object");
  EXPECT_HAS(message("base/eval/ppl/metrics.json", R"({"paired": {"positions": "x"}})"), "paired: windows");
  EXPECT_HAS(
      message("base/eval/ppl/metrics.json",
              R"({"paired": {"positions": "x", "windows": 1, "far_nll": 1, "near_nll": 1, "difference": 0, "interval": [1]}})"),
      "interval: expected two numbers, got [1]");
  EXPECT_HAS(message("tuned/metrics.jsonl", "{\"loss\": 1}\n"), "metrics.jsonl:1: step");
  EXPECT_HAS(message("tuned/metrics.jsonl", "{\"step\": 1, \"held\": 3}\n"), "metrics.jsonl:1: held: expected an object");
  EXPECT_HAS(message("tuned/metrics.jsonl", "{\"step\": 1, \"held\": {\"hits\": 3, \"total\": 2}}\n"),
             "expected 0 to total, got 3 of 2");
  EXPECT_HAS(message("tuned/metrics.jsonl", "{\"step\": 1, \"held\": {\"hits\": 1, \"total\": 2}}\n"),
             "by_length: expected a list");
  EXPECT_HAS(message("tuned/metrics.jsonl", "{\"step\": 1, \"held_loss\": []}\n"), "held_loss: expected an object");
  EXPECT_HAS(message("tuned/metrics.jsonl", "{\"step\": 1, \"held_loss\": {\"nll\": 3}}\n"), "by_position: expected a list");
  EXPECT_HAS(message("tuned/metrics.jsonl", "{\"step\": 1, \"loss\": \"x\"}\n"), "loss: expected a number");
  EXPECT_HAS(message("tuned/memory.json", R"({"planned": [{"name": "x"}]})"), "planned[0]: use");
  EXPECT_HAS(error_of([&] { render_report(ReportInputs{{}, ""}); }), "no run directories");
  EXPECT_HAS(error_of([&] { render_report(ReportInputs{{runs_.path("nowhere")}, ""}); }), "no such run directory");
  EXPECT_HAS(error_of([&] {
               render_report(ReportInputs{{runs_.path("base"), runs_.path("base")}, ""});
             }),
             "two runs are called \"base\"");
  fs::create_directories(runs_.path("empty"));
  EXPECT_HAS(error_of([&] { render_report(ReportInputs{{runs_.path("empty")}, ""}); }), "neither metrics.jsonl");
}

TEST_F(ReportTest, ShowsWhatAJudgeMadeOfTheAnswers) {
  EXPECT_EQ(page(runs_).find("graded"), std::string::npos) << "nobody was asked";
  runs_.write("base/eval/needle/metrics.json", R"({"gpt_mean": 7.25, "judge": {"asked": 3, "graded": 2}})");
  EXPECT_NE(page(runs_).find("graded 7.2 of 10 over 2 answers"), std::string::npos);
  for (const char* nonsense : {R"({"gpt_mean": null, "judge": {"graded": 0}})", R"({"gpt_mean": 7, "judge": 3})",
                               R"({"gpt_mean": 7, "judge": {"graded": "x"}})", R"({"gpt_mean": 7})"}) {
    runs_.write("base/eval/needle/metrics.json", nonsense);
    EXPECT_EQ(page(runs_).find("graded"), std::string::npos) << nonsense;
  }
}

TEST_F(ReportTest, MissingNumbersAreDashesNotCrashes) {
  runs_.write("thin/metrics.jsonl", "{\"step\": 1, \"loss\": null}\n{\"step\": 2, \"loss\": null}\n");
  expect_well_formed(render_report(ReportInputs{{runs_.path("thin"), runs_.path("base")}, ""}));
  runs_.write("base/eval/needle/metrics.json",
              R"({"timing": {"prefill_seconds": "x"}, "prompt_tokens": {}, "hit_rate_interval": ["a", 1]})");
  expect_well_formed(page(runs_));
  runs_.write("base/eval/needle/metrics.json", R"({"timing": 3, "prompt_tokens": 4, "hit_rate_interval": 5})");
  expect_well_formed(page(runs_));
  runs_.write("base/eval/needle/config.json",
              R"({"task": "needle", "lengths": [1024, 8000], "depths": [0, 100], "wording": 3, "model": [], "notes": "x"})");
  expect_well_formed(page(runs_));
  runs_.write("base/eval/needle/config.json",
              R"({"task": "needle", "lengths": [1024, 8000], "depths": [0, 100], "wording": {"needle": 3}})");
  expect_well_formed(page(runs_));
}

TEST_F(ReportTest, FiguresInThreeFormats) {
  const auto paths = write_grid_figures(runs_.path("base/eval/needle"));
  ASSERT_EQ(paths.size(), 6U);
  EXPECT_TRUE(read_text_file(runs_.path("base/eval/needle/rouge.pdf")).starts_with("%PDF"));
  const std::string svg = read_text_file(runs_.path("base/eval/needle/rouge.svg"));
  EXPECT_HAS(svg, "<svg");
  EXPECT_HAS(svg, "1260");  // 17.5 x 8 inches
  EXPECT_HAS(svg, "576");
  cairo_surface_t* image = cairo_image_surface_create_from_png(runs_.path("base/eval/needle/rouge.png").c_str());
  ASSERT_EQ(cairo_surface_status(image), CAIRO_STATUS_SUCCESS);
  EXPECT_EQ(cairo_image_surface_get_width(image), 1750);
  EXPECT_EQ(cairo_image_surface_get_height(image), 800);
  // The middle of the first cell (length 1024, depth 0, rouge 0.97) has its colour, and the last cell, not answered, is grey.
  const auto pixel = [&](double x_inch, double y_inch) {
    const auto* row =
        cairo_image_surface_get_data(image) + static_cast<int>(y_inch * 100) * cairo_image_surface_get_stride(image);
    return *reinterpret_cast<const uint32_t*>(row + 4 * static_cast<int>(x_inch * 100)) & 0xFFFFFFU;
  };
  const auto expect_colour = [&](uint32_t got, const Colour& want) {
    // Cairo rounds a channel to 16 bits and then cuts it to 8: one step away at most.
    EXPECT_NEAR(got >> 16, want.red * 255, 1.0);
    EXPECT_NEAR((got >> 8) & 0xFF, want.green * 255, 1.0);
    EXPECT_NEAR(got & 0xFF, want.blue * 255, 1.0);
  };
  expect_colour(pixel(4, 2.5), heat_colour(0.97));
  expect_colour(pixel(13, 5), heat_colour(std::nan("")));
  cairo_surface_destroy(image);
  const std::string first = read_text_file(runs_.path("base/eval/needle/rouge.pdf"));
  write_grid_figures(runs_.path("base/eval/needle"));
  EXPECT_EQ(read_text_file(runs_.path("base/eval/needle/rouge.pdf")), first) << "a figure is a function of its data";
}

TEST_F(ReportTest, FiguresOfAPassKeyAndOfNothing) {
  runs_.write("p/eval/passkey/config.json", R"({"task": "passkey", "lengths": [1024], "depths": [0, 50]})");
  runs_.write(
      "p/eval/passkey/answers.jsonl",
      R"({"length": 1024, "depth": 0, "prompt_tokens": 5, "hit": true, "accuracy": false, "fuzz": 0.8, "target": "12345", "output": "1235"})");
  EXPECT_EQ(write_grid_figures(runs_.path("p/eval/passkey")).size(), 6U);
  EXPECT_TRUE(fs::file_size(runs_.path("p/eval/passkey/fuzz.png")) > 1000);
  expect_well_formed(render_report(ReportInputs{{runs_.path("p")}, ""}));
  EXPECT_HAS(error_of([&] { write_grid_figures(runs_.path("base/eval/ppl")); }), "no grid");
  EXPECT_HAS(error_of([&] { write_grid_figures(runs_.path("nowhere")); }), "config.json");
}

TEST(HeatMapTest, WritesValuesAndSaysWhereItCannot) {
  RunFolders runs;
  HeatMap map;
  map.title = "T";
  map.metric = "m";
  map.columns = {"1", "2", "3"};
  map.rows = {"a"};
  map.values = {{0, 0.5, std::nan("")}};
  map.write_values = true;
  runs.write("x", "");
  EXPECT_EQ(write_heat_map(runs.path("map"), map).size(), 3U);
  EXPECT_THROW(write_heat_map(runs.path("no/such/folder/map"), map), IoError);
}

TEST(ColourTest, ThreePoints) {
  EXPECT_EQ(hex(heat_colour(0)), "#f0496e");
  EXPECT_EQ(hex(heat_colour(1)), "#0cd79f");
  EXPECT_EQ(hex(heat_colour(-5)), "#f0496e");
  EXPECT_EQ(hex(heat_colour(7)), "#0cd79f");
  EXPECT_EQ(hex(heat_colour(std::nan(""))), "#bfbfbf");
  std::set<std::string> steps;
  for (int i = 0; i < 25600; ++i) steps.insert(hex(heat_colour(i / 25600.0)));
  EXPECT_LE(steps.size(), 256U);
  EXPECT_GE(steps.size(), 240U) << "neighbouring steps may share a rounded colour";
  EXPECT_TRUE(wants_dark_text({1, 1, 1}));
  EXPECT_FALSE(wants_dark_text({0, 0, 0}));
}

TEST(HtmlTest, EscapesWhatIsNotText) {
  EXPECT_EQ(escape_html("a<b>&\"'"), "a&lt;b&gt;&amp;&quot;&#39;");
  EXPECT_EQ(escape_html(std::string_view("\0\x1b\n\t\x7f", 5)), "\xEF\xBF\xBD\xEF\xBF\xBD\n\t\xEF\xBF\xBD");
  // Lone continuation, overlong, surrogate, beyond U+10FFFF, cut off: one replacement a byte.
  EXPECT_EQ(escape_html("\x80"), "\xEF\xBF\xBD");
  EXPECT_EQ(escape_html("\xC0\xBC"), "\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(escape_html("\xED\xA0\x80").size(), 9U);
  EXPECT_EQ(escape_html("\xF4\x90\x80\x80").size(), 12U);
  EXPECT_EQ(escape_html("\xE9\x9B").size(), 6U);
  EXPECT_EQ(escape_html("\xE9\x9B\xA8\xF0\x9F\x98\x80"), "\xE9\x9B\xA8\xF0\x9F\x98\x80");
}

TEST(HtmlTest, Numbers) {
  EXPECT_EQ(count_text(0), "0");
  EXPECT_EQ(count_text(999), "999");
  EXPECT_EQ(count_text(1234567), "1,234,567");
  EXPECT_EQ(count_text(-1234), "-1,234");
  EXPECT_EQ(count_text(-0.2), "0");
  EXPECT_EQ(size_text(0), "0 B");
  EXPECT_EQ(size_text(1536), "1.50 KiB");
  EXPECT_EQ(size_text(1.5 * (1 << 30)), "1.50 GiB");
  EXPECT_EQ(size_text(200.0 * (1 << 20)), "200 MiB");
  EXPECT_EQ(seconds_text(0.25), "0.2 s");
  EXPECT_EQ(seconds_text(61), "1 min 01 s");
  EXPECT_EQ(seconds_text(3723), "1 h 02 min");
  EXPECT_EQ(length_text(8192), "8K");
  EXPECT_EQ(length_text(8000), "8,000");
  EXPECT_EQ(length_text(131072), "128K");
}

TEST(ChartTest, TicksCoverTheRange) {
  for (const auto& [low, high] : std::vector<std::pair<double, double>>{
           {0, 1}, {3.27, 6.8}, {-2, 5}, {0, 1e-3}, {5, 5}, {0, 0}, {1e9, 3e9}, {-1e-9, 1e-9}}) {
    const auto ticks = nice_ticks(low, high, 4);
    ASSERT_GE(ticks.size(), 2U);
    EXPECT_LE(ticks.size(), 9U);
    EXPECT_LE(ticks.front(), low + 1e-12 * std::fabs(low) + 1e-18);
    EXPECT_GE(ticks.back(), high - 1e-12 * std::fabs(high) - 1e-18);
  }
}

}  // namespace
}  // namespace tenfold
