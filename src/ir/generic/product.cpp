// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>

#include "tessera/core/text.h"

#include "rule.h"

namespace tessera::ir {
namespace {

using Outputs = std::vector<TypedShape>;

// NumPy's matmul: outer dimensions broadcast, a vector counts as one row or column that is dropped
// from the result.
Shape product_shape(const GenericCall& call, Shape a, Shape b) {
  call.require(!a.empty() && !b.empty(), "a factor is a scalar");
  const bool row = a.size() == 1;
  const bool column = b.size() == 1;
  if (row)
    a.insert(a.begin(), 1);
  if (column)
    b.push_back(1);
  call.require(a.back() == b[b.size() - 2], "factors {} and {} do not fit", to_string(a),
               to_string(b));
  Shape y = broadcast(call, Shape(a.begin(), a.end() - 2), Shape(b.begin(), b.end() - 2));
  if (!row)
    y.push_back(a[a.size() - 2]);
  if (!column)
    y.push_back(b.back());
  return y;
}

Outputs matmul(const GenericCall& call) {
  return {{product_shape(call, call.shape(0), call.shape(1)), call.dtype(0)}};
}

Outputs matmul_integer(const GenericCall& call) {
  return {{product_shape(call, call.shape(0), call.shape(1)), DType::kInt32}};
}

// a, scale, zero point, b, scale, zero point, scale, zero point
Outputs qlinear_matmul(const GenericCall& call) {
  return {{product_shape(call, call.shape(0), call.shape(3)), call.dtype(7)}};
}

template <int Inner>
std::int64_t product_macs(const GenericCall& call) {
  return element_count(*call.output(0).shape) * call.shape(Inner).back();
}

bool product_batch(const GenericCall& call, int a, int b) {
  const bool fixed = call.is_constant(b) && call.rank(b) <= call.rank(a) - 1;
  const bool both = !call.is_constant(a) && !call.is_constant(b) && call.rank(a) == call.rank(b);
  return !call.is_constant(a) && (call.rank(a) >= 3 ? fixed || both : fixed);
}

bool matmul_batch(const GenericCall& call) {
  return product_batch(call, 0, 1);
}
bool qlinear_matmul_batch(const GenericCall& call) {
  return product_batch(call, 0, 3);
}

Outputs fused_matmul(const GenericCall& call) {
  Shape a = call.shape(0);
  Shape b = call.shape(1);
  call.require(a.size() >= 2 && b.size() >= 2, "factors {} and {}, allowed: matrices", to_string(a),
               to_string(b));
  if (call.integer("transA", 0) != 0)
    std::swap(a[a.size() - 1], a[a.size() - 2]);
  if (call.integer("transB", 0) != 0)
    std::swap(b[b.size() - 1], b[b.size() - 2]);
  return {{product_shape(call, a, b), call.dtype(0)}};
}

std::int64_t fused_matmul_macs(const GenericCall& call) {
  const Shape& a = call.shape(0);
  const std::size_t inner = call.integer("transA", 0) != 0 ? a.size() - 2 : a.size() - 1;
  return element_count(*call.output(0).shape) * a[inner];
}

Outputs gemm(const GenericCall& call) {
  call.require(call.rank(0) == 2 && call.rank(1) == 2, "factors {} and {}, allowed: matrices",
               to_string(call.shape(0)), to_string(call.shape(1)));
  Shape y = fused_matmul(call)[0].shape;
  if (call.has(2)) {
    call.require(broadcast(call, y, call.shape(2)) == y, "C {} does not fit {}",
                 to_string(call.shape(2)), to_string(y));
  }
  return {{y, call.dtype(0)}};
}

struct Einsum {
  std::vector<std::string> terms;
  std::string result;
};

// Letters of the terms; "..." becomes digits, one for each dimension it stands for (right-aligned).
Einsum parse_einsum(const GenericCall& call) {
  std::string equation = text(call.op, "equation", "");
  std::erase(equation, ' ');
  const std::size_t arrow = equation.find("->");
  Einsum parsed;
  for (const std::string_view term : split(std::string_view(equation).substr(0, arrow), ','))
    parsed.terms.emplace_back(term);
  call.require(parsed.terms.size() == call.inputs(), "equation '{}' has {} terms for {} inputs",
               equation, parsed.terms.size(), call.inputs());
  std::size_t most = 0;
  for (std::size_t i = 0; i < parsed.terms.size(); ++i) {
    std::string& term = parsed.terms[i];
    const std::size_t rank = call.nth_input(i).shape->size();
    if (const std::size_t dots = term.find("..."); dots != std::string::npos) {
      call.require(rank + 3 >= term.size() && rank + 3 - term.size() < 10,
                   "term '{}' does not fit {}", term, to_string(*call.nth_input(i).shape));
      const std::size_t hidden = rank + 3 - term.size();
      most = std::max(most, hidden);
      std::string digits;
      for (std::size_t k = hidden; k-- > 0;)
        digits += static_cast<char>('0' + k);
      term.replace(dots, 3, digits);
    }
    call.require(term.size() == rank, "term '{}' does not fit {}", term,
                 to_string(*call.nth_input(i).shape));
  }
  std::string hidden;
  for (std::size_t k = most; k-- > 0;)
    hidden += static_cast<char>('0' + k);
  if (arrow != std::string::npos) {
    parsed.result = equation.substr(arrow + 2);
    if (const std::size_t dots = parsed.result.find("..."); dots != std::string::npos)
      parsed.result.replace(dots, 3, hidden);
    return parsed;
  }
  // Without an arrow: what stands once, in the order of the alphabet.
  std::map<char, int> counts;
  for (const std::string& term : parsed.terms) {
    for (const char c : term)
      ++counts[c];
  }
  parsed.result = hidden;
  for (const auto& [c, count] : counts) {
    if (count == 1 && (c < '0' || c > '9'))
      parsed.result += c;
  }
  return parsed;
}

std::map<char, std::int64_t> einsum_sizes(const GenericCall& call, const Einsum& parsed) {
  std::map<char, std::int64_t> sizes;
  for (std::size_t i = 0; i < parsed.terms.size(); ++i) {
    for (std::size_t k = 0; k < parsed.terms[i].size(); ++k) {
      const std::int64_t size = (*call.nth_input(i).shape)[k];
      std::int64_t& known = sizes.emplace(parsed.terms[i][k], 1).first->second;
      call.require(known == 1 || size == 1 || known == size, "'{}' is both {} and {}",
                   parsed.terms[i][k], known, size);
      known = known == 1 ? size : known;
    }
  }
  return sizes;
}

Outputs einsum(const GenericCall& call) {
  const Einsum parsed = parse_einsum(call);
  const auto sizes = einsum_sizes(call, parsed);
  Shape y;
  for (const char c : parsed.result) {
    call.require(sizes.contains(c), "'{}' stands in no term", c);
    y.push_back(sizes.at(c));
  }
  return {{y, call.dtype(0)}};
}

std::int64_t einsum_macs(const GenericCall& call) {
  Shape all;
  for (const auto& [letter, size] : einsum_sizes(call, parse_einsum(call)))
    all.push_back(size);
  return checked_element_count(all).value_or(INT64_MAX);
}

Outputs determinant(const GenericCall& call) {
  const Shape& x = call.shape(0);
  call.require(x.size() >= 2 && x[x.size() - 1] == x[x.size() - 2],
               "input has shape {}, allowed: square matrices", to_string(x));
  return {{Shape(x.begin(), x.end() - 2), call.dtype(0)}};
}

std::int64_t cubic(const GenericCall& call) {
  return element_count(call.shape(0)) * call.shape(0).back();
}

// Attention over Q, K, V (ONNX 23): [N, heads, T, D] or [N, T, heads·D].
Outputs attention(const GenericCall& call) {
  const Shape& q = call.shape(0);
  const Shape& k = call.shape(1);
  const Shape& v = call.shape(2);
  const std::size_t rank = q.size();
  call.require((rank == 3 || rank == 4) && k.size() == rank && v.size() == rank && q[0] == k[0] &&
                   k[0] == v[0],
               "Q {}, K {} and V {} do not fit", to_string(q), to_string(k), to_string(v));
  call.require(!call.has(4) && !call.has(5) && call.outputs() == 1,
               "past and present keys are not supported");
  if (rank == 4) {
    call.require(q[3] == k[3] && k[2] == v[2] && k[1] == v[1] && k[1] > 0 && q[1] % k[1] == 0,
                 "Q {}, K {} and V {} do not fit", to_string(q), to_string(k), to_string(v));
    return {{{q[0], q[1], q[2], v[3]}, call.dtype(0)}};
  }
  const std::int64_t heads = call.integer("q_num_heads", 0);
  const std::int64_t shared = call.integer("kv_num_heads", 0);
  call.require(heads > 0 && shared > 0 && heads % shared == 0 && q[2] % heads == 0 &&
                   k[2] % shared == 0 && v[2] % shared == 0 && k[1] == v[1] &&
                   q[2] / heads == k[2] / shared,
               "Q {}, K {} and V {} do not fit {} and {} heads", to_string(q), to_string(k),
               to_string(v), heads, shared);
  return {{{q[0], q[1], v[2] / shared * heads}, call.dtype(0)}};
}

// Q·Kᵀ and P·V.
std::int64_t attention_macs(const GenericCall& call) {
  const Shape& q = call.shape(0);
  const Shape& k = call.shape(1);
  const std::size_t time = q.size() - 2;
  return (element_count(q) + element_count(*call.output(0).shape)) * k[time];
}

bool attention_batch(const GenericCall& call) {
  const bool masked = call.has(3);
  return !call.is_constant(0) && !call.is_constant(1) && !call.is_constant(2) &&
         (!masked || (call.is_constant(3) && call.rank(3) < 4));
}

// ONNX Runtime's fused self-attention: x [N,T,C], weights [C,3C], bias [3C].
Outputs fused_attention(const GenericCall& call) {
  const Shape& x = call.shape(0);
  const Shape& w = call.shape(1);
  const std::int64_t heads = call.integer("num_heads", 0);
  call.require(x.size() == 3 && w.size() == 2 && w[0] == x[2] && w[1] % 3 == 0 && heads > 0 &&
                   (w[1] / 3) % heads == 0,
               "input {} and weights {} do not fit {} heads", to_string(x), to_string(w), heads);
  for (const int absent : {4, 5, 6})
    call.require(!call.has(absent), "input {} is not supported", absent);
  if (call.has(3)) {
    call.require(call.shape(3) == Shape{x[0], x[1]}, "mask has shape {}, allowed: {}x{}",
                 to_string(call.shape(3)), x[0], x[1]);
  }
  return {{{x[0], x[1], w[1] / 3}, call.dtype(0)}};
}

std::int64_t fused_attention_macs(const GenericCall& call) {
  const Shape& x = call.shape(0);
  const Shape& w = call.shape(1);
  return x[0] * x[1] * (element_count(w) + 2 * x[1] * (w[1] / 3));
}

bool fused_attention_batch(const GenericCall& call) {
  return call.is_constant(1) && (!call.has(2) || call.is_constant(2)) &&
         (!call.has(3) || !call.is_constant(3));
}

constexpr GenericRule kRules[] = {
    {"Attention", 3, 6,
     "is_causal:i kv_num_heads:i q_num_heads:i scale:f softcap:f qk_matmul_output_mode:i "
     "softmax_precision:i",
     attention, attention_macs, attention_batch, 4},
    {"Det", 1, 1, "", determinant, cubic},
    {"Einsum", 1, kAny, "equation:s", einsum, einsum_macs},
    {"Gemm", 2, 3, "alpha:f beta:f transA:i transB:i", gemm, fused_matmul_macs},
    {"MatMul", 2, 2, "", matmul, product_macs<0>, matmul_batch},
    {"MatMulInteger", 2, 4, "", matmul_integer, product_macs<0>, matmul_batch},
    {"QLinearMatMul", 8, 8, "", qlinear_matmul, product_macs<0>, qlinear_matmul_batch},
    {"Attention", 2, 7, "num_heads:i scale:f mask_filter_value:f unidirectional:i", fused_attention,
     fused_attention_macs, fused_attention_batch, 1, "com.microsoft"},
    {"FusedMatMul", 2, 2, "alpha:f transA:i transB:i", fused_matmul, fused_matmul_macs,
     matmul_batch, 1, "com.microsoft"},
};

}  // namespace

std::span<const GenericRule> product_rules() {
  return kRules;
}

}  // namespace tessera::ir
