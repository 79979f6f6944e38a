// Cards and shapes of models that are known by name: engine/fit/fit.json.
#pragma once

#include <string>
#include <vector>

#include "engine/model/config.h"
#include "harness/base/result.h"

namespace assay {

struct Card {
  std::string name;
  double memory_bytes = 0, bytes_per_s = 0;
  double flops = 0;    // a second, of dense bf16 products with f32 sums
  std::string source;  // of these three
  double usd_an_hour = 0;
  std::string price_of;  // whose and when
};

struct Shape {
  std::string name;
  ModelConfig config;  // what sizes depend on
  bool tied = false;   // the lm_head is the embedding
};

struct FitTable {
  std::string cards_source, prices_source;
  // Shares of the roof that assay itself was seen to reach, and where.
  double reached_lowest = 0, reached_highest = 0;
  std::string reached_source;
  std::vector<Card> cards;
  std::vector<Shape> shapes;
};

Result<FitTable> load_fit_table();

}  // namespace assay
