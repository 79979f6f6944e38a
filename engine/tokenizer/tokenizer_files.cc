// Loading of tokenizers from files.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "engine/tokenizer/tokenizer.h"
#include "harness/base/file.h"
#include "harness/base/json.h"
#include "harness/base/text.h"

namespace assay {
namespace {

constexpr int kMaxVocabulary = 4'000'000;

// GPT-2's map of bytes to printable characters: the printable bytes stand for themselves, the
// others for U+0100 and up, in order.
const std::array<uint32_t, 256>& byte_characters() {
  static const std::array<uint32_t, 256> kMap = [] {
    std::array<uint32_t, 256> map{};
    uint32_t next = 256;
    for (uint32_t b = 0; b < 256; ++b) {
      const bool printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
      map[b] = printable ? b : next++;
    }
    return map;
  }();
  return kMap;
}

// The bytes that a spelled token stands for; the spelling itself if a character is outside the map.
std::string spelled_to_bytes(std::string_view spelled) {
  static const std::unordered_map<std::string, char> kBytes = [] {
    std::unordered_map<std::string, char> map;
    for (int b = 0; b < 256; ++b) {
      std::string character;
      append_utf8(character, byte_characters()[b]);
      map[character] = static_cast<char>(b);
    }
    return map;
  }();
  std::string bytes;
  for (size_t at = 0; at < spelled.size();) {
    size_t length = 1;
    while (at + length < spelled.size() &&
           (static_cast<uint8_t>(spelled[at + length]) & 0xC0) == 0x80) {
      ++length;
    }
    const auto found = kBytes.find(std::string(spelled.substr(at, length)));
    if (found == kBytes.end()) return std::string(spelled);
    bytes.push_back(found->second);
    at += length;
  }
  return bytes;
}

std::string bytes_to_spelled(std::string_view bytes) {
  std::string spelled;
  for (const char byte : bytes) append_utf8(spelled, byte_characters()[static_cast<uint8_t>(byte)]);
  return spelled;
}

}  // namespace

Result<Tokenizer::GgufVocabulary> Tokenizer::gguf_vocabulary(const std::string& place) const {
  GgufVocabulary vocabulary;
  ASSAY_TRY(vocabulary.pre, pre_tokenizer_.gguf_name(place));
  // The name also says whether words that are tokens stay whole.
  if (whole_words_first_ && vocabulary.pre != "llama-bpe") {
    return Error{place + ": GGUF files have no name for this pre-tokenizer with ignore_merges"};
  }
  for (const Token& token : tokens_) {
    const bool normal = token.kind == Kind::kNormal;
    vocabulary.tokens.push_back(normal ? bytes_to_spelled(token.bytes) : token.bytes);
    vocabulary.types.push_back(normal ? 1 : token.kind == Kind::kControl ? 3 : 4);
  }
  for (const auto& [rank, pair] : merges_.in_order()) {
    vocabulary.merges.push_back(vocabulary.tokens[static_cast<size_t>(pair >> 32)] + " " +
                                vocabulary.tokens[static_cast<uint32_t>(pair)]);
  }
  return vocabulary;
}

Status Tokenizer::set_vocabulary(const std::vector<std::string_view>& spelled,
                                 std::vector<Kind> kinds, const std::string& place) {
  if (spelled.empty()) return Error{place + ": the vocabulary is empty"};
  tokens_.resize(spelled.size());
  for (size_t id = 0; id < spelled.size(); ++id) {
    tokens_[id].kind = kinds[id];
    tokens_[id].bytes =
        kinds[id] == Kind::kNormal ? spelled_to_bytes(spelled[id]) : std::string(spelled[id]);
  }
  for (int32_t id = 0; id < size(); ++id) ids_.emplace(tokens_[id].bytes, id);
  for (int b = 0; b < 256; ++b) {
    const char byte = static_cast<char>(b);
    byte_ids_[b] = find({&byte, 1}).value_or(-1);
  }
  if (byte_ids_[static_cast<uint8_t>('a')] < 0 || byte_ids_[static_cast<uint8_t>(' ')] < 0) {
    return Error{place +
                 ": not a byte-level vocabulary (the bytes of \"a\" and \" \" have no "
                 "token); byte-level BPE tokenizers are supported"};
  }
  return {};
}

Status Tokenizer::add_merge(std::string_view left, std::string_view right, int32_t rank,
                            const std::string& place) {
  const std::string left_bytes = spelled_to_bytes(left), right_bytes = spelled_to_bytes(right);
  const auto left_id = find(left_bytes), right_id = find(right_bytes);
  const auto result = find(left_bytes + right_bytes);
  if (!left_id || !right_id || !result) {
    return Error{
        fmt::format("{}: merge {} joins {} and {}, which (or whose union) have no token; "
                    "the tokenizer is damaged",
                    place, rank, quote_for_message(left), quote_for_message(right))};
  }
  merges_.insert(*left_id, *right_id, {rank, *result});
  return {};
}

Result<Tokenizer> Tokenizer::from_gguf(const GgufFile& file) {
  Tokenizer tokenizer;
  ASSAY_TRY(const std::string model, file.text("tokenizer.ggml.model"));
  if (model != "gpt2") {
    return Error{
        fmt::format("{}: tokenizer.ggml.model {} is not supported; gpt2 (byte-level BPE) "
                    "is",
                    file.path(), quote_for_message(model))};
  }
  const std::string pre = file.has("tokenizer.ggml.pre") ? file.text("tokenizer.ggml.pre").ok()
                                                               ? *file.text("tokenizer.ggml.pre")
                                                               : std::string("?")
                                                         : std::string("default");
  ASSAY_TRY(tokenizer.pre_tokenizer_, PreTokenizer::from_gguf_name(pre, file.path()));
  // llama.cpp keeps words whole for Llama 3's vocabulary, whose merges cannot build all its tokens.
  tokenizer.whole_words_first_ = pre == "llama-bpe" || pre == "llama3" || pre == "llama-v3";
  ASSAY_TRY(const GgufArray tokens, file.array("tokenizer.ggml.tokens"));
  const std::vector<std::string_view> spelled = tokens.strings();
  std::vector<Kind> kinds(spelled.size(), Kind::kNormal);
  if (file.has("tokenizer.ggml.token_type")) {
    ASSAY_TRY(const GgufArray types, file.array("tokenizer.ggml.token_type"));
    const std::vector<int32_t> codes = types.integers();
    if (codes.size() != kinds.size()) {
      return Error{fmt::format("{}: tokenizer has {} tokens but {} token types", file.path(),
                               kinds.size(), codes.size())};
    }
    for (size_t i = 0; i < codes.size(); ++i) {
      if (codes[i] == 3) kinds[i] = Kind::kControl;
      if (codes[i] == 4) kinds[i] = Kind::kUserDefined;
    }
  }
  ASSAY_TRY_STATUS(tokenizer.set_vocabulary(spelled, std::move(kinds), file.path()));
  ASSAY_TRY(const GgufArray merges, file.array("tokenizer.ggml.merges"));
  int32_t rank = 0;
  for (const std::string_view merge : merges.strings()) {
    const size_t space = merge.find(' ', 1);
    if (space == std::string_view::npos) {
      return Error{fmt::format("{}: merge {} ({}) is not a pair", file.path(), rank,
                               quote_for_message(merge))};
    }
    ASSAY_TRY_STATUS(
        tokenizer.add_merge(merge.substr(0, space), merge.substr(space + 1), rank++, file.path()));
  }
  const auto id_of = [&](const char* key) -> std::optional<int32_t> {
    const auto id = file.integer(key);
    if (!id.ok() || *id < 0 || *id >= tokenizer.size()) return std::nullopt;
    return static_cast<int32_t>(*id);
  };
  tokenizer.bos_ = id_of("tokenizer.ggml.bos_token_id");
  tokenizer.eos_ = id_of("tokenizer.ggml.eos_token_id");
  tokenizer.add_stop_token(tokenizer.eos_);
  tokenizer.add_stop_token(id_of("tokenizer.ggml.eot_token_id"));
  tokenizer.add_stop_token(id_of("tokenizer.ggml.eom_token_id"));
  tokenizer.adds_bos_ = file.boolean("tokenizer.ggml.add_bos_token").value_or(false);
  if (file.has("tokenizer.chat_template")) {
    ASSAY_TRY(tokenizer.chat_template_, file.text("tokenizer.chat_template"));
  }
  tokenizer.finish(pre);
  return tokenizer;
}

// Added tokens may lie beyond the model's vocabulary or rename entries of it.
Status Tokenizer::read_added_tokens(const Json& json, std::vector<std::string>& spelled,
                                    std::vector<Kind>& kinds, const std::string& path) {
  if (!json.is_array()) return {};
  for (size_t i = 0; i < json.size(); ++i) {
    const Json& entry = json[i];
    const std::string place = fmt::format("{}: added_tokens[{}]", path, i);
    JsonReader reader(entry, place);
    ASSAY_TRY_STATUS(reader.must_be_object());
    ASSAY_TRY(const int64_t id, reader.integer("id"));
    ASSAY_TRY(const std::string content, reader.text("content"));
    ASSAY_TRY(const bool special, reader.boolean_or("special", false));
    if (id < 0 || id >= kMaxVocabulary) return Error{place + ": its id is out of range"};
    if (static_cast<size_t>(id) >= spelled.size()) {
      spelled.resize(id + 1);
      kinds.resize(id + 1, Kind::kNormal);
    }
    spelled[id] = content;
    kinds[id] = special ? Kind::kControl : Kind::kUserDefined;
  }
  return {};
}

Result<Tokenizer> Tokenizer::from_folder(const std::string& folder) {
  try {
    return read_folder(folder);
  } catch (const Json::exception& error) {
    return Error{
        fmt::format("{}/tokenizer.json: a value has the wrong type ({}); the file is damaged",
                    folder, to_valid_utf8(error.what()))};
  }
}

Result<Tokenizer> Tokenizer::read_folder(const std::string& folder) {
  Tokenizer tokenizer;
  const std::string path = folder + "/tokenizer.json";
  ASSAY_TRY(const Json json, read_json_file(path));
  if (!json.is_object() || !json.contains("model") || !json["model"].is_object()) {
    return Error{path + ": key \"model\" must be an object"};
  }
  const Json& model = json["model"];
  if (model.value("type", "BPE") != "BPE" || !model.contains("vocab") ||
      !model["vocab"].is_object()) {
    return Error{path +
                 ": model: a BPE vocabulary is expected; other tokenizers are not supported"};
  }
  if (json.contains("normalizer") && !json["normalizer"].is_null()) {
    if (!json["normalizer"].is_object() || json["normalizer"].value("type", "") != "NFC") {
      return Error{path + ": normalizer: only NFC is supported"};
    }
    tokenizer.normalizes_to_nfc_ = true;
  }
  const Json pre_tokenizer = json.value("pre_tokenizer", Json());
  ASSAY_TRY(tokenizer.pre_tokenizer_, PreTokenizer::from_json(pre_tokenizer, path));
  tokenizer.whole_words_first_ = model.value("ignore_merges", false);
  std::vector<std::string> spelled(model["vocab"].size());
  std::vector<bool> seen(spelled.size(), false);
  for (const auto& [token, id] : model["vocab"].items()) {
    if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() >= kMaxVocabulary) {
      return Error{fmt::format("{}: model.vocab: the id of {} is not a token id", path,
                               quote_for_message(token))};
    }
    const auto at = static_cast<size_t>(id.get<int64_t>());
    if (at >= spelled.size()) {
      spelled.resize(at + 1);
      seen.resize(at + 1, false);
    }
    if (seen[at]) return Error{fmt::format("{}: model.vocab: id {} stands twice", path, at)};
    seen[at] = true;
    spelled[at] = token;
  }
  std::vector<Kind> kinds(spelled.size(), Kind::kNormal);
  ASSAY_TRY_STATUS(
      tokenizer.read_added_tokens(json.value("added_tokens", Json()), spelled, kinds, path));
  seen.resize(spelled.size(), false);
  for (size_t id = 0; id < spelled.size(); ++id) {
    if (!seen[id] && kinds[id] == Kind::kNormal) {
      return Error{
          fmt::format("{}: the vocabulary has a gap: no token has id {}; the file is "
                      "damaged",
                      path, id)};
    }
  }
  std::vector<std::string_view> views(spelled.begin(), spelled.end());
  ASSAY_TRY_STATUS(tokenizer.set_vocabulary(views, std::move(kinds), path));
  const Json merges = model.value("merges", Json::array());
  if (!merges.is_array()) return Error{path + ": model.merges must be a list"};
  for (size_t i = 0; i < merges.size(); ++i) {
    const Json& merge = merges[i];
    const int32_t rank = static_cast<int32_t>(i);
    if (merge.is_string()) {
      const std::string& text = merge.get_ref<const std::string&>();
      const size_t space = text.find(' ', 1);
      if (space != std::string::npos) {
        const std::string_view view = text;
        ASSAY_TRY_STATUS(
            tokenizer.add_merge(view.substr(0, space), view.substr(space + 1), rank, path));
        continue;
      }
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
               merge[1].is_string()) {
      ASSAY_TRY_STATUS(tokenizer.add_merge(merge[0].get_ref<const std::string&>(),
                                           merge[1].get_ref<const std::string&>(), rank, path));
      continue;
    }
    return Error{fmt::format("{}: model.merges[{}] is not a pair", path, i)};
  }
  ASSAY_TRY_STATUS(tokenizer.read_hf_configs(folder));
  tokenizer.finish(dump_json(pre_tokenizer));
  return tokenizer;
}

