// The HTML report: hostile model text stays text, and a browser shows the page without complaint.
#include <gmock/gmock.h>

#include <cstdio>
#include <fstream>

#include "harness/base/file.h"
#include "harness/base/markup.h"
#include "tests/support.h"

namespace assay {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string browser() {
  for (const char* path :
       {"/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"}) {
    if (file_exists(path)) return path;
  }
  return {};
}

// The page's DOM after its scripts have run, and what the browser logged.
std::string opened(const std::string& url, int width, const std::string& profile) {
  const std::string command =
      "timeout 120 " + browser() +
      " --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --enable-logging=stderr "
      "--user-data-dir=" +
      profile + " --window-size=" + std::to_string(width) +
      ",1000 --virtual-time-budget=8000 --dump-dom '" + url + "' 2>&1";
  std::string out;
  FILE* pipe = popen(command.c_str(), "r");
  char buffer[4096];
  for (size_t n; pipe != nullptr && (n = fread(buffer, 1, sizeof buffer, pipe)) > 0;) {
    out.append(buffer, n);
  }
  if (pipe != nullptr) pclose(pipe);
  return out;
}

// Why no page can be opened here; empty: one can.
std::string no_browser(const std::string& profile) {
  if (browser().empty()) return "no Chromium to open pages in: scripts/packages --browser";
  const std::string dom = opened("data:text/html,<p>opened</p>", 800, profile);
  if (dom.find("<p>opened</p>") != std::string::npos) return {};
  return "Chromium does not start here: " + dom.substr(0, 300);
}

TEST(Html, TextIsEscapedForElementsAndAttributes) {
  EXPECT_EQ(escape_markup(R"(<a href="x" b='y'>&)"),
            "&lt;a href=&#34;x&#34; b=&#39;y&#39;&gt;&amp;");
}

class HtmlReport : public ::testing::Test {
 protected:
  // A run whose completions, answers and name are payloads.
  std::string hostile_run() {
    const auto payloads = testing::load_jsonl(testing::tests_path("cases/html_payloads.jsonl"));
    const auto questions =
        testing::load_jsonl(testing::tests_path("../datasets/samples/arithmetic.jsonl"));
    const std::string name = folder_ / "<img src=x onerror=document.title='pwned'>.jsonl";
    std::ofstream file(name);
    for (size_t i = 0; i < payloads.size(); ++i) {
      const std::string text = payloads[i]["payload"];
      const Json completions = {text, "<think>" + text + "</think>\\boxed{" + text + "}",
                                text + " \\boxed{1}", "<think>" + text};
      file << dump_json(Json{{"id", questions[i]["id"]}, {"completion", completions}}) << "\n";
      samples_ += 4;
    }
    file.close();
    const auto scored =
        testing::run_program("score --tasks arithmetic --limit " + std::to_string(payloads.size()) +
                             " --completions \"" + name + "\" -o " + (folder_ / "run"));
    EXPECT_EQ(scored.exit_code, 0) << scored.err;
    return folder_ / "run";
  }

  testing::TemporaryFolder folder_;
  int samples_ = 0;
};

TEST_F(HtmlReport, HostileTextDoesNotRunInIt) {
  const std::string page = folder_ / "page.html";
  const auto result = testing::run_program("report " + hostile_run() + " --html " + page);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto html = read_file(page);
  ASSERT_OK(html);
  EXPECT_THAT(*html, Not(HasSubstr("pwned'</script>")));
  EXPECT_THAT(*html, Not(HasSubstr("<img")));
  EXPECT_THAT(*html, Not(HasSubstr("http://")));
  EXPECT_THAT(*html, HasSubstr("default-src 'none'"));
  if (const std::string why = no_browser(folder_ / "profile"); !why.empty()) GTEST_SKIP() << why;
  for (const int width : {390, 820, 1440}) {
    const std::string dom = opened("file://" + page + "#all", width, folder_ / "profile");
    EXPECT_THAT(dom, HasSubstr("data-ready=\"" + std::to_string(samples_) + "\"")) << width;
    EXPECT_THAT(dom, Not(HasSubstr("<title>pwned</title>"))) << width;
    EXPECT_THAT(dom, HasSubstr("· assay</title>")) << width;
    EXPECT_THAT(dom, Not(HasSubstr("CONSOLE"))) << width;
  }
}

TEST_F(HtmlReport, AComparisonShowsWhatFlippedSideBySide) {
  for (const auto& [name, flags] : {std::pair("a", ""), std::pair("b", "--seed 1")}) {
    ASSERT_EQ(testing::run_program("run --model builtin --tasks arithmetic:4 --limit 30 " +
                                   std::string(flags) + " -o " + (folder_ / name))
                  .exit_code,
              0);
  }
  const std::string page = folder_ / "compare.html";
  const auto result = testing::run_program("compare " + (folder_ / "a") + " " + (folder_ / "b") +
                                           " --kld --html " + page);
  ASSERT_NE(result.exit_code, 2) << result.err;
  const auto html = read_file(page);
  ASSERT_OK(html);
  EXPECT_THAT(*html, HasSubstr("KL divergence"));
  EXPECT_THAT(*html, HasSubstr("the seeds differ"));
  if (const std::string why = no_browser(folder_ / "profile"); !why.empty()) GTEST_SKIP() << why;
  const std::string dom = opened("file://" + page + "#all", 1200, folder_ / "profile");
  EXPECT_THAT(dom, HasSubstr("class=\"pair\""));
  EXPECT_THAT(dom, Not(HasSubstr("CONSOLE")));
}

TEST_F(HtmlReport, LargeRunsStaySmallPages) {
  const auto questions =
      testing::load_jsonl(testing::tests_path("../datasets/samples/arithmetic.jsonl"));
  const std::string name = folder_ / "long.jsonl";
  std::ofstream file(name);
  uint32_t state = 1;
  for (size_t i = 0; i < 40; ++i) {
    std::string text;
    while (text.size() < 1'500'000) {
      state = state * 1664525u + 1013904223u;
      text += std::to_string(state) + " ";
    }
    file << dump_json(Json{{"id", questions[i]["id"]}, {"completion", text}}) << "\n";
  }
  file.close();
  const auto scored = testing::run_program("score --tasks arithmetic --limit 40 --completions " +
                                           name + " -o " + (folder_ / "run"));
  ASSERT_EQ(scored.exit_code, 0) << scored.err;
  const auto result = testing::run_program("report " + (folder_ / "run") + " --html " +
                                           (folder_ / "page.html") + " --samples 2000");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto html = MappedFile::open(folder_ / "page.html");
  ASSERT_OK(html);
  EXPECT_LT(html->bytes().size(), size_t{30} << 20);
  EXPECT_GT(html->bytes().size(), size_t{10} << 20);
}

}  // namespace
}  // namespace assay
