#include "engine/runtime/kv_cache.h"

#include <utility>

#include "harness/base/check.h"

namespace assay {

int KvCache::allocate() {
  if (used_ == max_pages_) return -1;
  ++used_;
  if (!free_.empty()) {
    const int page = free_.back();
    free_.pop_back();
    references_[page] = 1;
    return page;
  }
  pages_.push_back(ops_.allocate(page_bytes_ / sizeof(float)));
  references_.push_back(1);
  return static_cast<int>(pages_.size()) - 1;
}

void KvCache::release(int page) {
  CHECK(references_[page] > 0);
  if (--references_[page] > 0) return;
  free_.push_back(page);
  --used_;
}

void KvCache::copy(int from, int to) { ops_.copy(data(from), page_bytes_, data(to)); }

PageTable::PageTable(KvCache& cache, int most_tokens) : cache_(&cache) {
  ids_.reserve(static_cast<size_t>(pages_for(most_tokens)));
  data_.reserve(static_cast<size_t>(pages_for(most_tokens)));
}

PageTable& PageTable::operator=(PageTable&& other) noexcept {
  std::swap(cache_, other.cache_);
  ids_.swap(other.ids_);
  data_.swap(other.data_);
  return *this;
}

void PageTable::push(int page) {
  ids_.push_back(page);
  data_.push_back(cache_->data(page));
}

bool PageTable::grow_to(int tokens) {
  const int missing = pages_for(tokens) - size();
  if (missing > cache_->free_pages()) return false;
  for (int i = 0; i < missing; ++i) push(cache_->allocate());
  return true;
}

bool PageTable::share_prefix(const PageTable& other, int tokens) {
  CHECK(ids_.empty() && pages_for(tokens) <= other.size());
  const int full = tokens / kPageTokens;
  const bool partial = tokens % kPageTokens != 0;
  if (partial && cache_->free_pages() == 0) return false;
  for (int i = 0; i < full; ++i) {
    cache_->retain(other.ids_[i]);
    push(other.ids_[i]);
  }
  if (partial) {
    const int page = cache_->allocate();
    cache_->copy(other.ids_[full], page);
    push(page);
  }
  return true;
}

void PageTable::clear() {
  for (const int page : ids_) cache_->release(page);
  ids_.clear();
  data_.clear();
}

}  // namespace assay
