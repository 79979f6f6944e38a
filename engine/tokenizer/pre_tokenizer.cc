#include "engine/tokenizer/pre_tokenizer.h"

#include <fmt/format.h>
#include <re2/re2.h>

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
constexpr const char* kDeepSeekLetters =
    R"(\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+)";

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
  return Error{fmt::format("{}: tokenizer.ggml.pre {} is not supported", place,
                           quote_for_message(name))};
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
  while (at < piece.size() && step.pattern->Match(subject, at, piece.size(), re2::RE2::UNANCHORED,
                                                  &found, 1)) {
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
