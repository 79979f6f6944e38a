#include "scorers/code/code.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <cstdlib>
#include <functional>
#include <map>
#include <mutex>
#include <optional>

#include "harness/base/file.h"
#include "harness/base/hash.h"
#include "harness/base/json.h"
#include "harness/base/text.h"
#include "scorers/answer.h"
#include "scorers/code/extract.h"
#include "scorers/code/sandbox.h"

namespace assay {
namespace {

std::string field(const Item& item, const char* name) {
  const auto found = item.fields.find(name);
  return found == item.fields.end() ? std::string() : found->second;
}

Json json_field(const Item& item, const char* name) {
  return Json::parse(field(item, name), nullptr, false);
}

Verdict verdict_of(const ProgramOutcome& outcome) {
  Verdict verdict;
  verdict.rule = outcome.status == "ok" ? "passed" : outcome.status;
  verdict.detail = outcome.detail;
  if (outcome.status == "unscored") return verdict;
  verdict.has_answer = true;
  verdict.answer = outcome.status == "ok" ? "passed" : "failed";
  verdict.correctness = outcome.status == "ok" ? Correctness::kCorrect : Correctness::kIncorrect;
  return verdict;
}

// Under --all-tests.
void note_passed(size_t passed, size_t tests, Verdict& verdict) {
  verdict.values["tests_passed"] = static_cast<double>(passed) / static_cast<double>(tests);
  if (passed == tests) return;
  verdict.detail +=
      fmt::format("{}{} of {} tests passed", verdict.detail.empty() ? "" : "; ", passed, tests);
}

Verdict unscored(const std::string& why) {
  Verdict verdict;
  verdict.rule = "unscored";
  verdict.detail = why;
  return verdict;
}

// ---- HumanEval+ ----

// What the canonical solution returns for every input (encoded values, JSON, or the hash of a long
// one), and its CPU time.
struct Reference {
  std::vector<std::string> outputs;
  double cpu_s = 0;
};

std::string reference_path(const std::string& key) {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  if (cache == nullptr && home == nullptr) return {};
  const std::string folder =
      (cache != nullptr ? std::string(cache) : std::string(home) + "/.cache") + "/assay/reference";
  return create_directories(folder).ok() ? folder + "/" + key + ".json" : std::string();
}

// `inputs`: JSON, a list of lists of arguments.
Result<Reference> run_reference(Sandbox& sandbox, const Item& item, const std::string& inputs) {
  const ProgramLimits limits{.cpu_s = 120, .wall_s = 300, .memory_bytes = int64_t{4} << 30};
  ProgramOutcome outcome =
      sandbox.check("reference", field(item, "prompt") + item.gold, field(item, "entry_point"),
                    "{\"inputs\": " + inputs + "}", limits);
  if (outcome.status == "ok") return Reference{std::move(outcome.outputs), outcome.cpu_s};
  return Error{fmt::format("the canonical solution fails: {} {}", outcome.status, outcome.detail)};
}

// The same from memory or disk, with hashes for long values, once it has been computed.
Result<Reference> reference_of(Sandbox& sandbox, const Item& item, const std::string& inputs) {
  constexpr size_t kLongBytes = 1 << 16;
  static std::mutex mutex;
  static std::map<std::string, Reference> known;
  const std::string key = sha256_hex(field(item, "prompt") + item.gold + inputs + "/reference 1");
  {
    const std::lock_guard lock(mutex);
    if (const auto found = known.find(key); found != known.end()) return found->second;
  }
  const std::string path = reference_path(key);
  Reference reference;
  if (!path.empty() && file_exists(path)) {
    if (const auto json = read_json_file(path); json.ok() && json->is_object()) {
      for (const Json& output : json->value("outputs", Json::array())) {
        if (output.is_string()) reference.outputs.push_back(output.get<std::string>());
      }
      reference.cpu_s = json->value("cpu_s", 1.0);
    }
  }
  if (reference.outputs.empty()) {
    ASSAY_TRY(reference, run_reference(sandbox, item, inputs));
    for (std::string& output : reference.outputs) {
      if (output.size() > kLongBytes) output = R"({"sha256": ")" + sha256_hex(output) + "\"}";
    }
    if (!path.empty()) {
      (void)write_file_atomically(
          path, dump_json(Json{{"outputs", reference.outputs}, {"cpu_s", reference.cpu_s}}));
    }
  }
  const std::lock_guard lock(mutex);
  return known.emplace(key, std::move(reference)).first->second;
}

Verdict score_humaneval_plus(Sandbox& sandbox, const Item& item, const std::string& source) {
  // As text from the data to the checker, so that no number loses a digit.
  const std::string inputs =
      "[" + field(item, "base_input") + ", " + field(item, "plus_input") + "]";
  const auto reference = reference_of(sandbox, item, inputs);
  if (!reference.ok()) return unscored(reference.error().message);
  // Four times what the canonical solution takes, but so much that no known solution comes near it
  // on a processor whose other thread is busy, too.
  ProgramLimits limits;
  limits.cpu_s = std::max(20, static_cast<int>(4 * reference->cpu_s) + 1);
  limits.wall_s = 2 * limits.cpu_s + 2;
  limits.memory_bytes = int64_t{4} << 30;
  const auto check = [&](const Reference& expected) {
    const std::string part =
        fmt::format(R"({{"inputs": {}, "expected": [{}], "tolerance": {}, "oracle": {}}})", inputs,
                    join(expected.outputs, ", "), field(item, "atol"),
                    dump_json(Json(field(item, "entry_point"))));
    return sandbox.check("calls", source, field(item, "entry_point"), part, limits);
  };
  const ProgramOutcome outcome = check(*reference);
  if (outcome.status != "unsure") return verdict_of(outcome);
  const auto whole = run_reference(sandbox, item, inputs);
  return whole.ok() ? verdict_of(check(*whole)) : unscored(whole.error().message);
}

// ---- Programs with tests ----

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  text = trim(text);
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    lines.push_back(trim(text.substr(at, end - at)));
    at = end + 1;
  }
  return lines;
}

