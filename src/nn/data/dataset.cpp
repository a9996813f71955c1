// SPDX-License-Identifier: Apache-2.0
#include "tessera/nn/data/dataset.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <optional>

#include "tessera/core/error.h"
#include "tessera/core/hash.h"
#include "tessera/core/text.h"

#include "readers.h"
#include "spec.h"

namespace tessera::nn {

namespace {

namespace fs = std::filesystem;

// Where Debian's package dataset-fashion-mnist puts its files.
constexpr const char* kFashionMnistFolder = "/usr/share/datasets/fashion-mnist";

constexpr std::int64_t kUsualValidation = 5000;

detail::RawData read_fashion_mnist() {
  if (!fs::exists(kFashionMnistFolder))
    throw IoError(
        fmt::format("{}: no such folder; install the package dataset-fashion-mnist, or "
                    "give the files as idx:DIR",
                    kFashionMnistFolder));
  return detail::read_idx(kFashionMnistFolder);
}

struct Kind {
  std::string name;
  bool takes_path = true;
  detail::RawData (*read)(const fs::path&) = nullptr;
  std::vector<double> mean;  // published ones, of the training images
  std::vector<double> std;
  // What keeps a label: a mirrored digit may be another one, so only where it is known.
  bool horizontal_flip = false;
  int crop_padding = 0;
};

const std::vector<Kind>& kinds() {
  static const std::vector<Kind> kKinds{
      {.name = "fashion-mnist",
       .takes_path = false,
       .read = [](const fs::path&) { return read_fashion_mnist(); },
       .mean = {0.2860},
       .std = {0.3530},
       .horizontal_flip = true,
       .crop_padding = 2},
      {.name = "cifar10",
       .read = detail::read_cifar10,
       .mean = {0.4914, 0.4822, 0.4465},
       .std = {0.2470, 0.2435, 0.2616},
       .horizontal_flip = true,
       .crop_padding = 4},
      {.name = "idx", .read = detail::read_idx, .mean = {}, .std = {}},
      {.name = "npz", .read = detail::read_npz_data, .mean = {}, .std = {}}};
  return kKinds;
}

const Kind& find_kind(const detail::DataSpec& spec) {
  std::vector<std::string> names;
  for (const Kind& kind : kinds()) {
    if (kind.name != spec.kind) {
      names.push_back(kind.name);
      continue;
    }
    if (kind.takes_path && spec.path.empty())
      throw UsageError(fmt::format("data '{}': {} needs a place, {}:{}", spec.text, kind.name,
                                   kind.name, kind.name == "npz" ? "FILE" : "DIR"));
    if (!kind.takes_path && !spec.path.empty())
      throw UsageError(
          fmt::format("data '{}': {} takes no place, found '{}'", spec.text, kind.name, spec.path));
    return kind;
  }
  throw UsageError(unknown_name("data set", spec.kind, names));
}

void hold_out_validation(Dataset& data, const detail::DataSpec& spec, std::uint64_t seed) {
  const std::int64_t total = data.train.size();
  const std::int64_t held = spec.validation.value_or(std::min(kUsualValidation, total / 10));
  if (held >= total)
    throw UsageError(fmt::format("data '{}': validation={} leaves nothing of {} training images",
                                 spec.text, held, total));
  std::vector<std::int64_t> order(static_cast<std::size_t>(total));
  for (std::size_t i = 0; i < order.size(); ++i)
    order[i] = static_cast<std::int64_t>(i);
  Rng rng = Rng(seed).split("validation split");
  rng.shuffle(std::span(order));
  // In the file's order within each part, which keeps memory accesses local.
  std::sort(order.begin(), order.begin() + held);
  std::sort(order.begin() + held, order.end());
  const Tensor indices = torch::tensor(order, torch::kInt64);
  data.validation = select(data.train, indices.slice(0, 0, held));
  data.validation.name = "validation";
  data.train = select(data.train, indices.slice(0, held));
}

std::string hash_of(const detail::RawData& raw) {
  Sha256 hash;
  for (const Split* split : {&raw.train, &raw.test}) {
    std::vector<Tensor> tensors{split->images, split->labels};
    tensors.insert(tensors.end(), split->more_inputs.begin(), split->more_inputs.end());
    for (const Tensor& tensor : tensors) {
      for (const std::int64_t size : tensor.sizes())
        hash.add(size);
      hash.add(std::span(static_cast<const std::byte*>(tensor.data_ptr()), tensor.nbytes()));
    }
  }
  return hash.hex();
}

void check_splits(const detail::RawData& raw, const std::string& text) {
  for (const Split* split : {&raw.train, &raw.test}) {
    if (split->size() == 0)
      throw IoError(fmt::format("data '{}': no {} images", text, split->name));
  }
  if (raw.train.images.sizes().slice(1) != raw.test.images.sizes().slice(1))
    throw IoError(fmt::format("data '{}': training images are {}, test images {}", text,
                              image_size(raw.train), image_size(raw.test)));
  if (raw.train.labels.sizes().slice(1) != raw.test.labels.sizes().slice(1))
    throw IoError(
        fmt::format("data '{}': labels of the training and the test part differ in shape", text));
  for (std::size_t i = 0; i < raw.train.more_inputs.size(); ++i) {
    if (raw.train.more_inputs[i].sizes().slice(1) != raw.test.more_inputs[i].sizes().slice(1))
      throw IoError(fmt::format("data '{}': {}_train and {}_test differ in shape", text,
                                raw.input_names[i + 1], raw.input_names[i + 1]));
  }
}

void set_preprocessing(Dataset& data, const Kind& kind, const detail::DataSpec& spec) {
  if (!data.is_images) {
    if (spec.mean || spec.std || spec.flip || spec.crop)
      throw UsageError(
          fmt::format("data '{}': mean, std, flip and crop are for images, bytes [n,C,H,W]; other "
                      "numbers are taken as they are",
                      spec.text));
    return;
  }
  if (data.train.labels.dim() > 1 && (data.horizontal_flip || data.crop_padding > 0))
    throw UsageError(fmt::format(
        "data '{}': flip and crop would move images away from labels that belong to their pixels",
        spec.text));
  const auto channels = static_cast<std::size_t>(data.train.images.size(1));
  const std::vector<double>& mean = spec.mean ? *spec.mean : kind.mean;
  const std::vector<double>& std = spec.std ? *spec.std : kind.std;
  data.preprocessing_given = spec.mean.has_value() || spec.std.has_value();
  if (data.preprocessing_given && (mean.size() != channels || std.size() != channels))
    throw UsageError(fmt::format("data '{}': {} channels need as many values in mean and in std",
                                 spec.text, channels));
  if (mean.empty())
    return;
  data.preprocessing = {.mean = mean,
                        .std = std,
                        .source = data.preprocessing_given
                                      ? "given with the data"
                                      : "published mean and std of " + kind.name};
}

}  // namespace

Dataset load_dataset(std::string_view text, std::uint64_t seed) {
  const detail::DataSpec spec = detail::parse_data_spec(text);
  const Kind& kind = find_kind(spec);
  detail::RawData raw = kind.read(spec.path);
  check_splits(raw, spec.text);
  Dataset data;
  data.spec = spec.text;
  data.sha256 = hash_of(raw);
  data.classes = static_cast<int>(1 + std::max(raw.train.labels.max().item<std::int64_t>(),
                                               raw.test.labels.max().item<std::int64_t>()));
  data.horizontal_flip = spec.flip.value_or(kind.horizontal_flip);
  data.crop_padding = static_cast<int>(spec.crop.value_or(kind.crop_padding));
  data.is_images = raw.is_images;
  data.input_names = std::move(raw.input_names);
  data.train = std::move(raw.train);
  data.test = std::move(raw.test);
  set_preprocessing(data, kind, spec);
  hold_out_validation(data, spec, seed);
  return data;
}

std::string image_size(const Split& split) {
  return fmt::format("{}", fmt::join(split.images.sizes().slice(1), "x"));
}

}  // namespace tessera::nn
