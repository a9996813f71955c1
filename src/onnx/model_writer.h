// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "tessera/ir/graph.h"

#include "model_file.h"

namespace tessera::onnx {

// One ONNX node under construction.
class NodeWriter {
 public:
  explicit NodeWriter(pb::NodeProto& proto) : proto_(proto) {}

  NodeWriter& set(const std::string& attribute, std::int64_t value);
  NodeWriter& set(const std::string& attribute, float value);
  NodeWriter& set(const std::string& attribute, std::span<const std::int64_t> values);
  NodeWriter& set(const std::string& attribute, const std::string& value);
  NodeWriter& set(const std::string& attribute, const std::vector<float>& values);
  NodeWriter& set(const std::string& attribute, const std::vector<std::string>& values);
  NodeWriter& set(const std::string& attribute, const ir::Tensor& value);

 private:
  pb::NodeProto& proto_;
};

// An ONNX model under construction. Names of the graph's values and nodes are taken from the start;
// everything else gets a name of its own.
class ModelWriter {
 public:
  explicit ModelWriter(const ir::Graph& graph);

  const ir::Graph& graph() const { return graph_; }

  // A name that nothing has, close to the wish.
  std::string value_name(const std::string& wish);
  std::string node_name(const std::string& wish);

  // The name of a value of the graph; constants are written when first asked for, and in 4 bits
  // where they were read so and all that reads them is DequantizeLinear of such constants alone.
  std::string value(ir::ValueId id);
  // The same constant in another form and under a name of its own (returned).
  std::string add_initializer(const std::string& wish, const ir::Tensor& tensor);
  // Integers from -8 to 7, held as int8, in 4 bits each. Needs opset 21.
  std::string add_four_bit_initializer(const std::string& wish, const ir::Tensor& tensor);
  // An initializer called exactly so. REQUIRES: the name is the caller's, from value_name().
  void put_initializer(const std::string& name, const ir::Tensor& tensor);

  NodeWriter add_node(const std::string& type, const std::string& name,
                      const std::vector<std::string>& inputs, const std::string& output);
  NodeWriter add_node(const std::string& type, const std::string& name,
                      const std::vector<std::string>& inputs,
                      const std::vector<std::string>& outputs, const std::string& domain);

  // An operator or type that is new since the given opset; 13 is the least.
  void require_opset(int opset) { opset_ = std::max(opset_, opset); }
  int opset() const { return opset_; }

  // An operator that stands as its opset defines it. serialize() throws UnsupportedError when the
  // file needs an opset in which its form has changed.
  void keep_form(const std::string& node, const ir::Generic& op) { kept_.push_back({node, op}); }

  void set_metadata(const std::string& key, const std::string& value);
  // The finished model, with inputs and outputs of the graph.
  std::string serialize();

 private:
  void describe_value(pb::ValueInfoProto& info, ir::ValueId id) const;
  void find_four_bit_values();
  void put_four_bit_initializer(const std::string& name, const ir::Tensor& tensor);

  const ir::Graph& graph_;
  pb::ModelProto model_;
  int opset_ = 13;
  std::unordered_set<std::string> value_names_;
  std::unordered_set<std::string> node_names_;
  std::unordered_set<std::string> written_;
  std::vector<bool> is_four_bits_;  // by value
  struct Kept {
    std::string node;
    ir::Generic op;
  };
  std::vector<Kept> kept_;
  std::set<std::string> domains_;  // beside ONNX's own
};

}  // namespace tessera::onnx
