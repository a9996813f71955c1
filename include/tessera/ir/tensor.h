// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/core/error.h"
#include "tessera/core/file.h"

namespace tessera::ir {

// Sizes from outer to inner. The batch dimension of activations is held as 1: a graph has no batch
// size, whoever runs it chooses one.
using Shape = std::vector<std::int64_t>;

// Product of all sizes; 1 for a scalar. REQUIRES: sizes and product fit (checked_element_count).
std::int64_t element_count(const Shape& shape);
// The same for sizes from outside: none when one is negative or the product exceeds 2^40.
std::optional<std::int64_t> checked_element_count(const Shape& shape);
std::string to_string(const Shape& shape);  // "1x3x32x32", "scalar"

enum class DType { kFloat32, kFloat16, kInt8, kUint8, kInt16, kInt32, kInt64, kBool };
std::string_view name(DType dtype);
std::size_t size_in_bytes(DType dtype);
// The type that holds ONNX's type of that number (TensorProto.DataType); none for those that we do
// not hold. Floats of any width become float32; unsigned integers and integers of 4 bits become the
// next type that holds all their values, except that uint64 becomes int64.
std::optional<DType> dtype_from_onnx(int type);

template <typename T>
constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, float>)
    return DType::kFloat32;
  if constexpr (std::is_same_v<T, std::int8_t>)
    return DType::kInt8;
  if constexpr (std::is_same_v<T, std::uint8_t>)
    return DType::kUint8;
  if constexpr (std::is_same_v<T, std::int16_t>)
    return DType::kInt16;
  if constexpr (std::is_same_v<T, std::int32_t>)
    return DType::kInt32;
  if constexpr (std::is_same_v<T, std::int64_t>)
    return DType::kInt64;
}

// A constant: dense, row-major, immutable and shared between copies. Any number of threads may read
// it.
class Tensor {
 public:
  Tensor() = default;
  // REQUIRES: bytes.size() == element_count(shape) * size_in_bytes(dtype).
  Tensor(DType dtype, Shape shape, std::vector<std::byte> bytes);
  // Values that stay in a file until they are first asked for, or copied. Both throw IoError when
  // the file cannot be read or has changed. REQUIRES: the same of range.size.
  static Tensor in_file(DType dtype, Shape shape, FileRange range);

  template <typename T>
  static Tensor from(Shape shape, std::span<const T> values) {
    const auto bytes = std::as_bytes(values);
    return Tensor(dtype_of<T>(), std::move(shape), {bytes.begin(), bytes.end()});
  }
  template <typename T>
  static Tensor from(Shape shape, const std::vector<T>& values) {
    return from(std::move(shape), std::span<const T>(values));
  }

  // Whether a file held it in 4 bits each, as int4 or uint4, and export writes it so again: a note
  // that values and comparisons do not depend on. REQUIRES: int8 from -8 to 7 or uint8 up to 15.
  bool is_four_bits() const { return is_four_bits_; }
  void note_four_bits() { is_four_bits_ = true; }

  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  std::int64_t elements() const { return element_count(shape_); }
  // All of them in memory, where they stay as long as the tensor or a copy does.
  std::span<const std::byte> bytes() const;
  // Without keeping in memory what is in a file. REQUIRES: into.size() is that of bytes().
  void copy_to(std::span<std::byte> into) const;

  // REQUIRES: dtype() == dtype_of<T>().
  template <typename T>
  std::span<const T> values() const {
    TESSERA_CHECK(dtype_ == dtype_of<T>(), "tensor holds {}", name(dtype_));
    return {reinterpret_cast<const T*>(bytes().data()), static_cast<std::size_t>(elements())};
  }

  // Same type, shape and bits.
  bool operator==(const Tensor& other) const;

 private:
  struct Storage;
  Tensor(DType dtype, Shape shape, std::shared_ptr<Storage> storage);

  DType dtype_ = DType::kFloat32;
  Shape shape_ = {0};
  bool is_four_bits_ = false;
  std::shared_ptr<Storage> storage_;
};

}  // namespace tessera::ir
