// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/core/config_node.h"
#include "tessera/ir/graph.h"
#include "tessera/ir/workload.h"

namespace tessera::ir {

// A perfectly nested loop over dimensions with one multiply-accumulate inside, and the tensors that
// it reads and updates. Dimension letters are Timeloop's: N C M R S P Q, G for groups, K for the
// inner size of a matrix product.
struct LoopDim {
  std::string name;
  std::int64_t bound = 1;
  bool operator==(const LoopDim&) const = default;
};

// coefficient · index of dimension `dim` (an index into LoopProblem::dims).
struct ProjectionTerm {
  int dim = 0;
  std::int64_t coefficient = 1;
  bool operator==(const ProjectionTerm&) const = default;
};

struct LoopTensor {
  std::string name;
  // One entry per axis of the tensor: the sum of its terms is the position on that axis.
  std::vector<std::vector<ProjectionTerm>> axes;
  bool read_write = false;  // partial sums: read and updated
  bool operator==(const LoopTensor&) const = default;
};

struct LoopProblem {
  std::vector<LoopDim> dims;
  std::vector<LoopTensor> tensors;

  // Product of all bounds; saturates at INT64_MAX.
  std::int64_t macs() const;
  // Index of a dimension or tensor; -1 when there is none of that name.
  int find_dim(std::string_view name) const;
  int find_tensor(std::string_view name) const;
  std::vector<std::string> dim_names() const;
  std::vector<std::string> tensor_names() const;

  bool operator==(const LoopProblem&) const = default;
};

// A 2-D convolution without padding: Inputs[N][C][P·stride + R·dilation][Q·stride + S·dilation],
// Weights[C][M][R][S], Outputs[N][M][Q][P]. R goes with P and rows, S with Q and columns.
struct ConvShape {
  std::int64_t n = 1;
  std::int64_t c = 1;  // input channels of one group
  std::int64_t m = 1;  // output channels of one group
  std::int64_t r = 1, s = 1, p = 1, q = 1;
  std::int64_t g = 1;  // groups
  std::int64_t row_stride = 1, column_stride = 1;
  std::int64_t row_dilation = 1, column_dilation = 1;
  bool operator==(const ConvShape&) const = default;
};
// Groups become the dimension G of all three tensors; a depthwise convolution has G in place of C
// and M. REQUIRES: all sizes > 0.
LoopProblem conv_problem(const ConvShape& shape);
// Weights[M][K], Inputs[K][N], Outputs[M][N].
LoopProblem gemm_problem(std::int64_t m, std::int64_t k, std::int64_t n);

// How a grouped convolution is priced: as it is, or as one dense convolution over all channels,
// which is what tools without groups do.
enum class Grouping { kAsIs, kDense };
// A layer of a workload, per image. REQUIRES: the layer is one of workload(graph).
ConvShape conv_shape(const Graph& graph, const Layer& layer, Grouping grouping = Grouping::kAsIs);

// "N=1 C=64 M=128 …", for people.
std::string to_string(const LoopProblem& problem);

// A problem file in Timeloop's form (0.4 and the older `problem: {shape, …sizes}`): `problem` with
// `instance` and a `shape` that names dimensions, coefficients and data spaces. Throws ConfigError
// with file, line, column, what was found and what is allowed. Keys that change the meaning and are
// not modelled (densities) are errors.
LoopProblem parse_loop_problem(const config::Document& document);

// The widths that a problem file states under `bitwidths` (or `datawidths`, `wordwidths`,
// `commonBitwidth`), in the order of the problem's tensors; none: one word for each value.
std::optional<std::vector<int>> parse_bitwidths(const config::Document& document,
                                                const LoopProblem& problem);

// "conv:C=64,M=128,R=3,S=3,P=56,Q=56,stride=2", "depthwise:G=32,…", "gemm:M=1000,K=1024,N=1".
// Throws UsageError that names the key and those allowed.
LoopProblem parse_inline_problem(std::string_view text);

}  // namespace tessera::ir
