// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/search/ask_tell.h"
#include "tessera/supernet/accuracy_model.h"
#include "tessera/supernet/hessian.h"
#include "tessera/supernet/strategy.h"

namespace tessera::supernet {

// What a search minimizes; accuracy counts negative.
enum class Objective { kAccuracy, kEnergy, kEdp, kLatency, kMemory };
// "accuracy,energy". Throws UsageError that lists the names, for one given twice, and for fewer
// than two.
std::vector<Objective> parse_objectives(std::string_view text);
double objective_value(Objective objective, const Evaluated& candidate);

// What a searcher is made from.
struct SearcherInputs {
  const search::SearchSpace& space;
  const std::vector<search::Genome>& uniform;   // one width everywhere, narrowest first
  const std::vector<search::Genome>& programs;  // answers of the integer program
  const Rng& rng;
};

using MakeAccuracy = std::function<std::unique_ptr<AccuracyModel>(const Problem&)>;

// After the search, the same mappings measured in several ways, to see how far the ways rank them
// alike.
struct RankComparison {
  std::int64_t mappings = 0;  // one width everywhere, the rest drawn; 0: no comparison
  std::string own_name;       // of the search's own way
  std::vector<std::pair<std::string, MakeAccuracy>> others = {};
};

struct AskTellOptions {
  std::vector<Objective> objectives = {Objective::kAccuracy, Objective::kEnergy};
  // Objectives that the search sees in place of these: choosing widths by size first and pricing
  // them afterwards is a search by accuracy and memory. Empty: the same.
  std::vector<Objective> searched = {};
  std::int64_t evaluations = 1000;  // mappings asked for; the last generation is finished
  std::function<std::unique_ptr<search::Searcher>(const SearcherInputs&)> make_searcher;
  // Energy budgets for which the integer program over Hessian sensitivities is solved; 0: none.
  std::int64_t programs = 0;
  HessianOptions hessian = {};
  MakeAccuracy make_accuracy;
  RankComparison comparison = {};
  // Share of the work that goes into preparing the accuracy model, for the progress line.
  double prepare_share = 0.5;
  bool fixed_ends = true;   // the first and the last layer keep the widest path
  bool tie_shapes = false;  // layers of one shape take the same path
};

// A search by ask and tell over the layers' paths: mappings are priced by the cost model and
// measured by an accuracy model, each once. It starts from one width everywhere. The front that it
// has found is reported after every generation, and its state saved, so that a run that is killed
// continues to the same end.
class AskTell final : public Strategy {
 public:
  explicit AskTell(AskTellOptions options) : options_(std::move(options)) {}
  Solution run(const Problem& problem, Observer& observer) override;

 private:
  AskTellOptions options_;
};

}  // namespace tessera::supernet
