// SPDX-License-Identifier: Apache-2.0
#include "tessera/cost/nest_costs.h"

#include <algorithm>

#include "tessera/core/error.h"

namespace tessera::cost {

LayerNests::Axis::Axis(std::vector<int> list) : bits(std::move(list)) {
  TESSERA_CHECK(!bits.empty() && std::is_sorted(bits.begin(), bits.end()) && bits.front() >= 1 &&
                    bits.back() < static_cast<int>(position.size()),
                "{} widths", bits.size());
  for (std::size_t width = 0; width < position.size(); ++width) {
    const auto holds = std::lower_bound(bits.begin(), bits.end(), static_cast<int>(width));
    const auto index = static_cast<std::size_t>(holds - bits.begin());
    position[width] = std::min(index, bits.size() - 1);
  }
}

LayerNests::LayerNests(std::vector<std::string> layers, std::vector<int> weight_bits,
                       std::vector<int> activation_bits)
    : layers_(std::move(layers)),
      weights_(std::move(weight_bits)),
      activations_(std::move(activation_bits)),
      choices_(layers_.size() * weights_.bits.size() * activations_.bits.size() *
               activations_.bits.size()) {}

std::optional<std::size_t> LayerNests::find_layer(std::string_view name) const {
  const auto found = std::find(layers_.begin(), layers_.end(), name);
  if (found == layers_.end())
    return std::nullopt;
  return static_cast<std::size_t>(found - layers_.begin());
}

void LayerNests::set(std::size_t layer, const NestWidths& widths,
                     std::shared_ptr<const NestChoice> choice) {
  choices_.at(place(layer, widths)) = std::move(choice);
}

}  // namespace tessera::cost
