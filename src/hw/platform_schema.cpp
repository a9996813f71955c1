// SPDX-License-Identifier: Apache-2.0
#include "platform_schema.h"

#include <algorithm>

namespace tessera::hw {
namespace {

using namespace config;

constexpr Range kNodeRange{.min = 0, .max = 1000, .above_min = true};

// A name that can stand in paths, formats and file names.
Type<std::string> identifier() {
  const auto parse = [](std::string_view text) -> Expected<std::string> {
    const bool plain = std::all_of(text.begin(), text.end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             c == '_' || c == '-';
    });
    if (text.empty() || text.size() > 64 || !plain) {
      return infeasible("name", "found '" + std::string(text.substr(0, 64)) +
                                    "'; allowed: 1 to 64 letters, digits, '_' and '-'");
    }
    return std::string(text);
  };
  return parsed<std::string>("name", parse, [](const std::string& value) { return value; });
}

Type<format::NumberFormat> digital_format() {
  const auto parse = [](std::string_view text) -> Expected<format::NumberFormat> {
    auto format = format::parse_number_format(text);
    if (format && std::holds_alternative<format::Analog>(*format)) {
      return infeasible("format", "found '" + std::string(text) +
                                      "'; allowed: a digital format such as fp16, int8, int4/a8");
    }
    return format;
  };
  return parsed<format::NumberFormat>(
      "number format", parse,
      [](const format::NumberFormat& format) { return format::to_string(format); });
}

Schema<AnalogUnit> tile_schema() {
  return {"tile",
          "The crossbar tiles of an analog unit.",
          {
              required("rows", &AnalogUnit::tile_rows,
                       integer<std::int64_t>({.min = 1, .max = 65536}), "Inputs of one tile."),
              required("columns", &AnalogUnit::tile_columns,
                       integer<std::int64_t>({.min = 1, .max = 65536}),
                       "Outputs of one tile; each weight is a cell (a differential pair)."),
              required("count", &AnalogUnit::tiles, integer<std::int64_t>({.min = 1, .max = 1e6}),
                       "Tiles on the chip."),
              required("area", &AnalogUnit::tile_area_mm2, quantity(Dimension::kArea, kNotNegative),
                       "One tile with its converters."),
          }};
}

Schema<AnalogUnit> mvm_schema() {
  const Type<Quantity> energy = quantity(Dimension::kEnergy, kNotNegative);
  return {"mvm",
          "One matrix-vector multiplication of one tile. With r rows and c columns in use it costs "
          "fixed + r·row + c·column + r·c·cell.",
          {
              required("latency", &AnalogUnit::mvm_latency_ns,
                       quantity(Dimension::kTime, kPositive), "Input to output of one MVM."),
              required("fixed", &AnalogUnit::mvm_fixed_pj, energy,
                       "Per MVM, however little of the tile is used: control, clock, references."),
              required("row", &AnalogUnit::mvm_row_pj, energy,
                       "Per row in use: input register and DAC."),
              required("column", &AnalogUnit::mvm_column_pj, energy,
                       "Per column in use: integrator, ADC, output register."),
              required("cell", &AnalogUnit::mvm_cell_pj, energy,
                       "Per cell in use: current through the devices."),
          }};
}

Schema<AnalogUnit> analog_schema() {
  const Type<int> bits = integer<int>({.min = 1, .max = 16});
  return {"analog unit",
          "Crossbar tiles that multiply a vector with a stored matrix in one step.",
          {
              constant<AnalogUnit>("kind", "analog", "What kind of unit this is."),
              required("name", &AnalogUnit::name, identifier(), "Unique among the units."),
              required("node", &AnalogUnit::node_nm, measure(Dimension::kLength, kNodeRange),
                       "Technology node of the figures below."),
              group("tile", tile_schema(), "Size and number of tiles."),
              required("dac_bits", &AnalogUnit::dac_bits, bits, "Resolution of the inputs."),
              required("adc_bits", &AnalogUnit::adc_bits, bits, "Resolution of the outputs."),
              required("noise_preset", &AnalogUnit::noise_preset, identifier(),
                       "Noise model of the weights and converters, e.g. `pcm-lionheart`."),
              group("mvm", mvm_schema(), "Time and energy of one multiplication."),
              required("accumulate", &AnalogUnit::accumulate_pj,
                       quantity(Dimension::kEnergy, kNotNegative),
                       "Digital periphery per output element: scaling it and adding it to the "
                       "partial sum of another tile."),
              required("program_cell", &AnalogUnit::program_cell_pj,
                       quantity(Dimension::kEnergy, kNotNegative),
                       "Writing one weight, once before any inference."),
          }};
}

Schema<DigitalMode> mode_schema() {
  return {"mode",
          "One precision of a digital unit.",
          {
              required("format", &DigitalMode::format, digital_format(),
                       "`fp32`, `fp16`, `int8` or weights/activations: `int4/a8`."),
              required("macs_per_cycle", &DigitalMode::macs_per_cycle,
                       number({.min = 0, .max = 1e9, .above_min = true}),
                       "Multiply-accumulates in one clock cycle, all of the unit."),
              required("mac", &DigitalMode::mac_pj, quantity(Dimension::kEnergy, kPositive),
                       "One multiply-accumulate without memory traffic."),
          }};
}

Type<format::Strum> strum_format() {
  const auto parse = [](std::string_view text) -> Expected<format::Strum> {
    constexpr std::string_view kPrefix = "strum:";
    if (!text.starts_with(kPrefix)) {
      return infeasible("format", "found '" + std::string(text) +
                                      "'; allowed: strum:LOWSET,KEY=VALUE,… such as "
                                      "strum:mip2q,p=0.5,L=7");
    }
    return format::parse_strum(text.substr(kPrefix.size()));
  };
  return parsed<format::Strum>("StruM format", parse,
                               [](const format::Strum& scheme) { return to_string(scheme); });
}

Schema<StrumPe> strum_pe_schema() {
  const Type<Quantity> ratio = quantity(Dimension::kRatio, kNotNegative);
  const Type<Quantity> share = quantity(Dimension::kRatio, {.min = 0, .max = 1});
  return {
      "StruM PE",
      "Processing elements that run StruM layers, described beside the plain INT8 PE that they "
      "were made from; docs/strum.md has the formulas.",
      {
          required(
              "kind", &StrumPe::kind,
              choice<StrumPeKind>(
                  "kind", {{"static", StrumPeKind::kStatic}, {"dynamic", StrumPeKind::kDynamic}}),
              "`static`: low lanes in place of multipliers. `dynamic`: low lanes beside them."),
          required("built_for", &StrumPe::built_for, strum_format(),
                   "Share of low lanes and what they compute."),
          required("schemes", &StrumPe::schemes, list_of(strum_format(), 1),
                   "Formats offered to searches."),
          required("lane_power_share", &StrumPe::lane_power_share, share,
                   "Multipliers with their registers, of the plain PE's power."),
          required("lane_area_share", &StrumPe::lane_area_share, share, "The same of its area."),
          required("shifter_power_fixed", &StrumPe::shifter_power_fixed, ratio,
                   "Power of a shifter lane beside a multiplier lane: fixed + L · per_shift."),
          required("shifter_power_per_shift", &StrumPe::shifter_power_per_shift, ratio,
                   "The part that grows with the largest shift L."),
          required("shifter_area_fixed", &StrumPe::shifter_area_fixed, ratio,
                   "Area of a shifter lane beside a multiplier lane: fixed + L · per_shift."),
          required("shifter_area_per_shift", &StrumPe::shifter_area_per_shift, ratio,
                   "The part that grows with the largest shift L."),
          required("narrow_power", &StrumPe::narrow_power, ratio,
                   "Power of a q x 8 bit multiplier lane beside an 8 x 8 one, in units of q / 8."),
          required("narrow_area", &StrumPe::narrow_area, ratio, "The same of its area."),
          required("gated_power", &StrumPe::gated_power, share,
                   "A multiplier lane that is off, beside one that works."),
          required("pe_power_share", &StrumPe::pe_power_share, share,
                   "All PEs, of the accelerator's power."),
          required("pe_area_share", &StrumPe::pe_area_share, share,
                   "All PEs, of the accelerator's area."),
      }};
}

// A struct that may be left out: `none`.
template <typename T>
Type<std::optional<T>> or_none(const Schema<T>& schema) {
  const Type<T> inner = object(schema);
  Type<std::optional<T>> type;
  type.form = inner.form + " or `none`";
  type.nested = inner.nested;
  type.read = [inner](const Node& node, std::optional<T>& value, Findings& findings) {
    if (node.kind == Node::Kind::kScalar && node.text == "none")
      value.reset();
    else
      inner.read(node, value.emplace(), findings);
  };
  type.dump = [inner](const std::optional<T>& value) {
    return value ? inner.dump(*value) : Node::scalar("none");
  };
  type.visit = [inner](const std::optional<T>& value, const std::string& path,
                       const QuantityVisitor& visitor) {
    if (value)
      inner.visit(*value, path, visitor);
  };
  return type;
}

Schema<DigitalUnit> digital_schema() {
  const Type<Quantity> reads = quantity(Dimension::kRatio, {.min = 1, .max = 1e6});
  return {
      "digital unit",
      "Multiply-accumulators at listed precisions.",
      {
          constant<DigitalUnit>("kind", "digital", "What kind of unit this is."),
          required("name", &DigitalUnit::name, identifier(), "Unique among the units."),
          required("node", &DigitalUnit::node_nm, measure(Dimension::kLength, kNodeRange),
                   "Technology node of the figures below."),
          required("clock", &DigitalUnit::clock_ghz, quantity(Dimension::kFrequency, kPositive),
                   "Clock of the multiply-accumulators."),
          required("modes", &DigitalUnit::modes,
                   list_of(object(mode_schema()), 1,
                           std::function<std::string(const DigitalMode&)>(
                               [](const DigitalMode& mode) { return to_string(mode.format); })),
                   "The precisions on offer."),
          optional("strum_pe", &DigitalUnit::strum_pe, or_none(strum_pe_schema()),
                   "The unit's PEs run StruM layers; `modes` are then those of the plain PE."),
          required("weight_memory", &DigitalUnit::weight_memory, identifier(),
                   "The memory that weights are read from."),
          optional("weight_residency", &DigitalUnit::weight_residency,
                   choice<WeightResidency>("residency", {{"resident", WeightResidency::kResident},
                                                         {"streamed", WeightResidency::kStreamed}}),
                   "`resident`: the weights stay in the weight memory, whose capacity limits them. "
                   "`streamed`: they come through it from outside the chip. Either way they are "
                   "read for every image."),
          required("weight_reads", &DigitalUnit::weight_reads, reads,
                   "Times that each weight is read for one image."),
          required("input_reads", &DigitalUnit::input_reads, reads,
                   "Times that each input element is read for one image."),
          required("area", &DigitalUnit::area_mm2, quantity(Dimension::kArea, kNotNegative),
                   "The unit without memories."),
      }};
}

Schema<Memory> memory_schema() {
  const Type<Quantity> energy = quantity(Dimension::kEnergy, kNotNegative);
  return {"memory",
          "A memory, on the chip or beside it.",
          {
              required("name", &Memory::name, identifier(), "Unique among the memories."),
              required("node", &Memory::node_nm, measure(Dimension::kLength, kNodeRange),
                       "Technology node of the figures below."),
              required("capacity", &Memory::capacity_bytes, quantity(Dimension::kData, kPositive),
                       "What it holds."),
              required("read_per_byte", &Memory::read_pj_per_byte, energy, "Reading one byte."),
              required("write_per_byte", &Memory::write_pj_per_byte, energy, "Writing one byte."),
              required("bandwidth", &Memory::bandwidth_bytes_per_ns,
                       quantity(Dimension::kBandwidth, kPositive), "Reads and writes together."),
              required("area", &Memory::area_mm2, quantity(Dimension::kArea, kNotNegative),
                       "On this chip; 0 for a memory beside it."),
          }};
}

std::vector<Field<Link>> transport_fields() {
  return {
      required("energy_per_byte", &Link::energy_pj_per_byte,
               quantity(Dimension::kEnergy, kNotNegative), "Moving one byte of activations."),
      required("bandwidth", &Link::bandwidth_bytes_per_ns,
               quantity(Dimension::kBandwidth, kPositive), "Bytes in a time."),
  };
}

Schema<Link> link_schema() {
  std::vector<Field<Link>> fields = {
      required("from", &Link::from, identifier(), "One unit."),
      required("to", &Link::to, identifier(), "The other; a link works both ways."),
  };
  for (Field<Link>& field : transport_fields())
    fields.push_back(std::move(field));
  return {"link", "Transport of activations between two units.", std::move(fields)};
}

Schema<GlueUnit> glue_schema() {
  const Type<Quantity> energy = quantity(Dimension::kEnergy, kNotNegative);
  return {
      "glue",
      "Work that is not a multiply-accumulate: additions of feature maps, activations, pooling, "
      "conversions between number formats.",
      {
          required("node", &GlueUnit::node_nm, measure(Dimension::kLength, kNodeRange),
                   "Technology node of the figures below."),
          required("operation", &GlueUnit::operation_pj, energy,
                   "One operation on one element, at 16 bit."),
          required("conversion", &GlueUnit::conversion_pj, energy,
                   "One element from one number format to another."),
          required("operations_per_ns", &GlueUnit::operations_per_ns,
                   quantity(Dimension::kRatio, kPositive), "Elements handled in one ns."),
      }};
}

Schema<Platform> make_platform_schema() {
  const auto units = one_of("kind", std::pair(std::string("analog"), analog_schema()),
                            std::pair(std::string("digital"), digital_schema()));
  using Label = std::string;
  return {
      "platform",
      "One chip: a file has the keys of this table at its top.",
      {
          constant<Platform>("version", "1", "Version of this schema."),
          required("name", &Platform::name, identifier(), "Name of the platform."),
          optional("summary", &Platform::summary, text(), "One sentence for lists and reports."),
          required("node", &Platform::node_nm, measure(Dimension::kLength, kNodeRange),
                   "Technology node that all figures are stated at or scaled to."),
          optional("node_scaling", &Platform::node_scaling, text(),
                   "How figures from other nodes were scaled, with the source. Required when a "
                   "part states another node than the platform."),
          required("units", &Platform::units,
                   list_of(units, 1, std::function<Label(const Unit&)>([](const Unit& unit) {
                             return Label(hw::name(unit));
                           })),
                   "What runs layers."),
          required("memories", &Platform::memories,
                   list_of(object(memory_schema()), 1,
                           std::function<Label(const Memory&)>(
                               [](const Memory& memory) { return memory.name; })),
                   "Memories that units and activations use."),
          required("activation_memory", &Platform::activation_memory, identifier(),
                   "The memory where activations live between layers."),
          optional("links", &Platform::links,
                   list_of(object(link_schema()), 0, std::function<Label(const Link&)>([](auto& l) {
                             return l.from + "-" + l.to;
                           })),
                   "Transport between certain pairs of units."),
          required("default_link", &Platform::default_link,
                   object(Schema<Link>("default link",
                                       "Transport between any two units that `links` does not "
                                       "list.",
                                       transport_fields())),
                   "Transport between all other pairs."),
          required("glue", &Platform::glue, object(glue_schema()),
                   "The processor of everything without weights."),
      }};
}

}  // namespace

const config::Schema<Platform>& platform_schema() {
  static const Schema<Platform> schema = make_platform_schema();
  return schema;
}

}  // namespace tessera::hw
