// SPDX-License-Identifier: Apache-2.0
#include "tessera/core/text.h"

#include <gtest/gtest.h>

#include "tessera/core/error.h"
#include "tessera/core/hash.h"
#include "tessera/core/progress.h"

namespace tessera {
namespace {

const std::vector<std::string> kNames = {"analog", "digital", "spatial"};

TEST(NearestName, FindsMisspellings) {
  EXPECT_EQ(nearest_name("analgo", kNames), "analog");   // a swap
  EXPECT_EQ(nearest_name("digtal", kNames), "digital");  // a letter left out
  EXPECT_EQ(nearest_name("spatiall", kNames), "spatial");
  EXPECT_EQ(nearest_name("xyz", kNames), std::nullopt);
  EXPECT_EQ(nearest_name("", kNames), std::nullopt);
  EXPECT_EQ(nearest_name(std::string(5000, 'a'), kNames), std::nullopt);
  EXPECT_EQ(nearest_name("ab", std::vector<std::string>{"aa", "bb"}), "aa")
      << "ties go to the first";
}

TEST(UnknownName, SaysWhatIsKnown) {
  EXPECT_EQ(unknown_name("unit", "analgo", kNames),
            "unknown unit 'analgo'; did you mean 'analog'? (known: analog, digital, spatial)");
  EXPECT_EQ(unknown_name("unit", "zzz", kNames),
            "unknown unit 'zzz' (known: analog, digital, spatial)");
}

TEST(Text, SplitAndTrim) {
  EXPECT_EQ(split("a,,b", ','), (std::vector<std::string>{"a", "", "b"}));
  EXPECT_EQ(split("", ','), std::vector<std::string>{""});
  EXPECT_EQ(trim("  x y\t\n"), "x y");
  EXPECT_EQ(trim(" \n"), "");
}

TEST(Text, Utf8) {
  EXPECT_TRUE(is_valid_utf8("plain, µ, …, 漢, 😀"));
  EXPECT_FALSE(is_valid_utf8("\xff"));
  EXPECT_FALSE(is_valid_utf8("\xc0\xaf"));          // overlong
  EXPECT_FALSE(is_valid_utf8("\xed\xa0\x80"));      // surrogate
  EXPECT_FALSE(is_valid_utf8("\xf4\x90\x80\x80"));  // past U+10FFFF
  EXPECT_FALSE(is_valid_utf8("\xe2\x82"));          // cut short
}

TEST(Hash, KnownDigests) {
  // FIPS 180-2, appendix B.1; and the empty message.
  EXPECT_EQ(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(Hash, PiecesDoNotRunTogether) {
  EXPECT_NE(Sha256().add("ab").add("c").hex(), Sha256().add("a").add("bc").hex());
  Sha256 hash;
  hash.add("a");
  const std::string first = hash.hex();
  EXPECT_EQ(hash.hex(), first) << "asking twice gives the same";
}

TEST(Error, LocationsAndChecks) {
  EXPECT_EQ(to_string(SourceLocation{"a.yaml", 3, 7}), "a.yaml:3:7");
  EXPECT_EQ(to_string(SourceLocation{"a.yaml", 3, 0}), "a.yaml:3");
  EXPECT_EQ(to_string(SourceLocation{"a.yaml", 0, 0}), "a.yaml");
  try {
    TESSERA_CHECK(1 == 2, "one is {}", 1);
    FAIL() << "must throw";
  } catch (const InternalError& error) {
    EXPECT_NE(std::string(error.what()).find("one is 1 (1 == 2)"), std::string::npos)
        << error.what();
  }
}

TEST(Progress, Durations) {
  EXPECT_EQ(format_duration(4.06), "4.1 s");
  EXPECT_EQ(format_duration(59.4), "59 s");
  EXPECT_EQ(format_duration(123), "2 min 03 s");
  EXPECT_EQ(format_duration(3900), "1 h 05 min");
  EXPECT_EQ(format_duration(-1), "0.0 s");
}

}  // namespace
}  // namespace tessera
