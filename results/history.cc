#include "results/history.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "harness/base/hash.h"
#include "harness/base/json.h"
#include "results/aggregate.h"

namespace assay {
namespace {

constexpr const char* kSchema = R"(
CREATE TABLE IF NOT EXISTS scores(
  id INTEGER PRIMARY KEY, added_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ')),
  commit_id TEXT NOT NULL, run TEXT NOT NULL, identity TEXT NOT NULL, model TEXT NOT NULL,
  suite TEXT NOT NULL, setup TEXT NOT NULL, questions INTEGER NOT NULL, num_samples INTEGER NOT NULL,
  pass_at_1 REAL NOT NULL, sampling_se REAL NOT NULL, question_se REAL NOT NULL,
  UNIQUE(identity, commit_id, suite));
)";

// What makes two scores comparable, the model aside.
std::string setup_of(const OrderedJson& manifest, const std::string& suite) {
  for (OrderedJson task : manifest.at("identity").at("tasks")) {
    if (task.at("suite") != suite) continue;
    for (const char* key : {"num_samples", "first_sample"}) task.erase(key);
    return sha256_hex(dump_json(task));
  }
  return "";
}

struct Sums {
  double weight = 0, value = 0;
};

void split(const std::vector<double>& scores, const std::vector<double>& weights, size_t begin,
           size_t end, double alpha, std::vector<ChangePoint>& out) {
  if (end - begin < 2) return;
  Sums all;
  for (size_t i = begin; i < end; ++i) {
    all.weight += weights[i];
    all.value += weights[i] * scores[i];
  }
  Sums left;
  ChangePoint best;
  double largest = 0;
  for (size_t i = begin; i + 1 < end; ++i) {
    left.weight += weights[i];
    left.value += weights[i] * scores[i];
    const double right_weight = all.weight - left.weight;
    const double before = left.value / left.weight;
    const double after = (all.value - left.value) / right_weight;
    const double z = std::fabs(after - before) / std::sqrt(1 / left.weight + 1 / right_weight);
    if (z > largest) {
      largest = z;
      best = {i + 1, before, after, 2 * (1 - normal_cdf(z))};
    }
  }
  best.p = std::min(1.0, best.p * static_cast<double>(end - begin - 1));
  if (largest == 0 || best.p >= alpha) return;
  split(scores, weights, begin, best.index, alpha, out);
  out.push_back(best);
  split(scores, weights, best.index, end, alpha, out);
}

}  // namespace

Result<History> History::open(const std::string& path) {
  History history;
  ASSAY_TRY(history.database_, Database::open(path, true));
  ASSAY_TRY_STATUS(history.database_.execute(kSchema));
  return history;
}

Result<int> History::add(const RunOutcomes& run, const std::string& folder,
                         const std::string& commit) {
  const std::string identity = sha256_hex(dump_json(run.manifest.at("identity")));
  int added = 0;
  for (const SuiteOutcomes& suite : run.suites) {
    if (!suite.plan.accuracy) continue;
    SummaryOptions options;
    options.consensus = false;
    const SuiteSummary summary = summarize(
        suite.plan.suite, suite.plan.num_samples, suite.questions,
        [](std::string_view a, std::string_view b) { return a == b; }, options);
    const Estimate& score = summary.pass_at_1;
    // Of one sample a question the error is not known, and at most that of chance alone.
    const double chance =
        std::sqrt(score.value * (1 - score.value) / std::max(1, summary.questions));
    Statement insert(database_,
                     "INSERT OR IGNORE INTO scores(commit_id, run, identity, model, suite, setup, "
                     "questions, num_samples, pass_at_1, sampling_se, question_se) "
                     "VALUES(?,?,?,?,?,?,?,?,?,?,?)");
    insert.bind(1, commit)
        .bind(2, folder)
        .bind(3, identity)
        .bind(4, run.model)
        .bind(5, suite.plan.suite)
        .bind(6, setup_of(run.manifest, suite.plan.suite))
        .bind(7, int64_t{summary.questions})
        .bind(8, int64_t{summary.num_samples})
        .bind(9, score.value)
        .bind(10, score.sampling_se.value_or(chance))
        .bind(11, score.question_se);
    ASSAY_TRY_STATUS(insert.run());
    added += sqlite3_changes(database_.get());
  }
  return added;
}

