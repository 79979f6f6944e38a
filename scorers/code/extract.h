// The program in what a model wrote.
#pragma once

#include <string>
#include <string_view>

namespace assay {

// The last fenced block (``` or ~~~, of one of the languages, separated by spaces, or of none) that
// holds `must_hold`; else the last block; else nothing. An unclosed last block counts.
std::string last_code_block(std::string_view text, std::string_view languages,
                            std::string_view must_hold = {});

// Whether the last block of one of these languages is of one of the latter.
bool last_block_is(std::string_view text, std::string_view languages, std::string_view wanted);

// A HumanEval program from a completion, as EvalPlus reads it: the last block that defines the
// entry point behind what stands before the entry point in the prompt (imports, helpers), with a
// trailing `if __name__ == "__main__":` cut; a text without such a definition continues the prompt.
std::string humaneval_program(std::string_view prompt, std::string_view entry_point,
                              std::string_view completion);

}  // namespace assay