Status Tokenizer::read_hf_configs(const std::string& folder) {
  const std::string config_path = folder + "/tokenizer_config.json";
  if (file_exists(config_path)) {
    ASSAY_TRY(const Json config, read_json_file(config_path));
    // A special token is a string or an object with "content".
    const auto token = [&](const char* key) -> std::optional<int32_t> {
      if (!config.is_object() || !config.contains(key)) return std::nullopt;
      const Json& value = config[key];
      if (value.is_string()) return find(value.get_ref<const std::string&>());
      if (value.is_object() && value.contains("content") && value["content"].is_string()) {
        return find(value["content"].get_ref<const std::string&>());
      }
      return std::nullopt;
    };
    bos_ = token("bos_token");
    eos_ = token("eos_token");
    if (config.is_object()) {
      adds_bos_ = config.contains("add_bos_token") && config["add_bos_token"] == Json(true);
      if (config.contains("chat_template") && config["chat_template"].is_string()) {
        chat_template_ = config["chat_template"].get<std::string>();
      }
    }
  }
  if (file_exists(folder + "/chat_template.jinja")) {
    ASSAY_TRY(chat_template_, read_file(folder + "/chat_template.jinja"));
  }
  add_stop_token(eos_);
  for (const char* name : {"/generation_config.json", "/config.json"}) {
    if (!file_exists(folder + name)) continue;
    ASSAY_TRY(const Json config, read_json_file(folder + name));
    if (!config.is_object() || !config.contains("eos_token_id")) continue;
    const Json& ids = config["eos_token_id"];
    const auto add = [this](const Json& id) {
      if (id.is_number_integer() && id.get<int64_t>() < size()) {
        add_stop_token(static_cast<int32_t>(id.get<int64_t>()));
      }
    };
    if (ids.is_array()) {
      for (const Json& id : ids) add(id);
    } else {
      add(ids);
    }
  }
  return {};
}

}  // namespace assay
