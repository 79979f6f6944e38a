// What the tests share: where data and models are, and how to make small things.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "harness/base/json.h"
#include "harness/base/result.h"

namespace assay::testing {

// ASSAY_DATA, or ../shared/data beside the source tree.
std::string data_dir();
// A file under tests/.
std::string tests_path(const std::string& relative);
// The assay program that was built with the tests.
std::string program();
// SmolLM2-135M-Instruct Q4_1 as scripts/fetch_smollm2 leaves it.
std::string smollm2_path();

// The Python that scripts/peers leaves, with lm-eval, inspect and the openai client.
std::string peers_python();

Json load_json(const std::string& path);
std::vector<Json> load_jsonl(const std::string& path);
std::vector<Json> load_jsonl_gz(const std::string& path);

// A folder that is removed with the object.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

struct ProgramResult {
  int exit_code = -1;
  std::string out, err;
};
// Runs `prefix program() arguments…` through the shell; arguments are quoted by the caller.
ProgramResult run_program(const std::string& arguments, const std::string& prefix = "");

// Whether timings mean something in this build; sanitizer builds also draw fewer samples.
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
constexpr bool kOptimized = true;
#else
constexpr bool kOptimized = false;
#endif

}  // namespace assay::testing

// Skips a test that needs data which this machine lacks, and says what brings it.
#define ASSAY_NEED_DATA(relative)                                              \
  const std::string data_path = assay::testing::data_dir() + "/" + (relative); \
  if (access(data_path.c_str(), R_OK) != 0)                                    \
  GTEST_SKIP() << data_path << " is not there: set ASSAY_DATA to the folder of the suites' data"

#define ASSAY_NEED_SMOLLM2()                                     \
  if (access(assay::testing::smollm2_path().c_str(), R_OK) != 0) \
  GTEST_SKIP() << "needs SmolLM2: run scripts/fetch_smollm2"

#define ASSAY_NEED_PEERS()                                       \
  if (access(assay::testing::peers_python().c_str(), X_OK) != 0) \
  GTEST_SKIP() << "needs lm-eval, inspect and openai: run scripts/peers"

#define ASSERT_OK(expression)                                      \
  if (const auto& assay_result = (expression); !assay_result.ok()) \
  FAIL() << assay_result.error().message
