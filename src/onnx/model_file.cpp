// SPDX-License-Identifier: Apache-2.0
#include "model_file.h"

#include <algorithm>
#include <climits>

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/wire_format_lite.h>

#include "tessera/core/error.h"

namespace tessera::onnx {
namespace {

namespace io = google::protobuf::io;
using google::protobuf::internal::WireFormatLite;

// A file from its beginning to its end. What is skipped is not read.
class FileStream final : public io::CopyingInputStream {
 public:
  explicit FileStream(const FileReader& file) : file_(file) {}

  int Read(void* buffer, int size) override {
    const int count = static_cast<int>(
        std::min<std::uint64_t>(file_.size() - position_, static_cast<unsigned>(size)));
    file_.read(position_, {static_cast<std::byte*>(buffer), static_cast<std::size_t>(count)});
    position_ += static_cast<unsigned>(count);
    return count;
  }
  int Skip(int count) override {
    const auto skipped =
        std::min<std::uint64_t>(file_.size() - position_, static_cast<unsigned>(count));
    position_ += skipped;
    return static_cast<int>(skipped);
  }

 private:
  const FileReader& file_;
  std::uint64_t position_ = 0;
};

// Parses a model from its file. Messages on the way to the raw data of initializers are taken apart
// field by field, all other fields are protobuf's to parse. Functions are false where the bytes are
// no message of that type.
class ModelParser {
 public:
  // REQUIRES: a file of at most INT_MAX bytes.
  ModelParser(std::shared_ptr<const FileReader> file, ModelFile& into)
      : file_(std::move(file)), stream_(*file_), buffer_(&stream_), in_(&buffer_), into_(into) {}

  bool parse() {
    in_.PushLimit(static_cast<int>(file_->size()));
    return merge(into_.model, pb::ModelProto::kGraphFieldNumber, [this] {
      return nested([this] { return parse_graph(*into_.model.mutable_graph()); });
    });
  }

 private:
  bool parse_graph(pb::GraphProto& graph) {
    return merge(graph, pb::GraphProto::kInitializerFieldNumber, [this, &graph] {
      return nested([this, &graph] { return parse_initializer(*graph.add_initializer()); });
    });
  }

  bool parse_initializer(pb::TensorProto& tensor) {
    auto& raw_data = into_.raw_data.emplace_back();
    return merge(tensor, pb::TensorProto::kRawDataFieldNumber, [this, &raw_data] {
      int size = 0;
      if (!read_size(size))
        return false;
      raw_data = {.file = file_,
                  .offset = static_cast<std::uint64_t>(in_.CurrentPosition()),
                  .size = static_cast<std::uint64_t>(size)};
      return in_.Skip(size);
    });
  }

  // The fields of the message that ends at the present limit. `take` is called for `field`, which
  // has a length, and stands behind its tag then.
  template <typename Take>
  bool merge(google::protobuf::MessageLite& message, int field, Take take) {
    const std::uint32_t taken =
        WireFormatLite::MakeTag(field, WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
    std::string others;
    {
      io::StringOutputStream text(&others);
      io::CodedOutputStream out(&text);
      while (const std::uint32_t tag = in_.ReadTag()) {
        if (!(tag == taken ? take() : WireFormatLite::SkipField(&in_, tag, &out)))
          return false;
      }
    }
    // A tag of 0 that stands in the file is none.
    return in_.ConsumedEntireMessage() && in_.BytesUntilLimit() == 0 &&
           message.MergeFromString(others);
  }

  template <typename Parse>
  bool nested(Parse parse) {
    int size = 0;
    if (!read_size(size))
      return false;
    const io::CodedInputStream::Limit limit = in_.PushLimit(size);
    const bool good = parse();
    in_.PopLimit(limit);
    return good;
  }

  // Of what comes next, inside the message that it stands in.
  bool read_size(int& size) {
    return in_.ReadVarintSizeAsInt(&size) && size <= in_.BytesUntilLimit();
  }

  std::shared_ptr<const FileReader> file_;
  FileStream stream_;
  io::CopyingInputStreamAdaptor buffer_;
  io::CodedInputStream in_;
  ModelFile& into_;
};

bool is_default_domain(const pb::OperatorSetIdProto& opset) {
  return opset.domain().empty() || opset.domain() == "ai.onnx";
}

}  // namespace

int default_opset(const pb::ModelProto& model) {
  for (const auto& opset : model.opset_import()) {
    if (is_default_domain(opset) && opset.version() > 0 && opset.version() < INT_MAX)
      return static_cast<int>(opset.version());
  }
  return 0;
}

ModelFile read_model(const std::filesystem::path& path) {
  const auto fail = [&](std::string_view what) {
    throw ImportError(fmt::format("{}: {}", path.string(), what));
  };
  const auto file = std::make_shared<const FileReader>(path);
  if (file->size() == 0)
    fail("the file is empty; allowed: an ONNX model");
  if (file->size() > INT_MAX)
    fail("the file has more than 2 GiB; allowed: less, with large weights in external files");
  ModelFile read;
  if (!ModelParser(file, read).parse())
    fail("not an ONNX model, or cut off: the protocol buffer cannot be parsed");
  if (!read.model.has_graph())
    fail("not an ONNX model: there is no graph in it");
  const int opset = default_opset(read.model);
  if (opset == 0)
    fail("no opset of the default domain is imported; allowed: 7 to 25");
  if (opset < 7 || opset > 25)
    fail(fmt::format("opset {} is not known; allowed: 7 to 25", opset));
  return read;
}

}  // namespace tessera::onnx
