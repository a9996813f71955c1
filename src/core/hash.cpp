// SPDX-License-Identifier: Apache-2.0
#include "tessera/core/hash.h"

#include <openssl/evp.h>

#include <array>

#include "tessera/core/error.h"
#include "tessera/core/file.h"

namespace tessera {
namespace {

std::string to_hex(std::span<const unsigned char> digest) {
  std::string text;
  for (const unsigned char byte : digest)
    text += fmt::format("{:02x}", byte);
  return text;
}

}  // namespace

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  State() {
    TESSERA_CHECK(context != nullptr && EVP_DigestInit_ex(context, EVP_sha256(), nullptr) == 1,
                  "cannot start SHA-256");
  }
  ~State() { EVP_MD_CTX_free(context); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  void update(const void* data, std::size_t size) {
    TESSERA_CHECK(EVP_DigestUpdate(context, data, size) == 1, "SHA-256 update failed");
  }
  std::string finish() const {
    // On a copy, so that hex() may be asked more than once.
    State copy;
    TESSERA_CHECK(EVP_MD_CTX_copy_ex(copy.context, context) == 1, "SHA-256 copy failed");
    std::array<unsigned char, 32> digest{};
    TESSERA_CHECK(EVP_DigestFinal_ex(copy.context, digest.data(), nullptr) == 1,
                  "SHA-256 final failed");
    return to_hex(digest);
  }
};

Sha256::Sha256() : state_(std::make_unique<State>()) {}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

Sha256& Sha256::add(std::span<const std::byte> bytes) {
  const std::uint64_t size = bytes.size();
  state_->update(&size, sizeof size);
  state_->update(bytes.data(), bytes.size());
  return *this;
}

Sha256& Sha256::add(std::string_view text) {
  return add(std::as_bytes(std::span(text.data(), text.size())));
}

Sha256& Sha256::add(std::int64_t value) {
  return add(std::as_bytes(std::span(&value, std::size_t{1})));
}

std::string Sha256::hex() const {
  return state_->finish();
}

std::string sha256(std::span<const std::byte> bytes) {
  std::array<unsigned char, 32> digest{};
  TESSERA_CHECK(
      EVP_Digest(bytes.data(), bytes.size(), digest.data(), nullptr, EVP_sha256(), nullptr) == 1,
      "SHA-256 failed");
  return to_hex(digest);
}

std::string sha256(std::string_view text) {
  return sha256(std::as_bytes(std::span(text.data(), text.size())));
}

std::string sha256_file(const std::string& path) {
  return sha256(read_bytes(path));
}

}  // namespace tessera
