#include "results/export.h"

#include <map>

namespace assay {

Status export_jsonl(RunStore& store, std::ostream& out) {
  ASSAY_TRY(const std::vector<StoredItem> items, store.items());
  std::map<std::pair<std::string, std::string>, std::string> golds;
  for (const StoredItem& stored : items)
    golds[{stored.item.suite, stored.item.id}] = stored.item.gold;
  ASSAY_TRY_STATUS(store.for_each([&](const SampleRecord& record) -> Status {
    const Completion& completion = record.completion;
    const Verdict& verdict = record.verdict;
    OrderedJson line;
    line["suite"] = completion.id.suite;
    line["item_id"] = completion.id.item_id;
    line["sample_index"] = completion.id.sample_index;
    line["prompt_tokens"] = completion.prompt_tokens;
    line["token_ids"] = completion.token_ids;
    line["text"] = completion.text;
    line["finish_reason"] = to_string(completion.finish_reason);
    if (!completion.error.empty()) line["error"] = completion.error;
    line["logprob"] = completion.logprob;
    line["verdict"] = to_string(verdict.correctness);
    line["answer"] = verdict.has_answer ? OrderedJson(verdict.answer) : OrderedJson();
    line["gold"] = golds[{completion.id.suite, completion.id.item_id}];
    line["rule"] = verdict.rule;
    line["detail"] = verdict.detail;
    if (!verdict.values.empty()) line["values"] = verdict.values;
    line["scorer"] = record.scorer;
    out << dump_json(line) << '\n';
    if (!out) return Error{"standard output: cannot write; is the disk full or the pipe closed?"};
    return {};
  }));
  out.flush();
  if (!out) return Error{"standard output: cannot write; is the disk full or the pipe closed?"};
  return {};
}

}  // namespace assay
