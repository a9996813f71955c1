// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cctype>
#include <map>

#include "tessera/core/config.h"
#include "tessera/core/error.h"
#include "tessera/core/text.h"
#include "tessera/ir/loop_problem.h"
#include "tessera/ir/loop_text.h"

namespace tessera::ir {
namespace {

using config::Findings;
using config::Node;

// Keys of an instance that say nothing about a dense problem.
const std::vector<std::string> kPassive = {"H",          "W",          "Hpad",
                                           "Wpad",       "densities",  "bitwidths",
                                           "datawidths", "wordwidths", "commonBitwidth"};

class Reader {
 public:
  explicit Reader(const config::Document& document) : document_(document), findings_(document) {}

  LoopProblem read() {
    const Node* problem = document_.root.find("problem");
    if (problem == nullptr) {
      findings_.add(document_.root, "missing key 'problem'");
      findings_.throw_if_any();
    }
    const Findings::Scope scope(findings_, ".problem");
    const Node* shape = problem->find("shape");
    if (shape == nullptr || shape->kind != Node::Kind::kMap) {
      findings_.add(*problem, "missing key 'shape': dimensions, coefficients and data spaces");
      findings_.throw_if_any();
    }
    read_shape(*shape);
    // Since 0.4 sizes stand under `instance`; before, beside `shape`.
    const Node* instance = problem->find("instance");
    read_instance(instance != nullptr ? *instance : *problem, instance == nullptr);
    findings_.throw_if_any();
    for (LoopTensor& tensor : problem_.tensors)
      apply_coefficients(tensor);
    return std::move(problem_);
  }

 private:
  void read_shape(const Node& shape) {
    const Findings::Scope scope(findings_, ".shape");
    check_keys(shape, "the shape",
               {"name", "dimensions", "coefficients", "data_spaces", "data-spaces", "version"},
               findings_);
    const Node* dims = shape.find("dimensions");
    if (dims == nullptr || dims->children.empty()) {
      findings_.add(shape, "missing key 'dimensions': a list of names");
      findings_.throw_if_any();
    }
    for (const Node& dim : dims->children) {
      if (dim.text.empty() ||
          !std::ranges::all_of(dim.text, [](unsigned char c) { return std::isalpha(c) != 0; }))
        findings_.add(dim, "found " + describe(dim) + "; allowed: a name of letters");
      else if (problem_.find_dim(dim.text) >= 0)
        findings_.add(dim, fmt::format("dimension '{}' stands twice", dim.text));
      else
        problem_.dims.push_back({dim.text, 0});
    }
    read_coefficients(shape.find("coefficients"));
    const Node* spaces = shape.find("data_spaces");
    if (spaces == nullptr)
      spaces = shape.find("data-spaces");
    if (spaces == nullptr || spaces->children.empty()) {
      findings_.add(shape, "missing key 'data_spaces': a list of tensors");
      findings_.throw_if_any();
    }
    for (const Node& space : spaces->children)
      read_tensor(space);
  }

  void read_coefficients(const Node* list) {
    if (list == nullptr)
      return;
    for (const Node& entry : list->children) {
      const Node* name = entry.find("name");
      const Node* value = entry.find("default");
      if (name == nullptr) {
        findings_.add(entry, "missing key 'name' of a coefficient");
        continue;
      }
      coefficients_[name->text] = 1;
      if (value != nullptr) {
        if (const auto number = parse_integer(*value, 1, findings_))
          coefficients_[name->text] = *number;
      }
    }
  }

  void read_tensor(const Node& space) {
    if (!check_keys(space, "a data space", {"name", "projection", "read_write", "read-write"},
                    findings_))
      return;
    LoopTensor tensor;
    const Node* name = space.find("name");
    const Node* projection = space.find("projection");
    if (name == nullptr || projection == nullptr || projection->children.empty()) {
      findings_.add(space, "a data space needs 'name' and 'projection'");
      return;
    }
    tensor.name = name->text;
    if (problem_.find_tensor(tensor.name) >= 0)
      findings_.add(*name, fmt::format("data space '{}' stands twice", tensor.name));
    const Node* read_write = space.find("read_write");
    if (read_write == nullptr)
      read_write = space.find("read-write");
    const std::string truth = read_write == nullptr ? "false" : read_write->text;
    if (truth != "true" && truth != "false" && truth != "True" && truth != "False")
      findings_.add(*read_write, "found " + describe(*read_write) + "; allowed: true, false");
    tensor.read_write = truth == "true" || truth == "True";
    std::vector<std::vector<std::string>> coefficients;
    for (const Node& axis : projection->children)
      read_axis(axis, tensor, coefficients);
    problem_.tensors.push_back(std::move(tensor));
    axis_coefficients_.push_back(std::move(coefficients));
  }

