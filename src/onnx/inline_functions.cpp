// SPDX-License-Identifier: Apache-2.0
#include "inline_functions.h"

#include <map>
#include <string>

#include "tessera/core/error.h"

namespace tessera::onnx {
namespace {

using Names = std::map<std::string, std::string>;

constexpr int kDeepest = 32;
constexpr int kMostNodes = 1'000'000;
constexpr int kStable = 13;  // operators that functions are made of keep their meaning since

int opset_of(const pb::FunctionProto& function) {
  for (const auto& opset : function.opset_import()) {
    if (opset.domain().empty() || opset.domain() == "ai.onnx")
      return static_cast<int>(opset.version());
  }
  return 0;
}

class Inliner {
 public:
  explicit Inliner(pb::ModelProto& model) : model_(model) {
    const int opset = default_opset(model);
    for (const auto& function : model.functions()) {
      const int own = opset_of(function);
      if (own == 0 || own == opset || (own >= kStable && opset >= kStable))
        functions_.emplace(std::pair(function.domain(), function.name()), &function);
    }
  }

  void run() {
    const google::protobuf::RepeatedPtrField<pb::NodeProto> calls = model_.graph().node();
    model_.mutable_graph()->clear_node();
    for (const pb::NodeProto& node : calls)
      add(node, 0);
  }

 private:
  void add(const pb::NodeProto& node, int depth) {
    const auto found = functions_.find({node.domain(), node.op_type()});
    if (found == functions_.end()) {
      if (model_.graph().node_size() >= kMostNodes)
        throw ImportError(fmt::format("its functions make more than {} nodes", kMostNodes));
      *model_.mutable_graph()->add_node() = node;
      return;
    }
    if (depth >= kDeepest)
      throw ImportError(fmt::format("function {} calls itself, or {} calls stand inside each other",
                                    node.op_type(), kDeepest));
    const pb::FunctionProto& function = *found->second;
    const std::string prefix = fmt::format("{}#{}/", node.op_type(), ++calls_);
    Names names;
    for (int i = 0; i < function.input_size(); ++i)
      names[function.input(i)] = i < node.input_size() ? node.input(i) : "";
    for (int i = 0; i < function.output_size(); ++i) {
      if (i < node.output_size() && !node.output(i).empty())
        names[function.output(i)] = node.output(i);
    }
    for (const pb::NodeProto& inner : function.node()) {
      for (const std::string& output : inner.output()) {
        if (!output.empty())
          names.emplace(output, prefix + output);
      }
    }
    for (const pb::NodeProto& inner : function.node()) {
      pb::NodeProto copy = inner;
      copy.set_name(prefix + (inner.name().empty() ? inner.op_type() : inner.name()));
      rename(copy, names);
      give_attributes(copy, node);
      add(copy, depth + 1);
    }
  }

  // Also inside the subgraphs of If and Loop, which read names from outside.
  static void rename(pb::NodeProto& node, const Names& names) {
    const auto renamed = [&](const std::string& name) {
      const auto found = names.find(name);
      return found == names.end() ? name : found->second;
    };
    for (std::string& input : *node.mutable_input())
      input = renamed(input);
    for (std::string& output : *node.mutable_output())
      output = renamed(output);
    for (pb::AttributeProto& attribute : *node.mutable_attribute()) {
      if (!attribute.has_g())
        continue;
      for (pb::NodeProto& inner : *attribute.mutable_g()->mutable_node())
        rename(inner, names);
      for (pb::ValueInfoProto& output : *attribute.mutable_g()->mutable_output())
        output.set_name(renamed(output.name()));
    }
  }

  // An attribute that refers to one of the call takes its value, and goes where the call has none.
  static void give_attributes(pb::NodeProto& node, const pb::NodeProto& call) {
    google::protobuf::RepeatedPtrField<pb::AttributeProto> kept;
    for (const pb::AttributeProto& attribute : node.attribute()) {
      if (attribute.ref_attr_name().empty()) {
        *kept.Add() = attribute;
        continue;
      }
      for (const pb::AttributeProto& given : call.attribute()) {
        if (given.name() == attribute.ref_attr_name()) {
          *kept.Add() = given;
          kept.rbegin()->set_name(attribute.name());
        }
      }
    }
    node.mutable_attribute()->Swap(&kept);
  }

  pb::ModelProto& model_;
  std::map<std::pair<std::string, std::string>, const pb::FunctionProto*> functions_;
  int calls_ = 0;
};

}  // namespace

void inline_functions(pb::ModelProto& model) {
  if (model.functions_size() > 0)
    Inliner(model).run();
}

}  // namespace tessera::onnx
