// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/core/error.h"
#include "tessera/core/text.h"
#include "tessera/report/table.h"

namespace tessera::report {
namespace {

TEST(DisplayWidth, CountsColumnsNotBytes) {
  EXPECT_EQ(display_width(""), 0U);
  EXPECT_EQ(display_width("abc"), 3U);
  EXPECT_EQ(display_width("1.2 µJ"), 6U);
  EXPECT_EQ(display_width("e\u0301"), 1U);     // a combining accent
  EXPECT_EQ(display_width("\u5c64"), 2U);      // an East Asian character
  EXPECT_EQ(display_width("\U0001f600"), 2U);  // an emoji
  EXPECT_EQ(display_width("\xff\xc3"), 2U);    // no UTF-8: a byte each
  EXPECT_EQ(display_width("\xe2\x82"), 2U);    // cut short
}

TEST(Shorten, KeepsWhatFitsAndCutsTheStatedEnd) {
  EXPECT_EQ(shorten("/conv1", 6), "/conv1");
  EXPECT_EQ(shorten("/layer1/conv1", 8), "/layer1…");
  EXPECT_EQ(shorten("/layer1/conv1", 8, Cut::kStart), "…1/conv1");
  EXPECT_EQ(shorten("µµµµ", 3), "µµ…");
  EXPECT_EQ(shorten("µµµµ", 3, Cut::kStart), "…µµ");
  EXPECT_EQ(shorten("abc", 1), "…");
  EXPECT_EQ(shorten("abc", 0), "");
  // A wide character that would straddle the edge goes.
  EXPECT_EQ(shorten("\u5c64\u5c64\u5c64", 4), "\u5c64…");
}

TEST(Table, AlignsColumns) {
  Table table({{"layer"}, {"energy", Align::kRight}});
  table.add_row({"/conv1", "1.2 µJ"});
  table.add_row({"/fc", "12 nJ"});
  table.add_rule();
  table.add_row({"total", "1.212 µJ"});
  EXPECT_EQ(table.render(),
            "layer     energy\n"
            "────────────────\n"
            "/conv1    1.2 µJ\n"
            "/fc        12 nJ\n"
            "────────────────\n"
            "total   1.212 µJ\n");
}

TEST(Table, ShortensTextButNeverNumbers) {
  Table table({{"layer", Align::kLeft, Cut::kStart}, {"path"}, {"energy", Align::kRight}});
  table.add_row({"/a/very/long/name/of/a/layer/conv1", "pcm analog", "123.456 µJ"});
  for (const std::string& line : split(table.render(40), '\n')) {
    EXPECT_LE(display_width(line), 40U) << line;
  }
  EXPECT_THAT(table.render(40), ::testing::HasSubstr("…f/a/layer/conv1  pcm analog  123.456 µJ"));
  EXPECT_THAT(table.render(40), ::testing::HasSubstr("123.456 µJ"));
  // Too narrow for all: text keeps a few letters, numbers stay whole.
  EXPECT_THAT(table.render(5), ::testing::HasSubstr("123.456 µJ"));
}

TEST(Table, EndsLinesWithoutBlanks) {
  Table table({{"a"}, {"b"}});
  table.add_row({"x", ""});
  EXPECT_EQ(table.render(), "a  b\n────\nx\n");
}

TEST(Table, RefusesRowsOfAnotherLength) {
  Table table({{"a"}, {"b"}});
  EXPECT_THROW(table.add_row({"x"}), InternalError);
}

}  // namespace
}  // namespace tessera::report
