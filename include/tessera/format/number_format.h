// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "tessera/core/expected.h"
#include "tessera/format/strum.h"

namespace tessera::format {

// IEEE binary floating point: 32 or 16 bits. 16 means values rounded to binary16, accumulated in
// binary32.
struct Float {
  int bits = 32;
  bool operator==(const Float&) const = default;
};

// Integer weights and activations, 2 to 8 or 16 bits, int32 accumulation, round half to even,
// saturate.
struct Integer {
  int weight_bits = 8;
  int activation_bits = 8;
  // Weights that share a scale: 0: all of an output channel; 8, 16, 32, 64 or 128: as many in turn
  // along the channel's flattened inputs [C·R·S], the last group perhaps fewer.
  int group = 0;
  bool operator==(const Integer&) const = default;
};

// A noisy analog crossbar; `preset` names the noise model (nn/analog), e.g. "pcm-lionheart".
struct Analog {
  std::string preset;
  bool operator==(const Analog&) const = default;
};

// How one layer's numbers are held and multiplied. Written "fp32", "fp16", "int8" (8-bit weights
// and activations), "int4/a8" (weights/activations), "int4g32/a8" (weights in groups of 32),
// "analog:PRESET", "strum:…" (strum.h).
using NumberFormat = std::variant<Float, Integer, Analog, Strum>;

std::string to_string(const NumberFormat& format);
// The error's detail names what was found and the forms allowed.
Expected<NumberFormat> parse_number_format(std::string_view text);

// Bits of one weight as it is multiplied; 0 for analog, whose weights live in the crossbar's
// devices.
int weight_bits(const NumberFormat& format);
// Bits of one activation as it enters the layer; 8 for analog (the bits of its DAC belong to the
// unit).
int activation_bits(const NumberFormat& format);

// Weight groups of one output channel with `per_channel` weights; 1 without groups.
std::int64_t groups_per_channel(const Integer& format, std::int64_t per_channel);

// Bits that a layer's weights take in a memory: packed for StruM, else weight_bits() for each and a
// float32 scale (what exported files hold) for each group of a format with groups. Scales of whole
// output channels and tensors belong to the requantisation of the sums and are not counted.
std::int64_t stored_weight_bits(const NumberFormat& format, const WeightShape& shape);

// The formats of a list separated by commas, each as it stands; a StruM format's own commas do not
// separate.
std::vector<std::string> split_formats(std::string_view text);

}  // namespace tessera::format
