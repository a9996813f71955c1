// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "rule.h"

namespace tessera::ir {
namespace {

using Outputs = std::vector<TypedShape>;

std::int64_t gates(const GenericCall& call) {
  return call.op.type == "LSTM" ? 4 : call.op.type == "GRU" ? 3 : 1;
}

// X [T,N,C] (layout 1: [N,T,C]), W [D,G·H,C], R [D,G·H,H]; Y [T,D,N,H] ([N,T,D,H]), Y_h and Y_c
// [D,N,H] ([N,D,H]).
Outputs recurrent(const GenericCall& call) {
  const Shape& x = call.shape(0);
  const Shape& w = call.shape(1);
  const Shape& r = call.shape(2);
  const bool batch_first = call.integer("layout", 0) != 0;
  const std::string direction = text(call.op, "direction", "forward");
  call.require(direction == "forward" || direction == "reverse" || direction == "bidirectional",
               "direction is '{}', allowed: forward, reverse, bidirectional", direction);
  const std::int64_t directions = direction == "bidirectional" ? 2 : 1;
  call.require(x.size() == 3 && w.size() == 3 && r.size() == 3 && w[0] == directions &&
                   r[0] == directions && w[2] == x[2] && r[1] == w[1] && r[1] == gates(call) * r[2],
               "input {}, weights {} and recurrence {} do not fit", to_string(x), to_string(w),
               to_string(r));
  const std::int64_t hidden = call.integer("hidden_size", r[2]);
  call.require(hidden == r[2], "hidden_size is {}, the recurrence has {}", hidden, r[2]);
  const std::int64_t time = batch_first ? x[1] : x[0];
  const std::int64_t batch = batch_first ? x[0] : x[1];
  const Shape state =
      batch_first ? Shape{batch, directions, hidden} : Shape{directions, batch, hidden};
  if (call.has(3)) {
    call.require(call.shape(3) == Shape{directions, 2 * w[1]}, "bias has shape {}, allowed: {}x{}",
                 to_string(call.shape(3)), directions, 2 * w[1]);
  }
  for (const int i : {5, 6}) {
    if (call.has(i)) {
      call.require(call.shape(i) == state, "initial state has shape {}, allowed: {}",
                   to_string(call.shape(i)), to_string(state));
    }
  }
  if (call.has(4)) {
    call.require(call.shape(4) == Shape{batch}, "sequence_lens have shape {}, allowed: {}",
                 to_string(call.shape(4)), batch);
  }
  const Shape all =
      batch_first ? Shape{batch, time, directions, hidden} : Shape{time, directions, batch, hidden};
  return {{all, DType::kFloat32}, {state, DType::kFloat32}, {state, DType::kFloat32}};
}

std::int64_t recurrent_macs(const GenericCall& call) {
  const Shape& x = call.shape(0);
  return x[0] * x[1] * (element_count(call.shape(1)) + element_count(call.shape(2)));
}

bool recurrent_batch(const GenericCall& call) {
  return call.integer("layout", 0) != 0 && only_first_is_activation(call);
}

Outputs window(const GenericCall& call) {
  const std::int64_t size = call.constant_integer(0, "size");
  call.require(size >= 0 && size <= (std::int64_t{1} << 30), "size is {}, allowed: 0 to 2^30",
               size);
  const auto dtype = dtype_from_onnx(static_cast<int>(call.integer("output_datatype", 1)));
  call.require(dtype == DType::kFloat32, "output_datatype {}, allowed: floats",
               call.integer("output_datatype", 1));
  return {{{size}, DType::kFloat32}};
}

// [N, .., 1 or 2]: real or complex along the last dimension.
Outputs fourier(const GenericCall& call) {
  Shape y = call.shape(0);
  call.require(y.size() >= 2 && (y.back() == 1 || y.back() == 2),
               "input has shape {}, allowed: ..x1 or ..x2", to_string(y));
  const std::int64_t given = call.has(2) ? call.constant_integer(2, "axis")
                                         : call.integer("axis", call.op.opset < 20 ? 1 : -2);
  const std::size_t axis = call.axis(given, y.size());
  call.require(axis + 1 < y.size(), "axis {} is the complex one", axis);
  if (call.has(1))
    y[axis] = call.size(call.constant_integer(1, "dft_length"));
  const bool inverse = call.integer("inverse", 0) != 0;
  if (call.integer("onesided", 0) != 0) {
    call.require(!inverse, "onesided and inverse exclude each other");
    y[axis] = y[axis] / 2 + 1;
  }
  y.back() = 2;
  return {{y, call.dtype(0)}};
}

// signal [N, T, 1 or 2], frame_step, window, frame_length
Outputs short_time_fourier(const GenericCall& call) {
  const Shape& x = call.shape(0);
  const std::int64_t step = call.constant_integer(1, "frame_step");
  call.require(call.has(3) || call.rank(2) == 1, "window and frame_length are both missing");
  const std::int64_t length =
      call.has(3) ? call.constant_integer(3, "frame_length") : call.shape(2)[0];
  call.require(x.size() == 3 && step > 0 && length > 0 && length <= x[1],
               "frames of {} every {} do not fit signal {}", length, step, to_string(x));
  const bool onesided = call.integer("onesided", 1) != 0;
  return {
      {{x[0], (x[1] - length) / step + 1, onesided ? length / 2 + 1 : length, 2}, call.dtype(0)}};
}

std::int64_t ten_per_output(const GenericCall& call) {
  return 10 * one_per_output(call);  // log2 of a frame, roughly
}

// x [N, heads, T, D] or [N, T, heads·D]; cos and sin caches [N, T, D/2], or [positions, D/2] with
// position ids [N, T].
Outputs rotary(const GenericCall& call) {
  const Shape& x = call.shape(0);
  call.require(x.size() == 4 || (x.size() == 3 && call.integer("num_heads", 0) > 0 &&
                                 x[2] % call.integer("num_heads", 0) == 0),
               "input has shape {}, allowed: NxHxTxD, or NxTxC with num_heads", to_string(x));
  return same_as_first(call);
}

constexpr std::string_view kRecurrent =
    "activation_alpha:F activation_beta:F activations:S clip:f direction:s hidden_size:i "
    "input_forget:i layout:i linear_before_reset:i";

constexpr GenericRule kRules[] = {
    {"BlackmanWindow", 1, 1, "output_datatype:i periodic:i", window, one_per_output},
    {"DFT", 1, 3, "axis:i inverse:i onesided:i", fourier, ten_per_output},
    {"GRU", 3, 6, kRecurrent, recurrent, recurrent_macs, recurrent_batch, 2},
    {"HammingWindow", 1, 1, "output_datatype:i periodic:i", window, one_per_output},
    {"HannWindow", 1, 1, "output_datatype:i periodic:i", window, one_per_output},
    {"LSTM", 3, 8, kRecurrent, recurrent, recurrent_macs, recurrent_batch, 3},
    {"RNN", 3, 6, kRecurrent, recurrent, recurrent_macs, recurrent_batch, 2},
    {"RotaryEmbedding", 3, 4, "interleaved:i num_heads:i rotary_embedding_dim:i", rotary,
     one_per_output},
    {"STFT", 2, 4, "onesided:i", short_time_fourier, ten_per_output},
};

}  // namespace

std::span<const GenericRule> sequence_rules() {
  return kRules;
}

}  // namespace tessera::ir
