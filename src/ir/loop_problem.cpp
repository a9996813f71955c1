// SPDX-License-Identifier: Apache-2.0
#include "tessera/ir/loop_problem.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "tessera/core/error.h"
#include "tessera/core/saturate.h"
#include "tessera/core/text.h"

namespace tessera::ir {
namespace {

template <typename T>
int find_named(const std::vector<T>& items, std::string_view name) {
  const auto found = std::ranges::find(items, name, &T::name);
  return found == items.end() ? -1 : static_cast<int>(found - items.begin());
}

template <typename T>
std::vector<std::string> names_of(const std::vector<T>& items) {
  std::vector<std::string> names;
  for (const T& item : items)
    names.push_back(item.name);
  return names;
}

// Projections written with dimension names; dimensions that the problem leaves out are dropped.
class Projector {
 public:
  explicit Projector(const LoopProblem& problem) : problem_(problem) {}

  std::vector<std::vector<ProjectionTerm>> axes(
      const std::vector<std::vector<std::pair<const char*, std::int64_t>>>& written) const {
    std::vector<std::vector<ProjectionTerm>> axes;
    for (const auto& axis : written) {
      std::vector<ProjectionTerm> terms;
      for (const auto& [name, coefficient] : axis) {
        if (const int dim = problem_.find_dim(name); dim >= 0)
          terms.push_back({dim, coefficient});
      }
      if (!terms.empty())
        axes.push_back(std::move(terms));
    }
    return axes;
  }

 private:
  const LoopProblem& problem_;
};

std::int64_t parse_size(std::string_view key, std::string_view text) {
  std::int64_t value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || end != text.data() + text.size() || value < 1) {
    throw UsageError(
        fmt::format("problem: {} is '{}'; allowed: a whole number from 1 up", key, text));
  }
  return value;
}

std::map<std::string, std::int64_t> parse_sizes(std::string_view kind, std::string_view text,
                                                const std::vector<std::string>& known) {
  std::map<std::string, std::int64_t> sizes;
  for (const std::string& part : split(text, ',')) {
    const std::size_t equal = part.find('=');
    const std::string key(trim(std::string_view(part).substr(0, equal)));
    if (std::ranges::find(known, key) == known.end())
      throw UsageError("problem: " + unknown_name(fmt::format("size of {}", kind), key, known));
    if (equal == std::string::npos)
      throw UsageError(fmt::format("problem: '{}' has no value; allowed: {}=NUMBER", part, key));
    if (!sizes.emplace(key, parse_size(key, trim(std::string_view(part).substr(equal + 1)))).second)
      throw UsageError(fmt::format("problem: '{}' stands twice", key));
  }
  return sizes;
}

}  // namespace

std::int64_t LoopProblem::macs() const {
  std::int64_t product = 1;
  for (const LoopDim& dim : dims)
    product = saturating_multiply(product, dim.bound);
  return product;
}

int LoopProblem::find_dim(std::string_view name) const {
  return find_named(dims, name);
}

int LoopProblem::find_tensor(std::string_view name) const {
  return find_named(tensors, name);
}

std::vector<std::string> LoopProblem::dim_names() const {
  return names_of(dims);
}

std::vector<std::string> LoopProblem::tensor_names() const {
  return names_of(tensors);
}

LoopProblem conv_problem(const ConvShape& s) {
  TESSERA_CHECK(std::min({s.n, s.c, s.m, s.r, s.s, s.p, s.q, s.g, s.row_stride, s.column_stride,
                          s.row_dilation, s.column_dilation}) > 0,
                "a size of the convolution is below 1");
  const bool depthwise = s.g > 1 && s.c == 1 && s.m == 1;
  LoopProblem problem;
  if (!depthwise)
    problem.dims = {{"C", s.c}, {"M", s.m}};
  if (s.g > 1)
    problem.dims.push_back({"G", s.g});
  for (const auto& [name, bound] : {std::pair{"R", s.r}, std::pair{"S", s.s}, std::pair{"N", s.n},
                                    std::pair{"P", s.p}, std::pair{"Q", s.q}})
    problem.dims.push_back({name, bound});
  const Projector project(problem);
  problem.tensors = {
      {"Weights", project.axes({{{"G", 1}}, {{"C", 1}}, {{"M", 1}}, {{"R", 1}}, {{"S", 1}}}),
       false},
      {"Inputs",
       project.axes({{{"N", 1}},
                     {{"G", 1}},
                     {{"C", 1}},
                     {{"R", s.row_dilation}, {"P", s.row_stride}},
                     {{"S", s.column_dilation}, {"Q", s.column_stride}}}),
       false},
      {"Outputs", project.axes({{{"N", 1}}, {{"G", 1}}, {{"M", 1}}, {{"Q", 1}}, {{"P", 1}}}),
       true}};
  return problem;
}

