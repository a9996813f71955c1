// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace tessera::report {

// Columns that a terminal needs to show `text` (UTF-8): combining marks take none, East Asian wide
// characters and emoji two. Bytes that are no UTF-8 count one each.
std::size_t display_width(std::string_view text);

// Which end of a text that is too long gives way: names of layers differ at their ends.
enum class Cut { kEnd, kStart };

// `text` in at most `width` columns, with "…" for what was cut.
std::string shorten(std::string_view text, std::size_t width, Cut cut = Cut::kEnd);

enum class Align { kLeft, kRight };

// A table for the terminal: a head, rows, columns aligned (numbers to the right), no frames.
//
//   layer      energy
//   ─────────────────
//   /conv1    1.20 nJ
//
// Rows that are wider than the terminal have their left-aligned cells shortened, the widest column
// first; numbers are never cut.
class Table {
 public:
  struct Column {
    std::string title;
    Align align = Align::kLeft;
    Cut cut = Cut::kEnd;
  };

  explicit Table(std::vector<Column> columns);

  // REQUIRES: as many cells as columns.
  void add_row(std::vector<std::string> cells);
  // A line, for instance above totals.
  void add_rule();

  // Lines that end in '\n', without trailing blanks.
  std::string render(std::size_t width = 80) const;

 private:
  std::vector<std::size_t> fitted_widths(std::size_t width) const;

  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;  // an empty one is a rule
};

}  // namespace tessera::report
