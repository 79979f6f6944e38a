// A self-contained HTML page: no network, no script from model text. Samples lie in it in
// compressed parts that the page unpacks when they are looked at.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "harness/base/json.h"
#include "harness/base/result.h"
#include "results/charts.h"
#include "results/store.h"

namespace assay {

// A table's row; the cells are HTML.
std::string html_row(const std::vector<std::string>& cells, const char* tag = "td");

class PageSamples {
 public:
  // `items` must outlive the samples.
  explicit PageSamples(const std::vector<StoredItem>& items);

  // `other`: the same sample of another run, shown beside it; null: there is none.
  void add(const SampleRecord& record, const SampleRecord* other, const std::string& other_name);
  size_t size() const { return entries_.size(); }
  size_t size_bytes() const { return chunks_.size(); }  // of the closed parts

  // Closes the last part. The index and the parts as they stand in the page.
  void finish();
  std::string index_json() const;
  const std::string& chunks_html() const { return chunks_; }

 private:
  struct Entry {
    size_t item;
    SampleKind kind;
    size_t chunk, place;
  };
  void close_chunk();

  std::map<std::pair<std::string, std::string>, const StoredItem*> stored_;
  std::vector<std::string> items_;
  std::map<std::string, size_t> item_places_;
  std::vector<Entry> entries_;
  Json open_ = Json::array();
  size_t open_bytes_ = 0, chunk_count_ = 0;
  std::string chunks_;
};

// `content` is HTML. The template is results/page.html.
Result<std::string> render_page(const std::string& title, const std::string& content,
                                PageSamples& samples);

}  // namespace assay
