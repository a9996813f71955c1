// SPDX-License-Identifier: Apache-2.0
#include "read_tensor.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <span>

#include "tessera/core/error.h"

namespace tessera::onnx {

static_assert(std::endian::native == std::endian::little, "ONNX holds raw data little-endian");

namespace {

using pb::TensorProto;

template <typename... Args>
[[noreturn]] void fail(fmt::format_string<Args...> text, Args&&... args) {
  throw ImportError(fmt::format(text, std::forward<Args>(args)...));
}

float from_float16(std::uint16_t bits) {
  const int exponent = bits >> 10 & 0x1f;
  const int fraction = bits & 0x3ff;
  const float sign = (bits & 0x8000) != 0 ? -1.0F : 1.0F;
  if (exponent == 31)
    return fraction == 0 ? sign * INFINITY : NAN;
  return sign * (exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                               : std::ldexp(static_cast<float>(fraction + 1024), exponent - 25));
}

float from_bfloat16(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

// Raw data: in the message, or in a file.
class RawData {
 public:
  explicit RawData(const std::string& bytes) : bytes_(std::as_bytes(std::span(bytes))) {}
  explicit RawData(FileRange range) : range_(std::move(range)) {}

  const std::optional<FileRange>& range() const { return range_; }

  void check_size(std::size_t count, std::size_t element_bytes) const {
    const std::size_t size = range_ ? range_->size : bytes_.size();
    if (size != count * element_bytes)
      fail("{} bytes of data, allowed for {} elements: {}", size, count, count * element_bytes);
  }

  // `count` elements of type Raw.
  template <typename Raw>
  std::vector<Raw> elements(std::size_t count) const {
    check_size(count, sizeof(Raw));
    std::vector<Raw> values(count);
    const auto into = std::as_writable_bytes(std::span(values));
    if (range_)
      range_->read(into);
    else
      std::ranges::copy(bytes_, into.begin());
    return values;
  }

 private:
  std::span<const std::byte> bytes_;
  std::optional<FileRange> range_;
};

// `count` elements of type Raw from raw data, each through `convert`.
template <typename Raw, typename Convert>
auto from_raw(const RawData& raw, std::size_t count, Convert convert) {
  const std::vector<Raw> elements = raw.elements<Raw>(count);
  std::vector<decltype(convert(Raw{}))> values(count);
  std::ranges::transform(elements, values.begin(), convert);
  return values;
}

// The same from a repeated field of the message.
template <typename Raw, typename Field, typename Convert>
auto from_field(const Field& field, std::size_t count, Convert convert) {
  if (static_cast<std::size_t>(field.size()) != count)
    fail("{} elements of data, allowed for its shape: {}", field.size(), count);
  std::vector<decltype(convert(Raw{}))> values(count);
  for (std::size_t i = 0; i < count; ++i)
    values[i] = convert(static_cast<Raw>(field.Get(static_cast<int>(i))));
  return values;
}

std::int64_t parse_count(const std::string& key, const std::string& text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0)
    fail("external data's {} is '{}', allowed: a number of bytes", key, text);
  return value;
}

// Bytes of one element in raw data, 0 for types that we do not hold.
std::size_t raw_size(int type) {
  switch (type) {
    case TensorProto::INT8:
    case TensorProto::UINT8:
    case TensorProto::BOOL:
      return 1;
    case TensorProto::FLOAT16:
    case TensorProto::BFLOAT16:
    case TensorProto::INT16:
    case TensorProto::UINT16:
      return 2;
    case TensorProto::FLOAT:
    case TensorProto::INT32:
    case TensorProto::UINT32:
      return 4;
    case TensorProto::DOUBLE:
    case TensorProto::INT64:
    case TensorProto::UINT64:
      return 8;
    default:
      return 0;
  }
}

// Newer than the onnx.proto that Debian has.
constexpr int kUint4 = 21;
constexpr int kInt4 = 22;

bool is_four_bits(int type) {
  return type == kUint4 || type == kInt4;
}

// Two integers in each byte, the first in the low half; an odd last one leaves the high half
// unused.
ir::Tensor unpack_four_bits(const TensorProto& proto, const ir::Shape& shape,
                            const std::optional<RawData>& raw) {
  const auto count = static_cast<std::size_t>(ir::element_count(shape));
  const auto byte = [](auto value) { return static_cast<std::uint8_t>(value); };
  const std::vector<std::uint8_t> packed =
      raw ? from_raw<std::uint8_t>(*raw, (count + 1) / 2, byte)
          : from_field<std::int32_t>(proto.int32_data(), (count + 1) / 2, byte);
  std::vector<std::uint8_t> values(count);
  for (std::size_t i = 0; i < count; ++i)
    values[i] = static_cast<std::uint8_t>(packed[i / 2] >> (i % 2 == 0 ? 0 : 4) & 0xf);
  if (proto.data_type() == kUint4)
    return ir::Tensor::from(shape, values);
  std::vector<std::int8_t> with_sign(count);
  for (std::size_t i = 0; i < count; ++i)
    with_sign[i] = static_cast<std::int8_t>(values[i] < 8 ? values[i] : values[i] - 16);
  return ir::Tensor::from(shape, with_sign);
}

// Decodes one element type: raw bytes where there are any, else the field that ONNX assigns to it.
class Decoder {
 public:
  Decoder(const TensorProto& proto, ir::Shape shape, std::optional<RawData> raw)
      : proto_(proto), shape_(std::move(shape)), raw_(std::move(raw)) {}

