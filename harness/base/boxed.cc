#include "harness/base/boxed.h"

#include <re2/re2.h>

#include <utility>
#include <vector>

namespace assay {

std::optional<std::string> last_boxed(std::string_view text) {
  static const re2::RE2 kBox(R"(\\(?:boxed|fbox)\s*(\{))");
  std::vector<size_t> candidates;  // where the opening brace of each box is, ascending
  re2::StringPiece rest(text.data(), text.size()), brace;
  while (re2::RE2::FindAndConsume(&rest, kBox, &brace)) {
    candidates.push_back(static_cast<size_t>(brace.data() - text.data()));
  }
  if (candidates.empty()) return std::nullopt;
  std::vector<size_t> open;
  std::optional<std::pair<size_t, size_t>> best;
  for (size_t i = candidates.front(), next = 0; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;  // \{ and \} do not group
    } else if (text[i] == '{') {
      const bool box = next < candidates.size() && candidates[next] == i;
      if (box) ++next;
      open.push_back(box ? i : std::string_view::npos);
    } else if (text[i] == '}' && !open.empty()) {
      const size_t begin = open.back();
      open.pop_back();
      if (begin == std::string_view::npos || (best && best->first > begin)) continue;
      const std::string_view inside = text.substr(begin + 1, i - begin - 1);
      if (inside.find_first_not_of(" \t\r\n") != std::string_view::npos) best = {begin + 1, i};
    }
    while (next < candidates.size() && candidates[next] <= i) ++next;
  }
  if (!best) return std::nullopt;
  return std::string(text.substr(best->first, best->second - best->first));
}

}  // namespace assay
