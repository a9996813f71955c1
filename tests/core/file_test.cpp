// SPDX-License-Identifier: Apache-2.0
#include "tessera/core/file.h"

#include <fstream>
#include <iterator>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/core/error.h"
#include "tessera/core/hash.h"

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

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST(FileReader, ReadsPiecesOfTheFileThatWasOpened) {
  const auto path = testing::temp_folder() / "a";
  write_atomic(path, "0123456789");
  const FileReader file(path);
  EXPECT_EQ(file.size(), 10U);
  std::vector<std::byte> piece(4);
  file.read(3, piece);
  EXPECT_EQ(text_of(piece), "3456");
  file.read(10, {});
  EXPECT_THROW(file.read(7, piece), InternalError);
  EXPECT_THROW(file.read(~std::uint64_t{0}, piece), InternalError);
  // A new file under the name is another file.
  write_atomic(path, "other");
  file.read(6, piece);
  EXPECT_EQ(text_of(piece), "6789");
}

TEST(FileReader, RefusesWhatHasChangedAndWhatIsNoFile) {
  using ::testing::ThrowsMessage;
  const auto path = testing::temp_folder() / "a";
  std::vector<std::byte> piece(4);
  for (const char* later : {"01", "0123456789 and more"}) {
    write_atomic(path, "0123456789");
    const FileReader file(path);
    std::ofstream(path) << later;
    EXPECT_THAT([&] { file.read(3, piece); },
                ThrowsMessage<IoError>(HasSubstr(path.string() + ": has changed")));
  }
  EXPECT_THAT([] { FileReader("/dev/null"); },
              ThrowsMessage<IoError>(HasSubstr("/dev/null: cannot read: not a regular file")));
  EXPECT_THAT([&] { FileReader(path.parent_path()); },
              ThrowsMessage<IoError>(HasSubstr("Is a directory")));
}

TEST(AtomicFile, LeavesNothingOfWhatIsNotCommitted) {
  const auto folder = testing::temp_folder();
  const auto write = [&](std::string_view text, bool commit) {
    AtomicFile file(folder / "a");
    for (const char& c : text)
      file.write(std::as_bytes(std::span(&c, 1)));
    if (commit)
      file.commit();
  };
  write("lost", false);
  EXPECT_TRUE(std::filesystem::is_empty(folder));
  write("kept", true);
  write("lost", false);
  EXPECT_EQ(read_text(folder / "a"), "kept");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 1);
}

TEST(Hash, OfAFileIsThatOfItsContent) {
  const auto path = testing::temp_folder() / "a";
  for (const std::size_t size : {0, 1, (1 << 20) - 1, 1 << 20, (1 << 21) + 5}) {
    std::string content(size, 'x');
    for (std::size_t i = 0; i < size; ++i)
      content[i] = static_cast<char>(i * i >> 7);
    write_atomic(path, content);
    EXPECT_EQ(sha256_file(path), sha256(content)) << size;
  }
}

}  // namespace
}  // namespace tessera
