// Log-probabilities of a text's tokens, for tests/bench/accuracy.
//   assay_logprobs MODEL f32|fixed16|int8 f32|fixed16 < token ids, separated by white space
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <iterator>
#include <string_view>

#include "engine/runtime/local_engine.h"

namespace assay {
namespace {

template <typename Enum, size_t kCount>
Enum choice(std::string_view name, const std::string_view (&names)[kCount]) {
  return static_cast<Enum>(std::find(names, names + kCount, name) - names);
}

int run(const char* path, const char* activations, const char* kv_cache) {
  const auto model = LocalModel::open(path);
  if (!model.ok()) {
    std::fprintf(stderr, "%s\n", model.error().message.c_str());
    return 2;
  }
  LocalEngineOptions options;
  options.activations = choice<Activations>(activations, kActivationNames);
  options.kv_cache = choice<KvType>(kv_cache, kKvTypeNames);
  const auto engine = LocalEngine::create(**model, options);
  if (!engine.ok()) return 2;
  const std::vector<int32_t> ids{std::istream_iterator<int32_t>(std::cin), {}};
  const auto logprobs = (*engine)->logprobs(ids);
  if (!logprobs.ok()) return 2;
  const size_t vocab_size = logprobs->size() / ids.size();
  for (size_t i = 0; i + 1 < ids.size(); ++i) {
    std::printf("%.9g\n", (*logprobs)[i * vocab_size + static_cast<size_t>(ids[i + 1])]);
  }
  return 0;
}

}  // namespace
}  // namespace assay

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: assay_logprobs MODEL ACTIVATIONS KV_CACHE < ids\n");
    return 2;
  }
  return assay::run(argv[1], argv[2], argv[3]);
}
