// SPDX-License-Identifier: Apache-2.0
#include "view.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>
#include <utility>

#include "tessera/core/error.h"

namespace tessera::report::detail {
namespace {

constexpr double kMinute = 60;
constexpr double kHour = 3600;
constexpr double kDay = 86400;

bool is_chosen(const plan::Candidate& candidate) {
  return candidate.kind == "chosen";
}

void add_missing(std::vector<plan::Accuracy>& to, const std::vector<plan::Accuracy>& from) {
  for (const plan::Accuracy& accuracy : from) {
    const bool known = std::any_of(to.begin(), to.end(), [&](const plan::Accuracy& other) {
      return other.metric == accuracy.metric && other.split == accuracy.split &&
             other.t_eval_s == accuracy.t_eval_s;
    });
    if (!known)
      to.push_back(accuracy);
  }
}

}  // namespace

std::vector<plan::Candidate> candidates(const plan::RunRecord& record) {
  std::vector<plan::Candidate> list = record.candidates;
  const auto chosen = std::find_if(list.begin(), list.end(), is_chosen);
  if (chosen != list.end()) {
    std::rotate(list.begin(), chosen, chosen + 1);
  } else if (!record.chosen.assignment.paths.empty()) {
    list.insert(list.begin(), plan::Candidate{.label = "chosen",
                                              .kind = "chosen",
                                              .assignment = record.chosen.assignment,
                                              .totals = record.chosen.cost.totals,
                                              .accuracy = {}});
  }
  if (!list.empty() && is_chosen(list.front()))
    add_missing(list.front().accuracy, record.chosen.accuracy);
  return list;
}

std::optional<Comparison> main_comparison(std::span<const plan::Candidate> candidates) {
  std::map<std::string, int> measured;
  for (const plan::Candidate& candidate : candidates) {
    std::set<std::string> splits;
    for (const plan::Accuracy& accuracy : candidate.accuracy)
      splits.insert(accuracy.split);
    for (const std::string& split : splits)
      ++measured[split];
  }
  if (measured.empty())
    return std::nullopt;
  const auto best =
      std::max_element(measured.begin(), measured.end(), [](const auto& a, const auto& b) {
        return std::pair(a.second, a.first == "test") < std::pair(b.second, b.first == "test");
      });
  std::set<double> times;
  for (const plan::Candidate& candidate : candidates) {
    for (const plan::Accuracy& accuracy : candidate.accuracy) {
      if (accuracy.split == best->first)
        times.insert(accuracy.t_eval_s);
    }
  }
  return Comparison{best->first, times.contains(kDay) ? kDay : *times.rbegin()};
}

std::vector<Comparison> comparisons(std::span<const plan::Candidate> candidates) {
  std::map<std::string, std::set<double>> times;
  for (const plan::Candidate& candidate : candidates) {
    for (const plan::Accuracy& accuracy : candidate.accuracy)
      times[accuracy.split].insert(accuracy.t_eval_s);
  }
  std::vector<Comparison> list;
  for (const auto& [split, all] : times) {
    for (const double t : all) {
      if (t > 0 || all.size() == 1)
        list.push_back({split, t});
    }
  }
  if (const auto main = main_comparison(candidates)) {
    std::stable_partition(list.begin(), list.end(),
                          [&](const Comparison& place) { return place.split == main->split; });
  }
  return list;
}

const plan::Accuracy* accuracy_at(const plan::Candidate& candidate, const Comparison& where) {
  const plan::Accuracy* constant = nullptr;
  int in_split = 0;
  for (const plan::Accuracy& accuracy : candidate.accuracy) {
    if (accuracy.split != where.split)
      continue;
    ++in_split;
    if (accuracy.t_eval_s == where.t_eval_s)
      return &accuracy;
    if (accuracy.t_eval_s == 0)
      constant = &accuracy;
  }
  return in_split == 1 ? constant : nullptr;
}

std::string component_title(plan::Component component) {
  switch (component) {
    case plan::Component::kAnalogMvm:
      return "analog tiles";
    case plan::Component::kMac:
      return "digital MACs";
    case plan::Component::kWeights:
      return "weight traffic";
    case plan::Component::kActivations:
      return "activation traffic";
    case plan::Component::kAccumulate:
      return "partial sums";
    case plan::Component::kConversion:
      return "conversions";
    case plan::Component::kLink:
      return "links";
    case plan::Component::kGlue:
      return "glue";
  }
  TESSERA_CHECK(false, "component {}", static_cast<int>(component));
}

std::string time_title(double seconds) {
  const auto in = [&](double unit, std::string_view one, std::string_view many) {
    const double number = seconds / unit;
    return fmt::format("{:.3g} {}", number, number == 1 ? one : many);
  };
  if (seconds >= kDay)
    return in(kDay, "day", "days");
  if (seconds >= kHour)
    return in(kHour, "h", "h");
  if (seconds >= 2 * kMinute)
    return in(kMinute, "min", "min");
  return in(1, "s", "s");
}

std::string percent(double fraction, int decimals) {
  return fmt::format("{:.{}f} %", fraction * 100, decimals);
}

std::string mean_and_std(const plan::Accuracy& accuracy) {
  if (accuracy.n <= 1)
    return percent(accuracy.mean);
  return fmt::format("{:.2f} ± {:.2f} %", accuracy.mean * 100, accuracy.std * 100);
}

std::string metric_title(std::string_view metric) {
  if (metric.starts_with("top"))
    return fmt::format("top-{} accuracy", metric.substr(3));
  return std::string(metric);
}

std::string count(std::int64_t number) {
  const double value = static_cast<double>(number);
  if (std::abs(value) < 10'000)
    return fmt::format("{}", number);
  if (std::abs(value) < 999'500)
    return fmt::format("{:.3g} k", value / 1e3);
  if (std::abs(value) < 999.5e6)
    return fmt::format("{:.3g} M", value / 1e6);
  return fmt::format("{:.4g} G", value / 1e9);
}

std::string quantity(double value, Dimension dimension) {
  std::string text = format_quantity(value, dimension);
  const std::size_t blank = text.find(' ');
  if (blank != std::string::npos && text[blank + 1] == 'u')
    text.replace(blank + 1, 1, "µ");
  if (dimension == Dimension::kArea && text.ends_with('2'))
    text.replace(text.size() - 1, 1, "²");
  return text;
}

std::string compact(double value, Dimension dimension) {
  std::string text = quantity(value, dimension);
  // format_quantity writes four digits: "83.58 us", "100.2 us", "144.0 B".
  const std::size_t blank = text.find(' ');
  if (value == 0 || blank == std::string::npos)
    return text;
  const double number = std::stod(text.substr(0, blank));
  const int decimals = std::abs(number) >= 99.95 ? 0 : std::abs(number) >= 9.995 ? 1 : 2;
  return fmt::format("{:.{}f}{}", number, decimals, text.substr(blank));
}

std::string utilization(const plan::LayerCost& cost) {
  if (cost.allocated_cells == 0)
    return "–";
  return percent(static_cast<double>(cost.used_cells) / static_cast<double>(cost.allocated_cells),
                 0);
}

double total_seconds(const plan::RunRecord& record) {
  if (const auto total = record.timing.find("seconds"); total != record.timing.end())
    return total->second;
  double seconds = 0;
  for (const auto& [phase, value] : record.timing)
    seconds += value;
  return seconds;
}

std::string network_title(const plan::RunRecord& record) {
  const std::string stem = std::filesystem::path(record.network_file).stem().string();
  return stem.empty() ? "network" : stem;
}

std::string csv_field(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos)
    return std::string(text);
  std::string out = "\"";
  for (const char c : text)
    out += c == '"' ? "\"\"" : std::string(1, c);
  return out + "\"";
}

}  // namespace tessera::report::detail
