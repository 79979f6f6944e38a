// Byte-level BPE tokenizers, from GGUF metadata or from a Hugging Face folder.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/model/gguf.h"
#include "engine/tokenizer/pre_tokenizer.h"
#include "harness/base/result.h"

namespace assay {

// Immutable after loading; all methods are thread-safe.
class Tokenizer {
 public:
  static Result<Tokenizer> from_gguf(const GgufFile& file);
  // Reads tokenizer.json, tokenizer_config.json, generation_config.json and chat_template.jinja.
  static Result<Tokenizer> from_folder(const std::string& folder);

  // Token ids of `text`. With parse_special, control tokens written out in the text (<|im_end|>)
  // become those tokens, as prompts made by chat templates need; without it they are plain text.
  std::vector<int32_t> encode(std::string_view text, bool parse_special) const;

  // The text of the tokens, without control tokens. Always valid UTF-8: a character that the last
  // token cuts is left out, other invalid bytes become U+FFFD.
  std::string decode(std::span<const int32_t> ids) const;

  // Appends what the token contributes to the text, which may be part of a character.
  void append_bytes(int32_t id, std::string& bytes) const;

  int size() const { return static_cast<int>(tokens_.size()); }
  bool is_stop_token(int32_t id) const;
  const std::vector<int32_t>& stop_tokens() const { return stop_tokens_; }
  std::optional<int32_t> bos() const { return bos_; }
  std::optional<int32_t> eos() const { return eos_; }
  bool adds_bos() const { return adds_bos_; }
  // The token as it is written ("<|im_start|>"); empty without such a token.
  std::string token_text(std::optional<int32_t> id) const;
  // The model's chat template; empty for a base model.
  const std::string& chat_template() const { return chat_template_; }
  // SHA-256 over tokens, merges and pre-tokenizer.
  const std::string& sha256() const { return sha256_; }

  // The vocabulary as GGUF files write it: tokens spelled with printable characters, their types (1
  // normal, 3 control, 4 user-defined), merges as "left right", the pre-tokenizer's name.
  struct GgufVocabulary {
    std::vector<std::string> tokens, merges;
    std::vector<int32_t> types;
    std::string pre;
  };
  Result<GgufVocabulary> gguf_vocabulary(const std::string& place) const;

 private:
  enum class Kind : uint8_t { kNormal, kControl, kUserDefined };
  struct Token {
    std::string bytes;
    Kind kind = Kind::kNormal;
  };
  struct Merge {
    int32_t rank;
    int32_t result;
  };
  // Merges by pair of ids. Encoding is little else than looking them up, and most pairs are not
  // there: open addressing finds that out in one or two steps.
  class MergeTable {
   public:
    const Merge* find(int32_t left, int32_t right) const {
      if (slots_.empty()) return nullptr;
      const uint64_t key = key_of(left, right);
      for (size_t at = start(key);; at = (at + 1) & (slots_.size() - 1)) {
        if (slots_[at].key == key) return &slots_[at].merge;
        if (slots_[at].key == kFree) return nullptr;
      }
    }
    // Keeps what is there already.
    void insert(int32_t left, int32_t right, Merge merge);
    // (rank, left · 2³² + right), by rank.
    std::vector<std::pair<int32_t, uint64_t>> in_order() const;

   private:
    static constexpr uint64_t kFree = ~uint64_t{0};
    struct Slot {
      uint64_t key = kFree;
      Merge merge{};
    };
    static uint64_t key_of(int32_t left, int32_t right) {
      return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
    }
    size_t start(uint64_t key) const {
      return static_cast<size_t>(key * 0x9E3779B97F4A7C15u >> 40) & (slots_.size() - 1);
    }
    std::vector<Slot> slots_;  // a power of two, at most half of them taken
    size_t count_ = 0;
  };

  static Result<Tokenizer> read_folder(const std::string& folder);
  // Takes tokens as the files spell them (bytes mapped to printable characters).
  Status set_vocabulary(const std::vector<std::string_view>& spelled, std::vector<Kind> kinds,
                        const std::string& place);
  Status add_merge(std::string_view left, std::string_view right, int32_t rank,
                   const std::string& place);
  Status read_added_tokens(const Json& json, std::vector<std::string>& spelled,
                           std::vector<Kind>& kinds, const std::string& path);
  Status read_hf_configs(const std::string& folder);
  void add_stop_token(std::optional<int32_t> id);
  std::optional<int32_t> find(std::string_view bytes) const;
  void finish(const std::string& pre_tokenizer_name);
  void encode_plain(std::string_view text, std::vector<int32_t>& out) const;
  void encode_word(std::string_view word, std::vector<int32_t>& out) const;
  void encode_short_word(std::string_view word, std::vector<int32_t>& out) const;

  PreTokenizer pre_tokenizer_;
  std::vector<Token> tokens_;
  std::unordered_map<std::string_view, int32_t> ids_;  // views into tokens_
  MergeTable merges_;
  int32_t byte_ids_[256] = {};
  std::vector<int32_t> special_ids_;  // control and user-defined tokens, longest first
  bool special_first_bytes_[256] = {};
  bool whole_words_first_ = false;  // "ignore_merges": a word that is a token stays whole
  bool normalizes_to_nfc_ = false;
  std::optional<int32_t> bos_, eos_;
  bool adds_bos_ = false;
  std::vector<int32_t> stop_tokens_;
  std::string chat_template_, sha256_;
};

}  // namespace assay
