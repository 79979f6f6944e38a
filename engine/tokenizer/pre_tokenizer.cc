#include "engine/tokenizer/pre_tokenizer.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>

#include "harness/base/text.h"

namespace assay {
namespace {

// The patterns are facts of the tokenizers' own tokenizer.json files and of llama.cpp's table of
// tokenizer.ggml.pre names.
constexpr const char* kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr const char* kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
// Letters with case, as DeepSeek-LLM's own pattern lists them.
constexpr const char* kDeepSeekLetters =
    R"(\s?[)"
    R"(\x{41}-\x{5a}\x{61}-\x{7a}\x{b5}\x{c0}-\x{d6}\x{d8}-\x{f6}\x{f8}-\x{1ba})"
    R"(\x{1bc}-\x{1bf}\x{1c4}-\x{293}\x{295}-\x{2af}\x{370}-\x{373}\x{376}\x{377})"
    R"(\x{37b}-\x{37d}\x{37f}\x{386}\x{388}-\x{38a}\x{38c}\x{38e}-\x{3a1}\x{3a3}-\x{3f5})"
    R"(\x{3f7}-\x{481}\x{48a}-\x{52f}\x{531}-\x{556}\x{10a0}-\x{10c5}\x{13a0}-\x{13f5})"
    R"(\x{13f8}-\x{13fd}\x{1c90}-\x{1cba}\x{1cbd}-\x{1cbf}\x{1d00}-\x{1d2b})"
    R"(\x{1d6b}-\x{1d77}\x{1d79}-\x{1d9a}\x{1e00}-\x{1f15}\x{1f18}-\x{1f1d})"
    R"(\x{1f20}-\x{1f45}\x{1f48}-\x{1f4d}\x{1f50}-\x{1f57}\x{1f59}\x{1f5b}\x{1f5d})"
    R"(\x{1f5f}-\x{1f7d}\x{1f80}-\x{1fb4}\x{1fb6}-\x{1fbc}\x{1fbe}\x{1fc2}-\x{1fc4})"
    R"(\x{1fc6}-\x{1fcc}\x{1fd0}-\x{1fd3}\x{1fd6}-\x{1fdb}\x{1fe0}-\x{1fec})"
    R"(\x{1ff2}-\x{1ff4}\x{1ff6}-\x{1ffc}\x{2102}\x{2107}\x{210a}-\x{2113}\x{2115})"
    R"(\x{2119}-\x{211d}\x{2124}\x{2126}\x{2128}\x{212a}-\x{212d}\x{212f}-\x{2134}\x{2139})"
    R"(\x{213c}-\x{213f}\x{2145}-\x{2149}\x{214e}\x{2183}\x{2184}\x{2c00}-\x{2c7b})"
    R"(\x{2c7e}-\x{2ce4}\x{2ceb}-\x{2cee}\x{2cf2}\x{2cf3}\x{a640}-\x{a66d}\x{a680}-\x{a69b})"
    R"(\x{a722}-\x{a76f}\x{a771}-\x{a787}\x{a78b}-\x{a78e}\x{ab70}-\x{abbf})"
    R"(\x{fb00}-\x{fb06}\x{fb13}-\x{fb17}\x{ff21}-\x{ff3a}\x{ff41}-\x{ff5a})"
    R"(\x{10400}-\x{1044f}\x{104b0}-\x{104d3}\x{104d8}-\x{104fb}\x{10c80}-\x{10cb2})"
    R"(\x{10cc0}-\x{10cf2}\x{118a0}-\x{118df}\x{1e900}-\x{1e943})"
    R"(]+)";

struct NamedPatterns {
  const char* name;
  std::vector<const char*> patterns;
};

const std::vector<NamedPatterns>& gguf_table() {
  static const std::vector<NamedPatterns> kTable = {
      {"default", {kGpt2}},
      {"gpt-2", {kGpt2}},
      {"llama-bpe", {kLlama3}},
      {"llama3", {kLlama3}},
      {"llama-v3", {kLlama3}},
      {"qwen2", {kQwen2}},
      {"deepseek-r1-qwen", {kQwen2}},
      {"smollm", {R"(\p{N})", kGpt2}},
      {"deepseek-llm",
       {R"([\r\n])", kDeepSeekLetters, R"(\s?[!-/:-~！-／：-～‘-‟　-。]+)", R"(\s+$)",
        R"([一-龥ࠀ-一가-퟿]+)", R"(\p{N}+)"}},
      {"deepseek-coder",
       {R"([\r\n])", R"(\s?\p{L}+)", R"(\s?\p{P}+)", R"([一-龥ࠀ-一가-퟿]+)", R"(\p{N})"}},
  };
  return kTable;
}

// White space as Unicode's White_Space property has it; RE2's \s is ASCII only.
constexpr const char* kSpaces =
    R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";

// Oniguruma's spelling of a pattern in RE2's: \s and \S become explicit classes.
std::string to_re2(std::string_view pattern) {
  std::string out;
  bool in_class = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\' && i + 1 < pattern.size()) {
      const char next = pattern[++i];
      if (next == 's') {
        out += in_class ? kSpaces : fmt::format("[{}]", kSpaces);
      } else if (next == 'S' && !in_class) {
        out += fmt::format("[^{}]", kSpaces);
      } else {
        out += {c, next};
      }
      continue;
    }
    if (c == '[' && in_class) out += '\\';  // a literal there for both
    if (c == '[') in_class = true;
    if (c == ']') in_class = false;
    out += c;
  }
  return out;
}

