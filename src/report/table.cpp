// SPDX-License-Identifier: Apache-2.0
#include "tessera/report/table.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "tessera/core/error.h"

namespace tessera::report {
namespace {

constexpr std::size_t kGap = 2;        // blanks between columns
constexpr std::size_t kNarrowest = 8;  // a text column is not cut below this

struct CodePoint {
  std::uint32_t value = 0;
  std::size_t bytes = 1;
};

// The code point at the start of `text`, which is not empty; a byte that starts none counts as one.
CodePoint first_code_point(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t lead = byte(0);
  const std::size_t bytes = lead < 0x80             ? 1
                            : (lead & 0xe0) == 0xc0 ? 2
                            : (lead & 0xf0) == 0xe0 ? 3
                            : (lead & 0xf8) == 0xf0 ? 4
                                                    : 0;
  if (bytes == 0 || bytes > text.size())
    return {lead, 1};
  std::uint32_t value = bytes == 1 ? lead : lead & (0x7fU >> bytes);
  for (std::size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xc0) != 0x80)
      return {lead, 1};
    value = value << 6 | (byte(i) & 0x3fU);
  }
  return {value, bytes};
}

// The blocks that occur in practice; a terminal's own table has the last word anyway.
std::size_t width_of(std::uint32_t c) {
  const auto in = [c](std::uint32_t low, std::uint32_t high) { return c >= low && c <= high; };
  if (in(0x300, 0x36f) || in(0x200b, 0x200d) || in(0xfe00, 0xfe0f))
    return 0;
  const bool wide = in(0x1100, 0x115f) || in(0x2e80, 0xa4cf) || in(0xac00, 0xd7a3) ||
                    in(0xf900, 0xfaff) || in(0xfe30, 0xfe6f) || in(0xff00, 0xff60) ||
                    in(0xffe0, 0xffe6) || in(0x1f300, 0x1faff) || in(0x20000, 0x3fffd);
  return wide ? 2 : 1;
}

// The longest start of `text` that fits `width` columns.
std::string_view head(std::string_view text, std::size_t width) {
  std::size_t used = 0;
  std::size_t at = 0;
  while (at < text.size()) {
    const CodePoint c = first_code_point(text.substr(at));
    used += width_of(c.value);
    if (used > width)
      break;
    at += c.bytes;
  }
  return text.substr(0, at);
}

// The longest end of `text` that fits `width` columns.
std::string_view tail(std::string_view text, std::size_t width) {
  std::size_t at = 0;
  while (display_width(text.substr(at)) > width)
    at += first_code_point(text.substr(at)).bytes;
  return text.substr(at);
}

std::string repeat(std::string_view piece, std::size_t times) {
  std::string text;
  for (std::size_t i = 0; i < times; ++i)
    text += piece;
  return text;
}

void end_line(std::string& text) {
  text.erase(text.find_last_not_of(' ') + 1);
  text += '\n';
}

}  // namespace

std::size_t display_width(std::string_view text) {
  std::size_t width = 0;
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint c = first_code_point(text.substr(at));
    width += width_of(c.value);
    at += c.bytes;
  }
  return width;
}

std::string shorten(std::string_view text, std::size_t width, Cut cut) {
  if (display_width(text) <= width)
    return std::string(text);
  if (width == 0)
    return "";
  return cut == Cut::kEnd ? std::string(head(text, width - 1)) + "…"
                          : "…" + std::string(tail(text, width - 1));
}

Table::Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

void Table::add_row(std::vector<std::string> cells) {
  TESSERA_CHECK(cells.size() == columns_.size(), "{} cells for {} columns", cells.size(),
                columns_.size());
  rows_.push_back(std::move(cells));
}

void Table::add_rule() {
  rows_.emplace_back();
}

std::vector<std::size_t> Table::fitted_widths(std::size_t width) const {
  std::vector<std::size_t> widths;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    std::size_t widest = display_width(columns_[i].title);
    for (const std::vector<std::string>& row : rows_) {
      if (!row.empty())
        widest = std::max(widest, display_width(row[i]));
    }
    widths.push_back(widest);
  }
  std::size_t total = widths.empty() ? 0 : kGap * (widths.size() - 1);
  for (const std::size_t w : widths)
    total += w;
  for (; total > width; --total) {
    std::size_t* widest = nullptr;
    for (std::size_t i = 0; i < widths.size(); ++i) {
      if (columns_[i].align == Align::kLeft && (widest == nullptr || widths[i] > *widest))
        widest = &widths[i];
    }
    if (widest == nullptr || *widest <= kNarrowest)
      break;
    --*widest;
  }
  return widths;
}

std::string Table::render(std::size_t width) const {
  const std::vector<std::size_t> widths = fitted_widths(width);
  std::size_t total = widths.empty() ? 0 : kGap * (widths.size() - 1);
  for (const std::size_t w : widths)
    total += w;

  std::string out;
  const auto add_cells = [&](auto&& cell_of) {
    std::string line;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      const std::string cell = shorten(cell_of(i), widths[i], columns_[i].cut);
      const std::string padding = repeat(" ", widths[i] - display_width(cell));
      line += repeat(" ", i == 0 ? 0 : kGap);
      line += columns_[i].align == Align::kLeft ? cell + padding : padding + cell;
    }
    end_line(line);
    out += line;
  };
  add_cells([&](std::size_t i) { return columns_[i].title; });
  out += repeat("─", total) + "\n";
  for (const std::vector<std::string>& row : rows_) {
    if (row.empty()) {
      out += repeat("─", total) + "\n";
    } else {
      add_cells([&](std::size_t i) { return row[i]; });
    }
  }
  return out;
}

}  // namespace tessera::report
