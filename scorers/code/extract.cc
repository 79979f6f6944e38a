#include "scorers/code/extract.h"

#include <re2/re2.h>

#include <vector>

#include "harness/base/text.h"

namespace assay {
namespace {

struct Block {
  std::string language, code;
};

std::vector<Block> code_blocks(std::string_view text) {
  static const re2::RE2 kFence(R"(^\s*(`{3,}|~{3,})\s*([A-Za-z0-9+#_-]*)[^`]*$)");
  std::vector<Block> blocks;
  std::string open;  // the fence of the block that is open
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = text.substr(at, end - at);
    std::string fence, language;
    const bool is_fence =
        re2::RE2::FullMatch(re2::StringPiece(line.data(), line.size()), kFence, &fence, &language);
    if (is_fence && open.empty()) {
      open = fence;
      blocks.push_back({to_lower_ascii(language), ""});
    } else if (is_fence && language.empty() && fence[0] == open[0] && fence.size() >= open.size()) {
      open.clear();
    } else if (!open.empty()) {
      blocks.back().code += std::string(line) + "\n";
    }
    at = end + 1;
  }
  return blocks;
}

bool defines(std::string_view code, std::string_view name) {
  const re2::RE2 pattern(R"((?m)^\s*(?:async\s+)?def\s+)" +
                         re2::RE2::QuoteMeta({name.data(), name.size()}) + R"(\s*\()");
  return re2::RE2::PartialMatch(re2::StringPiece(code.data(), code.size()), pattern);
}

}  // namespace

std::string last_code_block(std::string_view text, std::string_view languages,
                            std::string_view must_hold) {
  std::string last, with;
  const std::vector<std::string> names = split(languages, ' ');
  for (Block& block : code_blocks(text)) {
    const bool known = block.language.empty() ||
                       std::find(names.begin(), names.end(), block.language) != names.end();
    if (!known) continue;
    if (!must_hold.empty() && block.code.find(must_hold) != std::string::npos) with = block.code;
    last = std::move(block.code);
  }
  return with.empty() ? last : with;
}

bool last_block_is(std::string_view text, std::string_view languages, std::string_view wanted) {
  const std::vector<std::string> known = split(languages, ' '), names = split(wanted, ' ');
  bool is = false;
  for (const Block& block : code_blocks(text)) {
    if (std::find(known.begin(), known.end(), block.language) == known.end()) continue;
    is = std::find(names.begin(), names.end(), block.language) != names.end();
  }
  return is;
}

std::string humaneval_program(std::string_view prompt, std::string_view entry_point,
                              std::string_view completion) {
  std::string code =
      last_code_block(completion, "python py python3", "def " + std::string(entry_point));
  if (code.empty()) code = std::string(completion);
  static const re2::RE2 kMain(R"((?m)^if\s+__name__\s*==)");
  re2::StringPiece match;
  if (kMain.Match(code, 0, code.size(), re2::RE2::UNANCHORED, &match, 1)) {
    code.resize(static_cast<size_t>(match.data() - code.data()));
  }
  // What begins with an indented line continues the prompt, whatever it defines later.
  const size_t first = code.find_first_not_of("\r\n");
  const bool continues = first != std::string::npos && (code[first] == ' ' || code[first] == '\t');
  if (continues || !defines(code, entry_point)) return std::string(prompt) + code;
  const size_t at = prompt.find("def " + std::string(entry_point));
  const std::string before(prompt.substr(0, at == std::string_view::npos ? 0 : at));
  return before + "\n" + code;
}

}  // namespace assay
