#include "harness/completions.h"

#include <fmt/format.h>

#include <sstream>

#include "harness/base/file.h"
#include "harness/base/hash.h"
#include "harness/base/json.h"
#include "harness/base/text.h"

namespace assay {
namespace {

// The value of "id", or of the first key that ends in "_id", or of "uid", "key", "idx".
std::string id_of(const Json& row) {
  const auto text = [](const Json& value) {
    return value.is_string()           ? value.get<std::string>()
           : value.is_number_integer() ? value.dump()
                                       : std::string();
  };
  if (row.contains("id")) return text(row["id"]);
  for (const auto& [key, value] : row.items()) {
    if (key.ends_with("_id")) return text(value);
  }
  for (const char* key : {"uid", "key", "idx"}) {
    if (row.contains(key)) return text(row[key]);
  }
  return {};
}

// What a row may say of its completions beside their text.
bool read_known(const Json& row, Completion& completion) {
  for (const auto& [key, to] : {std::pair("completion_tokens", &completion.counted_tokens),
                                std::pair("thought_tokens", &completion.thought_tokens),
                                std::pair("prompt_tokens", &completion.prompt_tokens)}) {
    if (!row.contains(key)) continue;
    if (!row[key].is_number_unsigned() || row[key].get<uint64_t>() > INT32_MAX) return false;
    *to = static_cast<int>(row[key].get<uint64_t>());
  }
  if (row.contains("logprob")) {
    if (!row["logprob"].is_number()) return false;
    completion.logprob = row["logprob"].get<double>();
  }
  if (row.contains("opens_thought")) {
    if (!row["opens_thought"].is_boolean()) return false;
    completion.opens_thought = row["opens_thought"].get<bool>();
  }
  return true;
}

}  // namespace

Result<CompletionsFile> CompletionsFile::read(const std::string& path) {
  ASSAY_TRY(const std::string text, read_file(path));
  CompletionsFile file;
  file.path_ = path;
  file.sha256_ = sha256_hex(text);
  std::istringstream lines(text);
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (trim(line).empty()) continue;
    const Json row = Json::parse(line, nullptr, false);
    const auto wrong = [&](const char* what) {
      return Error{
          fmt::format("{}:{}: {}; a row is {{\"id\": …, \"completion\": text or a list of texts}}",
                      path, number, what)};
    };
    if (!row.is_object()) return wrong("no JSON object");
    const std::string id = id_of(row);
    if (id.empty()) return wrong("no \"id\", and no key that ends in \"_id\"");
    if (!row.contains("completion")) return wrong("no \"completion\"");
    const Json& given = row["completion"];
    const Json all = given.is_array() ? given : Json::array({given});
    FinishReason reason = FinishReason::kStop;
    if (row.contains("finish_reason") &&
        (!row["finish_reason"].is_string() ||
         !from_string(row["finish_reason"].get<std::string>(), &reason))) {
      return wrong("\"finish_reason\" is neither stop nor length");
    }
    Completion known;
    known.finish_reason = reason;
    if (!read_known(row, known)) {
      return wrong("a number of tokens, \"logprob\" or \"opens_thought\" is no such thing");
    }
    if (row.contains("prompt") && row["prompt"].is_string()) {
      file.prompts_[id] = to_valid_utf8(row["prompt"].get<std::string>());
    }
    for (const Json& one : all) {
      if (!one.is_string()) return wrong("a completion is no text");
      Completion& completion = file.by_id_[id].emplace_back(known);
      completion.text = to_valid_utf8(one.get<std::string>());
    }
  }
  if (file.by_id_.empty()) return Error{path + ": there are no completions in it"};
  return file;
}

const std::vector<Completion>* CompletionsFile::of(const std::string& item_id) const {
  const auto found = by_id_.find(item_id);
  return found == by_id_.end() ? nullptr : &found->second;
}

const std::string& CompletionsFile::prompt_of(const std::string& item_id) const {
  static const std::string nothing;
  const auto found = prompts_.find(item_id);
  return found == prompts_.end() ? nothing : found->second;
}

Result<int> CompletionsFile::samples_of_each() const {
  const auto& [first_id, first] = *by_id_.begin();
  for (const auto& [id, completions] : by_id_) {
    if (completions.size() == first.size()) continue;
    return Error{
        fmt::format("{}: question {} has {} completions, question {} has {}; give "
                    "--num-samples to score the first ones of each",
                    path_, first_id, first.size(), id, completions.size())};
  }
  return static_cast<int>(first.size());
}

}  // namespace assay