  // `- [[R, Wdilation], [P, Wstride]]`, or `R*Wdilation + P*Wstride` as text.
  void read_axis(const Node& axis, LoopTensor& tensor,
                 std::vector<std::vector<std::string>>& coefficients) {
    std::vector<ProjectionTerm> terms;
    const auto add_term = [&](const Node& at, const std::string& dim,
                              const std::vector<std::string>& factors) {
      const int index = problem_.find_dim(dim);
      if (index < 0) {
        findings_.add(at, unknown_name("dimension", dim, problem_.dim_names()));
        return;
      }
      for (const std::string& factor : factors) {
        if (!coefficients_.contains(factor))
          findings_.add(at, unknown_name("coefficient", factor, coefficient_names()));
      }
      terms.push_back({index, 1});
      coefficients.push_back(factors);
    };
    if (axis.kind == Node::Kind::kScalar) {
      for (const std::string& term : split(axis.text, '+')) {
        std::vector<std::string> parts = split(term, '*');
        for (std::string& part : parts)
          part = std::string(trim(part));
        const std::string dim = parts.front();
        parts.erase(parts.begin());
        add_term(axis, dim, parts);
      }
    } else {
      for (const Node& term : axis.children) {
        std::vector<std::string> factors;
        if (term.children.empty()) {
          add_term(term, term.text, {});
          continue;
        }
        for (std::size_t i = 1; i < term.children.size(); ++i)
          factors.push_back(term.children[i].text);
        add_term(term, term.children[0].text, factors);
      }
    }
    tensor.axes.push_back(std::move(terms));
  }

  void read_instance(const Node& instance, bool beside_shape) {
    const Findings::Scope scope(findings_, beside_shape ? "" : ".instance");
    std::vector<std::string> known = problem_.dim_names();
    for (const auto& [name, value] : coefficients_)
      known.push_back(name);
    known.insert(known.end(), kPassive.begin(), kPassive.end());
    if (beside_shape)
      known.insert(known.end(), {"shape", "version"});
    if (!check_keys(instance, "the instance", known, findings_))
      return;
    for (const Node& entry : instance.children) {
      if (entry.key == "densities" && !entry.children.empty())
        findings_.add(entry, "densities (sparse tensors) are not modelled; leave them out");
      const int dim = problem_.find_dim(entry.key);
      const bool coefficient = coefficients_.contains(entry.key);
      if (dim < 0 && !coefficient)
        continue;
      if (const auto number = parse_integer(entry, 1, findings_)) {
        if (dim >= 0)
          problem_.dims[dim].bound = *number;
        else
          coefficients_[entry.key] = *number;
      }
      seen_.push_back(entry.key);
    }
    for (const LoopDim& dim : problem_.dims) {
      if (std::ranges::find(seen_, dim.name) == seen_.end())
        findings_.add(instance, fmt::format("missing size of dimension '{}'", dim.name));
    }
  }

  void apply_coefficients(LoopTensor& tensor) const {
    const auto index = static_cast<std::size_t>(&tensor - problem_.tensors.data());
    std::size_t term_index = 0;
    for (auto& axis : tensor.axes) {
      for (ProjectionTerm& term : axis) {
        for (const std::string& factor : axis_coefficients_[index][term_index])
          term.coefficient *= coefficients_.at(factor);
        ++term_index;
      }
    }
  }

  std::vector<std::string> coefficient_names() const {
    std::vector<std::string> names;
    for (const auto& [name, value] : coefficients_)
      names.push_back(name);
    return names;
  }

  const config::Document& document_;
  Findings findings_;
  LoopProblem problem_;
  std::map<std::string, std::int64_t> coefficients_;
  // Of each tensor, the names that multiply each term, in order.
  std::vector<std::vector<std::vector<std::string>>> axis_coefficients_;
  std::vector<std::string> seen_;
};

}  // namespace

LoopProblem parse_loop_problem(const config::Document& document) {
  return Reader(document).read();
}

std::optional<std::vector<int>> parse_bitwidths(const config::Document& document,
                                                const LoopProblem& problem) {
  const config::Node* root = document.root.find("problem");
  const config::Node* instance = root == nullptr ? nullptr : root->find("instance");
  if (instance == nullptr)
    instance = root;
  if (instance == nullptr)
    return std::nullopt;
  Findings findings(document);
  std::vector<int> bits(problem.tensors.size(), 0);
  bool found = false;
  for (const config::Node& entry : instance->children) {
    if (entry.key == "commonBitwidth") {
      if (const auto width = parse_integer(entry, 1, findings))
        std::ranges::fill(bits, static_cast<int>(*width));
      found = true;
    } else if (entry.key == "bitwidths" || entry.key == "datawidths" || entry.key == "wordwidths") {
      found = true;
      if (!check_keys(entry, "the widths", problem.tensor_names(), findings))
        continue;
      for (const config::Node& width : entry.children) {
        const int tensor = problem.find_tensor(width.key);
        const auto value = parse_integer(width, 1, findings);
        if (tensor >= 0 && value)
          bits[tensor] = static_cast<int>(*value);
      }
    }
  }
  findings.throw_if_any();
  return found ? std::optional(bits) : std::nullopt;
}

}  // namespace tessera::ir
