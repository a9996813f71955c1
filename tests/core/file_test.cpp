// SPDX-License-Identifier: Apache-2.0
#include "tessera/core/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/core/error.h"

#include "support/shared_files.h"

namespace tessera {
namespace {

using ::testing::HasSubstr;

TEST(File, WritesWholeAndReplaces) {
  const auto folder = testing::temp_folder();
  const auto path = folder / "new" / "deep" / "a.txt";
  write_atomic(path, "first");
  EXPECT_EQ(read_text(path), "first");
  const std::string large(3'000'000, 'x');
  write_atomic(path, large);
  EXPECT_EQ(read_text(path), large);
  EXPECT_EQ(read_bytes(path).size(), large.size());
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(path.parent_path())) {
    files += entry.is_regular_file() ? 1 : 0;
  }
  EXPECT_EQ(files, 1) << "no temporary file is left";
}

TEST(File, SaysWhatIsWrong) {
  const auto folder = testing::temp_folder();
  const auto message = [](const auto& act) -> std::string {
    try {
      act();
    } catch (const IoError& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(message([&] { read_text(folder / "absent"); }),
              HasSubstr("absent: cannot read: No such file"));
  EXPECT_THAT(message([&] { read_text(folder); }), HasSubstr("Is a directory"));
  write_atomic(folder / "file", "");
  EXPECT_THAT(message([&] { write_atomic(folder / "file" / "under", "x"); }),
              HasSubstr("Not a directory"));
  EXPECT_THAT(message([&] { write_atomic("/dev/full/x", "x"); }), HasSubstr("/dev/full"));
}

}  // namespace
}  // namespace tessera
