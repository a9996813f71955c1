// SPDX-License-Identifier: Apache-2.0
// How a StruM scheme is written: "mip2q,p=0.5,L=7,block=1x16/a8".
#include <fmt/format.h>

#include <charconv>
#include <functional>
#include <optional>
#include <vector>

#include "tessera/core/text.h"
#include "tessera/format/strum.h"

#include "bits_text.h"

namespace tessera::format {

namespace {

constexpr std::string_view kForms =
    "allowed: sparsity, dliq or mip2q, then any of p=0.001…1, block=LxW (of at most 256 weights), "
    "for dliq q=2…7, grid=lsb|msb|layer|block, mask=magnitude|l2, for mip2q L=0…7, zero=0|1, "
    "range=int8|full, mask=magnitude|l2, then /aA with A in 2..8 or 16";

tl::unexpected<Infeasible> refuse(std::string_view text, std::string_view why) {
  return infeasible("format", fmt::format("number format 'strum:{}': {}; {}", text, why, kForms));
}

// "0.5", ".25", "1": at most three digits behind the point.
std::optional<int> parse_permille(std::string_view text) {
  const std::size_t point = text.find('.');
  const std::string_view whole = text.substr(0, point);
  const std::string_view rest = point == text.npos ? std::string_view() : text.substr(point + 1);
  if ((whole != "0" && whole != "1" && !whole.empty()) || rest.size() > 3 ||
      (point != text.npos && rest.empty()) || (whole.empty() && rest.empty()))
    return std::nullopt;
  int value = whole == "1" ? 1 : 0;
  for (std::size_t i = 0; i < 3; ++i) {
    const char digit = i < rest.size() ? rest[i] : '0';
    if (digit < '0' || digit > '9')
      return std::nullopt;
    value = 10 * value + (digit - '0');
  }
  return value >= 1 && value <= 1000 ? std::optional(value) : std::nullopt;
}

std::optional<int> parse_int(std::string_view text, int low, int high) {
  int value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || stop != end || value < low || value > high)
    return std::nullopt;
  return value;
}

template <typename E>
std::optional<E> parse_name(std::string_view text,
                            const std::vector<std::pair<std::string_view, E>>& names) {
  for (const auto& [known, value] : names) {
    if (text == known)
      return value;
  }
  return std::nullopt;
}

const std::vector<std::pair<std::string_view, LowMask>> kMasks = {
    {"magnitude", LowMask::kMagnitude}, {"l2", LowMask::kL2}};
const std::vector<std::pair<std::string_view, Dliq::Grid>> kGrids = {{"lsb", Dliq::Grid::kLsb},
                                                                     {"msb", Dliq::Grid::kMsb},
                                                                     {"layer", Dliq::Grid::kLayer},
                                                                     {"block", Dliq::Grid::kBlock}};
const std::vector<std::pair<std::string_view, bool>> kSwitch = {{"0", false}, {"1", true}};
const std::vector<std::pair<std::string_view, bool>> kRanges = {{"int8", false}, {"full", true}};

template <typename E>
std::string_view name_of(E value, const std::vector<std::pair<std::string_view, E>>& names) {
  for (const auto& [known, candidate] : names) {
    if (candidate == value)
      return known;
  }
  return {};
}

bool parse_block(std::string_view text, Strum& scheme) {
  const std::size_t x = text.find('x');
  if (x == text.npos)
    return false;
  const auto rows = parse_int(text.substr(0, x), 1, kLargestStrumBlock);
  const auto columns = parse_int(text.substr(x + 1), 1, kLargestStrumBlock);
  if (!rows || !columns || *rows * *columns > kLargestStrumBlock)
    return false;
  scheme.block_rows = *rows;
  scheme.block_columns = *columns;
  return true;
}

template <typename V>
bool put(V& target, const std::optional<V>& value) {
  if (value)
    target = *value;
  return value.has_value();
}

// The key's value into the scheme. No such key for this low set: nullopt; a bad value: false.
std::optional<bool> set_key(Strum& scheme, std::string_view key, std::string_view value) {
  if (key == "p")
    return put(scheme.low_permille, parse_permille(value));
  if (key == "block")
    return parse_block(value, scheme);
  if (auto* dliq = std::get_if<Dliq>(&scheme.low)) {
    if (key == "q")
      return put(dliq->bits, parse_int(value, 2, 7));
    if (key == "grid")
      return put(dliq->grid, parse_name(value, kGrids));
    if (key == "mask")
      return put(dliq->mask, parse_name(value, kMasks));
  }
  if (auto* mip2q = std::get_if<Mip2q>(&scheme.low)) {
    if (key == "L")
      return put(mip2q->max_shift, parse_int(value, 0, 7));
    if (key == "zero")
      return put(mip2q->zero_code, parse_name(value, kSwitch));
    if (key == "range")
      return put(mip2q->plus_128, parse_name(value, kRanges));
    if (key == "mask")
      return put(mip2q->mask, parse_name(value, kMasks));
  }
  return std::nullopt;
}

std::string permille_text(int permille) {
  if (permille == 1000)
    return "1";
  std::string digits = fmt::format("{:03}", permille);
  while (digits.back() == '0')
    digits.pop_back();
  return "0." + digits;
}

}  // namespace

