// Splits text into the words that byte-pair encoding works on.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/json.h"
#include "harness/base/result.h"

namespace re2 {
class RE2;
}

namespace assay {

class PreTokenizer {
 public:
  PreTokenizer();
  PreTokenizer(PreTokenizer&&) noexcept;
  PreTokenizer& operator=(PreTokenizer&&) noexcept;
  ~PreTokenizer();

  // By the name in a GGUF file's tokenizer.ggml.pre.
  static Result<PreTokenizer> from_gguf_name(const std::string& name, const std::string& place);
  // From the pre_tokenizer object of a tokenizer.json.
  static Result<PreTokenizer> from_json(const Json& json, const std::string& place);

  // The name that a GGUF file has for the same patterns; an error if there is none.
  Result<std::string> gguf_name(const std::string& place) const;

  // Views into `text`, in order, together all of it. Thread-safe.
  std::vector<std::string_view> split(std::string_view text) const;

 private:
  // One pass over the pieces so far: every match becomes a piece, and what lies between matches.
  struct Step {
    std::unique_ptr<re2::RE2> pattern;
    // The pattern had `\s+(?!\S)`, which RE2 cannot say: white space before a word leaves its last
    // character to the word.
    bool leave_last_space = false;
    bool newlines_apart =
        false;  // …unless the pattern takes line ends in an alternative of its own
  };

  Status add_pattern(const std::string& pattern, const std::string& place);
  static void split_piece(const Step& step, std::string_view piece,
                          std::vector<std::string_view>& out);

  std::vector<Step> steps_;
};

}  // namespace assay