bool is_space(std::string_view character) {
  static const re2::RE2 kSpace(fmt::format("[{}]", kSpaces));
  return re2::RE2::FullMatch(re2::StringPiece(character.data(), character.size()), kSpace);
}

size_t last_character(std::string_view text) {
  size_t at = text.size() - 1;
  while (at > 0 && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80) --at;
  return at;
}

bool all_space(std::string_view text) {
  while (!text.empty()) {
    const size_t last = last_character(text);
    if (!is_space(text.substr(last))) return false;
    text = text.substr(0, last);
  }
  return true;
}

}  // namespace

PreTokenizer::PreTokenizer() = default;
PreTokenizer::PreTokenizer(PreTokenizer&&) noexcept = default;
PreTokenizer& PreTokenizer::operator=(PreTokenizer&&) noexcept = default;
PreTokenizer::~PreTokenizer() = default;

Status PreTokenizer::add_pattern(const std::string& pattern, const std::string& place) {
  constexpr std::string_view kLookahead = R"(\s+(?!\S)|)";
  Step step;
  std::string rest = pattern;
  if (const size_t at = rest.find(kLookahead); at != std::string::npos) {
    step.leave_last_space = true;
    step.newlines_apart = rest.find(R"(\s*[\r\n])") != std::string::npos;
    rest.erase(at, kLookahead.size());
  }
  re2::RE2::Options options;
  options.set_log_errors(false);
  step.pattern = std::make_unique<re2::RE2>(to_re2(rest), options);
  if (!step.pattern->ok()) {
    return Error{fmt::format("{}: the pre-tokenizer's pattern {} is not supported: {}", place,
                             quote_for_message(pattern), step.pattern->error())};
  }
  steps_.push_back(std::move(step));
  return {};
}

Result<PreTokenizer> PreTokenizer::from_gguf_name(const std::string& name,
                                                  const std::string& place) {
  for (const NamedPatterns& entry : gguf_table()) {
    if (name != entry.name) continue;
    PreTokenizer result;
    for (const char* pattern : entry.patterns) {
      ASSAY_TRY_STATUS(result.add_pattern(pattern, place));
    }
    return result;
  }
  return Error{
      fmt::format("{}: tokenizer.ggml.pre {} is not supported", place, quote_for_message(name))};
}

Result<std::string> PreTokenizer::gguf_name(const std::string& place) const {
  for (const NamedPatterns& entry : gguf_table()) {
    ASSAY_TRY(const PreTokenizer known, from_gguf_name(entry.name, place));
    const bool same = std::equal(steps_.begin(), steps_.end(), known.steps_.begin(),
                                 known.steps_.end(), [](const Step& a, const Step& b) {
                                   return a.pattern->pattern() == b.pattern->pattern() &&
                                          a.leave_last_space == b.leave_last_space &&
                                          a.newlines_apart == b.newlines_apart;
                                 });
    if (same) return std::string(entry.name);
  }
  return Error{place + ": GGUF files have no name for this tokenizer's pre-tokenizer"};
}

