// SPDX-License-Identifier: Apache-2.0
// Runs a fuzz target without libFuzzer: fuzz_X SECONDS SEED FILES…. Every round changes one of the
// files in a few places: other bytes, pieces of the same or another file, words that matter. The
// changes follow from SEED. An input that takes longer than kSlowest ends the program.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "tessera/core/file.h"
#include "tessera/core/rng.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using tessera::Rng;

constexpr unsigned kSlowest = 30;  // s

const std::vector<std::string> kWords = {"0",
                                         "-1",
                                         "9223372036854775807",
                                         "1e400",
                                         "[",
                                         "]",
                                         "{}",
                                         "!",
                                         "&a ",
                                         "*a",
                                         ": ",
                                         "\n",
                                         "- ",
                                         "'",
                                         "null",
                                         "~",
                                         "[1..99999999]"};

std::string mutated(const std::vector<std::string>& files, Rng& rng) {
  std::string text = files[rng.below(files.size())];
  for (std::uint64_t n = 1 + rng.below(4); n > 0; --n) {
    const std::size_t at = rng.below(text.size() + 1);
    const std::size_t length = std::min<std::size_t>(rng.below(24), text.size() - at);
    switch (rng.below(4)) {
      case 0:
        text.replace(at, length, kWords[rng.below(kWords.size())]);
        break;
      case 1:
        text.erase(at, length);
        break;
      case 2: {
        const std::string& other = files[rng.below(files.size())];
        text.insert(at, other.substr(rng.below(other.size() + 1), rng.below(80)));
        break;
      }
      default:
        if (at < text.size())
          text[at] = static_cast<char>(rng.below(256));
    }
  }
  return text;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: %s SECONDS SEED FILES...\n", argv[0]);
    return 2;
  }
  std::vector<std::string> files;
  for (int i = 3; i < argc; ++i)
    files.push_back(tessera::read_text(argv[i]));
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(std::atoi(argv[1]));
  Rng rng(std::strtoull(argv[2], nullptr, 10));
  long rounds = 0;
  for (; std::chrono::steady_clock::now() < end; ++rounds) {
    const std::string text = mutated(files, rng);
    alarm(kSlowest);
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
  }
  std::printf("%ld inputs\n", rounds);
  return 0;
}
