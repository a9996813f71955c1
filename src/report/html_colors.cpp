// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "tessera/core/error.h"
#include "tessera/core/text.h"

#include "html_parts.h"

namespace tessera::report::detail {
namespace {

struct Hue {
  int degrees;
  int saturation;
};
// Far apart for readers with colour-vision deficiencies too; analog units take the first ones.
constexpr std::array<Hue, 3> kAnalogHues = {{{268, 48}, {330, 45}, {300, 40}}};
constexpr std::array<Hue, 4> kDigitalHues = {{{205, 62}, {160, 48}, {32, 70}, {55, 60}}};

bool is_analog(const format::NumberFormat& format) {
  return std::holds_alternative<format::Analog>(format);
}

int lightness(const format::NumberFormat& format) {
  if (is_analog(format))
    return 52;
  const int bits = format::weight_bits(format);
  return bits >= 32 ? 24 : bits >= 16 ? 38 : bits >= 8 ? 54 : bits >= 5 ? 62 : bits >= 4 ? 72 : 82;
}

std::string title_of(const plan::Part& part) {
  return part.unit + " " + format::to_string(part.format);
}

bool wider(const plan::Part& a, const plan::Part& b) {
  const auto key = [](const plan::Part& part) {
    return std::tuple(!is_analog(part.format), part.unit, -format::weight_bits(part.format),
                      format::to_string(part.format));
  };
  return key(a) < key(b);
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string out;
  const bool valid = is_valid_utf8(text);
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        if (!valid && static_cast<unsigned char>(c) >= 0x80) {
          out += "\uFFFD";
        } else {
          out += c;
        }
    }
  }
  return out;
}

PathColors::PathColors(const std::vector<plan::Candidate>& candidates) {
  std::set<plan::Part, decltype(&wider)> parts(&wider);
  for (const plan::Candidate& candidate : candidates) {
    for (const plan::Path& path : candidate.assignment.paths) {
      for (plan::Part part : path.parts) {
        part.channels = {};
        parts.insert(part);
      }
    }
  }
  std::array<std::map<std::string, std::size_t>, 2> hue_of_unit;  // [analog]
  for (const plan::Part& part : parts) {
    const bool analog = is_analog(part.format);
    auto& known = hue_of_unit[analog ? 1 : 0];
    const std::size_t number = known.try_emplace(part.unit, known.size()).first->second;
    const Hue hue = analog ? kAnalogHues[number % kAnalogHues.size()]
                           : kDigitalHues[number % kDigitalHues.size()];
    const int light = lightness(part.format);
    index_[title_of(part)] = entries_.size();
    entries_.push_back({title_of(part),
                        fmt::format("hsl({} {}% {}%)", hue.degrees, hue.saturation, light),
                        light >= 60 ? "#16202a" : "#ffffff"});
  }
}

const PathColors::Entry& PathColors::of(const plan::Part& part) const {
  const auto found = index_.find(title_of(part));
  TESSERA_CHECK(found != index_.end(), "no colour for {}", title_of(part));
  return entries_[found->second];
}

std::string PathColors::background(const plan::Path& path) const {
  if (path.parts.empty())
    return "transparent";
  if (path.parts.size() == 1)
    return of(path.parts.front()).background;
  double channels = 0;
  for (const plan::Part& part : path.parts)
    channels += static_cast<double>(part.channels.end - part.channels.begin);
  double at = 0;
  std::string stops;
  for (const plan::Part& part : path.parts) {
    const double share = static_cast<double>(part.channels.end - part.channels.begin) /
                         std::max(channels, 1.0) * 100;
    stops += fmt::format(",{} {:.1f}% {:.1f}%", of(part).background, at, at + share);
    at += share;
  }
  return "linear-gradient(to top" + stops + ")";
}

std::string PathColors::color_of(std::string_view title) const {
  const auto found = index_.find(std::string(title));
  return found == index_.end() ? "hsl(210 8% 60%)" : entries_[found->second].background;
}

}  // namespace tessera::report::detail
