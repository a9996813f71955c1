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

// Images in memory as bytes, and what they show; or whatever else a network takes.
struct Split {
  std::string name;  // "train", "validation", "test"
  Tensor images;     // uint8 [n,C,H,W]; where they are no images, the network's first input [n,...]
  Tensor labels;     // int64 [n], or [n,...] where several positions of an entry have a class each
  std::vector<Tensor> more_inputs = {};  // [n,...] each: what follows the first
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
  bool is_images = true;  // bytes to normalize; else numbers that the network takes as they are
  std::vector<std::string> input_names = {};  // as the file has them; none: one input, unnamed
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

// Puts the data's inputs into the network's order and types. Throws UsageError when they are not
// this network's inputs.
void fit_inputs(const ir::Graph& graph, Dataset& data);

// How this data becomes this network's input: as given with the data, else by the network's
// metadata
// ("tessera.mean", "tessera.std": numbers separated by commas), else as published with the data
// set. Empty for data other than images. Throws UsageError when none of them says, ImportError for
// metadata that does not fit.
Preprocessing choose_preprocessing(const ir::Graph& graph, const Dataset& data);

// Entries begin to end - 1; views of the split's memory.
Split part_of(const Split& split, std::int64_t begin, std::int64_t end);
// The first `n` entries (all if n is 0 or larger than the split).
Split take(const Split& split, std::int64_t n);
// Those of these indices, a copy.
Split select(const Split& split, const Tensor& indices);
Split to_device(const Split& split, torch::Device device);

// float32 [n,C,H,W] of uint8 images.
Tensor normalize(const Tensor& images, const Preprocessing& preprocessing);

// What Network::forward() takes: the images normalized, anything else as it is.
std::vector<Tensor> network_inputs(const Split& split, const Preprocessing& preprocessing);

// Scores [n, classes, ...] of a network's outputs: behind the batch and the classes they have the
// dimensions of the labels. Classes stand along the outputs' second axis or, where the labels'
// sizes only fit so, along the last one.
Tensor class_scores(const Tensor& outputs, const Tensor& labels);

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
