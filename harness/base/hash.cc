#include "harness/base/hash.h"

#include <openssl/evp.h>

#include <array>
#include <cstdio>

#include "harness/base/check.h"
#include "harness/base/file.h"

namespace assay {

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~State() { EVP_MD_CTX_free(context); }
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  CHECK(EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr) == 1);
}

Sha256::~Sha256() = default;

void Sha256::update(std::string_view bytes) {
  CHECK(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) == 1);
}

std::string Sha256::hex() {
  std::array<unsigned char, 32> digest{};
  CHECK(EVP_DigestFinal_ex(state_->context, digest.data(), nullptr) == 1);
  std::string text;
  for (const unsigned char byte : digest) {
    text.push_back("0123456789abcdef"[byte >> 4]);
    text.push_back("0123456789abcdef"[byte & 15]);
  }
  return text;
}

std::string sha256_hex(std::string_view bytes) {
  Sha256 hash;
  hash.update(bytes);
  return hash.hex();
}

Result<std::string> sha256_file(const std::string& path) {
  ASSAY_TRY(const MappedFile file, MappedFile::open(path));
  return sha256_hex(file.bytes());
}

PhiloxKey stream_key(uint64_t seed, std::string_view suite, std::string_view item_id) {
  Sha256 hash;
  hash.update(std::to_string(seed));
  hash.update(std::string_view("\0", 1));
  hash.update(suite);
  hash.update(std::string_view("\0", 1));
  hash.update(item_id);
  const std::string hex = hash.hex();
  return {static_cast<uint32_t>(std::stoul(hex.substr(0, 8), nullptr, 16)),
          static_cast<uint32_t>(std::stoul(hex.substr(8, 8), nullptr, 16))};
}

}  // namespace assay
