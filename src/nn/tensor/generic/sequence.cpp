// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <functional>
#include <numbers>

#include <torch/autograd.h>

#include "kernel.h"

namespace tessera::nn {
namespace {

using Function = std::function<Tensor(const Tensor&)>;

// An activation by ONNX's name; alpha and beta as given or its defaults.
Function activation(const std::string& name, std::optional<double> alpha,
                    std::optional<double> beta) {
  if (name == "Sigmoid")
    return [](const Tensor& x) { return torch::sigmoid(x); };
  if (name == "Tanh")
    return [](const Tensor& x) { return torch::tanh(x); };
  if (name == "Relu")
    return [](const Tensor& x) { return torch::relu(x); };
  if (name == "LeakyRelu")
    return [a = alpha.value_or(0.01)](const Tensor& x) { return torch::leaky_relu(x, a); };
  if (name == "ThresholdedRelu")
    return [a = alpha.value_or(1)](const Tensor& x) {
      return torch::where(x > a, x, torch::zeros_like(x));
    };
  if (name == "Elu")
    return [a = alpha.value_or(1)](const Tensor& x) { return torch::elu(x, a); };
  if (name == "HardSigmoid")
    return [a = alpha.value_or(0.2), b = beta.value_or(0.5)](const Tensor& x) {
      return torch::clamp(x * a + b, 0, 1);
    };
  if (name == "ScaledTanh")
    return [a = alpha.value_or(1), b = beta.value_or(1)](const Tensor& x) {
      return a * torch::tanh(b * x);
    };
  if (name == "Affine")
    return [a = alpha.value_or(1), b = beta.value_or(0)](const Tensor& x) { return a * x + b; };
  if (name == "Softsign")
    return [](const Tensor& x) { return x / (1 + torch::abs(x)); };
  if (name == "Softplus")
    return [](const Tensor& x) { return torch::logaddexp(x, torch::zeros_like(x)); };
  TORCH_CHECK(false, "activation ", name, " is not known");
}

// One direction of one layer.
struct Cell {
  Tensor w, r, wb, rb, peephole;  // weights of input and recurrence, their biases, LSTM's peepholes
  std::vector<Function> functions;
  double clip = 0;
  bool linear_before_reset = false;