std::vector<std::string> tokens_of(std::string_view line) {
  std::vector<std::string> tokens(1);
  for (const char c : line) {
    if (c == ' ' || c == '\t') {
      if (!tokens.back().empty()) tokens.emplace_back();
    } else {
      tokens.back() += c;
    }
  }
  if (tokens.back().empty()) tokens.pop_back();
  return tokens;
}

// A decimal number's value as digits, sign and exponent, so that 1.50 is 1.5 and nothing is
// rounded.
std::string plain_number(const std::string& token) {
  size_t at = token.starts_with('-') || token.starts_with('+') ? 1 : 0;
  const size_t point = std::min(token.find('.'), token.size());
  std::string whole = token.substr(at, point - at);
  std::string fraction = point < token.size() ? token.substr(point + 1) : "";
  const auto digits = [](const std::string& text) {
    return text.find_first_not_of("0123456789") == std::string::npos;
  };
  if ((whole.empty() && fraction.empty()) || !digits(whole) || !digits(fraction)) return {};
  whole.erase(0, std::min(whole.find_first_not_of('0'), whole.size()));
  while (fraction.ends_with('0')) fraction.pop_back();
  if (whole.empty() && fraction.empty()) return "0";
  return (token[0] == '-' ? "-" : "") + whole + "." + fraction;
}

// A program that fails is run once more for each call of its own, since it may have ended.
Verdict score_calls(Sandbox& sandbox, const Json& tests, const std::string& source,
                    const ProgramLimits& limits, bool all_tests) {
  const std::string name = tests.value("fn_name", std::string());
  const auto check = [&](const Json& inputs, const Json& outputs) {
    const Json part = {{"inputs", Json::array({inputs})}, {"plain_expected", outputs}};
    return verdict_of(sandbox.check("calls", source, name, dump_json(part), limits));
  };
  const Json &inputs = tests["inputs"], &outputs = tests["outputs"];
  Verdict verdict = check(inputs, outputs);
  const bool lists = inputs.is_array() && outputs.is_array() && inputs.size() == outputs.size();
  if (!all_tests || !verdict.has_answer || !lists || inputs.empty()) return verdict;
  size_t passed = verdict.correctness == Correctness::kCorrect ? inputs.size() : 0;
  for (size_t i = 0; passed < inputs.size() && i < inputs.size(); ++i) {
    const Verdict one = check(Json::array({inputs[i]}), Json::array({outputs[i]}));
    if (one.correctness == Correctness::kCorrect) ++passed;
  }
  note_passed(passed, inputs.size(), verdict);
  return verdict;
}

