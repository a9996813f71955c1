// SPDX-License-Identifier: Apache-2.0
// The .npy header: numpy.lib.format, versions 1.0 to 3.0.
#include "tessera/nn/data/npz.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <optional>

#include "tessera/core/error.h"
#include "tessera/core/file.h"
#include "tessera/core/text.h"

#include "byte_reader.h"
#include "zip.h"

namespace tessera::nn {

namespace {

using torch::Tensor;

constexpr std::string_view kMagic = "\x93NUMPY";

struct TypeName {
  std::string_view numpy;  // without the byte order
  torch::ScalarType torch;
};
constexpr std::array<TypeName, 9> kTypes{{{"f2", torch::kFloat16},
                                          {"f4", torch::kFloat32},
                                          {"f8", torch::kFloat64},
                                          {"i1", torch::kInt8},
                                          {"i2", torch::kInt16},
                                          {"i4", torch::kInt32},
                                          {"i8", torch::kInt64},
                                          {"u1", torch::kUInt8},
                                          {"b1", torch::kBool}}};

struct Header {
  torch::ScalarType type = torch::kFloat32;
  bool fortran_order = false;
  std::vector<std::int64_t> shape;
};

// The text behind 'key': in the Python dictionary of the header.
std::optional<std::string_view> value_of(std::string_view text, std::string_view key) {
  const std::size_t at = text.find(fmt::format("'{}'", key));
  if (at == std::string_view::npos)
    return std::nullopt;
  const std::size_t colon = text.find(':', at);
  if (colon == std::string_view::npos)
    return std::nullopt;
  return trim(text.substr(colon + 1));
}

torch::ScalarType parse_type(std::string_view descr, const std::string& where) {
  const std::size_t close = descr.find('\'', 1);
  if (!descr.starts_with('\'') || close == std::string_view::npos)
    throw IoError(where + ": a structured type; only plain numbers can be read");
  const std::string_view name = descr.substr(1, close - 1);
  const bool order_known = name.size() == 3 && (name[0] == '<' || name[0] == '|' || name[0] == '=');
  for (const TypeName& type : kTypes) {
    if (order_known && name.substr(1) == type.numpy)
      return type.torch;
  }
  throw IoError(fmt::format("{}: type '{}'; known: little-endian f2 f4 f8 i1 i2 i4 i8, u1 and b1",
                            where, name));
}

std::vector<std::int64_t> parse_shape(std::string_view text, const std::string& where) {
  const std::size_t close = text.find(')');
  if (!text.starts_with('(') || close == std::string_view::npos)
    throw IoError(where + ": no shape in its header");
  std::vector<std::int64_t> shape;
  for (const std::string& part : split(text.substr(1, close - 1), ',')) {
    const std::string_view digits = trim(part);
    if (digits.empty())
      continue;
    std::int64_t size = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), size);
    if (error != std::errc() || end != digits.data() + digits.size() || size < 0)
      throw IoError(fmt::format("{}: '{}' is not a size", where, digits));
    shape.push_back(size);
  }
  return shape;
}

Header parse_header(std::string_view text, const std::string& where) {
  const auto descr = value_of(text, "descr");
  const auto order = value_of(text, "fortran_order");
  const auto shape = value_of(text, "shape");
  if (!descr || !order || !shape)
    throw IoError(where + ": its header lacks descr, fortran_order or shape");
  return {.type = parse_type(*descr, where),
          .fortran_order = order->starts_with("True"),
          .shape = parse_shape(*shape, where)};
}

std::vector<std::int64_t> reversed_axes(std::size_t rank) {
  std::vector<std::int64_t> axes(rank);
  for (std::size_t i = 0; i < rank; ++i)
    axes[i] = static_cast<std::int64_t>(rank - 1 - i);
  return axes;
}

