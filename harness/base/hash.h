// SHA-256 of files and texts, as lower-case hex; a short key for random streams.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "harness/base/philox.h"
#include "harness/base/result.h"

namespace assay {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  void update(std::string_view bytes);
  // The digest of everything given so far; the object is then spent.
  std::string hex();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string sha256_hex(std::string_view bytes);
Result<std::string> sha256_file(const std::string& path);

// The Philox key of one question: a function of the run's seed and the item's name alone.
PhiloxKey stream_key(uint64_t seed, std::string_view suite, std::string_view item_id);

}  // namespace assay