Verdict score_assertions(Sandbox& sandbox, const Json& tests, const std::string& source,
                         const ProgramLimits& limits) {
  const Json part = {{"prompt", "from typing import *"},
                     {"test", tests["functional"]},
                     {"class", true},
                     {"call", false}};
  return verdict_of(sandbox.check("assertions", source, "Solution", dump_json(part), limits));
}

// What LiveCodeBench and LeetCode programs take for given. Statistics, which is slow to import,
// only where a name of it is in sight.
std::string with_usual_imports(const std::string& source) {
  static const re2::RE2 kStatistics(
      R"(\b(statistics|f?mean|geometric_mean|harmonic_mean|median\w*|multimode|mode|p?stdev|p?variance|quantiles|NormalDist)\b)");
  const bool statistics = re2::RE2::PartialMatch(source, kStatistics);
  return std::string(
             "from string import *\nfrom re import *\nfrom datetime import *\n"
             "from collections import *\nfrom heapq import *\nfrom bisect import *\n"
             "from copy import *\nfrom math import *\nfrom random import *\n") +
         (statistics ? "from statistics import *\nimport statistics\n" : "") +
         "from itertools import *\nfrom functools import *\nfrom operator import *\n"
         "from io import *\nfrom sys import *\nfrom json import *\nfrom builtins import *\n"
         "from typing import *\nimport string\nimport re\nimport datetime\nimport collections\n"
         "import heapq\nimport bisect\nimport copy\nimport math\nimport random\n"
         "import itertools\nimport functools\nimport operator\nimport io\nimport sys\n"
         "import json\nsys.setrecursionlimit(50000)\n" +
         source;
}

constexpr const char* kPython = "python py python3";
constexpr const char* kCpp = "cpp c++ cc cxx";

// A program with standard input, ready to run: Python, or a binary.
using RunTest = std::function<ProgramOutcome(const std::string& input, const ProgramLimits&)>;

Verdict score_inputs(const Json& tests, const RunTest& run, const ProgramLimits& limits,
                     bool all_tests) {
  if (!tests.is_array() || tests.empty()) return unscored("it has no tests");
  size_t number = 0, passed = 0;
  std::optional<Verdict> failed;  // at the first test that did
  for (const Json& test : tests) {
    ++number;
    if (!test.is_object() || !test.value("input", Json()).is_string() ||
        !test.value("output", Json()).is_string()) {
      return unscored(fmt::format("test {} is no input and output", number));
    }
    ProgramOutcome outcome = run(test["input"].get<std::string>(), limits);
    if (outcome.status == "ok" && !same_output(outcome.output, test["output"].get<std::string>())) {
      outcome.status = "wrong";
    }
    if (outcome.status == "ok") {
      ++passed;
      continue;
    }
    if (failed) continue;
    outcome.detail = fmt::format("test {} of {}{}{}", number, tests.size(),
                                 outcome.detail.empty() ? "" : ": ", outcome.detail);
    failed = verdict_of(outcome);
    if (!all_tests || !failed->has_answer) return *failed;
  }
  ProgramOutcome ok;
  ok.status = "ok";
  Verdict verdict = failed ? *failed : verdict_of(ok);
  if (all_tests) note_passed(passed, tests.size(), verdict);
  return verdict;
}

// {"inputs": […], "outputs": […]} as a list of {"input", "output"}; such a list as it is.
Json tests_of(const Item& item) {
  const Json tests = json_field(item, "tests");
  if (!tests.is_object() || tests.contains("fn_name")) return tests;
  const Json inputs = tests.value("inputs", Json()), outputs = tests.value("outputs", Json());
  if (!inputs.is_array() || !outputs.is_array() || inputs.size() != outputs.size()) return Json();
  Json list = Json::array();
  for (size_t i = 0; i < inputs.size(); ++i) {
    list.push_back({{"input", inputs[i]}, {"output", outputs[i]}});
  }
  return list;
}

