// SPDX-License-Identifier: Apache-2.0
#include "tessera/flow/baselines.h"

#include <algorithm>

#include "tessera/core/error.h"
#include "tessera/core/text.h"

namespace tessera::flow {

namespace {

bool is_analog(const format::NumberFormat& f) {
  return std::holds_alternative<format::Analog>(f);
}

}  // namespace

bool has_analog_unit(const hw::Platform& platform) {
  return std::any_of(platform.units.begin(), platform.units.end(), [](const hw::Unit& unit) {
    return std::holds_alternative<hw::AnalogUnit>(unit);
  });
}

std::vector<format::NumberFormat> digital_formats(const hw::Platform& platform) {
  std::vector<format::NumberFormat> formats;
  for (const hw::Unit& unit : platform.units) {
    const auto add = [&](const format::NumberFormat& format) {
      if (std::find(formats.begin(), formats.end(), format) == formats.end())
        formats.push_back(format);
    };
    if (const auto* digital = std::get_if<hw::DigitalUnit>(&unit)) {
      for (const hw::DigitalMode& mode : hw::offered_modes(*digital))
        add(mode.format);
    } else if (const auto* array = std::get_if<hw::ArrayUnit>(&unit)) {
      for (const int bits : array->weight_bits) {
        if (std::find(array->activation_bits.begin(), array->activation_bits.end(), bits) !=
            array->activation_bits.end())
          add(format::Integer{.weight_bits = bits, .activation_bits = bits});
      }
    }
  }
  return formats;
}

std::function<bool(const format::NumberFormat&)> fallback_digital(const hw::Platform& platform) {
  const std::vector<format::NumberFormat> formats = digital_formats(platform);
  const format::NumberFormat int8 = format::Integer{.weight_bits = 8, .activation_bits = 8};
  const bool has_int8 = std::find(formats.begin(), formats.end(), int8) != formats.end();
  if (formats.empty())
    return [](const format::NumberFormat&) { return false; };
  return [wanted = has_int8 ? int8 : formats.front()](const format::NumberFormat& f) {
    return f == wanted;
  };
}

std::optional<plan::Assignment> assign(
    const cost::TiledModel& model, const std::function<bool(const format::NumberFormat&)>& wanted,
    const std::function<bool(const format::NumberFormat&)>& otherwise) {
  plan::Assignment assignment;
  for (std::size_t layer = 0; layer < model.workload().layers.size(); ++layer) {
    const std::vector<plan::Path> paths = model.candidate_paths(layer);
    const auto with = [&](const auto& accepts) {
      return std::find_if(paths.begin(), paths.end(), [&](const plan::Path& path) {
        return accepts(path.parts.front().format);
      });
    };
    auto chosen = with(wanted);
    if (chosen == paths.end())
      chosen = with(otherwise);
    if (chosen == paths.end())
      return std::nullopt;
    assignment.paths.push_back(*chosen);
  }
  return assignment;
}

std::optional<plan::Assignment> ends_digital_assignment(const cost::TiledModel& model) {
  const auto digital = fallback_digital(model.platform());
  std::optional<plan::Assignment> ends = assign(model, is_analog, digital);
  const std::optional<plan::Assignment> all_digital = assign(model, digital, digital);
  if (!ends || !all_digital)
    return std::nullopt;
  ends->paths.front() = all_digital->paths.front();
  ends->paths.back() = all_digital->paths.back();
  return ends;
}

plan::Assignment uniform_assignment(const cost::TiledModel& model, const std::string& format) {
  const auto digital = fallback_digital(model.platform());
  std::vector<std::string> offered;
  for (const format::NumberFormat& f : digital_formats(model.platform())) {
    offered.push_back(format::to_string(f));
  }
  offered.emplace_back("analog");
  const auto wanted = [&](const format::NumberFormat& f) {
    return format == "analog" ? is_analog(f) : format::to_string(f) == format;
  };
  const auto offers = [&](const plan::Path& path) {
    return format::to_string(path.parts.front().format) == format;
  };
  bool known = std::find(offered.begin(), offered.end(), format) != offered.end();
  // Spatial units run more than the uniform widths that are listed.
  if (!model.workload().layers.empty()) {
    const std::vector<plan::Path> paths = model.candidate_paths(0);
    known = known || std::any_of(paths.begin(), paths.end(), offers);
  }
  const auto never = [](const format::NumberFormat&) { return false; };
  const auto assignment =
      known ? (format == "analog" ? assign(model, wanted, digital) : assign(model, wanted, never))
            : std::nullopt;
  if (!assignment) {
    throw UsageError("format: " +
                     unknown_name("format of " + model.platform().name, format, offered));
  }
  return *assignment;
}

}  // namespace tessera::flow
