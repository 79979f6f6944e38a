#include "engine/fit/table.h"

#include "harness/base/json.h"
#include "harness/base/resources.h"

namespace assay {

Result<FitTable> load_fit_table() {
  ASSAY_TRY(const std::string path, find_resource("engine/fit/fit.json"));
  ASSAY_TRY(const Json json, read_json_file(path));
  try {
    FitTable table;
    table.cards_source = json.at("cards_source");
    table.prices_source = json.at("prices_source");
    table.reached_source = json.at("reached_source");
    table.reached_lowest = json.at("reached").at("lowest");
    table.reached_highest = json.at("reached").at("highest");
    for (const Json& card : json.at("cards")) {
      table.cards.push_back({card.at("name"), card.at("memory_gb").get<double>() * 1e9,
                             card.at("bandwidth_gb_s").get<double>() * 1e9,
                             card.at("tflops").get<double>() * 1e12, card.at("source"),
                             card.at("usd_an_hour"), card.at("price_of")});
    }
    for (const Json& entry : json.at("shapes")) {
      Shape shape;
      shape.name = entry.at("name");
      shape.tied = entry.at("tied");
      ModelConfig& config = shape.config;
      config.architecture = entry.at("architecture");
      config.layers = entry.at("layers");
      config.width = entry.at("width");
      config.ffn_width = entry.at("ffn_width");
      config.heads = entry.at("heads");
      config.kv_heads = entry.at("kv_heads");
      config.head_dim = entry.at("head_dim");
      config.vocab_size = entry.at("vocab_size");
      config.context_length = entry.at("context_length");
      table.shapes.push_back(std::move(shape));
    }
    return table;
  } catch (const Json::exception&) {
    return Error{path + ": a card or a shape lacks a value; the file is damaged"};
  }
}

}  // namespace assay
