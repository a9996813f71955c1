// SPDX-License-Identifier: Apache-2.0
#include "tessera/format/number_format.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>

#include "tessera/core/text.h"

#include "bits_text.h"

namespace tessera::format {

namespace {

constexpr std::string_view kForms =
    "allowed: fp32, fp16, intW (weights and activations of W bits), intW/aA (weights of W, "
    "activations of A bits), intWgG and intWgG/aA (a scale for G weights in turn), analog:PRESET, "
    "strum:LOWSET,KEY=VALUE,…/aA, with W and A in 2..8 or 16 and G among 8, 16, 32, 64, 128";

tl::unexpected<Infeasible> refuse(std::string_view text, std::string_view why) {
  return infeasible("format", fmt::format("number format '{}': {}; {}", text, why, kForms));
}

bool is_group_size(int weights) {
  return weights == 8 || weights == 16 || weights == 32 || weights == 64 || weights == 128;
}

bool is_preset_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

Expected<NumberFormat> parse_integer(std::string_view text) {
  const std::string_view widths = text.substr(3);
  const std::size_t slash = widths.find('/');
  const std::string_view head = widths.substr(0, slash);
  const std::size_t g = head.find('g');
  const std::optional<int> weights = parse_bits(head.substr(0, g));
  if (!weights)
    return refuse(text, "the weights' bits are not a number");
  if (!is_integer_width(*weights))
    return refuse(text, fmt::format("weights of {} bits", *weights));
  int group = 0;
  if (g != std::string_view::npos) {
    const std::optional<int> size = parse_bits(head.substr(g + 1));
    if (!size)
      return refuse(text, "the weights of a group are not a number");
    if (!is_group_size(*size))
      return refuse(text, fmt::format("groups of {} weights", *size));
    group = *size;
  }
  if (slash == std::string_view::npos)
    return Integer{*weights, *weights, group};

  const std::string_view tail = widths.substr(slash + 1);
  if (!tail.starts_with('a'))
    return refuse(text, "behind the '/' stands aA, the activations' bits");
  const std::optional<int> activations = parse_bits(tail.substr(1));
  if (!activations)
    return refuse(text, "the activations' bits are not a number");
  if (!is_integer_width(*activations))
    return refuse(text, fmt::format("activations of {} bits", *activations));
  return Integer{*weights, *activations, group};
}

}  // namespace

std::optional<int> parse_bits(std::string_view digits) {
  int value = 0;
  const char* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, value);
  if (error != std::errc{} || stop != end || digits.front() < '1' || digits.front() > '9')
    return std::nullopt;
  return value;
}

bool is_integer_width(int bits) {
  return (bits >= 2 && bits <= 8) || bits == 16;
}

std::string to_string(const NumberFormat& format) {
  struct Writer {
    std::string operator()(const Float& f) const { return fmt::format("fp{}", f.bits); }
    std::string operator()(const Integer& i) const {
      const std::string group = i.group > 0 ? fmt::format("g{}", i.group) : "";
      if (i.weight_bits == i.activation_bits)
        return fmt::format("int{}{}", i.weight_bits, group);
      return fmt::format("int{}{}/a{}", i.weight_bits, group, i.activation_bits);
    }
    std::string operator()(const Analog& a) const { return "analog:" + a.preset; }
    std::string operator()(const Strum& s) const { return format::to_string(s); }
  };
  return std::visit(Writer{}, format);
}

Expected<NumberFormat> parse_number_format(std::string_view text) {
  constexpr std::string_view kAnalog = "analog:";
  constexpr std::string_view kStrum = "strum:";
  if (text == "fp32")
    return Float{32};
  if (text == "fp16")
    return Float{16};
  if (text.starts_with("int"))
    return parse_integer(text);
  if (text.starts_with(kAnalog)) {
    const std::string_view preset = text.substr(kAnalog.size());
    if (preset.empty())
      return refuse(text, "the noise preset's name is missing");
    for (const char c : preset) {
      if (!is_preset_character(c))
        return refuse(text, "a preset's name has lower-case letters, digits, '-', '_' and '.'");
    }
    return Analog{std::string(preset)};
  }
  if (text.starts_with(kStrum)) {
    auto scheme = parse_strum(text.substr(kStrum.size()));
    if (!scheme)
      return tl::unexpected(scheme.error());
    return *scheme;
  }
  return refuse(text, "unknown");
}

int weight_bits(const NumberFormat& format) {
  struct Bits {
    int operator()(const Float& f) const { return f.bits; }
    int operator()(const Integer& i) const { return i.weight_bits; }
    int operator()(const Analog&) const { return 0; }
    int operator()(const Strum&) const { return 8; }
  };
  return std::visit(Bits{}, format);
}

int activation_bits(const NumberFormat& format) {
  struct Bits {
    int operator()(const Float& f) const { return f.bits; }
    int operator()(const Integer& i) const { return i.activation_bits; }
    int operator()(const Analog&) const { return 8; }
    int operator()(const Strum& s) const { return s.activation_bits; }
  };
  return std::visit(Bits{}, format);
}

std::int64_t groups_per_channel(const Integer& format, std::int64_t per_channel) {
  return format.group == 0 ? 1 : (per_channel + format.group - 1) / format.group;
}

std::int64_t stored_weight_bits(const NumberFormat& format, const WeightShape& shape) {
  constexpr std::int64_t kScaleBits = 32;
  if (const auto* strum = std::get_if<Strum>(&format))
    return packed_bits(*strum, shape);
  if (const auto* integer = std::get_if<Integer>(&format); integer != nullptr && integer->group > 0)
    return shape.count() * integer->weight_bits +
           kScaleBits * shape.outputs *
               groups_per_channel(*integer, shape.inputs * shape.positions);
  return shape.count() * weight_bits(format);
}

std::vector<std::string> split_formats(std::string_view text) {
  std::vector<std::string> formats;
  for (const std::string& piece : split(text, ',')) {
    // A format's keys belong to it: "int8,strum:mip2q,p=0.5" are two.
    if (!formats.empty() && piece.find('=') != std::string::npos)
      formats.back() += "," + piece;
    else
      formats.emplace_back(trim(piece));
  }
  return formats;
}

}  // namespace tessera::format
