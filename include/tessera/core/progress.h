// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace tessera {

// One line of progress on standard error: what is done, how far, time left and the best so far. On
// a terminal the line is rewritten in place, at most ten times a second; elsewhere a plain line
// appears every ten seconds.
class Progress {
 public:
  // `total_weight` is the work of all phases in any one unit (say seconds on a reference machine).
  explicit Progress(double total_weight);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Starts a phase that is `weight` of the whole; the one before counts as finished.
  void start_phase(std::string name, double weight);
  // `fraction` of this phase that is done, 0 to 1.
  void update(double fraction);
  // Shown behind the ETA until replaced: "best 91.2 % at 1.3 uJ".
  void set_note(std::string note);
  // Another name for the running phase; its weight stays.
  void rename_phase(std::string name);
  void finish();

 private:
  void print(bool force);

  using Clock = std::chrono::steady_clock;
  double total_weight_;
  double weight_before_ = 0;
  double phase_weight_ = 0;
  double fraction_ = 0;
  std::string phase_;
  std::string note_;
  Clock::time_point start_;
  Clock::time_point last_print_;
  bool terminal_;
  bool line_open_ = false;
};

// "1 h 05 min", "2 min 03 s", "4.1 s".
std::string format_duration(double seconds);

}  // namespace tessera