LoopProblem gemm_problem(std::int64_t m, std::int64_t k, std::int64_t n) {
  TESSERA_CHECK(m > 0 && k > 0 && n > 0, "sizes {} {} {}", m, k, n);
  LoopProblem problem;
  problem.dims = {{"M", m}, {"K", k}, {"N", n}};
  const Projector project(problem);
  problem.tensors = {{"Weights", project.axes({{{"M", 1}}, {{"K", 1}}}), false},
                     {"Inputs", project.axes({{{"K", 1}}, {{"N", 1}}}), false},
                     {"Outputs", project.axes({{{"M", 1}}, {{"N", 1}}}), true}};
  return problem;
}

ConvShape conv_shape(const Graph& graph, const Layer& layer, Grouping grouping) {
  const LayerDims& dims = layer.dims;
  ConvShape shape{.c = dims.C / dims.G,
                  .m = dims.M / dims.G,
                  .r = dims.R,
                  .s = dims.S,
                  .p = dims.P,
                  .q = dims.Q,
                  .g = dims.G};
  if (const auto* conv = std::get_if<Conv>(&graph.node(layer.node).op)) {
    shape.row_stride = conv->strides[0];
    shape.column_stride = conv->strides[1];
    shape.row_dilation = conv->dilations[0];
    shape.column_dilation = conv->dilations[1];
  }
  if (grouping == Grouping::kDense) {
    shape.c = dims.C;
    shape.m = dims.M;
    shape.g = 1;
  }
  return shape;
}

std::string to_string(const LoopProblem& problem) {
  std::string text;
  for (const LoopDim& dim : problem.dims)
    text += fmt::format("{}{}={}", text.empty() ? "" : " ", dim.name, dim.bound);
  return text;
}

LoopProblem parse_inline_problem(std::string_view text) {
  static const std::vector<std::string> kKinds = {"conv", "depthwise", "gemm"};
  const std::size_t colon = text.find(':');
  const std::string kind(text.substr(0, colon));
  if (std::ranges::find(kKinds, kind) == kKinds.end())
    throw UsageError(unknown_name("kind of problem", kind, kKinds));
  if (colon == std::string_view::npos)
    throw UsageError(fmt::format("problem: '{0}' has no sizes; write {0}:KEY=NUMBER,…", kind));
  const std::string_view rest = text.substr(colon + 1);
  if (kind == "gemm") {
    auto sizes = parse_sizes(kind, rest, {"M", "K", "N"});
    const auto size = [&](const char* key) { return sizes.contains(key) ? sizes[key] : 1; };
    return gemm_problem(size("M"), size("K"), size("N"));
  }
  std::vector<std::string> known = {"N", "G", "R", "S", "P", "Q", "stride", "dilation"};
  if (kind == "conv")
    known.insert(known.begin(), {"C", "M"});
  auto sizes = parse_sizes(kind, rest, known);
  const auto size = [&](const char* key) {
    return sizes.contains(key) ? sizes[key] : std::int64_t{1};
  };
  return conv_problem({.n = size("N"),
                       .c = size("C"),
                       .m = size("M"),
                       .r = size("R"),
                       .s = size("S"),
                       .p = size("P"),
                       .q = size("Q"),
                       .g = size("G"),
                       .row_stride = size("stride"),
                       .column_stride = size("stride"),
                       .row_dilation = size("dilation"),
                       .column_dilation = size("dilation")});
}

}  // namespace tessera::ir
