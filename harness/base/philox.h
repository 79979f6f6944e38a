// Philox4x32-10, the counter-based random generator of Salmon et al., "Parallel Random Numbers: As
// Easy as 1, 2, 3" (SC 2011). A draw is a pure function of key and counter, so a sample does not
// depend on what else runs beside it.
#pragma once

#include <array>
#include <cstdint>

namespace assay {

using PhiloxKey = std::array<uint32_t, 2>;
using PhiloxCounter = std::array<uint32_t, 4>;

constexpr PhiloxCounter philox4x32_10(PhiloxCounter counter, PhiloxKey key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53} * counter[0];
    const uint64_t product1 = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key[0],
               static_cast<uint32_t>(product1),
               static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key[1],
               static_cast<uint32_t>(product0)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

// Uniform in [0, 1) with 53 random bits.
constexpr double philox_uniform(PhiloxCounter counter, PhiloxKey key) {
  const PhiloxCounter bits = philox4x32_10(counter, key);
  const uint64_t mantissa = (uint64_t{bits[0]} << 21) ^ (bits[1] >> 11);
  return static_cast<double>(mantissa) * 0x1.0p-53;
}

}  // namespace assay
