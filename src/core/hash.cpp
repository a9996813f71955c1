// SPDX-License-Identifier: Apache-2.0
#include "tessera/core/hash.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <vector>

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

// SHA-256 of what was added so far.
struct Digest {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  Digest() {
    TESSERA_CHECK(context != nullptr && EVP_DigestInit_ex(context, EVP_sha256(), nullptr) == 1,
                  "cannot start SHA-256");
  }
  ~Digest() { EVP_MD_CTX_free(context); }
  Digest(const Digest&) = delete;
  Digest& operator=(const Digest&) = delete;

  void update(const void* data, std::size_t size) {
    TESSERA_CHECK(EVP_DigestUpdate(context, data, size) == 1, "SHA-256 update failed");
  }
  std::string finish() const {
    // On a copy, so that hex() may be asked more than once.
    Digest copy;
    TESSERA_CHECK(EVP_MD_CTX_copy_ex(copy.context, context) == 1, "SHA-256 copy failed");
    std::array<unsigned char, 32> digest{};
    TESSERA_CHECK(EVP_DigestFinal_ex(copy.context, digest.data(), nullptr) == 1,
                  "SHA-256 final failed");
    return to_hex(digest);
  }
};

}  // namespace

struct Sha256::State : Digest {};

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
  const FileReader file(path);
  Digest state;
  std::vector<std::byte> piece(std::size_t{1} << 20);
  for (std::uint64_t done = 0; done < file.size(); done += piece.size()) {
    piece.resize(std::min<std::uint64_t>(piece.size(), file.size() - done));
    file.read(done, piece);
    state.update(piece.data(), piece.size());
  }
  return state.finish();
}

}  // namespace tessera
