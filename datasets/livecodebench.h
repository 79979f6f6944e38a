// The tests of LiveCodeBench's records, in the official format.
#pragma once

#include <string>
#include <string_view>

#include "harness/base/json.h"
#include "harness/base/result.h"

namespace assay {

// "public_test_cases" and "private_test_cases" of a record, the latter JSON or base64 of zlib of a
// pickled text, as the JSON that scorers/code reads: a list of {"input", "output"} for programs
// with standard input, {"fn_name", "inputs", "outputs"} for functions ("func_name" in "metadata").
Result<std::string> livecodebench_tests(const Json& record, const std::string& place);

// The end of LiveCodeBench's prompt: how the program is to be given, with the starter code if there
// is one (LiveCodeBench, lcb_runner/prompts/code_generation.py).
std::string livecodebench_format(const std::string& starter_code);

// The text in a pickle that holds nothing but one text: protocol, frame, BINUNICODE (short, plain
// or long), memo, stop. Any other opcode is an error, so nothing is ever unpickled.
Result<std::string> pickled_text(std::string_view pickle, const std::string& place);

}  // namespace assay
