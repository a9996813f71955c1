// SPDX-License-Identifier: Apache-2.0
#include "tessera/ir/tensor.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <atomic>
#include <mutex>

namespace tessera::ir {

std::optional<std::int64_t> checked_element_count(const Shape& shape) {
  constexpr std::int64_t kMost = std::int64_t{1} << 40;
  std::int64_t count = 1;
  bool empty = false;
  for (const std::int64_t size : shape) {
    if (size < 0 || size > kMost)
      return std::nullopt;
    empty = empty || size == 0;
    if (size > 0 && count > kMost / size)
      return std::nullopt;
    count *= std::max<std::int64_t>(size, 1);
  }
  return empty ? 0 : count;
}

std::int64_t element_count(const Shape& shape) {
  const auto count = checked_element_count(shape);
  TESSERA_CHECK(count.has_value(), "shape {} is out of range", to_string(shape));
  return *count;
}

std::string to_string(const Shape& shape) {
  return shape.empty() ? "scalar" : fmt::format("{}", fmt::join(shape, "x"));
}

std::string_view name(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return "float32";
    case DType::kFloat16:
      return "float16";
    case DType::kInt8:
      return "int8";
    case DType::kUint8:
      return "uint8";
    case DType::kInt16:
      return "int16";
    case DType::kInt32:
      return "int32";
    case DType::kInt64:
      return "int64";
    case DType::kBool:
      return "bool";
  }
  return "?";
}

std::optional<DType> dtype_from_onnx(int type) {
  switch (type) {
    case 1:   // FLOAT
    case 10:  // FLOAT16
    case 11:  // DOUBLE
    case 16:  // BFLOAT16
      return DType::kFloat32;
    case 2:   // UINT8
    case 21:  // UINT4
      return DType::kUint8;
    case 3:   // INT8
    case 22:  // INT4
      return DType::kInt8;
    case 5:  // INT16
      return DType::kInt16;
    case 4:  // UINT16
    case 6:  // INT32
      return DType::kInt32;
    case 7:   // INT64
    case 12:  // UINT32
    case 13:  // UINT64
      return DType::kInt64;
    case 9:  // BOOL
      return DType::kBool;
    default:
      return std::nullopt;
  }
}

std::size_t size_in_bytes(DType dtype) {
  switch (dtype) {
    case DType::kInt8:
    case DType::kUint8:
    case DType::kBool:
      return 1;
    case DType::kFloat16:
    case DType::kInt16:
      return 2;
    case DType::kFloat32:
    case DType::kInt32:
      return 4;
    case DType::kInt64:
      return 8;
  }
  return 0;
}

struct Tensor::Storage {
  explicit Storage(std::vector<std::byte> in_memory) : bytes(std::move(in_memory)), loaded(true) {}
  explicit Storage(FileRange in_file) : range(std::move(in_file)) {}

  std::size_t size() {
    const std::lock_guard lock(loading);
    return range.file ? range.size : bytes.size();
  }

  // The file is left when its bytes are in memory.
  std::span<const std::byte> load() {
    if (!loaded.load(std::memory_order_acquire)) {
      const std::lock_guard lock(loading);
      if (range.file) {
        std::vector<std::byte> content(range.size);
        range.read(content);
        bytes = std::move(content);
        range.file.reset();
        loaded.store(true, std::memory_order_release);
      }
    }
    return bytes;
  }

  // Where the bytes are not in memory.
  std::optional<FileRange> still_in_file() {
    const std::lock_guard lock(loading);
    return range.file ? std::optional(range) : std::nullopt;
  }

  std::mutex loading;  // guards the rest until `loaded`
  std::vector<std::byte> bytes;
  FileRange range;
  std::atomic<bool> loaded = false;
};

Tensor::Tensor(DType dtype, Shape shape, std::shared_ptr<Storage> storage)
    : dtype_(dtype), shape_(std::move(shape)), storage_(std::move(storage)) {
  const auto expected = static_cast<std::size_t>(element_count(shape_)) * size_in_bytes(dtype_);
  TESSERA_CHECK(storage_->size() == expected, "{} bytes for {} of shape {}", storage_->size(),
                name(dtype_), to_string(shape_));
}

Tensor::Tensor(DType dtype, Shape shape, std::vector<std::byte> bytes)
    : Tensor(dtype, std::move(shape), std::make_shared<Storage>(std::move(bytes))) {}

Tensor Tensor::in_file(DType dtype, Shape shape, FileRange range) {
  return {dtype, std::move(shape), std::make_shared<Storage>(std::move(range))};
}

std::span<const std::byte> Tensor::bytes() const {
  return storage_ ? storage_->load() : std::span<const std::byte>();
}

void Tensor::copy_to(std::span<std::byte> into) const {
  if (const auto range = storage_ ? storage_->still_in_file() : std::nullopt)
    range->read(into);
  else
    std::ranges::copy(bytes(), into.begin());
}

bool Tensor::operator==(const Tensor& other) const {
  return dtype_ == other.dtype_ && shape_ == other.shape_ &&
         (storage_ == other.storage_ || std::ranges::equal(bytes(), other.bytes()));
}

}  // namespace tessera::ir