Result<std::vector<HistoryEntry>> History::entries(const std::string& suite) {
  Statement select(database_,
                   "SELECT id, added_at, commit_id, run, model, suite, setup, questions, "
                   "num_samples, pass_at_1, sampling_se, question_se FROM scores "
                   "WHERE ?1 = '' OR suite = ?1 ORDER BY suite, id");
  select.bind(1, suite);
  std::vector<HistoryEntry> entries;
  while (true) {
    ASSAY_TRY(const bool row, select.step());
    if (!row) return entries;
    entries.push_back({select.integer(0), select.text(1), select.text(2), select.text(3),
                       select.text(4), select.text(5), select.text(6),
                       static_cast<int>(select.integer(7)), static_cast<int>(select.integer(8)),
                       select.real(9), select.real(10), select.real(11)});
  }
}

std::vector<ChangePoint> find_changes(const std::vector<double>& scores,
                                      const std::vector<double>& errors, double alpha) {
  std::vector<double> weights;
  for (const double error : errors) {
    // Scores of greedy runs never vary; a difference of theirs is one all the same.
    const double least = 1e-4;
    weights.push_back(1 / std::pow(std::max(error, least), 2));
  }
  std::vector<ChangePoint> changes;
  split(scores, weights, 0, scores.size(), alpha, changes);
  // The levels of the final parts, not of those that were split further.
  const auto level = [&](size_t begin, size_t end) {
    Sums sums;
    for (size_t i = begin; i < end; ++i) {
      sums.weight += weights[i];
      sums.value += weights[i] * scores[i];
    }
    return sums.value / sums.weight;
  };
  for (size_t i = 0; i < changes.size(); ++i) {
    const size_t begin = i == 0 ? 0 : changes[i - 1].index;
    const size_t end = i + 1 == changes.size() ? scores.size() : changes[i + 1].index;
    changes[i].before = level(begin, changes[i].index);
    changes[i].after = level(changes[i].index, end);
  }
  return changes;
}

TellingQuestions telling_questions(const SuiteOutcomes& base, const SuiteOutcomes& other,
                                   size_t count) {
  struct Candidate {
    TellingQuestion question;
    double difference, variance;  // of one pair of samples
  };
  const auto share = [](const std::vector<SampleOutcome>& samples, double& n) {
    double correct = 0;
    n = 0;
    for (const SampleOutcome& sample : samples) {
      n += sample.correctness != Correctness::kUnscored ? 1 : 0;
      correct += sample.correctness == Correctness::kCorrect ? 1 : 0;
    }
    return n > 0 ? correct / n : 0;
  };
  std::map<std::string, size_t> places;
  for (size_t i = 0; i < other.item_ids.size(); ++i) places[other.item_ids[i]] = i;
  std::vector<Candidate> candidates;
  for (size_t i = 0; i < base.questions.size(); ++i) {
    const auto place = places.find(base.item_ids[i]);
    if (place == places.end()) continue;
    double n_base = 0, n_other = 0;
    const double a = share(base.questions[i], n_base);
    const double b = share(other.questions[place->second], n_other);
    if (n_base == 0 || n_other == 0) continue;
    // A pseudo-sample each way: shares of 0 and 1 are not certain.
    const double sa = (a * n_base + 1) / (n_base + 2), sb = (b * n_other + 1) / (n_other + 2);
    candidates.push_back({{base.item_ids[i], a, b}, sb - sa, sa * (1 - sa) + sb * (1 - sb)});
  }
  const double sign =
      std::accumulate(candidates.begin(), candidates.end(), 0.0,
                      [](double sum, const Candidate& c) { return sum + c.difference; }) < 0
          ? -1
          : 1;
  std::stable_sort(candidates.begin(), candidates.end(),
                   [&](const Candidate& x, const Candidate& y) {
                     return sign * x.difference / x.variance > sign * y.difference / y.variance;
                   });
  if (candidates.size() > count) candidates.resize(count);
  TellingQuestions out;
  double difference = 0, variance = 0;
  for (Candidate& candidate : candidates) {
    difference += sign * candidate.difference;
    variance += candidate.variance;
    out.questions.push_back(std::move(candidate.question));
  }
  const double z = normal_quantile(0.99) + normal_quantile(0.99);
  if (difference > 0) {
    out.power_samples = static_cast<int>(std::ceil(z * z * variance / (difference * difference)));
  }
  return out;
}

}  // namespace assay
