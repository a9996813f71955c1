// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/plan/cost.h"

namespace tessera::cost {

// The loop nest chosen for one layer on one spatial unit at given widths, with what it costs.
struct NestChoice {
  plan::Breakdown energy_pj;
  double latency_ns = 0;
  std::shared_ptr<const plan::LayerNest> nest;
};

// Widths of a layer's tensors in bits.
struct NestWidths {
  int weights = 8;
  int inputs = 8;
  int outputs = 8;
};

// The nests of all layers of a network on one spatial unit, by widths: what `search` finds once and
// a cost model looks up, at the price of an index into an array.
class LayerNests {
 public:
  // For these layers, at all combinations of these widths (ascending, from 1 to 32); inputs and
  // outputs have the same.
  LayerNests(std::vector<std::string> layers, std::vector<int> weight_bits,
             std::vector<int> activation_bits);

  const std::vector<int>& weight_bits() const { return weights_.bits; }
  const std::vector<int>& activation_bits() const { return activations_.bits; }
  std::optional<std::size_t> find_layer(std::string_view name) const;

  // REQUIRES: widths that are on the lists.
  void set(std::size_t layer, const NestWidths& widths, std::shared_ptr<const NestChoice> choice);
  // The nest at the least widths on the lists that hold these (the widest where none does); null
  // when no nest runs. REQUIRES: widths from 1 to 32.
  const NestChoice* find(std::size_t layer, const NestWidths& widths) const {
    return choices_[place(layer, widths)].get();
  }
  // The least activation width on the list that holds `bits`; the widest when none does.
  int stored_bits(int bits) const {
    return activations_.bits[activations_.position[static_cast<std::size_t>(bits)]];
  }

 private:
  struct Axis {
    explicit Axis(std::vector<int> list);
    std::vector<int> bits;
    std::array<std::size_t, 33> position{};  // by width
  };
  std::size_t place(std::size_t layer, const NestWidths& widths) const {
    const std::size_t side = activations_.bits.size();
    std::size_t index = layer * weights_.bits.size();
    index += weights_.position[static_cast<std::size_t>(widths.weights)];
    index = index * side + activations_.position[static_cast<std::size_t>(widths.inputs)];
    return index * side + activations_.position[static_cast<std::size_t>(widths.outputs)];
  }

  std::vector<std::string> layers_;
  Axis weights_;
  Axis activations_;
  std::vector<std::shared_ptr<const NestChoice>> choices_;
};

// Of each unit of a platform, in its order; null for those that are not spatial.
using PlatformNests = std::vector<std::shared_ptr<const LayerNests>>;

}  // namespace tessera::cost
