// A decode step of one thread takes no memory from the heap once its scratch has grown. Here alone,
// because the count replaces the whole program's operator new.
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

// Counts between two tokens of a sequence, a page of the KV cache apart.
class Window : public SampleWatch {
 public:
  void on_token(int32_t, double) override {
    ++tokens_;
    counting = tokens_ >= 8 && tokens_ < 28;
  }
  bool cancelled() const override { return false; }
  bool is_behind() const { return tokens_ >= 28; }

 private:
  int tokens_ = 0;
};

TEST(Allocations, ADecodeStepOfOneThreadMakesNoneOnceItsScratchHasGrown) {
  const auto model = LocalModel::open(*find_resource("engine/builtin"));
  ASSERT_OK(model);
  LocalEngineOptions options;
  options.threads = 1;  // which of more takes a part, and needs room for it, is chance
  options.batch_size = 8;
  const auto engine = LocalEngine::create(**model, options);
  ASSERT_OK(engine);
  const auto prompt = testing::make_prompt((*model)->tokenizer, "one two three");
  SamplingParams sampling;
  sampling.max_tokens = 31;
  // The first half of them takes the pages of the cache, which the others find.
  auto requests = testing::make_requests({prompt}, 2 * options.batch_size, sampling);
  const auto window = std::make_shared<Window>();
  requests.back().watch = window;
  const auto completions = testing::generate(**engine, requests);
  for (const auto& [id, completion] : completions) {
    ASSERT_EQ(completion.token_ids.size(), 31u) << "ended within the window: of no use here";
  }
  EXPECT_TRUE(window->is_behind());
  EXPECT_EQ(allocations, 0);
}

}  // namespace
}  // namespace assay

#endif
