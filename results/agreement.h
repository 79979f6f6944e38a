// How far several judges agree.
#pragma once

#include <optional>
#include <vector>

namespace assay {

// Krippendorff's alpha on the interval scale (Krippendorff 2011, "Computing Krippendorff's
// Alpha-Reliability"): 1 − observed / expected squared difference; 1 is agreement, 0 chance.
// `units`: the values that judges gave to each thing; units with fewer than two are left out.
// Nothing if there are none, or if all values are the same.
std::optional<double> krippendorff_alpha(const std::vector<std::vector<double>>& units);

}  // namespace assay