Result<PreTokenizer> PreTokenizer::from_json(const Json& json, const std::string& place) {
  PreTokenizer result;
  if (json.is_null()) return result;
  const auto unsupported = [&](const std::string& what) {
    return Error{fmt::format("{}: pre_tokenizer: {} is not supported", place, what)};
  };
  if (!json.is_object()) return unsupported("a value that is not an object");
  const std::string type = json.value("type", "");
  if (type == "Sequence") {
    const auto parts = json.find("pretokenizers");
    if (parts == json.end() || !parts->is_array()) return unsupported("an empty Sequence");
    for (const Json& part : *parts) {
      if (part.is_object() && part.value("type", "") == "Sequence") {
        return unsupported("a Sequence inside a Sequence");
      }
      ASSAY_TRY(PreTokenizer inner, from_json(part, place));
      for (Step& step : inner.steps_) result.steps_.push_back(std::move(step));
    }
    return result;
  }
  if (type == "Digits") {
    const bool each = json.value("individual_digits", false);
    ASSAY_TRY_STATUS(result.add_pattern(each ? R"(\p{N})" : R"(\p{N}+)", place));
    return result;
  }
  if (type == "ByteLevel") {
    if (json.value("add_prefix_space", true)) return unsupported("add_prefix_space");
    if (json.value("use_regex", true)) {
      ASSAY_TRY_STATUS(result.add_pattern(kGpt2, place));
    }
    return result;
  }
  if (type == "Split") {
    if (json.value("behavior", "") != "Isolated" || json.value("invert", false)) {
      return unsupported("Split with another behavior than Isolated");
    }
    const auto pattern = json.find("pattern");
    if (pattern == json.end() || !pattern->is_object()) return unsupported("Split without pattern");
    std::string text;
    if (pattern->contains("Regex") && (*pattern)["Regex"].is_string()) {
      text = (*pattern)["Regex"].get<std::string>();
    } else if (pattern->contains("String") && (*pattern)["String"].is_string()) {
      text = re2::RE2::QuoteMeta((*pattern)["String"].get<std::string>());
    } else {
      return unsupported("Split without Regex or String");
    }
    ASSAY_TRY_STATUS(result.add_pattern(text, place));
    return result;
  }
  return unsupported(quote_for_message(type));
}

void PreTokenizer::split_piece(const Step& step, std::string_view piece,
                               std::vector<std::string_view>& out) {
  size_t at = 0, gap = 0;  // [gap, at) belongs to no match yet
  const auto flush = [&](size_t end) {
    if (end > gap) out.push_back(piece.substr(gap, end - gap));
  };
  const re2::StringPiece subject(piece.data(), piece.size());
  re2::StringPiece found;
  while (at < piece.size() &&
         step.pattern->Match(subject, at, piece.size(), re2::RE2::UNANCHORED, &found, 1)) {
    const size_t begin = static_cast<size_t>(found.data() - piece.data());
    size_t end = begin + found.size();
    if (found.empty()) {
      at = begin + 1;
      continue;
    }
    const std::string_view match = piece.substr(begin, end - begin);
    const bool newline = match.back() == '\n' || match.back() == '\r';
    if (step.leave_last_space && end < piece.size() && !(step.newlines_apart && newline) &&
        last_character(match) > 0 && all_space(match)) {
      end = begin + last_character(match);
    }
    flush(begin);
    out.push_back(piece.substr(begin, end - begin));
    at = gap = end;
  }
  flush(piece.size());
}

std::vector<std::string_view> PreTokenizer::split(std::string_view text) const {
  std::vector<std::string_view> pieces;
  if (!text.empty()) pieces.push_back(text);
  for (const Step& step : steps_) {
    std::vector<std::string_view> next;
    for (const std::string_view piece : pieces) split_piece(step, piece, next);
    pieces = std::move(next);
  }
  return pieces;
}

}  // namespace assay
