// In which order a sample sees the options of a question whose options are shuffled.
#pragma once

#include <string_view>
#include <vector>

namespace assay {

// A permutation of 0 … n−1, the option that stands first, second, …: a function of suite, item and
// sample index alone (Fisher–Yates on Philox), so that it is the same in every run.
std::vector<int> option_order(std::string_view suite, std::string_view item_id, int sample_index,
                              int n);

}  // namespace assay
