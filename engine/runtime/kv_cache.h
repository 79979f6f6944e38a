// Pages of the KV cache: reference-counted, so that the samples of a question share their prompt's.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/ops.h"

namespace assay {

class KvCache {
 public:
  // At most `max_pages` pages of `page_bytes` bytes; memory is taken as pages are first used.
  KvCache(Ops& ops, size_t page_bytes, int max_pages)
      : ops_(ops), page_bytes_(page_bytes), max_pages_(max_pages) {}

  // A page with one reference, or -1 when all are in use.
  int allocate();
  void retain(int page) { ++references_[page]; }
  void release(int page);
  void copy(int from, int to);

  std::byte* data(int page) const { return reinterpret_cast<std::byte*>(pages_[page].get()); }
  int free_pages() const { return max_pages_ - used_; }
  int max_pages() const { return max_pages_; }

 private:
  Ops& ops_;
  size_t page_bytes_;
  int max_pages_;
  int used_ = 0;
  std::vector<Ops::Buffer> pages_;
  std::vector<int> references_;
  std::vector<int> free_;
};

// The pages of one sequence, in order of position. Releases them on destruction.
class PageTable {
 public:
  // `most_tokens`: up to so many positions the table itself takes no more memory.
  explicit PageTable(KvCache& cache, int most_tokens = 0);
  PageTable(PageTable&& other) noexcept = default;
  PageTable& operator=(PageTable&& other) noexcept;
  ~PageTable() { clear(); }

  // Makes room for `tokens` positions; false (and unchanged) when pages run out.
  bool grow_to(int tokens);
  // Shares the pages that the first `tokens` positions of `other` fill, and copies the one that
  // they begin; false (and empty) when pages run out. This table must be empty.
  bool share_prefix(const PageTable& other, int tokens);
  void clear();

  std::byte* const* data() const { return data_.data(); }
  int size() const { return static_cast<int>(ids_.size()); }

 private:
  void push(int page);

  KvCache* cache_;
  std::vector<int> ids_;
  std::vector<std::byte*> data_;
};

constexpr int pages_for(int tokens) { return (tokens + kPageTokens - 1) / kPageTokens; }

}  // namespace assay
