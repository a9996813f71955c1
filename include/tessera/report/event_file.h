// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "tessera/plan/run_record.h"

namespace tessera::report {

// What TensorBoard looks for in a folder; digits and what follows them are free.
inline constexpr std::string_view kEventFile = "events.out.tfevents.0.tessera";

// A TensorBoard event file: the points in their order, each as a scalar called "PHASE/QUANTITY" of
// its step. TFRecord framing (length and content, each with its masked CRC-32C) around protocol
// buffers of type tensorflow.Event. Wall times are 0, so that equal runs leave equal files.
std::string event_file(std::span<const plan::TracePoint> points);

}  // namespace tessera::report
