// Encoding of English questions, in bytes a second on one core: ASSAY_DATA=… assay_bench
// --benchmark_filter=encode
#include <benchmark/benchmark.h>

#include <cstdlib>

#include "engine/tokenizer/tokenizer.h"
#include "harness/base/file.h"
#include "harness/base/json.h"
#include "harness/base/text.h"

namespace assay {
namespace {

void encode(benchmark::State& state, const char* vocabulary) {
  const char* from_environment = std::getenv("ASSAY_DATA");
  const std::string data = from_environment != nullptr ? from_environment : "../shared/data";
  const auto file = GgufFile::open(data + "/engine/vocab/ggml-vocab-" + vocabulary + ".gguf");
  const auto questions = read_file(data + "/ifeval/input_data.jsonl");
  if (!file.ok() || !questions.ok()) return state.SkipWithError("set ASSAY_DATA");
  const auto tokenizer = Tokenizer::from_gguf(*file);
  std::vector<std::string> texts;
  int64_t bytes = 0;
  for (const std::string& line : split(*questions, '\n')) {
    if (line.empty()) continue;
    texts.push_back(Json::parse(line)["prompt"]);
    bytes += static_cast<int64_t>(texts.back().size());
  }
  for (auto _ : state) {
    for (const std::string& text : texts) benchmark::DoNotOptimize(tokenizer->encode(text, true));
  }
  state.SetBytesProcessed(state.iterations() * bytes);
}
BENCHMARK_CAPTURE(encode, gpt_2, "gpt-2");
BENCHMARK_CAPTURE(encode, llama_3, "llama-bpe");
BENCHMARK_CAPTURE(encode, qwen2, "qwen2");
BENCHMARK_CAPTURE(encode, deepseek_coder, "deepseek-coder");

}  // namespace
}  // namespace assay
