#include "results/ratings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "harness/base/hash.h"
#include "harness/base/parallel.h"
#include "harness/base/text.h"
#include "results/logistic.h"

namespace assay {
namespace {

const double kPointsPerUnit = 400 / std::log(10.0);

// How often each of n things is drawn in n draws with replacement.
std::vector<double> resample(size_t n, int64_t replicate, const PhiloxKey& key) {
  std::vector<double> counts(n, 0);
  for (size_t i = 0; i < n; ++i) {
    const double u =
        philox_uniform({static_cast<uint32_t>(i), static_cast<uint32_t>(replicate), 0, 0}, key);
    ++counts[static_cast<size_t>(u * static_cast<double>(n))];
  }
  return counts;
}

// The value under which a share of the sorted values lies, interpolated.
double percentile(const std::vector<double>& sorted, double share) {
  if (sorted.empty()) return 0;
  const double at = share * static_cast<double>(sorted.size() - 1);
  const auto low = static_cast<size_t>(at);
  const size_t high = std::min(low + 1, sorted.size() - 1);
  return sorted[low] + (at - static_cast<double>(low)) * (sorted[high] - sorted[low]);
}

std::pair<double, double> interval(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return {percentile(values, 0.025), percentile(values, 0.975)};
}

// Standard deviation of each style difference, around 0: no difference stays none.
std::vector<double> scales(const std::vector<std::vector<double>>& style) {
  std::vector<double> out(style.empty() ? 0 : style.front().size(), 0);
  for (const auto& row : style) {
    for (size_t k = 0; k < out.size(); ++k) out[k] += row[k] * row[k];
  }
  for (double& value : out) {
    value = std::sqrt(value / static_cast<double>(style.size()));
    if (value == 0) value = 1;
  }
  return out;
}

// Which models are reached from `from` over `edges`.
std::vector<bool> reached(const std::vector<std::vector<int>>& edges, int from) {
  std::vector<bool> seen(edges.size(), false);
  std::vector<int> open = {from};
  seen[static_cast<size_t>(from)] = true;
  while (!open.empty()) {
    const int model = open.back();
    open.pop_back();
    for (const int next : edges[static_cast<size_t>(model)]) {
      if (seen[static_cast<size_t>(next)]) continue;
      seen[static_cast<size_t>(next)] = true;
      open.push_back(next);
    }
  }
  return seen;
}

// The battles as rows; models are columns, then styles.
struct Design {
  std::vector<std::string> models;
  std::vector<LogisticRow> rows;
  std::vector<size_t> row_of;  // of each battle; battles alike share a row
  std::vector<int64_t> battles;
  std::vector<bool> unbounded;
  int columns = 0;
};

Design design_of(const std::vector<Battle>& battles, const RatingOptions& options) {
  Design design;
  std::map<std::string, int> index;
  for (const Battle& battle : battles) {
    index.try_emplace(battle.model_a, 0);
    index.try_emplace(battle.model_b, 0);
  }
  for (auto& [model, i] : index) {
    i = static_cast<int>(design.models.size());
    design.models.push_back(model);
  }
  const size_t n = design.models.size();
  design.battles.assign(n, 0);
  std::vector<std::vector<double>> style;
  if (options.style) {
    for (const Battle& battle : battles) style.push_back(battle.style);
  }
  const std::vector<double> scale = scales(style);
  design.columns = static_cast<int>(n + scale.size());
  std::vector<std::vector<int>> beats(n), beaten(n);
  std::map<std::tuple<int, int, double, double>, size_t> alike;
  for (const Battle& battle : battles) {
    const int a = index.at(battle.model_a), b = index.at(battle.model_b);
    ++design.battles[static_cast<size_t>(a)];
    ++design.battles[static_cast<size_t>(b)];
    const auto edge = [&](int winner, int loser) {
      beats[static_cast<size_t>(winner)].push_back(loser);
      beaten[static_cast<size_t>(loser)].push_back(winner);
    };
    if (battle.score > 0) edge(a, b);
    if (battle.score < 1) edge(b, a);
    LogisticRow row{{{a, 1.0}, {b, -1.0}}, battle.score, battle.weight};
    for (size_t k = 0; k < scale.size(); ++k) {
      row.x.emplace_back(static_cast<int>(n + k), battle.style[k] / scale[k]);
    }
    const auto [place, added] =
        alike.try_emplace({a, b, battle.score, battle.weight}, design.rows.size());
    if (options.style || added) {
      design.row_of.push_back(design.rows.size());
      design.rows.push_back(std::move(row));
    } else {
      design.row_of.push_back(place->second);
    }
  }
  const auto from = index.find(options.reference);
  const int root =
      from != index.end()
          ? from->second
          : static_cast<int>(std::max_element(design.battles.begin(), design.battles.end()) -
                             design.battles.begin());
  const std::vector<bool> down = reached(beats, root), up = reached(beaten, root);
  for (size_t i = 0; i < n; ++i) design.unbounded.push_back(!(down[i] && up[i]));
  return design;
}

// Coefficients as ratings: the reference, or the mean, where it belongs.
std::vector<double> ratings_of(const Design& design, const RatingOptions& options,
                               const std::vector<double>& counts) {
  std::vector<double> beta = fit_logistic(design.rows, design.columns, counts);
  const size_t n = design.models.size();
  for (double& value : beta) value *= kPointsPerUnit;
  double shift = options.reference_rating;
  const auto found = std::find(design.models.begin(), design.models.end(), options.reference);
  if (found != design.models.end()) {
    shift -= beta[static_cast<size_t>(found - design.models.begin())];
  } else {
    double mean = 0;
    for (size_t i = 0; i < n; ++i) mean += beta[i] / static_cast<double>(n);
    shift -= mean;
  }
  for (size_t i = 0; i < n; ++i) beta[i] += shift;
  return beta;
}

}  // namespace

Result<Ratings> rate(const std::vector<Battle>& battles, const RatingOptions& options) {
  if (battles.empty()) return Error{"there are no battles to rate"};
  const Design design = design_of(battles, options);
  const size_t n = design.models.size();
  if (!options.reference.empty() && std::find(design.models.begin(), design.models.end(),
                                              options.reference) == design.models.end()) {
    const std::string guess = nearest(options.reference, design.models);
    return Error{fmt::format("--reference {}: fights no battle{}",
                             quote_for_message(options.reference),
                             guess.empty() ? "" : fmt::format(" (did you mean {}?)", guess))};
  }
  std::vector<double> all(design.rows.size(), 0);
  for (const size_t row : design.row_of) ++all[row];
  const std::vector<double> best = ratings_of(design, options, all);
  std::vector<std::vector<double>> drawn(
      n, std::vector<double>(static_cast<size_t>(options.bootstrap)));
  const PhiloxKey key = stream_key(options.seed, "ratings", "bootstrap");
  parallel_for(options.bootstrap, [&](int64_t replicate) {
    const std::vector<double> times = resample(battles.size(), replicate, key);
    std::vector<double> counts(design.rows.size(), 0);
    for (size_t i = 0; i < battles.size(); ++i) counts[design.row_of[i]] += times[i];
    const std::vector<double> ratings = ratings_of(design, options, counts);
    for (size_t i = 0; i < n; ++i) drawn[i][static_cast<size_t>(replicate)] = ratings[i];
  });
  Ratings out;
  for (size_t i = 0; i < n; ++i) {
    const auto [lower, upper] =
        options.bootstrap > 0 ? interval(drawn[i]) : std::pair(best[i], best[i]);
    out.models.push_back(
        {design.models[i], best[i], lower, upper, design.battles[i], design.unbounded[i]});
  }
  std::stable_sort(out.models.begin(), out.models.end(),
                   [](const Rating& a, const Rating& b) { return a.rating > b.rating; });
  out.style_coefficients.assign(best.begin() + static_cast<std::ptrdiff_t>(n), best.end());
  return out;
}

WinRate win_rate(const std::vector<std::pair<double, double>>& won_of_games,
                 const std::vector<std::vector<double>>& style, int bootstrap, uint64_t seed) {
  const std::vector<double> scale = scales(style);
  std::vector<LogisticRow> rows;
  for (size_t i = 0; i < won_of_games.size(); ++i) {
    const auto [won, games] = won_of_games[i];
    LogisticRow row{{{0, 1.0}}, games > 0 ? won / games : 0, games};
    for (size_t k = 0; k < scale.size(); ++k) {
      row.x.emplace_back(static_cast<int>(k + 1), style[i][k] / scale[k]);
    }
    rows.push_back(std::move(row));
  }
  const auto value = [&](const std::vector<double>& counts) {
    if (scale.empty()) {
      double won = 0, games = 0;
      for (size_t i = 0; i < rows.size(); ++i) {
        const double times = counts.empty() ? 1 : counts[i];
        won += times * won_of_games[i].first;
        games += times * won_of_games[i].second;
      }
      return games > 0 ? won / games : 0;
    }
    const auto beta = fit_logistic(rows, static_cast<int>(scale.size() + 1), counts);
    return 1 / (1 + std::exp(-beta[0]));
  };
  WinRate out;
  out.value = value({});
  std::vector<double> drawn(static_cast<size_t>(bootstrap));
  const PhiloxKey key = stream_key(seed, "win rate", "bootstrap");
  parallel_for(bootstrap, [&](int64_t replicate) {
    drawn[static_cast<size_t>(replicate)] = value(resample(rows.size(), replicate, key));
  });
  std::tie(out.lower, out.upper) = interval(drawn);
  return out;
}

}  // namespace assay
