// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/core/expected.h"
#include "tessera/cost/tiled.h"
#include "tessera/nn/train/mapped_network.h"
#include "tessera/plan/pareto.h"
#include "tessera/plan/run_record.h"

namespace tessera::supernet {

// Bounds that a chosen mapping must keep; a front may hold others too.
struct Limits {
  std::optional<double> min_accuracy = std::nullopt;  // 0 to 1, mean over chips
  std::optional<double> max_energy_pj = std::nullopt;
  std::optional<double> max_latency_ns = std::nullopt;
  std::optional<double> min_analog_mac_ratio = std::nullopt;  // 0 to 1
  bool operator==(const Limits&) const = default;
};

// The layers' candidate paths: what a search chooses from.
using Space = std::vector<std::vector<plan::Path>>;
// One choice: for each layer an index into its candidates.
using Choice = std::vector<int>;

plan::Assignment assignment_of(const Space& space, const Choice& choice);

// How candidates are measured inside a search.
struct EvaluationOptions {
  std::int64_t images = 2000;  // of the validation part
  nn::ChipPlan chips;          // n = 3, one day after programming
};

// Everything that a method may look at. The test set is not among it.
struct Problem {
  const nn::Network& network;  // trained, float32: where training starts, and the teacher
  const cost::TiledModel& model;
  const nn::Dataset& data;
  const nn::Preprocessing& preprocessing;
  std::vector<nn::RangeObserver> ranges;  // inputs of every layer of `network`
  Space space;
  Limits limits;
  EvaluationOptions evaluation;
  Rng rng;
};

// A network that a method made from the problem's: the same layers by the same names, inner widths
// of its own, and what mappings of it are made from.
struct Adapted {
  int number = 0;   // among those of one run, from 1
  ir::Graph start;  // where its search starts
  // False: `start` computes what the problem's network computes. True: it was trained further.
  bool is_trained = false;
  cost::TiledModel model;
  Space space;
  std::vector<nn::RangeObserver> ranges;
};

// A mapping with what it costs and how accurate it is on the validation part.
struct Evaluated {
  Choice choice;
  plan::Totals totals;
  plan::Accuracy accuracy;
  // The mapping itself where a method makes paths that the space lacks (layers in several parts);
  // `choice` is then empty.
  std::optional<plan::Assignment> made = std::nullopt;
  // The network that it maps, and whose space `choice` is from; null: the problem's own.
  std::shared_ptr<const Adapted> adapted = nullptr;
  bool operator==(const Evaluated& other) const;
};

// `space`: of the problem.
plan::Assignment assignment_of(const Space& space, const Evaluated& candidate);

// What a search trades, each to be minimized: accuracy (first) and digital weight bytes, and analog
// MAC ratio, energy and latency unless `limits` bounds them. A bounded quantity is a constraint:
// being further inside is worth nothing.
plan::Point objectives(const Evaluated& candidate, const Limits& limits);
// How far a candidate is outside the limits: the sum of relative excesses, 0 inside.
double violation(const Limits& limits, const Evaluated& candidate);
// Fronts by peeling among candidates inside the limits; those outside come after, by violation
// (Deb's rule).
std::vector<int> constrained_ranks(const Limits& limits, const std::vector<Evaluated>& candidates);

// Members of the two-objective fronts of accuracy against each other objective: what a person would
// plot. Ascending.
std::vector<std::size_t> front_members(const std::vector<Evaluated>& candidates);

// The candidate to build among those inside the limits: with a least accuracy, the one of least
// energy; with a most energy or latency, the most accurate; with both or neither, the best trade,
// where two points of accuracy are worth half the energy. "limits" says for each limit what comes
// nearest when nobody keeps them all.
Expected<std::size_t> choose(const Limits& limits, const std::vector<Evaluated>& candidates);

// What a search leaves on disk to continue from: tensors and a JSON text.
struct Checkpoint {
  nn::TensorMap tensors;
  std::string json;
};

// How a running method talks to its caller.
class Observer {
 public:
  virtual ~Observer() = default;
  // False when the run is to end with its best so far.
  virtual bool keep_going() = 0;
  // True when the user waits for the end (Ctrl-C): then not even finishing touches are wanted.
  virtual bool interrupted() = 0;
  // Fraction of this method's work that is done.
  virtual void progress(double fraction, const std::string& phase) = 0;
  virtual void trace(const plan::TracePoint& point) = 0;
  // The candidates that matter so far, with the weights and kernel parameters under which they were
  // measured; the caller writes its choice among them to disk.
  virtual void found(const std::vector<Evaluated>& best_so_far, const nn::Network& network,
                     const nn::TensorMap& kernel_state) = 0;
  // Names are the method's own; save() replaces. checkpoint_due() paces costly ones.
  virtual bool checkpoint_due() = 0;
  virtual void save(std::string_view name, const Checkpoint& checkpoint) = 0;
  virtual std::optional<Checkpoint> load(std::string_view name) = 0;
};

// Trained parameters of a network and of its kernels.
struct Weights {
  nn::TensorMap network;  // by position among Network::parameters() of what the candidate maps
  nn::TensorMap kernels;  // as MappedNetwork::kernel_state() names them

  static Weights of(const nn::Network& network, nn::TensorMap kernels);
  // A copy of `network` with these parameters. Throws IoError when they do not fit it.
  nn::Network load_into(const nn::Network& network) const;
};

struct Solution {
  std::vector<Evaluated> front;  // measured as Problem::evaluation says
  std::vector<plan::Sensitivity> sensitivity;
  std::vector<std::string> notes;      // what the reader of the record must know
  std::optional<nn::Network> network;  // trained weights to start the chosen mapping from
  nn::TensorMap kernel_state;  // trained input ranges, as MappedNetwork::kernel_state() names them
  // Of each member of the front, where every one was trained by itself; then in place of the two
  // above.
  std::vector<Weights> weights;
  std::int64_t evaluations = 0;
  std::int64_t training_samples = 0;  // images times backward passes
};

// Tells `observer` which of a front so far would be chosen, with its own weights; nothing while
// none keeps the limits.
void report_best(const Problem& problem, const std::vector<Evaluated>& front,
                 const std::vector<Weights>& weights, Observer& observer);

// A search that trains. Deterministic for a problem (its seed included) and a thread count, whether
// or not it was interrupted and continued.
class Strategy {
 public:
  virtual ~Strategy() = default;
  virtual Solution run(const Problem& problem, Observer& observer) = 0;
};

}  // namespace tessera::supernet
