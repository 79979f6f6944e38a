#include "results/export_files.h"

#include <map>

#include "harness/base/hash.h"

namespace assay {

Result<RunFacts> run_facts(RunStore& store) {
  ASSAY_TRY(const auto manifest, store.manifest());
  if (!manifest) return Error{store.folder() + ": the run was never started"};
  RunFacts facts;
  try {
    const OrderedJson& identity = manifest->at("identity");
    facts.model = identity.at("model").at("name").get<std::string>();
    for (const OrderedJson& task : identity.at("tasks")) {
      facts.tasks[task.at("suite").get<std::string>()] = task;
    }
    const OrderedJson environment = manifest->value("environment", OrderedJson::object());
    facts.started_at = environment.value("started_at", std::string("1970-01-01T00:00:00Z"));
    facts.commit = environment.value("commit", std::string());
    facts.version = environment.value("assay", std::string());
    facts.fingerprint = sha256_hex(dump_json(identity) + facts.started_at);
  } catch (const OrderedJson::exception&) {
    return Error{store.folder() + ": its manifest is damaged"};
  }
  return facts;
}

Status for_each_question(
    RunStore& store,
    const std::function<Status(const StoredItem&, const std::vector<SampleRecord>&)>& visit) {
  ASSAY_TRY(const std::vector<StoredItem> items, store.items());
  std::map<std::pair<std::string, std::string>, const StoredItem*> by_id;
  for (const StoredItem& stored : items) by_id[{stored.item.suite, stored.item.id}] = &stored;
  const StoredItem* current = nullptr;
  std::vector<SampleRecord> samples;
  const auto take = [&](const SampleRecord& record) -> Status {
    const SampleId& id = record.completion.id;
    const auto found = by_id.find({id.suite, id.item_id});
    if (found == by_id.end()) return {};  // a judgment
    if (found->second != current && current != nullptr) {
      ASSAY_TRY_STATUS(visit(*current, samples));
      samples.clear();
    }
    current = found->second;
    samples.push_back(record);
    return {};
  };
  ASSAY_TRY_STATUS(store.for_each(take));
  return current == nullptr ? Status() : visit(*current, samples);
}

OrderedJson sample_json(const SampleRecord& record) {
  const Completion& completion = record.completion;
  const Verdict& verdict = record.verdict;
  OrderedJson json = {{"sample_index", completion.id.sample_index},
                      {"finish_reason", to_string(completion.finish_reason)},
                      {"prompt_tokens", completion.prompt_tokens},
                      {"completion_tokens", completion.completion_tokens()},
                      {"thought_tokens", completion.thought_tokens},
                      {"opens_thought", completion.opens_thought},
                      {"logprob", completion.logprob},
                      {"verdict", to_string(verdict.correctness)},
                      {"answer", verdict.has_answer ? OrderedJson(verdict.answer) : OrderedJson()},
                      {"rule", verdict.rule},
                      {"detail", verdict.detail},
                      {"scorer", record.scorer}};
  if (!verdict.values.empty()) json["values"] = verdict.values;
  return json;
}

std::string file_name_of(const std::string& text) {
  std::string name;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.';
    name += plain ? c : '_';
  }
  return name.empty() || name[0] == '.' ? "_" + name : name;
}

}  // namespace assay
