#include "tests/support.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "harness/base/file.h"

namespace assay::testing {

std::string data_dir() {
  if (const char* folder = std::getenv("ASSAY_DATA")) return folder;
  return (std::filesystem::path(ASSAY_TESTS_DIR).parent_path().parent_path() / "shared/data")
      .string();
}

std::string tests_path(const std::string& relative) {
  return std::string(ASSAY_TESTS_DIR) + "/" + relative;
}

std::string program() { return ASSAY_PROGRAM; }

namespace {

std::string cache_path(const std::string& name) {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  const std::string root =
      cache != nullptr ? cache : std::string(home != nullptr ? home : "") + "/.cache";
  return root + "/assay/" + name;
}

}  // namespace

std::string smollm2_path() { return cache_path("SmolLM2-135M-Instruct.Q4_1.gguf"); }
std::string peers_python() { return cache_path("peers/bin/python"); }

Json load_json(const std::string& path) {
  auto json = read_json_file(path);
  if (!json.ok()) {
    ADD_FAILURE() << json.error().message;
    return {};
  }
  return std::move(json).value();
}

std::vector<Json> load_jsonl_gz(const std::string& path) {
  const gzFile file = gzopen(path.c_str(), "rb");
  EXPECT_NE(file, nullptr) << path;
  std::string text, part(1 << 16, '\0');
  for (int count; (count = gzread(file, part.data(), static_cast<unsigned>(part.size()))) > 0;) {
    text.append(part, 0, static_cast<size_t>(count));
  }
  gzclose(file);
  std::vector<Json> rows;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty()) rows.push_back(Json::parse(line));
  }
  return rows;
}

std::vector<Json> load_jsonl(const std::string& path) {
  std::ifstream file(path);
  if (!file) ADD_FAILURE() << path << " cannot be read";
  std::vector<Json> rows;
  std::string line;
  while (std::getline(file, line)) {
    if (!line.empty()) rows.push_back(Json::parse(line));
  }
  return rows;
}

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "assay-test-XXXXXX").string();
  path_ = ::mkdtemp(pattern.data());
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code code;
  std::filesystem::remove_all(path_, code);
}

ProgramResult run_program(const std::string& arguments, const std::string& prefix) {
  const TemporaryFolder folder;
  const std::string command = prefix + " '" + program() + "' " + arguments + " > '" +
                              (folder / "out") + "' 2> '" + (folder / "err") + "' < /dev/null";
  const int status = std::system(command.c_str());
  ProgramResult result;
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  const auto slurp = [](const std::string& path) {
    std::ifstream file(path);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  };
  result.out = slurp(folder / "out");
  result.err = slurp(folder / "err");
  return result;
}

}  // namespace assay::testing
