#include "harness/audit.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "harness/base/boxed.h"
#include "harness/base/text.h"
#include "harness/judging.h"
#include "scorers/answer.h"
#include "scorers/math/equal.h"

namespace assay {
namespace {

constexpr size_t kTailBytes = 300;

std::string tail_of(const std::string& text) {
  if (text.size() <= kTailBytes) return text;
  return to_valid_utf8(text.substr(text.size() - kTailBytes));
}

bool is_part_of_word(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// Whether `word` stands in `text` and is not part of a longer word or number.
bool stands_in(const std::string& text, const std::string& word) {
  if (word.empty()) return false;
  for (size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) {
    const size_t end = at + word.size();
    const bool begins = at == 0 || !is_part_of_word(text[at - 1]);
    if (begins && (end == text.size() || !is_part_of_word(text[end]))) return true;
  }
  return false;
}

// Whether a box before the last one holds another answer.
bool boxes_disagree(std::string_view text) {
  const auto last = last_boxed(text);
  if (!last) return false;
  const size_t at = text.rfind("\\boxed{" + *last);
  if (at == std::string_view::npos) return false;
  const auto before = last_boxed(text.substr(0, at));
  return before && math::compare(*before, *last).truth == math::Truth::kDifferent;
}

}  // namespace

std::string audit_reason(const Item& item, const SampleRecord& record) {
  const Completion& completion = record.completion;
  const Verdict& verdict = record.verdict;
  if (completion.finish_reason == FinishReason::kError) return {};
  if (verdict.correctness == Correctness::kUnscored) return "undecided";
  if (!verdict.has_answer) {
    return stands_in(tail_of(completion.text), item.gold) ? "gold at the end, no answer taken" : "";
  }
  const auto part = answer_part(completion.text, completion.opens_thought);
  return part && boxes_disagree(*part) ? "boxes of more than one answer" : "";
}

Status print_audit(RunStore& store) {
  ASSAY_TRY(const std::vector<StoredItem> stored, store.items());
  std::map<std::pair<std::string, std::string>, const Item*> items;
  for (const StoredItem& each : stored) items[{each.item.suite, each.item.id}] = &each.item;
  std::map<std::string, int> counts;
  int64_t samples = 0;
  ASSAY_TRY_STATUS(store.for_each([&](const SampleRecord& record) -> Status {
    const SampleId& id = record.completion.id;
    if (is_judgment(id)) return {};
    ++samples;
    const Item& item = *items.at({id.suite, id.item_id});
    const std::string reason = audit_reason(item, record);
    if (reason.empty()) return {};
    ++counts[reason];
    std::string tail = tail_of(record.completion.text);
    std::replace(tail.begin(), tail.end(), '\n', ' ');
    fmt::print("{} {} #{}: {} ({} by {})\n  gold    {}\n  answer  {}\n  …{}\n", id.suite,
               id.item_id, id.sample_index, reason, to_string(record.verdict.correctness),
               record.verdict.rule, item.gold, record.verdict.answer, tail);
    return {};
  }));
  fmt::print("{} samples", samples);
  for (const auto& [reason, count] : counts) fmt::print("; {}: {}", reason, count);
  fmt::print("{}\n", counts.empty() ? ": nothing to look at" : "");
  return {};
}

}  // namespace assay
