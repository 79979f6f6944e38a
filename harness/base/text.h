// Small text helpers. All texts are UTF-8.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace assay {

std::vector<std::string> split(std::string_view text, char separator);
std::string join(const std::vector<std::string>& parts, std::string_view separator);
// Without leading and trailing ASCII white space; a view into `text`.
std::string_view trim(std::string_view text);
std::string replace_all(std::string text, std::string_view from, std::string_view to);
std::string to_lower_ascii(std::string_view text);

// "12,345"
std::string with_commas(uint64_t number);
// "1.2 GiB"
std::string format_bytes(uint64_t size_bytes);
// "1h02m", "3m05s", "12s"
std::string format_duration(double seconds);

// Appends the UTF-8 form of a code point; surrogates and values over U+10FFFF become U+FFFD.
void append_utf8(std::string& out, uint32_t code_point);

// Length of the longest prefix of `text` that does not end inside a UTF-8 sequence which more bytes
// could complete.
size_t complete_utf8_prefix(std::string_view text);

// `text` with every byte that is not part of valid UTF-8 replaced by U+FFFD.
std::string to_valid_utf8(std::string_view text);

// For a line of an error message: control characters escaped, cut after `limit` bytes.
std::string quote_for_message(std::string_view text, size_t limit = 60);

// The word in `candidates` nearest to `word` by edit distance, if near enough to be a typing slip.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace assay
