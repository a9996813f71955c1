// SPDX-License-Identifier: Apache-2.0
#include "readers.h"

#include <array>
#include <cstring>
#include <vector>

#include "tessera/core/error.h"
#include "tessera/core/file.h"
#include "tessera/nn/data/npz.h"

#include "inflate.h"

namespace tessera::nn::detail {

namespace {

namespace fs = std::filesystem;

// More than any data set that fits in memory as images; a damaged file stops there.
constexpr std::size_t kLargestFile = std::size_t{16} << 30;

Tensor byte_tensor(std::span<const std::byte> bytes, c10::IntArrayRef shape) {
  Tensor tensor = torch::empty(shape, torch::kUInt8);
  if (!bytes.empty())
    std::memcpy(tensor.data_ptr(), bytes.data(), bytes.size());
  return tensor;
}

void check_folder(const fs::path& folder) {
  if (!fs::exists(folder))
    throw IoError(fmt::format("{}: no such folder", folder.string()));
  if (!fs::is_directory(folder))
    throw IoError(fmt::format("{}: not a folder", folder.string()));
}

struct LoadedFile {
  fs::path path;
  std::vector<std::byte> bytes;
};

LoadedFile read_maybe_gzipped(const fs::path& folder, const std::string& name) {
  const fs::path plain = folder / name;
  const fs::path zipped = folder / (name + ".gz");
  if (fs::exists(plain))
    return {plain, read_bytes(plain)};
  if (!fs::exists(zipped))
    throw IoError(fmt::format("{}: neither {} nor {}.gz is there", folder.string(), name, name));
  auto content = inflate(read_bytes(zipped), Compression::kGzip, kLargestFile);
  if (!content)
    throw IoError(fmt::format("{}: {}", zipped.string(), content.error()));
  return {zipped, std::move(*content)};
}

// An IDX file of unsigned bytes: two zero bytes, type 8, rank, sizes as 32-bit big-endian numbers,
// values.
Tensor read_idx_file(const fs::path& folder, const std::string& name, std::size_t rank) {
  constexpr unsigned kUnsignedByte = 8;
  const LoadedFile file = read_maybe_gzipped(folder, name);
  const auto byte = [&](std::size_t at) { return std::to_integer<unsigned>(file.bytes[at]); };
  const std::size_t header = 4 + 4 * rank;
  if (file.bytes.size() < header)
    throw IoError(fmt::format("{}: {} bytes, too short for an IDX header of {}", file.path.string(),
                              file.bytes.size(), header));
  if (byte(0) != 0 || byte(1) != 0 || byte(2) != kUnsignedByte || byte(3) != rank)
    throw IoError(fmt::format(
        "{}: begins with {:02x} {:02x} {:02x} {:02x}, an IDX file of bytes with {} dimensions "
        "begins with 00 00 08 {:02x}",
        file.path.string(), byte(0), byte(1), byte(2), byte(3), rank, rank));
  std::vector<std::int64_t> shape;
  std::uint64_t expected = 1;
  for (std::size_t i = 0; i < rank; ++i) {
    std::uint32_t size = 0;
    for (std::size_t k = 0; k < 4; ++k)
      size = size << 8 | byte(4 + 4 * i + k);
    shape.push_back(size);
    if (__builtin_mul_overflow(expected, std::uint64_t{size}, &expected))
      expected = std::numeric_limits<std::uint64_t>::max();
  }
  const auto values = std::span(file.bytes).subspan(header);
  if (values.size() != expected)
    throw IoError(fmt::format("{}: {} bytes of values, its header says {}", file.path.string(),
                              values.size(), expected));
  return byte_tensor(values, shape);
}

Split read_idx_split(const fs::path& folder, const std::string& prefix, const std::string& name) {
  const Tensor images = read_idx_file(folder, prefix + "-images-idx3-ubyte", 3);
  const Tensor labels = read_idx_file(folder, prefix + "-labels-idx1-ubyte", 1);
  if (images.size(0) != labels.size(0))
    throw IoError(fmt::format("{}: {} images but {} labels in {}-*", folder.string(),
                              images.size(0), labels.size(0), prefix));
  return {name, images.unsqueeze(1), labels.to(torch::kInt64)};
}

constexpr std::int64_t kCifarClasses = 10;
constexpr std::int64_t kCifarRecord = 1 + 3 * 32 * 32;

Split read_cifar_file(const fs::path& path, const std::string& name) {
  if (!fs::exists(path))
    throw IoError(
        fmt::format("{}: no such file (CIFAR-10's binary version has data_batch_1.bin to "
                    "data_batch_5.bin and test_batch.bin)",
                    path.string()));
  const std::vector<std::byte> bytes = read_bytes(path);
  const auto size = static_cast<std::int64_t>(bytes.size());
  if (size == 0 || size % kCifarRecord != 0)
    throw IoError(fmt::format("{}: {} bytes, not a multiple of CIFAR-10's {} bytes an image",
                              path.string(), size, kCifarRecord));
  const Tensor records = byte_tensor(bytes, {size / kCifarRecord, kCifarRecord});
  const Tensor labels = records.select(1, 0).to(torch::kInt64);
  const Tensor wrong = (labels >= kCifarClasses).nonzero();
  if (wrong.size(0) > 0) {
    const auto image = wrong[0].item<std::int64_t>();
    throw IoError(fmt::format("{}: label {} of image {}; CIFAR-10 has 0 to {}", path.string(),
                              labels[image].item<std::int64_t>(), image, kCifarClasses - 1));
  }
  return {name, records.slice(1, 1).reshape({-1, 3, 32, 32}).contiguous(), labels};
}

IoError missing_array(const fs::path& file, const NamedTensors& arrays, const std::string& name) {
  std::string found;
  for (const auto& [other, tensor] : arrays)
    found += (found.empty() ? "" : ", ") + other;
  return IoError(
      fmt::format("{}: no array '{}'; needed: x_train, y_train, x_test, y_test; found: {}",
                  file.string(), name, found));
}

const Tensor& npz_array(const fs::path& file, const NamedTensors& arrays, const std::string& name) {
  const Tensor* array = find(arrays, name);
  if (array == nullptr)
    throw missing_array(file, arrays, name);
  if (array->dim() == 0)
    throw IoError(
        fmt::format("{}: {} is one number; needed: an array [n,...]", file.string(), name));
  return *array;
}

bool is_image_array(const Tensor& array) {
  return array.scalar_type() == torch::kUInt8 && (array.dim() == 3 || array.dim() == 4);
}

Tensor channels_first(const Tensor& images) {
  if (images.dim() == 3)
    return images.unsqueeze(1);
  const auto is_channels = [](std::int64_t size) { return size == 1 || size == 3; };
  const bool last = is_channels(images.size(3)) && !is_channels(images.size(1));
  return last ? images.permute({0, 3, 1, 2}).contiguous() : images;
}

Tensor npz_labels(const fs::path& file, const NamedTensors& arrays, const std::string& name,
                  std::int64_t images) {
  const Tensor& labels = npz_array(file, arrays, name);
  const bool integers = torch::isIntegralType(labels.scalar_type(), /*includeBool=*/false);
  if (!integers || labels.size(0) != images)
    throw IoError(
        fmt::format("{}: {} must be integers, [{}] or [{},...]: one for each image or for "
                    "each of its positions",
                    file.string(), name, images, images));
  const bool column = labels.dim() == 2 && labels.size(1) == 1;
  const Tensor result = (column ? labels.reshape({-1}) : labels).to(torch::kInt64).contiguous();
  if (result.numel() > 0 && result.min().item<std::int64_t>() < 0)
    throw IoError(fmt::format("{}: {} has a negative label", file.string(), name));
  return result;
}

// NAME of each NAME_train; none where the only input is x_train.
std::vector<std::string> npz_inputs(const NamedTensors& arrays) {
  constexpr std::string_view kSuffix = "_train";
  std::vector<std::string> names;
  for (const auto& [name, array] : arrays) {
    if (name.ends_with(kSuffix) && name != "y_train")
      names.push_back(name.substr(0, name.size() - kSuffix.size()));
  }
  return names.empty() || names == std::vector<std::string>{"x"} ? std::vector<std::string>()
                                                                 : names;
}

Split npz_split(const fs::path& file, const NamedTensors& arrays,
                const std::vector<std::string>& inputs, const std::string& name) {
  const std::string first = inputs.empty() ? "x" : inputs.front();
  Split split{.name = name, .images = npz_array(file, arrays, first + "_" + name), .labels = {}};
  for (std::size_t i = 1; i < inputs.size(); ++i) {
    split.more_inputs.push_back(npz_array(file, arrays, inputs[i] + "_" + name));
    if (split.more_inputs.back().size(0) != split.size())
      throw IoError(fmt::format("{}: {}_{} has {} entries, {}_{} has {}", file.string(), inputs[i],
                                name, split.more_inputs.back().size(0), first, name, split.size()));
  }
  split.labels = npz_labels(file, arrays, "y_" + name, split.size());
  return split;
}

}  // namespace

RawData read_idx(const fs::path& folder) {
  check_folder(folder);
  return {.train = read_idx_split(folder, "train", "train"),
          .test = read_idx_split(folder, "t10k", "test")};
}

RawData read_cifar10(const fs::path& folder) {
  check_folder(folder);
  std::vector<Tensor> images;
  std::vector<Tensor> labels;
  for (int batch = 1; batch <= 5; ++batch) {
    const Split part = read_cifar_file(folder / fmt::format("data_batch_{}.bin", batch), "train");
    images.push_back(part.images);
    labels.push_back(part.labels);
  }
  return {.train = {"train", torch::cat(images), torch::cat(labels)},
          .test = read_cifar_file(folder / "test_batch.bin", "test")};
}

RawData read_npz_data(const fs::path& file) {
  const NamedTensors arrays = read_npz(file);
  RawData data{.train = {}, .test = {}, .is_images = false, .input_names = npz_inputs(arrays)};
  data.train = npz_split(file, arrays, data.input_names, "train");
  data.test = npz_split(file, arrays, data.input_names, "test");
  if (data.input_names.empty() && is_image_array(data.train.images) &&
      is_image_array(data.test.images)) {
    data.is_images = true;
    data.train.images = channels_first(data.train.images);
    data.test.images = channels_first(data.test.images);
  }
  return data;
}

}  // namespace tessera::nn::detail
