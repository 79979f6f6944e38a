#include "harness/manifest.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <set>

#include "engine/cpu/cpu_ops.h"
#include "harness/base/build_info.h"
#include "harness/base/hash.h"

namespace assay {
namespace {

OrderedJson task_identity(const Task& task) {
  const SamplingParams& sampling = *task.sampling;
  OrderedJson json = {{"suite", task.suite.name},
                      {"suite_version", task.suite.version},
                      {"suite_sha256", task.suite.sha256},
                      {"data_sha256", task.data_sha256},
                      {"scorer", task.scorer_name},
                      {"questions", task.items.size()},
                      {"num_samples", task.num_samples},
                      {"first_sample", task.first_sample},
                      {"temperature", sampling.temperature},
                      {"top_p", sampling.top_p},
                      {"top_k", sampling.top_k},
                      {"min_p", sampling.min_p},
                      {"max_tokens", sampling.max_tokens},
                      {"stop", sampling.stop}};
  const Suite& suite = task.suite;
  const auto has = [&](const char* metric) {
    return std::find(suite.metrics.begin(), suite.metrics.end(), metric) != suite.metrics.end();
  };
  if (!task.release.empty()) json["release"] = task.release;
  if (!task.from.empty()) json["from"] = task.from;
  if (!task.to.empty()) json["to"] = task.to;
  if (!task.questions.empty()) json["only_questions"] = task.questions;
  if (has("macro")) json["macro"] = true;
  if (!has("pass@1")) json["accuracy"] = false;
  if (!has("cons@k")) json["consensus"] = false;
  if (suite.judge) json["judged"] = true;
  if (!suite.chance.empty()) json["chance"] = suite.chance;
  for (const Measure& measure : suite.measures) {
    json["measures"].push_back({{"name", measure.name},
                                {"of", measure.of},
                                {"per", measure.per},
                                {"unit", measure.unit},
                                {"method", measure.method}});
    if (!measure.permille.empty()) json["measures"].back()["permille"] = measure.permille;
  }
  return json;
}

// The model's name is for reading; renaming a file makes no other run.
OrderedJson without_name(OrderedJson identity) {
  if (identity.contains("model") && identity["model"].is_object()) identity["model"].erase("name");
  return identity;
}

}  // namespace

OrderedJson make_manifest(const RunOptions& options, const std::vector<Task>& tasks,
                          const std::vector<Suite>& composites, const ModelUnderTest& model) {
  OrderedJson identity;
  identity["model"] = model.identity();
  identity["seed"] = options.seed;
  identity["sample_data"] = false;
  OrderedJson& list = identity["tasks"] = OrderedJson::array();
  for (const Task& task : tasks) {
    list.push_back(task_identity(task));
    if (task.sample_data) identity["sample_data"] = true;
  }
  for (const Suite& composite : composites) {
    OrderedJson entry = {{"name", composite.name}, {"version", composite.version}};
    for (const Component& component : composite.components) {
      entry["components"].push_back({{"suite", component.suite}, {"weight", component.weight}});
    }
    identity["composites"].push_back(std::move(entry));
  }
  const BuildInfo build = build_info();
  const auto isa = cpu_isa_name(options.cpu_isa);
  OrderedJson environment = {
      {"assay", build.version},
      {"commit", build.commit},
      {"compiler", build.compiler},
      {"build_type", build.build_type},
      {"machine", machine_description()},
      {"cpu_isa", isa.ok() ? *isa : options.cpu_isa},
      {"threads", options.threads},
      {"batch_size", options.batch_size},
      {"model_path", options.model},
      {"model_size", model.facts()},
      {"started_at", fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)))}};
  return {{"identity", std::move(identity)}, {"environment", std::move(environment)}};
}

std::vector<std::string> identity_differences(const OrderedJson& stored, const OrderedJson& now) {
  const OrderedJson a = without_name(stored).flatten(), b = without_name(now).flatten();
  std::vector<std::string> lines;
  std::set<std::string> seen;
  const auto shown = [](const OrderedJson& side, const std::string& key) {
    return side.contains(key) ? dump_json(side[key]) : std::string("nothing");
  };
  for (const OrderedJson* side : {&a, &b}) {
    for (const auto& [key, value] : side->items()) {
      if (!seen.insert(key).second) continue;
      if (a.contains(key) && b.contains(key) && a[key] == b[key]) continue;
      lines.push_back(
          fmt::format("{}: {} there, {} now", key.substr(1), shown(a, key), shown(b, key)));
    }
  }
  return lines;
}

std::string identity_fingerprint(const OrderedJson& identity) {
  return sha256_hex(dump_json(without_name(identity))).substr(0, 8);
}

}  // namespace assay
