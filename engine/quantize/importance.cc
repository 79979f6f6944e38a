#include "engine/quantize/importance.h"

#include <algorithm>
#include <numeric>

#include "engine/runtime/forced.h"

namespace assay {
namespace {

struct Sums {
  std::vector<double> squares;
  double rows = 0;
};

Status read_through(LocalEngine& engine, std::vector<int32_t> tokens) {
  ASSAY_TRY(ForcedSequence sequence, ForcedSequence::start(engine, std::move(tokens)));
  while (sequence.remaining() > 0) ASSAY_TRY_STATUS(sequence.next(64));
  return {};
}

}  // namespace

Result<Importance> measure_importance(LocalEngine& engine,
                                      const std::vector<std::vector<int32_t>>& sequences) {
  std::map<std::string, Sums> sums;
  std::vector<float> values;
  Transformer& transformer = engine.transformer();
  transformer.observe([&](const std::string& name, const float* x, int rows, int width) {
    const size_t columns = static_cast<size_t>(width);
    values.resize(static_cast<size_t>(rows) * columns);
    engine.ops().download(x, values.size(), values.data());
    Sums& of_matrix = sums[name];
    of_matrix.squares.resize(columns, 0);
    for (size_t i = 0; i < values.size(); ++i) {
      of_matrix.squares[i % columns] += double{values[i]} * double{values[i]};
    }
    of_matrix.rows += rows;
  });
  Status status;
  for (std::vector<int32_t> tokens : sequences) {
    const auto context = static_cast<size_t>(transformer.config().context_length);
    tokens.resize(std::min(tokens.size(), context));
    status = read_through(engine, std::move(tokens));
    if (!status.ok()) break;
  }
  transformer.observe(nullptr);
  ASSAY_TRY_STATUS(status);
  Importance importance;
  for (const auto& [name, of_matrix] : sums) {
    const double mean = std::accumulate(of_matrix.squares.begin(), of_matrix.squares.end(), 0.0) /
                        static_cast<double>(of_matrix.squares.size());
    // An input that was never seen may still come.
    const double least = std::max(1e-4 * mean, 1e-30);
    std::vector<float>& columns = importance[name];
    for (const double squares : of_matrix.squares) {
      columns.push_back(static_cast<float>(std::max(squares, least) / of_matrix.rows));
    }
  }
  return importance;
}

}  // namespace assay
