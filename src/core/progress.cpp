// SPDX-License-Identifier: Apache-2.0
#include "tessera/core/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace tessera {

Progress::Progress(double total_weight)
    : total_weight_(total_weight),
      start_(Clock::now()),
      last_print_(start_),
      terminal_(::isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
  finish();
}

void Progress::start_phase(std::string name, double weight) {
  weight_before_ += phase_weight_;
  phase_weight_ = weight;
  fraction_ = 0;
  phase_ = std::move(name);
  print(true);
}

void Progress::update(double fraction) {
  fraction_ = std::clamp(fraction, 0.0, 1.0);
  print(false);
}

void Progress::set_note(std::string note) {
  note_ = std::move(note);
}

void Progress::rename_phase(std::string name) {
  phase_ = std::move(name);
  print(true);
}

void Progress::finish() {
  if (line_open_)
    fmt::print(stderr, "\n");
  line_open_ = false;
}

void Progress::print(bool force) {
  const auto now = Clock::now();
  const auto interval = terminal_ ? std::chrono::milliseconds(100) : std::chrono::seconds(10);
  if (now - last_print_ < interval && !(force && !terminal_))
    return;
  last_print_ = now;
  const double elapsed = std::chrono::duration<double>(now - start_).count();
  const double done =
      total_weight_ > 0 ? (weight_before_ + phase_weight_ * fraction_) / total_weight_ : 0;
  std::string line = fmt::format("{:3.0f} %  {}", std::floor(100 * std::min(done, 1.0)), phase_);
  if (done > 0.01 && elapsed > 2) {
    line += fmt::format("  {} left", format_duration(elapsed * (1 - done) / done));
  }
  if (!note_.empty())
    line += "  " + note_;
  if (terminal_) {
    fmt::print(stderr, "\r\x1b[K{}", line.substr(0, 79));
    line_open_ = true;
  } else {
    fmt::print(stderr, "{}\n", line);
  }
  std::fflush(stderr);
}

std::string format_duration(double seconds) {
  if (seconds < 10)
    return fmt::format("{:.1f} s", std::max(seconds, 0.0));
  const auto whole = std::llround(seconds);
  if (whole < 60)
    return fmt::format("{} s", whole);
  if (whole < 3600)
    return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole % 3600 / 60);
}

}  // namespace tessera
