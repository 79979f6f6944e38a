#include "harness/base/option_order.h"

#include <numeric>
#include <utility>

#include "harness/base/hash.h"

namespace assay {

std::vector<int> option_order(std::string_view suite, std::string_view item_id, int sample_index,
                              int n) {
  constexpr uint64_t kStream = 0x6f7074696f6e73;  // apart from the streams that draw tokens
  const PhiloxKey key = stream_key(kStream, suite, item_id);
  std::vector<int> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  for (int i = n - 1; i > 0; --i) {
    const double u =
        philox_uniform({static_cast<uint32_t>(i), static_cast<uint32_t>(sample_index), 0, 0}, key);
    std::swap(order[static_cast<size_t>(i)], order[static_cast<size_t>(u * (i + 1))]);
  }
  return order;
}

}  // namespace assay
