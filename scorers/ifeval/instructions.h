// The 25 checks of IFEval (Zhou et al. 2023, arXiv:2311.07911), with the semantics of the official
// checker (google-research/instruction_following_eval).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "harness/base/json.h"
#include "harness/base/result.h"

namespace assay::ifeval {

// One instruction of a prompt: its id and arguments, as the data set gives them.
struct Instruction {
  std::string id;
  Json arguments;  // an object
};

// The instructions of an item; an unknown id or an argument that is missing or of the wrong type is
// an error.
Result<std::vector<Instruction>> read_instructions(const std::string& ids,
                                                   const std::string& kwargs);

// Whether a response follows an instruction that read_instructions() gave. An empty response
// follows none.
bool follows(const Instruction& instruction, std::string_view response);

// Whether one of the eight forms follows it that the official checker takes for "loose": with and
// without the first line, the last line and asterisks.
bool follows_loosely(const Instruction& instruction, std::string_view response);

}  // namespace assay::ifeval
