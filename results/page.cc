#include "results/page.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <zlib.h>

#include "harness/base/check.h"
#include "harness/base/file.h"
#include "harness/base/markup.h"
#include "harness/base/resources.h"

namespace assay {
namespace {

constexpr size_t kChunkBytes = size_t{256} << 10;

std::string deflated(const std::string& bytes) {
  uLongf size = compressBound(bytes.size());
  std::string out(size, '\0');
  const int status = compress2(reinterpret_cast<Bytef*>(out.data()), &size,
                               reinterpret_cast<const Bytef*>(bytes.data()), bytes.size(), 6);
  CHECK(status == Z_OK);
  out.resize(size);
  return out;
}

std::string base64(const std::string& bytes) {
  std::string out((bytes.size() + 2) / 3 * 4 + 1, '\0');
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                   reinterpret_cast<const unsigned char*>(bytes.data()),
                                   static_cast<int>(bytes.size()));
  out.resize(static_cast<size_t>(size));
  return out;
}

// "</script>" and "<!--" must not stand in a script element.
std::string script_safe(const std::string& json) {
  std::string out;
  for (const char c : json) {
    if (c == '<') {
      out += "\\u003c";
    } else {
      out += c;
    }
  }
  return out;
}

SampleOutcome outcome_of(const SampleRecord& record) {
  SampleOutcome outcome;
  outcome.correctness = record.verdict.correctness;
  outcome.truncated = record.completion.finish_reason == FinishReason::kLength;
  outcome.has_answer = record.verdict.has_answer;
  return outcome;
}

Json sample_json(const SampleRecord& record, const StoredItem* item) {
  const Completion& completion = record.completion;
  return {
      {"suite", completion.id.suite},        {"item", completion.id.item_id},
      {"index", completion.id.sample_index}, {"tokens", completion.completion_tokens()},
      {"answer", record.verdict.answer},     {"gold", item == nullptr ? "" : item->item.gold},
      {"rule", record.verdict.rule},         {"prompt", item == nullptr ? "" : item->prompt.text},
      {"opens", completion.opens_thought},   {"text", completion.text}};
}

constexpr const char* kBrowser = R"(<h2>Samples</h2>
<div class="controls">
<select id="kind" aria-label="kind"><option value="">all</option></select>
<input id="find" placeholder="question" aria-label="question">
<button id="back" type="button">previous</button><button id="next" type="button">next</button>
<button id="all" type="button">show all</button><span id="count" class="quiet"></span>
</div>
<div id="samples"></div>)";

}  // namespace

std::string html_row(const std::vector<std::string>& cells, const char* tag) {
  std::string out = "<tr>";
  for (const std::string& cell : cells) out += fmt::format("<{}>{}</{}>", tag, cell, tag);
  return out + "</tr>\n";
}

PageSamples::PageSamples(const std::vector<StoredItem>& items) {
  for (const StoredItem& item : items) stored_[{item.item.suite, item.item.id}] = &item;
}

void PageSamples::add(const SampleRecord& record, const SampleRecord* other,
                      const std::string& other_name) {
  const SampleId& id = record.completion.id;
  const auto stored = stored_.find({id.suite, id.item_id});
  Json sample = sample_json(record, stored == stored_.end() ? nullptr : stored->second);
  if (other != nullptr) {
    sample["item"] = id.item_id + " · " + other_name;
    sample["text2"] = other->completion.text;
    sample["kind2"] = kSampleKinds[static_cast<size_t>(kind_of(outcome_of(*other)))];
    open_bytes_ += other->completion.text.size();
  }
  open_bytes_ += record.completion.text.size() + sample["prompt"].get_ref<std::string&>().size();
  const std::string item = id.suite + " " + id.item_id;
  const auto [place, fresh] = item_places_.try_emplace(item, items_.size());
  if (fresh) items_.push_back(item);
  entries_.push_back({place->second, kind_of(outcome_of(record)), chunk_count_, open_.size()});
  open_.push_back(std::move(sample));
  if (open_bytes_ >= kChunkBytes) close_chunk();
}

void PageSamples::close_chunk() {
  if (open_.empty()) return;
  chunks_ += fmt::format("<script type=\"text/plain\" id=\"chunk{}\">{}</script>\n", chunk_count_,
                         base64(deflated(dump_json(open_))));
  ++chunk_count_;
  open_ = Json::array();
  open_bytes_ = 0;
}

void PageSamples::finish() { close_chunk(); }

std::string PageSamples::index_json() const {
  Json index = {{"kinds", kSampleKinds}, {"items", items_}, {"samples", Json::array()}};
  for (const Entry& entry : entries_) {
    index["samples"].push_back({{"i", entry.item},
                                {"k", static_cast<int>(entry.kind)},
                                {"c", entry.chunk},
                                {"p", entry.place}});
  }
  return script_safe(dump_json(index));
}

Result<std::string> render_page(const std::string& title, const std::string& content,
                                PageSamples& samples) {
  ASSAY_TRY(const std::string path, find_resource("results/page.html"));
  ASSAY_TRY(const std::string page, read_file(path));
  samples.finish();
  std::string out;
  // Each place once, left to right: what is filled in is not looked through again.
  for (size_t at = 0; at < page.size();) {
    const size_t open = page.find("{{", at);
    const size_t close = open == std::string::npos ? open : page.find("}}", open);
    if (close == std::string::npos) {
      out += page.substr(at);
      break;
    }
    out += page.substr(at, open - at);
    const std::string name = page.substr(open + 2, close - open - 2);
    if (name == "title") out += escape_markup(title);
    if (name == "content") out += content;
    if (name == "browser" && samples.size() > 0) out += kBrowser;
    if (name == "index") out += samples.index_json();
    if (name == "chunks") out += samples.chunks_html();
    at = close + 2;
  }
  return out;
}

}  // namespace assay
