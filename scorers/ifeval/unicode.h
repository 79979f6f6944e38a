// Text as IFEval's official checker sees it, that is as Python does: code points, white space,
// letter case.
#pragma once

#include <string>
#include <string_view>

namespace assay::ifeval {

// Invalid bytes become U+FFFD.
std::u32string code_points(std::string_view text);

bool is_space(char32_t c);  // Python's str.isspace
bool is_word(char32_t c);   // \w: letters, numbers, underscore
bool is_upper(char32_t c);  // upper-case and title-case letters are apart, as in Python
bool is_lower(char32_t c);

// Python's str.isupper and str.islower: a cased letter is there, and none of the other case.
bool all_upper(std::u32string_view text);
bool all_lower(std::u32string_view text);

// Without white space at both ends; a view into `text`.
std::string_view strip(std::string_view text);
std::string lower(std::string_view text);

// How many runs of word characters there are.
int count_words(std::string_view text);

}  // namespace assay::ifeval
