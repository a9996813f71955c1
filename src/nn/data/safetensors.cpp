// SPDX-License-Identifier: Apache-2.0
#include "tessera/nn/data/safetensors.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>

#include "tessera/core/error.h"
#include "tessera/core/file.h"

#include "byte_reader.h"

namespace tessera::nn {

namespace {

using nlohmann::json;
using torch::Tensor;

constexpr const char* kMetadata = "__metadata__";
constexpr std::size_t kAlignment = 8;

struct TypeName {
  std::string_view name;
  torch::ScalarType torch;
};
constexpr std::array<TypeName, 9> kTypes{{{"F16", torch::kFloat16},
                                          {"F32", torch::kFloat32},
                                          {"F64", torch::kFloat64},
                                          {"I8", torch::kInt8},
                                          {"I16", torch::kInt16},
                                          {"I32", torch::kInt32},
                                          {"I64", torch::kInt64},
                                          {"U8", torch::kUInt8},
                                          {"BOOL", torch::kBool}}};

struct Entry {
  std::string name;
  torch::ScalarType type = torch::kFloat32;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

// Throws nlohmann's exceptions for members that are missing or of another type.
Entry parse_entry(const std::string& name, const json& description, const std::string& where) {
  Entry entry;
  entry.name = name;
  const auto type_name = description.at("dtype").get<std::string>();
  const auto* type = std::find_if(kTypes.begin(), kTypes.end(), [&](const TypeName& candidate) {
    return candidate.name == type_name;
  });
  if (type == kTypes.end())
    throw IoError(
        fmt::format("{}: type '{}'; known: F16 F32 F64 I8 I16 I32 I64 U8 BOOL", where, type_name));
  entry.type = type->torch;
  std::uint64_t bytes = torch::elementSize(entry.type);
  for (const json& size : description.at("shape")) {
    if (!size.is_number_unsigned())
      throw IoError(fmt::format("{}: '{}' is not a size", where, size.dump()));
    entry.shape.push_back(size.get<std::int64_t>());
    if (entry.shape.back() < 0 || __builtin_mul_overflow(bytes, size.get<std::uint64_t>(), &bytes))
      throw IoError(fmt::format("{}: size {} is too large", where, size.dump()));
  }
  const json& offsets = description.at("data_offsets");
  if (offsets.size() != 2 || !offsets[0].is_number_unsigned() || !offsets[1].is_number_unsigned())
    throw IoError(where + ": data_offsets must be two positions");
  entry.begin = offsets[0].get<std::uint64_t>();
  entry.end = offsets[1].get<std::uint64_t>();
  if (entry.end < entry.begin || entry.end - entry.begin != bytes)
    throw IoError(fmt::format("{}: bytes {} to {}, its type and shape need {}", where, entry.begin,
                              entry.end, bytes));
  return entry;
}

// In the order of their bytes, which must follow each other and fill the file.
void check_layout(std::vector<Entry>& entries, std::uint64_t size, const std::string& file) {
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  std::uint64_t position = 0;
  for (const Entry& entry : entries) {
    if (entry.begin != position)
      throw IoError(fmt::format("{}: tensor '{}' begins at byte {}, the one before ends at {}",
                                file, entry.name, entry.begin, position));
    position = entry.end;
  }
  if (position != size)
    throw IoError(
        fmt::format("{}: {} bytes of values, its header describes {}", file, size, position));
}

json parse_header(std::span<const std::byte> bytes, const std::string& file) {
  const auto* text = reinterpret_cast<const char*>(bytes.data());
  json header = json::parse(text, text + bytes.size(), nullptr, /*allow_exceptions=*/false);
  if (!header.is_object())
    throw IoError(file + ": not a safetensors file (its header is not a JSON object)");
  return header;
}

}  // namespace

SafeTensors read_safetensors(const std::filesystem::path& path) {
  const std::vector<std::byte> file = read_bytes(path);
  SafeTensors result;
  std::vector<Entry> entries;
  std::span<const std::byte> values;
  try {
    detail::ByteReader reader(file, 0);
    const json header = parse_header(reader.bytes(reader.u64()), path.string());
    values = std::span(file).subspan(reader.position());
    for (const auto& [name, description] : header.items()) {
      const std::string where = fmt::format("{}: tensor '{}'", path.string(), name);
      try {
        if (name == kMetadata) {
          result.metadata = description.get<std::map<std::string, std::string>>();
        } else {
          entries.push_back(parse_entry(name, description, where));
        }
      } catch (const json::exception&) {
        throw IoError(where + ": needs dtype, shape and data_offsets, metadata needs texts");
      }
    }
  } catch (const detail::OutOfBytes&) {
    throw IoError(path.string() + ": not a safetensors file, or cut short in its header");
  }
  check_layout(entries, values.size(), path.string());
  for (Entry& entry : entries) {
    Tensor tensor = torch::empty(entry.shape, entry.type);
    if (tensor.nbytes() > 0)
      std::memcpy(tensor.data_ptr(), values.data() + entry.begin, tensor.nbytes());
    result.tensors.emplace_back(std::move(entry.name), std::move(tensor));
  }
  return result;
}

void write_safetensors(const std::filesystem::path& path, const SafeTensors& content) {
  json header = json::object();
  if (!content.metadata.empty())
    header[kMetadata] = content.metadata;
  std::vector<Tensor> tensors;
  std::uint64_t position = 0;
  for (const auto& [name, tensor] : content.tensors) {
    TESSERA_CHECK(!header.contains(name), "two tensors named {}", name);
    const Tensor host = tensor.detach().to(torch::kCPU).contiguous();
    const auto* type = std::find_if(kTypes.begin(), kTypes.end(), [&](const TypeName& candidate) {
      return candidate.torch == host.scalar_type();
    });
    TESSERA_CHECK(type != kTypes.end(), "tensor {}: no type for {}", name,
                  torch::toString(host.scalar_type()));
    header[name] = {{"dtype", type->name},
                    {"shape", host.sizes().vec()},
                    {"data_offsets", {position, position + host.nbytes()}}};
    position += host.nbytes();
    tensors.push_back(host);
  }
  std::string text = header.dump();
  text.append((kAlignment - text.size() % kAlignment) % kAlignment, ' ');
  AtomicFile file(path);
  file.write(detail::ByteWriter().u64(text.size()).text(text).take());
  for (const Tensor& tensor : tensors)
    file.write({static_cast<const std::byte*>(tensor.data_ptr()), tensor.nbytes()});
  file.commit();
}

}  // namespace tessera::nn
