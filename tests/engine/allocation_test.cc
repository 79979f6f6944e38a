// A decode step takes no memory from the heap, but for new pages of the KV cache and for the text
// of a sequence that has stop strings. Here alone, because the count replaces the whole program's
// operator new.
#include <atomic>
#include <cstdlib>
#include <new>

#include "harness/base/resources.h"
#include "tests/engine/engine_fixture.h"

namespace {

std::atomic<bool> counting{false};
std::atomic<int> allocations{0};

}  // namespace

// Sanitizers have their own.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

// Not inlined, or GCC sees free() take what operator new gave.
#define REPLACED __attribute__((noinline))

REPLACED void* operator new(size_t size) {
  if (counting) ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
REPLACED void* operator new(size_t size, std::align_val_t alignment) {
  if (counting) ++allocations;
  const auto align = static_cast<size_t>(alignment);
  if (void* memory = std::aligned_alloc(align, (size + align - 1) / align * align)) return memory;
  throw std::bad_alloc();
}
REPLACED void operator delete(void* memory) noexcept { std::free(memory); }
REPLACED void operator delete(void* memory, size_t) noexcept { std::free(memory); }
REPLACED void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
REPLACED void operator delete(void* memory, size_t, std::align_val_t) noexcept {
  std::free(memory);
}

namespace assay {
namespace {

constexpr int kTokens = 400;  // of a sequence, which fill several pages of the KV cache

// Counts between two of a sequence's tokens.
class Window : public SampleWatch {
 public:
  void on_token(int32_t, double) override {
    ++tokens_;
    counting = tokens_ >= 8 && tokens_ < kLast;
  }
  bool cancelled() const override { return false; }
  bool is_behind() const { return tokens_ >= kLast; }

 private:
  static constexpr int kLast = kTokens - 3;
  int tokens_ = 0;
};

TEST(Allocations, ADecodeStepMakesNone) {
  const auto model = LocalModel::open(*find_resource("engine/builtin"));
  ASSERT_OK(model);
  LocalEngineOptions options;
  options.threads = 2;
  options.batch_size = 8;
  const auto engine = LocalEngine::create(**model, options);
  ASSERT_OK(engine);
  const auto prompt = testing::make_prompt((*model)->tokenizer, "one two three");
  // Eight sequences take the cache's pages; four find them, and grow to twice the length.
  SamplingParams half, whole;
  half.max_tokens = kTokens / 2;
  whole.max_tokens = kTokens;
  auto requests = testing::make_requests({prompt}, options.batch_size, half);
  for (Request& request :
       testing::make_requests({prompt}, options.batch_size / 2, whole, /*seed=*/6)) {
    request.id.sample_index += options.batch_size;
    requests.push_back(std::move(request));
  }
  const auto window = std::make_shared<Window>();
  requests.back().watch = window;
  const auto completions = testing::generate(**engine, requests);
  ASSERT_EQ(completions.size(), requests.size());
  for (const auto& [id, completion] : completions) {
    ASSERT_EQ(completion.finish_reason, FinishReason::kLength) << "of no use here";
  }
  EXPECT_TRUE(window->is_behind());
  EXPECT_EQ(allocations, 0);
}

}  // namespace
}  // namespace assay

#endif
