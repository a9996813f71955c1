// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <torch/types.h>

#include "tessera/core/rng.h"
#include "tessera/ir/graph.h"

namespace tessera::nn {

using torch::Tensor;

// How raw pixels become the network's input: (x / 255 - mean) / std per channel.
struct Preprocessing {
  std::vector<double> mean;
  std::vector<double> std;
  std::string
      source;  // "network metadata", "published mean and std of cifar10", "given with the data"
  bool operator==(const Preprocessing&) const = default;
};

// Images in memory as bytes, and what they show.
struct Split {
  std::string name;  // "train", "validation", "test"
  Tensor images;     // uint8 [n,C,H,W]
  Tensor labels;     // int64 [n]
  std::int64_t size() const { return images.size(0); }
};

struct Dataset {
  std::string spec;    // as given: "fashion-mnist"
  std::string sha256;  // of images and labels
  int classes = 0;
  Preprocessing preprocessing;  // the published one, or the one given in the spec
  bool preprocessing_given = false;
  bool horizontal_flip = true;  // whether mirroring keeps the label (training augmentation)
  int crop_padding = 4;         // random crop after padding by so many pixels; 0: none
  Split train;
  Split validation;  // held out of the training set by seed
  Split test;
};

// DATA: "fashion-mnist", "cifar10:DIR", "idx:DIR", "npz:FILE", each with optional
// "?mean=a,b,c&std=a,b,c&validation=5000&flip=1&crop=4". The validation part has 5,000 images or a
// tenth of the training set, whichever is less, unless given. Throws UsageError (unknown kind, with
// those known) or IoError (what is missing or malformed, where). The same seed gives the same
// validation part.
Dataset load_dataset(std::string_view spec, std::uint64_t seed);

// "3x32x32".
std::string image_size(const Split& split);

// How this data becomes this network's input: as given with the data, else by the network's
// metadata
// ("tessera.mean", "tessera.std": numbers separated by commas), else as published with the data
// set. Throws UsageError when none of them says, ImportError for metadata that does not fit.
Preprocessing choose_preprocessing(const ir::Graph& graph, const Dataset& data);

// Throws UsageError when the network's input is not one image of this data.
void check_fits(const ir::Graph& graph, const Dataset& data);

// The first `n` images (all if n is 0 or larger than the split).
Split take(const Split& split, std::int64_t n);
Split to_device(const Split& split, torch::Device device);

// float32 [n,C,H,W] of uint8 images.
Tensor normalize(const Tensor& images, const Preprocessing& preprocessing);

// How one image is changed for training: its crop begins (dy, dx) pixels from its own corner,
// within zeros, and it is mirrored or not. Output row y is input row y + dy; output column x is
// column x + dx of the row, mirrored first.
struct Placement {
  std::int64_t dy = 0;  // -padding to padding
  std::int64_t dx = 0;
  bool mirrored = false;
};
std::vector<Placement> draw_placements(std::int64_t n, const Dataset& dataset, Rng& rng);

// Random crop after zero padding (in normalized pixels), and horizontal flip, each image for
// itself. Draws from `rng` alone.
Tensor augment(const Tensor& images, const Dataset& dataset, Rng& rng);

// Indices of one epoch in batches, shuffled by `rng`; a last short batch is dropped.
std::vector<Tensor> shuffled_batches(std::int64_t size, std::int64_t batch, Rng& rng,
                                     torch::Device device);

}  // namespace tessera::nn