  Tensor limited(const Tensor& x) const { return clip > 0 ? torch::clamp(x, -clip, clip) : x; }
  Tensor bias() const { return wb.defined() ? wb + rb : Tensor(); }
};

struct State {
  Tensor h, c;
};

State step_rnn(const Cell& cell, const Tensor& x, const State& before) {
  return {cell.functions[0](cell.limited(torch::linear(x, cell.w, cell.bias()) +
                                         torch::linear(before.h, cell.r))),
          Tensor()};
}

// Gates in the order z (update), r (reset), h (hidden).
State step_gru(const Cell& cell, const Tensor& x, const State& before) {
  const std::vector<Tensor> in = torch::linear(x, cell.w, cell.wb).chunk(3, -1);
  const std::vector<Tensor> r = cell.r.chunk(3, 0);
  const std::vector<Tensor> rb = cell.rb.defined() ? cell.rb.chunk(3, 0) : std::vector<Tensor>(3);
  const Function& f = cell.functions[0];
  const Tensor update = f(cell.limited(in[0] + torch::linear(before.h, r[0], rb[0])));
  const Tensor reset = f(cell.limited(in[1] + torch::linear(before.h, r[1], rb[1])));
  const Tensor recurrent = cell.linear_before_reset ? reset * torch::linear(before.h, r[2], rb[2])
                                                    : torch::linear(reset * before.h, r[2], rb[2]);
  const Tensor hidden = cell.functions[1](cell.limited(in[2] + recurrent));
  return {(1 - update) * hidden + update * before.h, Tensor()};
}

// Gates in the order i (input), o (output), f (forget), c (cell).
State step_lstm(const Cell& cell, const Tensor& x, const State& before) {
  std::vector<Tensor> gate =
      (torch::linear(x, cell.w, cell.bias()) + torch::linear(before.h, cell.r)).chunk(4, -1);
  std::vector<Tensor> peephole(3);
  if (cell.peephole.defined()) {
    peephole = cell.peephole.chunk(3, 0);  // i, o, f
    gate[0] = gate[0] + peephole[0] * before.c;
    gate[2] = gate[2] + peephole[2] * before.c;
  }
  const Tensor input = cell.functions[0](cell.limited(gate[0]));
  const Tensor forget = cell.functions[0](cell.limited(gate[2]));
  const Tensor c = forget * before.c + input * cell.functions[1](cell.limited(gate[3]));
  if (cell.peephole.defined())
    gate[1] = gate[1] + peephole[1] * c;
  const Tensor output = cell.functions[0](cell.limited(gate[1]));
  return {output * cell.functions[2](c), c};
}

using Step = State (*)(const Cell&, const Tensor&, const State&);

// x: [T,N,C]. Past a sequence's length the state stays and the output is 0.
std::pair<Tensor, State> run_direction(const Cell& cell, Step step, const Tensor& x, State state,
                                       const Tensor& lengths, bool reverse) {
  std::vector<Tensor> outputs(static_cast<std::size_t>(x.size(0)));
  for (std::int64_t i = 0; i < x.size(0); ++i) {
    const std::int64_t t = reverse ? x.size(0) - 1 - i : i;
    const State next = step(cell, x[t], state);
    Tensor y = next.h;
    if (lengths.defined()) {
      const Tensor alive = (lengths > t).unsqueeze(1);
      y = torch::where(alive, next.h, torch::zeros_like(next.h));
      state.h = torch::where(alive, next.h, state.h);
      if (next.c.defined())
        state.c = torch::where(alive, next.c, state.c);
    } else {
      state = next;
    }
    outputs[static_cast<std::size_t>(t)] = y;
  }
  return {outputs.empty() ? torch::zeros({0, x.size(1), cell.r.size(-1)}, x.options())
                          : torch::stack(outputs),
          state};
}

struct Kind {
  Step step;
  std::vector<std::string> functions;
};

Kind kind_of(const std::string& type) {
  if (type == "LSTM")
    return {step_lstm, {"Sigmoid", "Tanh", "Tanh"}};
  if (type == "GRU")
    return {step_gru, {"Sigmoid", "Tanh"}};
  return {step_rnn, {"Tanh"}};
}

std::vector<Function> functions_of(const KernelCall& call, const Kind& kind,
                                   std::size_t direction) {
  const auto found = call.op.attributes.find("activations");
  const std::vector<float> alphas = ir::reals(call.op, "activation_alpha", {});
  const std::vector<float> betas = ir::reals(call.op, "activation_beta", {});
  const auto given = [](const std::vector<float>& list, std::size_t i) {
    return i < list.size() ? std::optional(static_cast<double>(list[i])) : std::nullopt;
  };
  std::vector<Function> functions;
  const std::size_t needed = (direction + 1) * kind.functions.size();
  TORCH_CHECK(found == call.op.attributes.end() ||
                  std::get<std::vector<std::string>>(found->second).size() >= needed,
              "too few activations");
  for (std::size_t i = 0; i < kind.functions.size(); ++i) {
    const std::size_t k = direction * kind.functions.size() + i;
    const std::string name = found == call.op.attributes.end()
                                 ? kind.functions[i]
                                 : std::get<std::vector<std::string>>(found->second).at(k);
    functions.push_back(activation(name, given(alphas, k), given(betas, k)));
  }
  return functions;
}

Tensors recurrent(const KernelCall& call) {
  TORCH_CHECK(call.integer("input_forget", 0) == 0, "input_forget=1 is not supported");
  const bool batch_first = call.integer("layout", 0) != 0;
  const Tensor x = batch_first ? call.in(0).transpose(0, 1) : call.in(0);
  const Kind kind = kind_of(call.op.type);
  const std::string direction = call.text("direction", "forward");
  const Tensor lengths = call.has(4) ? call.in(4).to(torch::kInt64) : Tensor();
  const auto initial = [&](int position, std::int64_t d) {
    if (!call.has(position))
      return torch::zeros({x.size(1), call.in(2).size(2)}, x.options());
    return batch_first ? call.in(position).select(1, d) : call.in(position)[d];
  };
  Tensors all, last_h, last_c;
  for (std::int64_t d = 0; d < call.in(1).size(0); ++d) {
    Cell cell;
    cell.w = call.in(1)[d];
    cell.r = call.in(2)[d];
    if (call.has(3)) {
      const std::vector<Tensor> halves = call.in(3)[d].chunk(2, 0);
      cell.wb = halves[0];
      cell.rb = halves[1];
    }
    if (call.has(7))
      cell.peephole = call.in(7)[d];
    cell.functions = functions_of(call, kind, static_cast<std::size_t>(d));
    cell.clip = call.real("clip", 0);
    cell.linear_before_reset = call.integer("linear_before_reset", 0) != 0;
    const bool reverse = direction == "reverse" || d == 1;
    auto [y, state] =
        run_direction(cell, kind.step, x, {initial(5, d), initial(6, d)}, lengths, reverse);
    all.push_back(y);
    last_h.push_back(state.h);
    last_c.push_back(state.c.defined() ? state.c : state.h);
  }
  const std::int64_t state_axis = batch_first ? 1 : 0;
  Tensor y = torch::stack(all, 1);  // [T,D,N,H]
  if (batch_first)
    y = y.permute({2, 0, 1, 3});
  return {y, torch::stack(last_h, state_axis), torch::stack(last_c, state_axis)};
}

// Sums of cosines; the weights are those of the ONNX definition.
Tensor cosine_window(const KernelCall& call, const std::vector<double>& terms) {
  const std::int64_t size = call.values(0).at(0);
  const bool periodic = call.integer("periodic", 1) != 0;
  const double period = static_cast<double>(periodic ? size : size - 1);
  const Tensor at = torch::arange(size, torch::kFloat64) * (2 * std::numbers::pi / period);
  Tensor y = torch::full({size}, terms[0], torch::kFloat64);
  for (std::size_t k = 1; k < terms.size(); ++k)
    y = y + (k % 2 == 1 ? -terms[k] : terms[k]) * torch::cos(static_cast<double>(k) * at);
  return y.to(call.in(0).device(), torch::kFloat32);
}

Tensors hann(const KernelCall& call) {
  return {cosine_window(call, {0.5, 0.5})};
}
Tensors hamming(const KernelCall& call) {
  return {cosine_window(call, {25.0 / 46, 21.0 / 46})};
}
Tensors blackman(const KernelCall& call) {
  return {cosine_window(call, {0.42, 0.5, 0.08})};
}

// In double: a spectrum's small values are what is left of large ones.
Tensor as_complex(const Tensor& given) {
  const Tensor x = given.to(torch::kFloat64);
  return torch::view_as_complex(
      (x.size(-1) == 2 ? x : torch::cat({x, torch::zeros_like(x)}, -1)).contiguous());
}

Tensor as_pairs(const Tensor& x, const Tensor& like) {
  return torch::view_as_real(x).to(like.scalar_type());
}

Tensors fourier(const KernelCall& call) {
  const Tensor x = as_complex(call.in(0));
  const std::int64_t rank = call.in(0).dim();
  std::int64_t axis =
      call.has(2) ? call.values(2).at(0) : call.integer("axis", call.op.opset < 20 ? 1 : -2);
  axis += axis < 0 ? rank : 0;
  const c10::optional<std::int64_t> length =
      call.has(1) ? c10::optional<std::int64_t>(call.values(1).at(0)) : c10::nullopt;
  Tensor y = call.integer("inverse", 0) != 0 ? torch::fft_ifft(x, length, axis)
                                             : torch::fft_fft(x, length, axis);
  if (call.integer("onesided", 0) != 0)
    y = y.slice(axis, 0, y.size(axis) / 2 + 1);
  return {as_pairs(y, call.in(0))};
}

Tensors short_time_fourier(const KernelCall& call) {
  const Tensor x = as_complex(call.in(0));  // [N,T]
  const std::int64_t step = call.values(1).at(0);
  const std::int64_t length = call.has(3) ? call.values(3).at(0) : call.in(2).size(0);
  Tensor frames = x.unfold(1, length, step);
  if (call.has(2))
    frames = frames * call.in(2);
  Tensor y = torch::fft_fft(frames);
  if (call.integer("onesided", 1) != 0)
    y = y.slice(2, 0, length / 2 + 1);
  return {as_pairs(y, call.in(0))};
}

// Pairs of a head's first 2·D elements are turned by the angles whose cosine and sine are cached.
Tensors rotary(const KernelCall& call) {
  const Tensor& given = call.in(0);
  const bool joined = given.dim() == 3;
  const std::int64_t heads = call.integer("num_heads", 0);
  const Tensor x = joined ? given.reshape({given.size(0), given.size(1), heads, -1}).transpose(1, 2)
                          : given;  // [N,H,T,D]
  Tensor cosine = call.in(1);
  Tensor sine = call.in(2);
  if (call.has(3)) {
    const Tensor positions = call.in(3).to(torch::kInt64);
    std::vector<std::int64_t> shape(positions.sizes().begin(), positions.sizes().end());
    shape.push_back(cosine.size(-1));
    cosine = cosine.index_select(0, positions.reshape({-1})).reshape(shape);
    sine = sine.index_select(0, positions.reshape({-1})).reshape(shape);
  }
  const std::int64_t asked = call.integer("rotary_embedding_dim", 0);
  const std::int64_t turned = asked > 0 ? asked : x.size(3);
  cosine = cosine.slice(-1, 0, turned / 2).unsqueeze(1);
  sine = sine.slice(-1, 0, turned / 2).unsqueeze(1);
  const Tensor part = x.slice(3, 0, turned);
  const bool interleaved = call.integer("interleaved", 0) != 0;
  const Tensor a = interleaved ? part.slice(3, 0, turned, 2) : part.slice(3, 0, turned / 2);
  const Tensor b = interleaved ? part.slice(3, 1, turned, 2) : part.slice(3, turned / 2, turned);
  const Tensor real = a * cosine - b * sine;
  const Tensor imaginary = a * sine + b * cosine;
  const Tensor rotated = interleaved ? torch::stack({real, imaginary}, -1).flatten(3)
                                     : torch::cat({real, imaginary}, 3);
  const Tensor y = torch::cat({rotated, x.slice(3, turned, x.size(3))}, 3);
  return {joined ? y.transpose(1, 2).reshape(given.sizes()) : y};
}

constexpr GenericKernel kKernels[] = {
    {"BlackmanWindow", blackman}, {"DFT", fourier},
    {"GRU", recurrent},           {"HammingWindow", hamming},
    {"HannWindow", hann},         {"LSTM", recurrent},
    {"RNN", recurrent},           {"RotaryEmbedding", rotary},
    {"STFT", short_time_fourier},
};

}  // namespace

std::span<const GenericKernel> sequence_kernels() {
  return kKernels;
}

}  // namespace tessera::nn
