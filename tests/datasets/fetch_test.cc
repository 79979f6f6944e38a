// Data come whole or not at all, whatever the server does.
#include "datasets/fetch.h"

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zip.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "datasets/zip_file.h"
#include "harness/base/file.h"
#include "harness/base/hash.h"
#include "harness/base/text.h"
#include "tests/support.h"

namespace assay {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using testing::run_program;

class Fetch : public ::testing::Test {
 protected:
  void serve(const std::string& folder) {
    const std::string script = testing::tests_path("datasets/fetch_server.py");
    const std::string port_file = folder_ / "port";
    process_ = fork();
    if (process_ == 0) {
      execlp("python3", "python3", script.c_str(), port_file.c_str(), folder.c_str(), nullptr);
      _exit(127);
    }
    for (int i = 0; i < 1000 && !file_exists(port_file); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    url_ = "http://127.0.0.1:" + *read_file(port_file) + "/";
  }
  void SetUp() override {
    options_.folder = folder_ / "data";
    options_.first_delay_s = 0.01;
    std::filesystem::create_directory(folder_ / "served");
    for (int i = 0; i < 20000; ++i) content_ += std::to_string(i * i) + "\n";
    ASSERT_OK(write_file_atomically(folder_ / "served/a.txt", content_));
  }
  void TearDown() override {
    if (process_ <= 0) return;
    kill(process_, SIGKILL);
    waitpid(process_, nullptr, 0);
  }
  ManifestEntry entry(const std::string& how, const std::string& file = "x/a.txt") const {
    ManifestEntry entry;
    entry.file = file;
    entry.url = "the place where it is published";
    entry.sha256 = sha256_hex(content_);
    entry.fetch.urls = {url_ + how + "/a.txt"};
    entry.fetch.bytes = static_cast<int64_t>(content_.size());
    return entry;
  }
  std::string error_of(const ManifestEntry& entry) const {
    const auto fetched = fetch_file(entry, options_);
    return fetched.ok() ? "" : fetched.error().message;
  }
  // Files under the data folder.
  std::vector<std::string> files() const {
    std::vector<std::string> names;
    if (!is_directory(options_.folder)) return names;
    for (const auto& file : std::filesystem::recursive_directory_iterator(options_.folder)) {
      if (file.is_regular_file()) names.push_back(file.path().filename());
    }
    return names;
  }
  std::string log() const { return *read_file(folder_ / "port.log"); }

  testing::TemporaryFolder folder_;
  FetchOptions options_;
  std::string content_, url_;
  pid_t process_ = -1;
};

TEST_F(Fetch, AFileComesWholeThroughCutsFailuresAndRedirects) {
  serve(folder_ / "served");
  for (const char* how : {"ok", "cut", "cut_plain", "fail2", "away"}) {
    std::filesystem::remove_all(options_.folder);
    EXPECT_EQ(error_of(entry(how)), "") << how;
    const auto text = read_file(options_.folder + "/x/a.txt");
    ASSERT_TRUE(text.ok()) << how;
    EXPECT_EQ(*text, content_) << how;
    EXPECT_EQ(files(), std::vector<std::string>{"a.txt"}) << how;
  }
  // What had come before a cut was not asked for again.
  EXPECT_THAT(log(), ContainsRegex("/cut/a.txt bytes=[1-9][0-9]+-"));
  EXPECT_EQ(*fetch_file(entry("gone"), options_), Fetched::kThere);
}

TEST_F(Fetch, WhatIsNotTheFileIsNeverKept) {
  serve(folder_ / "served");
  EXPECT_THAT(error_of(entry("wrong")),
              AllOf(HasSubstr("its sha256 is"), HasSubstr("the place where it is published")));
  EXPECT_THAT(error_of(entry("long")), HasSubstr("longer than"));
  EXPECT_THAT(error_of(entry("gone")), HasSubstr("the server answers 404"));
  EXPECT_NE(error_of(entry("leave")), "");
  ManifestEntry other = entry("ok");
  other.fetch.urls = {"ftp://127.0.0.1/a.txt"};
  EXPECT_NE(error_of(other), "");
  EXPECT_THAT(error_of(entry("lie")), HasSubstr("after 6 attempts"));
  for (const std::string& file : files()) EXPECT_TRUE(file.ends_with(".part")) << file;
  // After all of that it comes, and only it is there.
  EXPECT_EQ(error_of(entry("ok")), "");
  EXPECT_EQ(files(), std::vector<std::string>{"a.txt"});
  EXPECT_EQ(*read_file(options_.folder + "/x/a.txt"), content_);
}

TEST_F(Fetch, WhatAnEarlierTryLeftIsGoneOnWithAndSomethingElseIsNot) {
  serve(folder_ / "served");
  ASSERT_OK(create_directories(options_.folder + "/x"));
  ASSERT_OK(write_file_atomically(options_.folder + "/x/a.txt.part", content_.substr(0, 5000)));
  EXPECT_EQ(error_of(entry("ok")), "");
  EXPECT_THAT(log(), HasSubstr("/ok/a.txt bytes=5000-"));
  EXPECT_EQ(*read_file(options_.folder + "/x/a.txt"), content_);
  // The beginning of another file: it is found out, and the next try is from the start.
  std::filesystem::remove_all(options_.folder);
  ASSERT_OK(create_directories(options_.folder + "/x"));
  ASSERT_OK(write_file_atomically(options_.folder + "/x/a.txt.part", std::string(5000, 'z')));
  EXPECT_THAT(error_of(entry("ok")), HasSubstr("its sha256 is"));
  EXPECT_EQ(error_of(entry("ok")), "");
  // More than there is, of a file whose size nobody knows.
  std::filesystem::remove_all(options_.folder);
  ASSERT_OK(create_directories(options_.folder + "/x"));
  ASSERT_OK(write_file_atomically(options_.folder + "/x/a.txt.part", content_ + content_));
  ManifestEntry unknown = entry("ok");
  unknown.fetch.bytes = 0;
  EXPECT_EQ(error_of(unknown), "");
  EXPECT_EQ(*read_file(options_.folder + "/x/a.txt"), content_);
}

TEST_F(Fetch, SeveralFilesAreJoinedAndPagesOfRowsBecomeLines) {
  serve(folder_ / "served");
  std::string rows;
  for (int i = 0; i < 250; ++i) rows += "{\"id\":" + std::to_string(i) + "}\n";
  ASSERT_OK(write_file_atomically(folder_ / "served/rows.jsonl", rows));
  ManifestEntry joined = entry("cut");
  joined.fetch.bytes = 0;
  joined.sha256 = sha256_hex(content_ + rows);
  joined.fetch.urls.push_back(url_ + "ok/rows.jsonl");
  EXPECT_EQ(error_of(joined), "");
  EXPECT_EQ(*read_file(options_.folder + "/x/a.txt"), content_ + rows);
  EXPECT_EQ(files().size(), 1u);
  ManifestEntry pages;
  pages.file = "rows.jsonl";
  pages.records = 250;
  pages.fetch.rows_api = url_ + "rows/rows.jsonl?dataset=a";
  EXPECT_EQ(error_of(pages), "");
  EXPECT_EQ(*read_file(options_.folder + "/rows.jsonl"), rows);
  pages.file = "other.jsonl";
  pages.records = 251;
  EXPECT_THAT(error_of(pages), HasSubstr("250 rows in place of 251"));
  pages.fetch.rows_api = url_ + "ok/a.txt?a";
  EXPECT_NE(error_of(pages), "");
}

TEST_F(Fetch, TermsAreAskedForAndTokensGoToTheirOwnHostAlone) {
  serve(folder_ / "served");
  options_.token = "hf_secret";
  ManifestEntry terms = entry("ok");
  terms.fetch.terms = "the owners ask for care";
  EXPECT_THAT(error_of(terms),
              AllOf(HasSubstr("the owners ask for care"), HasSubstr("--accept-terms")));
  options_.accept_terms = true;
  EXPECT_EQ(error_of(terms), "");
  EXPECT_THAT(log(), ::testing::Not(HasSubstr("hf_secret")));
  options_.offline = true;
  EXPECT_THAT(error_of(entry("ok", "x/b.txt")), HasSubstr("--offline"));
  ManifestEntry by_hand;
  by_hand.file = "c.txt";
  by_hand.url = "somewhere";
  EXPECT_THAT(error_of(by_hand), HasSubstr("cannot be fetched; it comes from somewhere"));
}

// The real files through a mirror, into the cache, where runs find them.
TEST_F(Fetch, ASuiteThatWasFetchedRuns) {
  ASSAY_NEED_DATA("math/test.jsonl.gz");
  const std::string served = folder_ / "served";
  serve(served);
  const std::string raw = served + "/";
  const auto place = [&](const std::string& from, const std::string& to, bool unpack) {
    const std::string path = raw + to;
    ASSERT_OK(create_directories(path.substr(0, path.rfind('/'))));
    const std::string command = std::string(unpack ? "gzip -dc '" : "cat '") + testing::data_dir() +
                                "/" + from + "' > '" + path + "'";
    ASSERT_EQ(std::system(command.c_str()), 0);
  };
  place("math500/test.jsonl",
        "hkust-nlp/simpleRL-reason/cf1c7858bfc145a27aa733e75d930d34f0d318a6/examples/"
        "simplelr_math_eval/data/math500/test.jsonl",
        false);
  place("math/test.jsonl.gz",
        "deepseek-ai/DeepSeek-Coder/2f9fd85927c669dae3c0fbb2d607274023af243e/Evaluation/PAL-Math/"
        "datasets/math/test.json",
        true);
  const std::string environment = "env -u ASSAY_DATA XDG_CACHE_HOME='" + (folder_ / "cache") + "'";
  const auto missing = run_program("run --model builtin --tasks math500 --dry-run", environment);
  EXPECT_EQ(missing.exit_code, 2);
  const auto fetched =
      run_program("fetch math500 math --mirror https://raw.githubusercontent.com/=" + url_ + "ok/",
                  environment);
  EXPECT_EQ(fetched.exit_code, 0) << fetched.err;
  EXPECT_THAT(fetched.out, AllOf(HasSubstr("fetched math500/test.jsonl"),
                                 HasSubstr("fetched math/test.jsonl.gz")));
  for (const char* suite : {"math500", "math"}) {
    const auto dry =
        run_program(std::string("run --model builtin --dry-run --tasks ") + suite, environment);
    EXPECT_EQ(dry.exit_code, 0) << dry.err;
  }
  // Packed by another gzip it is the same data to a run.
  const auto hash = [&](const std::string& flags) {
    const std::string run = folder_ / ("run" + std::to_string(flags.size()));
    EXPECT_EQ(
        run_program("run --model builtin --tasks math:1 --limit 1 --max-tokens 2 -o " + run + flags,
                    environment)
            .exit_code,
        0);
    const Json results = testing::load_json(run + "/results.json");
    return results["manifest"]["identity"]["tasks"][0]["data_sha256"];
  };
  EXPECT_EQ(hash(""), hash(" --data " + testing::data_dir()));
  const auto list = run_program("fetch", environment);
  EXPECT_THAT(list.out,
              AllOf(ContainsRegex("math500 +there +math500/test.jsonl"),
                    ContainsRegex("mmlu_pro +by hand"), ContainsRegex("gpqa +has terms")));
  EXPECT_EQ(run_program("fetch nothing", environment).exit_code, 2);
  EXPECT_EQ(run_program("fetch math500 aime24 --offline", environment).exit_code, 3);
}

TEST(Zip, EncryptedEntriesOpenWithTheirPasswordAndNoOther) {
  const testing::TemporaryFolder folder;
  const std::string path = folder / "a.zip";
  const std::string text = "question,answer\n";
  zip_t* zip = zip_open(path.c_str(), ZIP_CREATE, nullptr);
  ASSERT_NE(zip, nullptr);
  const auto index = zip_file_add(
      zip, "d/a.csv", zip_source_buffer(zip, text.data(), text.size(), 0), ZIP_FL_ENC_UTF_8);
  ASSERT_EQ(zip_file_set_encryption(zip, static_cast<zip_uint64_t>(index), ZIP_EM_AES_256, "pass"),
            0);
  ASSERT_EQ(zip_close(zip), 0);
  const auto opened = ZipFile::open(path);
  ASSERT_OK(opened);
  EXPECT_EQ(opened->names(), std::vector<std::string>{"d/a.csv"});
  EXPECT_EQ(*opened->read("d/a.csv", "pass"), text);
  EXPECT_FALSE(opened->read("d/a.csv", "word").ok());
  EXPECT_FALSE(opened->read("d/a.csv").ok());
  EXPECT_FALSE(opened->read("d/b.csv").ok());
  EXPECT_FALSE(opened->read("d/a.csv", "pass", 3).ok());
}

// A question bank that stays packed is read where it is.
TEST_F(Fetch, GpqaIsReadFromItsArchive) {
  ASSERT_OK(create_directories(options_.folder + "/gpqa"));
  const std::string command =
      "cd '" + options_.folder + "/gpqa' && mkdir dataset && cp '" +
      testing::tests_path("../datasets/samples/gpqa/gpqa_diamond.csv") +
      "' dataset/ && python3 -c \"import zipfile; z = zipfile.ZipFile('dataset.zip', 'w', "
      "zipfile.ZIP_DEFLATED); z.write('dataset/gpqa_diamond.csv')\" && rm -r dataset";
  ASSERT_EQ(std::system(command.c_str()), 0);
  const auto result =
      run_program("run --model builtin --tasks gpqa_diamond --dry-run --data " + options_.folder);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(files(), std::vector<std::string>{"dataset.zip"});
}

}  // namespace
}  // namespace assay
