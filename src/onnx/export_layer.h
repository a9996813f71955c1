// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tessera/onnx/export.h"

#include "model_writer.h"

namespace tessera::onnx {

// Writes what stands before a layer under a mapping: its input, weights and bias in the form that
// the layer's path asks for.
class LayerWriter {
 public:
  LayerWriter(ModelWriter& writer, int opset)
      : writer_(writer), has_four_bits_(opset >= kFourBitOpset) {}

  // Names of the layer's inputs in float32, without a mapping.
  std::vector<std::string> as_is(const ir::Node& layer);
  // The same under the layer's path.
  std::vector<std::string> mapped(const ir::Node& layer, const plan::Path& path,
                                  const plan::Numerics& numerics);

 private:
  std::vector<std::string> rounded_to_float16(const ir::Node& layer);
  std::vector<std::string> quantized(const ir::Node& layer, const plan::Path& path,
                                     const plan::LayerNumerics& numerics);
  std::string quantized_input(const ir::Node& layer, const plan::AffineCode& code);
  std::string quantized_weight(const ir::Node& layer, const plan::Path& path,
                               const plan::AffineCode& code);
  std::string quantized_bias(const ir::Node& layer, const plan::LayerNumerics& numerics);
  // inputs: codes, scales, zero points. The axis counts with several scales.
  std::string dequantize(const ir::Node& layer, const std::string& part,
                         const std::vector<std::string>& inputs, std::size_t scales,
                         std::int64_t axis);
  std::string dequantize_groups(const ir::Node& layer, const std::string& codes,
                                const plan::AffineCode& code);

  // The layer becomes a MatMul, whose weights stand transposed.
  bool is_turned(const ir::Node& layer) const;
  ir::Tensor in_place(const ir::Node& layer, const ir::Tensor& weight) const;

  static constexpr int kFourBitOpset = 21;

  ModelWriter& writer_;
  bool has_four_bits_;
  // Inputs that are quantised already: layers that read one value with one code share it.
  std::vector<std::pair<std::pair<ir::ValueId, plan::AffineCode>, std::string>> shared_;
};

}  // namespace tessera::onnx
