// SPDX-License-Identifier: Apache-2.0
#include "export_layer.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tessera/core/error.h"
#include "tessera/format/strum_codec.h"

#include "export_ops.h"

namespace tessera::onnx {
namespace {

using ir::Tensor;

// The nearest binary16 value, ties to even, as a float32.
float round_to_float16(float x) {
  if (x == 0 || !std::isfinite(x))
    return x;
  const int exponent = std::max(std::ilogb(x), -14);
  const float quantum = std::ldexp(1.0F, exponent - 10);
  const float rounded = std::nearbyint(x / quantum) * quantum;
  return std::abs(rounded) > 65504 ? std::copysign(INFINITY, x) : rounded;
}

Tensor rounded_tensor(const Tensor& tensor) {
  std::vector<float> values(tensor.values<float>().begin(), tensor.values<float>().end());
  std::ranges::transform(values, values.begin(), round_to_float16);
  return Tensor::from(tensor.shape(), values);
}

// Integers of the storage that a code needs: int8, or int16 beyond it.
bool fits_int8(const plan::AffineCode& code) {
  return code.low >= -128 && code.high <= 127;
}

Tensor stored(const plan::AffineCode& code, ir::Shape shape,
              const std::vector<std::int32_t>& values) {
  if (fits_int8(code))
    return Tensor::from(std::move(shape), std::vector<std::int8_t>(values.begin(), values.end()));
  return Tensor::from(std::move(shape), std::vector<std::int16_t>(values.begin(), values.end()));
}

// One dimension for several, a scalar for one.
ir::Shape shape_for(std::size_t count) {
  return count == 1 ? ir::Shape{} : ir::Shape{static_cast<std::int64_t>(count)};
}

// Weights of one output channel that share a scale: all of them without groups.
std::int64_t weights_per_scale(const plan::AffineCode& code, std::int64_t per_channel) {
  return code.group > 0 ? code.group : per_channel;
}

// per_channel: elements behind each of the channels.
void check_code(const std::string& layer, const char* what, const plan::AffineCode& code,
                std::int64_t channels, std::int64_t per_channel) {
  const auto fail = [&](const std::string& why) {
    throw ConfigError(fmt::format("numerics of layer '{}', {}: {}", layer, what, why));
  };
  const auto count = static_cast<std::int64_t>(code.scales.size());
  if (count == 0)
    fail("missing; an integer or analog layer needs a code");
  if (code.group > 0) {
    const std::int64_t groups = (per_channel + code.group - 1) / code.group;
    if (count != channels * groups)
      fail(fmt::format(
          "{} scales for {} weights of each of {} channels in groups of {}, allowed: {}", count,
          per_channel, channels, code.group, channels * groups));
    if (std::ranges::any_of(code.zero_points, [](std::int32_t zero) { return zero != 0; }))
      fail("a zero point beside 0, allowed: 0 for weights in groups");
  } else if ((count != 1 && count != channels) || code.zero_points.size() != code.scales.size()) {
    fail(fmt::format("{} scales and {} zero points, allowed: 1 or {} of both", count,
                     code.zero_points.size(), channels));
  }
  for (const float scale : code.scales) {
    if (!(scale > 0) || !std::isfinite(scale))
      fail(fmt::format("a scale of {}, allowed: above 0", scale));
  }
  if (code.low >= code.high || code.low < INT16_MIN || code.high > INT16_MAX)
    fail(fmt::format("codes from {} to {}, allowed: within int16", code.low, code.high));
  for (const std::int32_t zero : code.zero_points) {
    if (zero < code.low || zero > code.high)
      fail(fmt::format("a zero point of {}, allowed: {} to {}", zero, code.low, code.high));
  }
}

// X12: a code has the groups of its layer's format.
void check_groups(const std::string& layer, const plan::Path& path, const plan::AffineCode& code) {
  for (const plan::Part& part : path.parts) {
    const auto* integer = std::get_if<format::Integer>(&part.format);
    const int allowed = integer != nullptr ? integer->group : 0;
    if (code.group != allowed)
      throw ConfigError(
          fmt::format("numerics of layer '{}', weights: groups of {}, allowed for {}: {}", layer,
                      code.group, format::to_string(part.format), allowed));
  }
}

std::int32_t round_to_code(float x, float scale, std::int32_t low, std::int32_t high) {
  const float code = std::nearbyint(x / scale);
  return static_cast<std::int32_t>(
      std::clamp(code, static_cast<float>(low), static_cast<float>(high)));
}

// X8: largest weight code of each output channel: that of its part where it is an integer format,
// at most the whole layer's.
std::vector<std::int32_t> highest_codes(const plan::Path& path, const plan::AffineCode& code,
                                        std::int64_t channels) {
  std::vector<std::int32_t> highest(static_cast<std::size_t>(channels), code.high);
  for (const plan::Part& part : path.parts) {
    const auto* integer = std::get_if<format::Integer>(&part.format);
    if (integer == nullptr)
      continue;
    const std::int64_t end = std::min(part.channels.end, channels);
    for (std::int64_t m = std::max<std::int64_t>(part.channels.begin, 0); m < end; ++m) {
      auto& most = highest[static_cast<std::size_t>(m)];
      most = std::min(most, (1 << (integer->weight_bits - 1)) - 1);
    }
  }
  return highest;
}

// X10: of the parts in a StruM format, the codes that hardware multiplies with.
void apply_strum(const ir::Node& layer, const plan::Path& path, const plan::AffineCode& code,
                 const ir::Shape& shape, std::vector<std::int32_t>& codes) {
  const auto per_channel = static_cast<std::int64_t>(codes.size()) / shape.at(0);
  for (const plan::Part& part : path.parts) {
    const auto* scheme = std::get_if<format::Strum>(&part.format);
    if (scheme == nullptr)
      continue;
    const bool plain = std::all_of(code.zero_points.begin(), code.zero_points.end(),
                                   [](std::int32_t zero) { return zero == 0; });
    if (!plain || code.low < -127 || code.high > 127)
      throw ConfigError(fmt::format(
          "numerics of layer '{}', weights: codes from {} to {}{}, allowed for {}: -127 to 127 "
          "around 0",
          layer.name, code.low, code.high, plain ? "" : " around a zero point",
          format::to_string(*scheme)));
    const auto begin = static_cast<std::ptrdiff_t>(part.channels.begin * per_channel);
    const auto end = static_cast<std::ptrdiff_t>(part.channels.end * per_channel);
    const std::vector<std::int8_t> part_codes(codes.begin() + begin, codes.begin() + end);
    format::WeightShape weights{.outputs = part.channels.end - part.channels.begin,
                                .inputs = shape.at(1)};
    weights.positions = per_channel / weights.inputs;
    const auto values = format::strum_decode(format::strum_encode(part_codes, weights, *scheme));
    std::copy(values.begin(), values.end(), codes.begin() + begin);
  }
}

enum class Arithmetic { kFloat32, kFloat16, kQuantized };

Arithmetic arithmetic_of(const format::NumberFormat& format) {
  if (const auto* floating = std::get_if<format::Float>(&format))
    return floating->bits == 16 ? Arithmetic::kFloat16 : Arithmetic::kFloat32;
  return Arithmetic::kQuantized;
}

}  // namespace

bool LayerWriter::is_turned(const ir::Node& layer) const {
  return std::holds_alternative<ir::Linear>(layer.op) &&
         !linear_weights_by_rows(writer_.graph(), layer);
}

Tensor LayerWriter::in_place(const ir::Node& layer, const Tensor& weight) const {
  return is_turned(layer) ? transposed_matrix(weight) : weight;
}

std::vector<std::string> LayerWriter::as_is(const ir::Node& layer) {
  std::vector<std::string> names;
  for (const ir::ValueId input : layer.inputs)
    names.push_back(is_turned(layer) && input == layer.inputs[1] ? std::string()
                                                                 : writer_.value(input));
  if (is_turned(layer)) {
    const ir::Value& weight = writer_.graph().value(layer.inputs[1]);
    names[1] =
        writer_.add_initializer(weight.name + "_transposed", in_place(layer, *weight.constant));
  }
  return names;
}

std::vector<std::string> LayerWriter::mapped(const ir::Node& layer, const plan::Path& path,
                                             const plan::Numerics& numerics) {
  TESSERA_CHECK(!path.parts.empty(), "layer '{}' has an empty path", layer.name);
  const Arithmetic arithmetic = arithmetic_of(path.parts[0].format);
  for (const plan::Part& part : path.parts) {
    if (arithmetic_of(part.format) != arithmetic) {
      throw UnsupportedError(fmt::format(
          "layer '{}' mixes {} and {}; exported are layers of floats of one width or of integers",
          layer.name, format::to_string(path.parts[0].format), format::to_string(part.format)));
    }
  }
  switch (arithmetic) {
    case Arithmetic::kFloat32:
      return as_is(layer);
    case Arithmetic::kFloat16:
      return rounded_to_float16(layer);
    case Arithmetic::kQuantized:  // X7: also analog
      break;
  }
  const auto found = numerics.find(layer.name);
  return quantized(layer, path, found == numerics.end() ? plan::LayerNumerics{} : found->second);
}

// X6
std::vector<std::string> LayerWriter::rounded_to_float16(const ir::Node& layer) {
  std::vector<std::string> names{writer_.value(layer.inputs[0])};
  for (std::size_t i = 1; i < layer.inputs.size(); ++i) {
    const ir::Value& value = writer_.graph().value(layer.inputs[i]);
    const Tensor tensor = rounded_tensor(*value.constant);
    names.push_back(
        writer_.add_initializer(value.name + "_fp16", i == 1 ? in_place(layer, tensor) : tensor));
  }
  return names;
}

std::vector<std::string> LayerWriter::quantized(const ir::Node& layer, const plan::Path& path,
                                                const plan::LayerNumerics& numerics) {
  const ir::Shape& shape = *writer_.graph().value(layer.inputs[1]).shape;
  const std::int64_t channels = shape.at(0);
  check_code(layer.name, "input", numerics.input, 1, 1);
  check_code(layer.name, "weights", numerics.weights, channels,
             ir::element_count(shape) / channels);
  check_groups(layer.name, path, numerics.weights);
  if (!fits_int8(numerics.input))
    writer_.require_opset(21);  // X5: int16 in QuantizeLinear and DequantizeLinear
  std::vector<std::string> names{quantized_input(layer, numerics.input),
                                 quantized_weight(layer, path, numerics.weights)};
  if (layer.inputs.size() > 2) {
    // X12: sums of several scales have none of their own.
    names.push_back(numerics.weights.group > 0 ? writer_.value(layer.inputs[2])
                                               : quantized_bias(layer, numerics));
  }
  return names;
}

// X1, X2, X9
std::string LayerWriter::quantized_input(const ir::Node& layer, const plan::AffineCode& code) {
  const ir::ValueId id = layer.inputs[0];
  for (const auto& [key, name] : shared_) {
    if (key.first == id && key.second == code)
      return name;
  }
  const float scale = code.scales[0];
  const std::int32_t zero = code.zero_points[0];
  const std::string stem = layer.name + "/input";
  const auto scalar = [&](const std::string& suffix, float value) {
    return writer_.add_initializer(stem + suffix, Tensor::from({}, std::vector<float>{value}));
  };
  std::string source = writer_.value(id);
  const bool small = fits_int8(code);
  if (code.low > (small ? INT8_MIN : INT16_MIN) || code.high < (small ? INT8_MAX : INT16_MAX)) {
    const std::string clipped = writer_.value_name(stem + "_clipped");
    writer_.add_node("Clip", writer_.node_name(stem + "/Clip"),
                     {source, scalar("_low", scale * static_cast<float>(code.low - zero)),
                      scalar("_high", scale * static_cast<float>(code.high - zero))},
                     clipped);
    source = clipped;
  }
  const std::string scale_name = scalar("_scale", scale);
  const std::string zero_name =
      writer_.add_initializer(stem + "_zero_point", stored(code, {}, {zero}));
  const std::string codes = writer_.value_name(stem + "_quantized");
  writer_.add_node("QuantizeLinear", writer_.node_name(stem + "/QuantizeLinear"),
                   {source, scale_name, zero_name}, codes);
  const std::string output = writer_.value_name(stem + "_dequantized");
  writer_.add_node("DequantizeLinear", writer_.node_name(stem + "/DequantizeLinear"),
                   {codes, scale_name, zero_name}, output);
  shared_.push_back({{id, code}, output});
  return output;
}

std::string LayerWriter::dequantize(const ir::Node& layer, const std::string& part,
                                    const std::vector<std::string>& inputs, std::size_t scales,
                                    std::int64_t axis) {
  const std::string stem = layer.name + "/" + part;
  const std::string output = writer_.value_name(stem + "_dequantized");
  NodeWriter node = writer_.add_node("DequantizeLinear",
                                     writer_.node_name(stem + "/DequantizeLinear"), inputs, output);
  if (scales > 1)
    node.set("axis", axis);
  return output;
}

// X3
std::string LayerWriter::quantized_weight(const ir::Node& layer, const plan::Path& path,
                                          const plan::AffineCode& code) {
  const ir::Value& value = writer_.graph().value(layer.inputs[1]);
  const auto weight = value.constant->values<float>();
  const std::int64_t channels = value.shape->at(0);
  const std::vector<std::int32_t> highest = highest_codes(path, code, channels);
  const std::size_t per_channel = weight.size() / highest.size();
  const auto per_scale =
      static_cast<std::size_t>(weights_per_scale(code, static_cast<std::int64_t>(per_channel)));
  const std::size_t scales_each = (per_channel + per_scale - 1) / per_scale;
  std::vector<std::int32_t> codes(weight.size());
  for (std::size_t i = 0; i < weight.size(); ++i) {
    const std::size_t m = i / per_channel;
    const std::size_t which =
        code.scales.size() == 1 ? 0 : m * scales_each + i % per_channel / per_scale;
    const std::int32_t zero = code.zero_points[which];
    const std::int32_t low = std::max(code.low, -highest[m]);
    codes[i] = zero + round_to_code(weight[i], code.scales[which], low - zero, highest[m] - zero);
  }
  apply_strum(layer, path, code, *value.shape, codes);
  // StruM's codes may reach -128, and with range=full +128, which takes int16.
  plan::AffineCode held = code;
  held.low = std::min(held.low, *std::min_element(codes.begin(), codes.end()));
  held.high = std::max(held.high, *std::max_element(codes.begin(), codes.end()));
  if (!fits_int8(held))
    writer_.require_opset(21);  // X5
  if (code.group > 0)
    writer_.require_opset(kFourBitOpset);  // X12: blocks came with integers of 4 bits
  // X11
  const bool four_bits = (has_four_bits_ || code.group > 0) && held.low >= -8 && held.high <= 7;
  const auto write = [&](const std::string& name, const Tensor& tensor) {
    return four_bits ? writer_.add_four_bit_initializer(name, tensor)
                     : writer_.add_initializer(name, tensor);
  };
  // X12: convolutions' weights as the matrix whose rows the groups cut.
  const auto rows = static_cast<std::int64_t>(per_channel);
  const ir::Shape held_shape = code.group > 0 ? ir::Shape{channels, rows} : *value.shape;
  const std::string integers =
      write(value.name + "_quantized", in_place(layer, stored(held, held_shape, codes)));
  if (code.group > 0)
    return dequantize_groups(layer, integers, code);
  // Constants are written in the order in which nodes name them, as copies of the file will be.
  const ir::Shape per_scale_shape = shape_for(code.scales.size());
  const std::string scales = writer_.add_initializer(layer.name + "/weight_scale",
                                                     Tensor::from(per_scale_shape, code.scales));
  const std::string zero_points =
      write(layer.name + "/weight_zero_point", stored(held, per_scale_shape, code.zero_points));
  return dequantize(layer, "weight", {integers, scales, zero_points}, code.scales.size(),
                    is_turned(layer) ? 1 : 0);
}

// X12
std::string LayerWriter::dequantize_groups(const ir::Node& layer, const std::string& codes,
                                           const plan::AffineCode& code) {
  const ir::Shape& shape = *writer_.graph().value(layer.inputs[1]).shape;
  const std::string stem = layer.name + "/weight";
  const Tensor scales = Tensor::from(
      {shape[0], static_cast<std::int64_t>(code.scales.size()) / shape[0]}, code.scales);
  const std::string matrix = writer_.value_name(stem + "_dequantized");
  writer_
      .add_node("DequantizeLinear", writer_.node_name(stem + "/DequantizeLinear"),
                {codes, writer_.add_initializer(stem + "_scale", in_place(layer, scales))}, matrix)
      .set("axis", std::int64_t{is_turned(layer) ? 0 : 1})
      .set("block_size", std::int64_t{code.group});
  if (shape.size() == 2)
    return matrix;
  // As export_ops.cpp writes a reshape that keeps the outermost size.
  const std::string output = writer_.value_name(stem + "_reshaped");
  const std::string reshape = writer_.node_name(stem + "/Reshape");
  std::vector<std::int64_t> sizes(shape);
  sizes[0] = 0;
  writer_.add_node("Reshape", reshape,
                   {matrix, writer_.add_initializer(
                                reshape + "_shape",
                                Tensor::from({static_cast<std::int64_t>(sizes.size())}, sizes))},
                   output);
  return output;
}

// X4
std::string LayerWriter::quantized_bias(const ir::Node& layer,
                                        const plan::LayerNumerics& numerics) {
  const ir::Value& value = writer_.graph().value(layer.inputs[2]);
  const auto bias = value.constant->values<float>();
  std::vector<float> scales;
  for (const float scale : numerics.weights.scales)
    scales.push_back(numerics.input.scales[0] * scale);
  std::vector<std::int32_t> codes(bias.size());
  for (std::size_t m = 0; m < bias.size(); ++m) {
    const double scale = static_cast<double>(scales[scales.size() == 1 ? 0 : m]);
    const double code = std::nearbyint(static_cast<double>(bias[m]) / scale);
    codes[m] = static_cast<std::int32_t>(std::clamp<double>(
        code, std::numeric_limits<std::int32_t>::min(), std::numeric_limits<std::int32_t>::max()));
  }
  const std::vector<std::int32_t> zeros(scales.size(), 0);
  const std::string integers =
      writer_.add_initializer(value.name + "_quantized", Tensor::from(*value.shape, codes));
  const ir::Shape per_scale = shape_for(scales.size());
  const std::string scale_name =
      writer_.add_initializer(layer.name + "/bias_scale", Tensor::from(per_scale, scales));
  const std::string zero_name =
      writer_.add_initializer(layer.name + "/bias_zero_point", Tensor::from(per_scale, zeros));
  return dequantize(layer, "bias", {integers, scale_name, zero_name}, scales.size(), 0);
}

}  // namespace tessera::onnx
