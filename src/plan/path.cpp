// SPDX-License-Identifier: Apache-2.0
#include "tessera/plan/path.h"

#include <fmt/format.h>

#include <utility>

namespace tessera::plan {

std::string to_string(const Path& path) {
  std::vector<std::pair<std::string, std::int64_t>> shares;  // channels of each unit and format
  for (const Part& part : path.parts) {
    const std::string name = part.unit + " " + format::to_string(part.format);
    auto found = shares.begin();
    while (found != shares.end() && found->first != name)
      ++found;
    if (found == shares.end())
      found = shares.insert(found, {name, 0});
    found->second += part.channels.end - part.channels.begin;
  }
  if (shares.size() == 1)
    return shares.front().first;
  std::string text;
  for (const auto& [name, channels] : shares)
    text += fmt::format("{}{} of {}", text.empty() ? "" : " + ", channels, name);
  return text;
}

}  // namespace tessera::plan
