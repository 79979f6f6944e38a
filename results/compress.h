// zstd for stored texts and token ids.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/result.h"

namespace assay {

std::string zstd_compress(std::string_view bytes);
Result<std::string> zstd_decompress(std::string_view bytes, const std::string& place);

// Token ids as little-endian 32-bit words, compressed.
std::string compress_token_ids(const std::vector<int32_t>& ids);
Result<std::vector<int32_t>> decompress_token_ids(std::string_view bytes, const std::string& place);

}  // namespace assay