Tensor read_npy(std::span<const std::byte> bytes, const std::string& where) {
  std::string text;
  std::span<const std::byte> data;
  try {
    detail::ByteReader reader(bytes, 0);
    if (reader.text(kMagic.size()) != kMagic)
      throw IoError(where + ": not a NumPy array");
    const int major = reader.u16() & 0xff;
    if (major < 1 || major > 3)
      throw IoError(fmt::format("{}: NumPy format version {}; known: 1 to 3", where, major));
    text = reader.text(major == 1 ? reader.u16() : reader.u32());
    data = bytes.subspan(reader.position());
  } catch (const detail::OutOfBytes&) {
    throw IoError(where + ": its header is cut short");
  }
  const Header header = parse_header(text, where);
  // In steps, so that sizes from a damaged header cannot overflow.
  std::uint64_t expected = torch::elementSize(header.type);
  for (const std::int64_t size : header.shape) {
    if (__builtin_mul_overflow(expected, static_cast<std::uint64_t>(size), &expected))
      expected = std::numeric_limits<std::uint64_t>::max();
  }
  if (expected != data.size())
    throw IoError(fmt::format("{}: {} bytes of values, its type and shape need {}", where,
                              data.size(), expected));
  std::vector<std::int64_t> shape = header.shape;
  if (header.fortran_order)
    std::reverse(shape.begin(), shape.end());
  Tensor tensor = torch::empty(shape, header.type);
  if (!data.empty())
    std::memcpy(tensor.data_ptr(), data.data(), data.size());
  // Fortran order is C order with the axes reversed.
  if (header.fortran_order)
    tensor = tensor.permute(reversed_axes(shape.size())).contiguous();
  return tensor;
}

std::vector<std::byte> make_npy(const Tensor& tensor, const std::string& name) {
  const Tensor host = tensor.detach().to(torch::kCPU).contiguous();
  const auto* type = std::find_if(kTypes.begin(), kTypes.end(), [&](const TypeName& candidate) {
    return candidate.torch == host.scalar_type();
  });
  TESSERA_CHECK(type != kTypes.end(), "array {}: no NumPy type for {}", name,
                torch::toString(host.scalar_type()));
  std::string shape;
  for (const std::int64_t size : host.sizes())
    shape += fmt::format("{},", size);
  std::string header = fmt::format("{{'descr': '{}{}', 'fortran_order': False, 'shape': ({}), }}",
                                   host.element_size() == 1 ? '|' : '<', type->numpy, shape);
  // Magic, version, length, header and line end together fill whole lines of 64 bytes.
  const std::size_t before = kMagic.size() + 4;
  header.append(63 - (before + header.size()) % 64, ' ');
  header += '\n';
  detail::ByteWriter out;
  out.text(kMagic).u16(1).u16(static_cast<std::uint16_t>(header.size())).text(header);
  out.bytes({static_cast<const std::byte*>(host.data_ptr()), host.nbytes()});
  return out.take();
}

}  // namespace

NamedTensors read_npz(const std::filesystem::path& path) {
  constexpr std::string_view kSuffix = ".npy";
  NamedTensors arrays;
  for (const detail::ZipMember& member : detail::read_zip(path)) {
    const std::string where = fmt::format("{}: array '{}'", path.string(), member.name);
    if (!member.name.ends_with(kSuffix))
      throw IoError(where + ": not a .npy member");
    arrays.emplace_back(member.name.substr(0, member.name.size() - kSuffix.size()),
                        read_npy(member.content, where));
  }
  return arrays;
}

void write_npz(const std::filesystem::path& path, const NamedTensors& arrays) {
  std::vector<detail::ZipMember> members;
  for (const auto& [name, tensor] : arrays)
    members.push_back({name + ".npy", make_npy(tensor, name)});
  write_atomic(path, detail::make_zip(members));
}

const Tensor* find(const NamedTensors& arrays, std::string_view name) {
  const auto found = std::find_if(arrays.begin(), arrays.end(),
                                  [&](const auto& entry) { return entry.first == name; });
  return found != arrays.end() ? &found->second : nullptr;
}

}  // namespace tessera::nn
