#include "results/reproduce.h"

#include <cmath>

namespace assay {

Reproduction reproduce(const OwnScore& own, double published, int published_n,
                       double published_step, const ReproduceOptions& options) {
  Reproduction out;
  out.value = own.value;
  out.published = published;
  out.difference = own.value - published;
  out.se = own.se;
  // The squared error of one sample a question.
  double one_sample = own.se * own.se * own.n;
  if (one_sample == 0) one_sample = published * (1 - published) / own.questions;
  const double rounding = published_step * published_step / 12;
  out.published_se = std::sqrt(one_sample / published_n + rounding);
  const double total = std::hypot(out.se, out.published_se);
  const double z = normal_quantile(1 - options.alpha);
  out.interval = {out.difference - z * total, out.difference + z * total};
  if (out.interval.lower > -options.margin && out.interval.upper < options.margin) {
    out.verdict = ReproduceVerdict::kReproduced;
  } else if (out.interval.lower > options.margin || out.interval.upper < -options.margin) {
    out.verdict = ReproduceVerdict::kNotReproduced;
  }
  const double gap = std::fabs(options.margin - std::fabs(out.difference));
  const double allowed = gap / (z + normal_quantile(options.power));
  const double left = allowed * allowed - out.published_se * out.published_se;
  if (left > 0) {
    out.samples_to_decide = static_cast<int64_t>(std::ceil(std::max(1.0, one_sample / left)));
  }
  return out;
}

const char* to_string(ReproduceVerdict verdict) {
  switch (verdict) {
    case ReproduceVerdict::kReproduced:
      return "reproduced";
    case ReproduceVerdict::kNotReproduced:
      return "not reproduced";
    case ReproduceVerdict::kUndecided:
      break;
  }
  return "undecided";
}

}  // namespace assay