std::string to_string(const Strum& scheme) {
  std::string text =
      fmt::format("strum:{},p={}", low_set_name(scheme.low), permille_text(scheme.low_permille));
  const auto* dliq = std::get_if<Dliq>(&scheme.low);
  const auto* mip2q = std::get_if<Mip2q>(&scheme.low);
  if (dliq != nullptr)
    text += fmt::format(",q={},grid={}", dliq->bits, name_of(dliq->grid, kGrids));
  if (mip2q != nullptr)
    text += fmt::format(",L={}", mip2q->max_shift);
  text += fmt::format(",block={}x{}", scheme.block_rows, scheme.block_columns);
  if (mip2q != nullptr && mip2q->zero_code)
    text += ",zero=1";
  if (mip2q != nullptr && mip2q->plus_128)
    text += ",range=full";
  if (dliq != nullptr && dliq->mask != Dliq{}.mask)
    text += fmt::format(",mask={}", name_of(dliq->mask, kMasks));
  if (mip2q != nullptr && mip2q->mask != Mip2q{}.mask)
    text += fmt::format(",mask={}", name_of(mip2q->mask, kMasks));
  return text + fmt::format("/a{}", scheme.activation_bits);
}

Expected<Strum> parse_strum(std::string_view text) {
  Strum scheme;
  const std::size_t slash = text.find('/');
  if (slash != text.npos) {
    const std::string_view tail = text.substr(slash + 1);
    const auto bits = tail.starts_with('a') ? parse_bits(tail.substr(1)) : std::nullopt;
    if (!bits)
      return refuse(text, "behind the '/' stands aA, the activations' bits");
    if (!is_integer_width(*bits))
      return refuse(text, fmt::format("activations of {} bits", *bits));
    scheme.activation_bits = *bits;
  }
  const std::vector<std::string> pieces = split(text.substr(0, slash), ',');
  if (pieces[0] == "sparsity")
    scheme.low = Sparsity{};
  else if (pieces[0] == "dliq")
    scheme.low = Dliq{};
  else if (pieces[0] == "mip2q")
    scheme.low = Mip2q{};
  else
    return refuse(text, fmt::format("the low set is '{}'", pieces[0]));

  std::vector<std::string> seen;
  for (std::size_t i = 1; i < pieces.size(); ++i) {
    const std::size_t equals = pieces[i].find('=');
    const std::string key = pieces[i].substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : pieces[i].substr(equals + 1);
    for (const std::string& other : seen) {
      if (other == key)
        return refuse(text, fmt::format("'{}' stands twice", key));
    }
    seen.push_back(key);
    const std::optional<bool> good = set_key(scheme, key, value);
    if (!good)
      return refuse(text, fmt::format("{} has no key '{}'", pieces[0], key));
    if (!*good)
      return refuse(text, fmt::format("'{}' is '{}'", key, value));
  }
  return scheme;
}

}  // namespace tessera::format