Verdict score_cpp(Sandbox& sandbox, const Item& item, const std::string& source, bool all_tests) {
  ProgramOutcome compiled = sandbox.compile(source);
  if (compiled.status != "ok") {
    if (compiled.status != "unscored") compiled.status = "compile";
    return verdict_of(compiled);
  }
  const ProgramLimits limits{.cpu_s = 10, .wall_s = 22, .memory_bytes = int64_t{4} << 30};
  return score_inputs(
      tests_of(item),
      [&](const std::string& input, const ProgramLimits& given) {
        return sandbox.run_binary(compiled.output, input, given);
      },
      limits, all_tests);
}

Verdict score_tests(Sandbox& sandbox, const Item& item, const std::string& source, bool all_tests) {
  const Json tests = json_field(item, "tests");
  ProgramLimits limits;
  limits.cpu_s = 10;
  limits.wall_s = 22;
  limits.memory_bytes = int64_t{4} << 30;
  if (tests.is_object() && tests.contains("fn_name") && tests.contains("inputs")) {
    return score_calls(sandbox, tests, source, limits, all_tests);
  }
  if (tests.is_object() && tests.contains("functional")) {
    return score_assertions(sandbox, tests, source, limits);
  }
  return score_inputs(
      tests_of(item),
      [&](const std::string& input, const ProgramLimits& given) {
        return sandbox.run(source, input, given);
      },
      limits, all_tests);
}

}  // namespace

bool same_output(std::string_view output, std::string_view expected) {
  const std::vector<std::string_view> a = lines_of(output), b = lines_of(expected);
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i] == b[i]) continue;
    const std::vector<std::string> x = tokens_of(a[i]), y = tokens_of(b[i]);
    if (x.size() != y.size()) return false;
    for (size_t k = 0; k < x.size(); ++k) {
      if (x[k] == y[k]) continue;
      const std::string number = plain_number(x[k]);
      if (number.empty() || number != plain_number(y[k])) return false;
    }
  }
  return true;
}

Status can_run_programs() {
  const auto sandbox = shared_sandbox();
  if (sandbox.ok()) return {};
  return Error{sandbox.error().message +
               "; on a machine that may be lost they can run without: --sandbox none "
               "--i-understand-this-runs-model-code"};
}

std::string CodeScorer::id() const {
  return kind_ == Kind::kHumanEval       ? "humaneval/2"
         : kind_ == Kind::kHumanEvalPlus ? "humaneval_plus/3"
                                         : "code_tests/2";
}

Verdict CodeScorer::score(const Item& item, const Completion& completion) const {
  Verdict verdict = judged(item, completion);
  const Json difficulty = json_field(item, "difficulty");
  if (difficulty.is_number()) verdict.values["difficulty"] = difficulty.get<double>();
  // The report says so.
  if (verdict.has_answer && shared_sandbox_is_bare()) verdict.values["bare"] = 1;
  return verdict;
}

Verdict CodeScorer::judged(const Item& item, const Completion& completion) const {
  Verdict verdict = unanswered(completion);
  if (!verdict.rule.empty()) return verdict;
  const auto sandbox = shared_sandbox();
  if (!sandbox.ok()) return unscored(sandbox.error().message);
  const std::string_view text = *answer_part(completion.text, completion.opens_thought);
  const std::string entry = field(item, "entry_point");
  if (kind_ == Kind::kTests) {
    if (last_block_is(text, std::string(kPython) + " " + kCpp, kCpp)) {
      return score_cpp(**sandbox, item, last_code_block(text, kCpp), all_tests_);
    }
    const std::string source = last_code_block(text, kPython);
    if (trim(source).empty()) {
      verdict.correctness = Correctness::kIncorrect;
      verdict.rule = "no_code";
      verdict.detail = "no block of Python or C++";
      return verdict;
    }
    return score_tests(**sandbox, item, with_usual_imports(source), all_tests_);
  }
  const std::string source = humaneval_program(field(item, "prompt"), entry, text);
  if (kind_ == Kind::kHumanEvalPlus) return score_humaneval_plus(**sandbox, item, source);
  const Json part = {{"prompt", field(item, "prompt")}, {"test", field(item, "test")}};
  return verdict_of(
      (*sandbox)->check("assertions", source, entry, dump_json(part), ProgramLimits()));
}

}  // namespace assay
