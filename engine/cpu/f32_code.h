// F32 values of one matrix in 24 bits, exactly, where they allow it: a decode step with few
// sequences is as fast as it can read the weights. What was computed from a file of few bits a
// weight has few of a mantissa's, and a matrix has few exponents.
#pragma once

#include <bit>
#include <cstdint>

namespace assay {

// A code, at the top of 32 bits: sign, six of exponent − base (0: the value is 0), 17 of mantissa.
struct F32Code {
  int base = -1;  // 0..127; -1: no code

  static constexpr uint32_t kSign = uint32_t{1} << 31;
  static constexpr uint32_t kLost = 63;  // of a float's bits
  static constexpr int kExponents = 63, kShift = 2;

  // Of values whose kLost are zero and whose exponents are in least..most, but for zeros; without a
  // base if they are too far apart or not all normal numbers.
  static F32Code of(int least, int most) {
    const bool fits = least > 0 && least <= 128 && most < 255 && most - least < kExponents;
    return fits ? F32Code{least - 1} : F32Code{};
  }

  // `bits` of a float that has a code.
  uint32_t encode(uint32_t bits) const {
    const uint32_t magnitude = bits & ~kSign;
    const uint32_t code = magnitude - (static_cast<uint32_t>(base) << 23);
    return (bits & kSign) | (magnitude == 0 ? 0 : code << kShift);
  }
  float decode(uint32_t code) const {
    const uint32_t small = (code & kSign) | (code & ~kSign) >> kShift;
    return std::bit_cast<float>(small) * scale();
  }
  // Times which a code is its value, once its bits stand where a float has them; no bit is lost.
  float scale() const { return std::bit_cast<float>(static_cast<uint32_t>(base + 127) << 23); }
};

}  // namespace assay