  template <typename Raw, typename Field, typename Convert>
  ir::Tensor decode(const Field& field, Convert convert) const {
    const auto count = static_cast<std::size_t>(ir::element_count(shape_));
    return ir::Tensor::from(shape_, raw_ ? from_raw<Raw>(*raw_, count, convert)
                                         : from_field<Raw>(field, count, convert));
  }
  template <typename T, typename Field>
  ir::Tensor keep(const Field& field) const {
    if (!raw_ || !raw_->range())
      return decode<T>(field, [](T value) { return value; });
    raw_->check_size(static_cast<std::size_t>(ir::element_count(shape_)), sizeof(T));
    return ir::Tensor::in_file(ir::dtype_of<T>(), shape_, *raw_->range());
  }

  ir::Tensor decode_any() const {
    const auto& small = proto_.int32_data();
    const auto widen = [](auto value) { return static_cast<std::int64_t>(value); };
    switch (proto_.data_type()) {
      case TensorProto::FLOAT:
        return keep<float>(proto_.float_data());
      case TensorProto::DOUBLE:
        return decode<double>(proto_.double_data(),
                              [](double value) { return static_cast<float>(value); });
      case TensorProto::FLOAT16:
        return decode<std::uint16_t>(small, from_float16);
      case TensorProto::BFLOAT16:
        return decode<std::uint16_t>(small, from_bfloat16);
      case TensorProto::INT8:
        return keep<std::int8_t>(small);
      case TensorProto::UINT8:
        return keep<std::uint8_t>(small);
      case TensorProto::INT16:
        return keep<std::int16_t>(small);
      case TensorProto::UINT16:
        return decode<std::uint16_t>(small, [](std::uint16_t v) { return std::int32_t{v}; });
      case TensorProto::INT32:
        return keep<std::int32_t>(small);
      case TensorProto::UINT32:
        return decode<std::uint32_t>(proto_.uint64_data(), widen);
      case TensorProto::UINT64:
        return decode<std::uint64_t>(proto_.uint64_data(), [](std::uint64_t value) {
          if (value > INT64_MAX)
            fail("holds {}, allowed: less than 2^63", value);
          return static_cast<std::int64_t>(value);
        });
      case TensorProto::INT64:
        return keep<std::int64_t>(proto_.int64_data());
      case TensorProto::BOOL: {
        const ir::Tensor bytes = decode<std::uint8_t>(
            small, [](std::uint8_t v) { return static_cast<std::uint8_t>(v != 0 ? 1 : 0); });
        return ir::Tensor(ir::DType::kBool, shape_, {bytes.bytes().begin(), bytes.bytes().end()});
      }
      default:
        fail("holds {}, which is not supported; allowed: floats, integers, booleans",
             onnx_type_name(proto_.data_type()));
    }
  }

 private:
  const TensorProto& proto_;
  ir::Shape shape_;
  std::optional<RawData> raw_;
};

}  // namespace

std::string onnx_type_name(int onnx_type) {
  return TensorProto::DataType_IsValid(onnx_type)
             ? TensorProto::DataType_Name(static_cast<TensorProto::DataType>(onnx_type))
             : fmt::format("type {}", onnx_type);
}

FileRange ExternalFiles::find(const TensorProto& proto, std::int64_t size) {
  std::filesystem::path location;
  std::int64_t offset = 0;
  std::int64_t length = size;
  for (const auto& entry : proto.external_data()) {
    if (entry.key() == "location")
      location = entry.value();
    else if (entry.key() == "offset")
      offset = parse_count("offset", entry.value());
    else if (entry.key() == "length")
      length = parse_count("length", entry.value());
  }
  if (location.empty())
    fail("external data without a location");
  for (const auto& part : location) {
    if (location.is_absolute() || part == "..")
      fail("external data in '{}', allowed: a file in or below the model's folder",
           location.string());
  }
  if (length != size)
    fail("external data of {} bytes, allowed for its shape: {}", length, size);
  auto& file = open_[location];
  try {
    if (!file)
      file = std::make_shared<const FileReader>(folder_ / location);
  } catch (const IoError& error) {
    fail("external data file {}", error.what());
  }
  if (static_cast<std::uint64_t>(offset) + static_cast<std::uint64_t>(size) > file->size())
    fail("external data file '{}' has {} bytes, needed are {} from {}", file->path().string(),
         file->size(), size, offset);
  return {.file = file,
          .offset = static_cast<std::uint64_t>(offset),
          .size = static_cast<std::uint64_t>(size)};
}

ir::Tensor read_tensor(const TensorProto& proto, ExternalFiles& files,
                       const std::optional<FileRange>& raw_data) {
  const ir::Shape shape(proto.dims().begin(), proto.dims().end());
  const auto count = ir::checked_element_count(shape);
  if (!count)
    fail("has shape {}, allowed: sizes of at least 0, 2^40 elements in all", ir::to_string(shape));
  std::optional<RawData> raw;
  if (proto.data_location() == TensorProto::EXTERNAL) {
    raw.emplace(
        files.find(proto, is_four_bits(proto.data_type())
                              ? (*count + 1) / 2
                              : *count * static_cast<std::int64_t>(raw_size(proto.data_type()))));
  } else if (raw_data) {
    raw.emplace(*raw_data);
  } else if (proto.has_raw_data()) {
    raw.emplace(proto.raw_data());
  }
  if (is_four_bits(proto.data_type())) {
    ir::Tensor unpacked = unpack_four_bits(proto, shape, raw);
    unpacked.note_four_bits();
    return unpacked;
  }
  return Decoder(proto, shape, std::move(raw)).decode_any();
}

}  // namespace tessera::onnx
