// SPDX-License-Identifier: Apache-2.0
#include "tessera/supernet/channels.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>

namespace tessera::supernet {

bool is_analog(const plan::Path& path) {
  return std::holds_alternative<format::Analog>(path.parts.front().format);
}

namespace {

// What an exported file can hold side by side in one layer.
bool can_share(const plan::Path& path) {
  const auto* integer = std::get_if<format::Integer>(&path.parts.front().format);
  return is_analog(path) || (integer != nullptr && integer->group == 0);
}

// MACs on tiles; 0 also for a layer that cannot leave them.
double movable_macs(const ir::Layer& layer, const ChannelChoice& choice) {
  if (std::all_of(choice.paths.begin(), choice.paths.end(), is_analog))
    return 0;
  const auto analog = std::count_if(choice.path_of.begin(), choice.path_of.end(), [&](int path) {
    return is_analog(choice.paths[static_cast<std::size_t>(path)]);
  });
  return static_cast<double>(layer.macs) * static_cast<double>(analog) /
         static_cast<double>(choice.path_of.size());
}

}  // namespace

std::vector<plan::Path> sharing_paths(const std::vector<plan::Path>& candidates) {
  std::vector<plan::Path> paths;
  std::set<std::string> units;
  for (const plan::Path& path : candidates) {
    if (can_share(path) && units.insert(path.parts.front().unit).second)
      paths.push_back(path);
  }
  return paths.empty() ? std::vector<plan::Path>{candidates.front()} : paths;
}

plan::Path shared_path(const ChannelChoice& choice) {
  plan::Path shared;
  for (std::size_t i = 0; i < choice.path_of.size(); ++i) {
    const std::int64_t begin = static_cast<std::int64_t>(i) * choice.step;
    if (i > 0 && choice.path_of[i] == choice.path_of[i - 1]) {
      shared.parts.back().channels.end = begin + choice.step;
      continue;
    }
    plan::Part part = choice.paths.at(static_cast<std::size_t>(choice.path_of[i])).parts.front();
    part.channels = {begin, begin + choice.step};
    shared.parts.push_back(std::move(part));
  }
  return shared;
}

std::optional<plan::Assignment> fitting_assignment(const cost::TiledModel& model,
                                                   std::vector<ChannelChoice>& choices) {
  while (true) {
    plan::Assignment assignment;
    for (const ChannelChoice& choice : choices)
      assignment.paths.push_back(shared_path(choice));
    if (model.evaluate(assignment))
      return assignment;
    ChannelChoice* least = nullptr;
    double least_macs = 0;
    for (std::size_t i = 0; i < choices.size(); ++i) {
      const double macs = movable_macs(model.workload().layers[i], choices[i]);
      if (macs > 0 && (least == nullptr || macs < least_macs)) {
        least = &choices[i];
        least_macs = macs;
      }
    }
    if (least == nullptr)
      return std::nullopt;
    const auto digital = std::find_if_not(least->paths.begin(), least->paths.end(), is_analog);
    std::fill(least->path_of.begin(), least->path_of.end(),
              static_cast<int>(digital - least->paths.begin()));
  }
}

}  // namespace tessera::supernet
