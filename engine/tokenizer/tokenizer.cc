#include "engine/tokenizer/tokenizer.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <queue>
#include <utility>

#include "harness/base/hash.h"
#include "harness/base/text.h"

namespace assay {
namespace {

constexpr size_t kShortWord = 24;  // bytes

// Unicode's composed form (NFC); the text itself where it is ASCII or not valid UTF-8.
std::string to_nfc(std::string_view text) {
  const bool ascii = std::all_of(text.begin(), text.end(), [](char c) { return c >= 0; });
  utf8proc_uint8_t* composed = nullptr;
  if (!ascii) {
    const auto length =
        utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                     static_cast<utf8proc_ssize_t>(text.size()), &composed,
                     static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
    if (length >= 0) {
      std::string out(reinterpret_cast<const char*>(composed), static_cast<size_t>(length));
      std::free(composed);
      return out;
    }
  }
  return std::string(text);
}

}  // namespace

void Tokenizer::MergeTable::insert(int32_t left, int32_t right, Merge merge) {
  if (2 * (count_ + 1) > slots_.size()) {
    const std::vector<Slot> old =
        std::exchange(slots_, std::vector<Slot>(std::max<size_t>(64, 2 * slots_.size())));
    for (const Slot& slot : old) {
      if (slot.key == kFree) continue;
      size_t at = start(slot.key);
      while (slots_[at].key != kFree) at = (at + 1) & (slots_.size() - 1);
      slots_[at] = slot;
    }
  }
  const uint64_t key = key_of(left, right);
  size_t at = start(key);
  while (slots_[at].key != kFree && slots_[at].key != key) at = (at + 1) & (slots_.size() - 1);
  if (slots_[at].key == key) return;
  slots_[at] = {key, merge};
  ++count_;
}

std::vector<std::pair<int32_t, uint64_t>> Tokenizer::MergeTable::in_order() const {
  std::vector<std::pair<int32_t, uint64_t>> ordered;
  for (const Slot& slot : slots_) {
    if (slot.key != kFree) ordered.emplace_back(slot.merge.rank, slot.key);
  }
  std::sort(ordered.begin(), ordered.end());
  return ordered;
}

std::optional<int32_t> Tokenizer::find(std::string_view bytes) const {
  const auto found = ids_.find(bytes);
  return found == ids_.end() ? std::nullopt : std::optional<int32_t>(found->second);
}

bool Tokenizer::is_stop_token(int32_t id) const {
  return std::find(stop_tokens_.begin(), stop_tokens_.end(), id) != stop_tokens_.end();
}

void Tokenizer::add_stop_token(std::optional<int32_t> id) {
  if (id && *id >= 0 && *id < size() && !is_stop_token(*id)) stop_tokens_.push_back(*id);
}

std::string Tokenizer::token_text(std::optional<int32_t> id) const {
  return id && *id >= 0 && *id < size() ? tokens_[*id].bytes : std::string();
}

// What both kinds of files leave to derive.
void Tokenizer::finish(const std::string& pre_tokenizer_name) {
  add_stop_token(eos_);
  // End-of-turn tokens by their usual names: files often declare only one of them.
  for (const char* name :
       {"<|im_end|>", "<|eot_id|>", "<|endoftext|>", "<|end_of_text|>", "<｜end▁of▁sentence｜>"}) {
    const auto id = find(name);
    if (id && tokens_[*id].kind == Kind::kControl) add_stop_token(id);
  }
  for (int32_t id = 0; id < size(); ++id) {
    if (tokens_[id].kind == Kind::kNormal || tokens_[id].bytes.empty()) continue;
    special_ids_.push_back(id);
    special_first_bytes_[static_cast<uint8_t>(tokens_[id].bytes[0])] = true;
  }
  std::stable_sort(special_ids_.begin(), special_ids_.end(), [this](int32_t a, int32_t b) {
    return tokens_[a].bytes.size() > tokens_[b].bytes.size();
  });
  Sha256 hash;
  hash.update(pre_tokenizer_name);
  for (const Token& token : tokens_) {
    hash.update(token.bytes);
    const char end[] = {'\0', static_cast<char>(token.kind)};
    hash.update({end, 2});
  }
  for (const auto& [rank, pair] : merges_.in_order()) hash.update(std::to_string(pair) + " ");
  sha256_ = hash.hex();
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, bool parse_special) const {
  std::vector<int32_t> out;
  if (!parse_special) {
    encode_plain(text, out);
    return out;
  }
  size_t plain = 0, at = 0;
  while (at < text.size()) {
    int32_t match = -1;
    if (special_first_bytes_[static_cast<uint8_t>(text[at])]) {
      for (const int32_t id : special_ids_) {
        if (text.substr(at).starts_with(tokens_[id].bytes)) {
          match = id;
          break;
        }
      }
    }
    if (match < 0) {
      ++at;
      continue;
    }
    encode_plain(text.substr(plain, at - plain), out);
    out.push_back(match);
    at += tokens_[match].bytes.size();
    plain = at;
  }
  encode_plain(text.substr(plain), out);
  return out;
}

void Tokenizer::encode_plain(std::string_view text, std::vector<int32_t>& out) const {
  std::string composed;
  if (normalizes_to_nfc_) text = composed = to_nfc(text);
  for (const std::string_view word : pre_tokenizer_.split(text)) {
    if (whole_words_first_) {
      if (const auto id = find(word)) {
        out.push_back(*id);
        continue;
      }
    }
    if (word.size() <= kShortWord) {
      encode_short_word(word, out);
    } else {
      encode_word(word, out);
    }
  }
}

// The same for the few bytes that most words have, without a queue; O(n²).
void Tokenizer::encode_short_word(std::string_view word, std::vector<int32_t>& out) const {
  int32_t ids[kShortWord];
  const Merge* pairs[kShortWord];  // of each symbol with the next one
  size_t count = 0;
  for (const char c : word) {
    const int32_t id = byte_ids_[static_cast<uint8_t>(c)];
    if (id >= 0) ids[count++] = id;
  }
  const auto look_up = [&](size_t i) {
    pairs[i] = i + 1 < count ? merges_.find(ids[i], ids[i + 1]) : nullptr;
  };
  for (size_t i = 0; i < count; ++i) look_up(i);
  for (;;) {
    size_t best = count;
    for (size_t i = 0; i + 1 < count; ++i) {
      if (pairs[i] != nullptr && (best == count || pairs[i]->rank < pairs[best]->rank)) best = i;
    }
    if (best == count) break;
    ids[best] = pairs[best]->result;
    std::copy(ids + best + 2, ids + count, ids + best + 1);
    std::copy(pairs + best + 2, pairs + count, pairs + best + 1);
    --count;
    look_up(best);
    if (best > 0) look_up(best - 1);
  }
  out.insert(out.end(), ids, ids + count);
}

// Joins the pair of lowest rank, leftmost first, until no pair is left; O(n log n).
void Tokenizer::encode_word(std::string_view word, std::vector<int32_t>& out) const {
  struct Symbol {
    int32_t id, previous, next;
  };
  struct Candidate {
    int32_t rank, left, left_id, right_id, result;
    bool operator<(const Candidate& other) const {  // for a queue with the lowest rank on top
      return rank != other.rank ? rank > other.rank : left > other.left;
    }
  };
  std::vector<Symbol> symbols;
  for (const char c : word) {
    const int32_t id = byte_ids_[static_cast<uint8_t>(c)];
    if (id < 0) continue;  // a byte that the vocabulary cannot express
    const int32_t at = static_cast<int32_t>(symbols.size());
    symbols.push_back({id, at - 1, at + 1});
  }
  if (symbols.empty()) return;
  symbols.back().next = -1;
  std::priority_queue<Candidate> queue;
  const auto offer = [&](int32_t left) {
    if (left < 0 || symbols[left].next < 0) return;
    const int32_t left_id = symbols[left].id, right_id = symbols[symbols[left].next].id;
    const Merge* found = merges_.find(left_id, right_id);
    if (found != nullptr) queue.push({found->rank, left, left_id, right_id, found->result});
  };
  for (int32_t i = 0; i < static_cast<int32_t>(symbols.size()); ++i) offer(i);
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Symbol& left = symbols[best.left];
    if (left.id != best.left_id || left.next < 0 || symbols[left.next].id != best.right_id) {
      continue;  // one of the two has been joined to something else since
    }
    Symbol& right = symbols[left.next];
    left.id = best.result;
    left.next = right.next;
    if (right.next >= 0) symbols[right.next].previous = best.left;
    right.id = -1;
    offer(left.previous);
    offer(best.left);
  }
  for (int32_t i = 0; i >= 0; i = symbols[i].next) out.push_back(symbols[i].id);
}

void Tokenizer::append_bytes(int32_t id, std::string& bytes) const {
  if (id < 0 || id >= size()) return;
  const Token& token = tokens_[id];
  // The marks of a thought are part of the text even where a file calls them control tokens.
  const bool thought = token.bytes == "<think>" || token.bytes == "</think>";
  if (token.kind != Kind::kControl || thought) bytes += token.bytes;
}

std::string Tokenizer::decode(std::span<const int32_t> ids) const {
  std::string bytes;
  for (const int32_t id : ids) append_bytes(id, bytes);
  bytes.resize(complete_utf8_prefix(bytes));
  return to_valid_utf8(bytes);
}

}  // namespace assay
