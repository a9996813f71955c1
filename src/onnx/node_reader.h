// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "tessera/core/error.h"
#include "tessera/ir/graph.h"

#include "model_file.h"
#include "read_tensor.h"

namespace tessera::onnx {

// What an import has read so far.
struct ImportState {
  std::string file;
  ExternalFiles external;
  int opset = 0;
  std::int64_t batch = 1;  // the batch that the file was exported with; 1 when it is dynamic
  ir::Graph graph;
  std::unordered_map<std::string, ir::ValueId> values;  // by ONNX name
  std::unordered_set<std::string> value_names;          // also of values that ONNX does not have
  std::unordered_set<std::string> node_names;
  std::unordered_set<std::string> read_names;  // ONNX names that something reads
};

// `wish`, or with a number behind it if that is taken; takes it.
std::string unique_name(std::unordered_set<std::string>& taken, const std::string& wish);

// Thrown by a reader for a node that is sound but that we do not understand; import turns it into
// ir::Unknown. It never leaves this area.
struct NotUnderstood {
  std::string why;
};

// One node while it is read: its attributes, each of which must be asked for or the node counts as
// not understood, and its inputs.
class NodeReader {
 public:
  NodeReader(ImportState& state, const pb::NodeProto& proto) : state_(state), proto_(proto) {}

  const std::string& type() const { return proto_.op_type(); }
  int opset() const { return state_.opset; }

  bool has(const std::string& attribute) const { return find(attribute) != nullptr; }
  std::int64_t integer(const std::string& attribute, std::int64_t fallback);
  float real(const std::string& attribute, float fallback);
  std::string text(const std::string& attribute, const std::string& fallback);
  std::optional<std::vector<std::int64_t>> integers(const std::string& attribute);
  std::optional<std::vector<float>> reals(const std::string& attribute);
  std::optional<ir::Tensor> tensor(const std::string& attribute);
  // Sizes along H and W, or top, left, bottom, right.
  std::array<std::int64_t, 2> pair(const std::string& attribute, std::int64_t fallback);
  std::array<std::int64_t, 4> four(const std::string& attribute);
  // All of them as they are. Throws NotUnderstood for kinds that ir::Attribute does not have.
  std::map<std::string, ir::Attribute> attributes() const;
  // An attribute that changes nothing for inference.
  void ignore(const std::string& attribute) { known_.insert(attribute); }
  // Throws NotUnderstood naming an attribute that nobody asked for.
  void refuse_other_attributes() const;

  int input_count() const { return proto_.input_size(); }
  bool has_input(int i) const { return i < proto_.input_size() && !proto_.input(i).empty(); }
  // Throws ImportError when it is missing.
  ir::ValueId input(int i) const;
  const ir::Value& value(int i) const { return state_.graph.value(input(i)); }
  bool is_constant(int i) const { return has_input(i) && value(i).constant.has_value(); }
  // Null when the shape is not known.
  const ir::Shape* known_shape(int i) const;
  // Throws NotUnderstood when the shape is not known.
  const ir::Shape& shape(int i) const;
  // The same with the batch that the file was exported with, which its constants go by.
  ir::Shape file_shape(int i) const;
  // Throw NotUnderstood when the input is not a constant of that type. `what` names it.
  const ir::Tensor& constant(int i, std::string_view what) const;
  std::vector<std::int64_t> constant_integers(int i, std::string_view what) const;
  float constant_float(int i, std::string_view what) const;
  // Axes or pads, which moved from an attribute to an input between opsets; none when absent.
  std::optional<std::vector<std::int64_t>> integers_from(const std::string& attribute, int i);

  // A constant that the file does not have as such.
  ir::ValueId add_constant(const std::string& wish, ir::Tensor tensor);

  // Throws NotUnderstood when an output behind the first is read.
  void require_only_first_output() const;

  template <typename... Args>
  [[noreturn]] void not_understood(fmt::format_string<Args...> text, Args&&... args) const {
    throw NotUnderstood{fmt::format(text, std::forward<Args>(args)...)};
  }
  template <typename... Args>
  [[noreturn]] void fail(fmt::format_string<Args...> text, Args&&... args) const {
    throw_import_error(fmt::format(text, std::forward<Args>(args)...));
  }

 private:
  const pb::AttributeProto* find(const std::string& attribute) const;
  const pb::AttributeProto* find(const std::string& attribute, int type);
  [[noreturn]] void throw_import_error(const std::string& what) const;

  ImportState& state_;
  const pb::NodeProto& proto_;
  std::set<std::string> known_;
};

// The integers of an int32 or int64 tensor; none for other types.
std::optional<std::vector<std::int64_t>> to_integers(const ir::Tensor& tensor);

// The node's name, or for one without that of its first output, or its type.
std::string node_name(const pb::NodeProto& node);
// Its domain, empty for ONNX's own.
std::string node_domain(const pb::NodeProto& node);
// "node 'NAME'" or, for a node without a name, "the node that makes 'OUTPUT'".
std::string describe(const pb::NodeProto& node);

}  // namespace tessera::onnx
