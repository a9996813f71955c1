// SPDX-License-Identifier: Apache-2.0
#include "tessera/supernet/ask_tell.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>

#include "tessera/core/error.h"
#include "tessera/core/text.h"
#include "tessera/plan/rank_correlation.h"
#include "tessera/supernet/path_space.h"

namespace tessera::supernet {
namespace {

constexpr std::string_view kCheckpointName = "ask-tell";
constexpr std::string_view kComparisonName = "rank-comparison";
constexpr std::string_view kProgramsName = "integer-programs";

using Json = nlohmann::ordered_json;

// The candidates that a search sees: the ends of the network may be fixed.
Space searched_space(const Space& space, bool fixed_ends) {
  Space searched = space;
  if (!fixed_ends || space.empty())
    return searched;
  const std::vector<Choice> uniform = uniform_choices(space);
  if (uniform.empty())
    return searched;
  for (const std::size_t end : {std::size_t{0}, space.size() - 1})
    searched[end] = {space[end].at(static_cast<std::size_t>(uniform.back()[end]))};
  return searched;
}

// The group of each layer: its own, or with `tie` that of the first layer of its shape and paths.
std::vector<int> groups_of(const ir::Workload& workload, const Space& searched, bool tie) {
  std::vector<int> groups;
  int next = 0;
  for (std::size_t layer = 0; layer < searched.size(); ++layer) {
    std::size_t first = layer;
    for (std::size_t other = 0; tie && other < layer && first == layer; ++other) {
      if (workload.layers[other].dims == workload.layers[layer].dims &&
          searched[other] == searched[layer])
        first = other;
    }
    groups.push_back(first == layer ? next++ : groups[first]);
  }
  return groups;
}

class AskTellRun {
 public:
  AskTellRun(const AskTellOptions& options, const Problem& problem, Observer& observer)
      : options_(options),
        problem_(problem),
        observer_(observer),
        searched_(searched_space(problem.space, options.fixed_ends)),
        groups_(groups_of(problem.model.workload(), searched_, options.tie_shapes)),
        paths_(searched_, groups_),
        accuracy_(options.make_accuracy(problem)) {
    index_paths();
    const std::vector<search::Genome> uniform = genomes_of(uniform_choices(searched_));
    const std::vector<search::Genome> programs = genomes_of(program_choices());
    searcher_ = options.make_searcher({.space = paths_.variables(),
                                       .uniform = uniform,
                                       .programs = programs,
                                       .rng = problem.rng.split("searcher")});
  }

  Solution run() {
    if (accuracy_->prepare(observer_, options_.prepare_share)) {
      restore();
      while (asked_ < options_.evaluations && observer_.keep_going() && generation()) {
      }
      if (observer_.keep_going() && options_.comparison.mappings > 0)
        compare_ranks();
    }
    return finish();
  }

 private:
  // Positions of searched paths in the problem's space and among the model's candidates.
  void index_paths() {
    for (std::size_t layer = 0; layer < searched_.size(); ++layer) {
      const std::vector<plan::Path> candidates = problem_.model.candidate_paths(layer);
      auto& in_space = in_space_.emplace_back();
      auto& in_model = in_model_.emplace_back();
      for (const plan::Path& path : searched_[layer]) {
        const auto position = [&](const std::vector<plan::Path>& list) {
          const auto found = std::find(list.begin(), list.end(), path);
          TESSERA_CHECK(found != list.end(), "layer {}: '{}' is no candidate", layer,
                        plan::to_string(path));
          return static_cast<int>(found - list.begin());
        };
        in_space.push_back(position(problem_.space[layer]));
        in_model.push_back(position(candidates));
      }
    }
  }

  static Choice through(const std::vector<std::vector<int>>& index, const Choice& choice) {
    Choice result;
    result.reserve(choice.size());
    for (std::size_t layer = 0; layer < choice.size(); ++layer)
      result.push_back(index[layer][static_cast<std::size_t>(choice[layer])]);
    return result;
  }

  // Those that the variables can express: layers that are tied want one path.
  std::vector<search::Genome> genomes_of(const std::vector<Choice>& choices) const {
    std::vector<search::Genome> genomes;
    for (const Choice& choice : choices) {
      if (const auto genome = paths_.genome_of(choice))
        genomes.push_back(*genome);
    }
    return genomes;
  }

  // Answers of the integer program, kept for a run that continues.
  std::vector<Choice> program_choices() {
    if (options_.programs == 0)
      return {};
    if (const auto checkpoint = observer_.load(kProgramsName)) {
      try {
        return Json::parse(checkpoint->json).get<std::vector<Choice>>();
      } catch (const nlohmann::json::exception& broken) {
        throw IoError(fmt::format("checkpoint '{}' is damaged: {}", kProgramsName, broken.what()));
      }
    }
    observer_.progress(0, "curvature of the loss");
    const std::vector<Curvature> bends =
        curvature(problem_.network, problem_.data, problem_.preprocessing, options_.hessian,
                  problem_.rng.split("hessian"));
    const std::vector<Choice> choices = integer_program_choices(
        problem_, searched_, groups_, predicted_losses(problem_, bends), options_.programs);
    observer_.save(kProgramsName, {.tensors = {}, .json = Json(choices).dump()});
    return choices;
  }

  // None when the mapping does not fit the chip.
  std::optional<Evaluated> measured(const Choice& searched) {
    const auto totals = problem_.model.totals(through(in_model_, searched));
    if (!totals)
      return std::nullopt;
    Evaluated candidate{.choice = through(in_space_, searched), .totals = *totals, .accuracy = {}};
    const auto known = accuracies_.find(candidate.choice);
    if (known != accuracies_.end()) {
      candidate.accuracy = known->second;
    } else {
      candidate.accuracy = accuracy_->measure(candidate.choice);
      accuracies_.emplace(candidate.choice, candidate.accuracy);
    }
    return candidate;
  }

  search::Evaluation value_of(const Evaluated& candidate,
                              const std::vector<Objective>& objectives) const {
    search::Evaluation value{.objectives = {}, .violation = violation(problem_.limits, candidate)};
    for (const Objective objective : objectives)
      value.objectives.push_back(objective_value(objective, candidate));
    return value;
  }

  // False when the searcher has nothing left to ask, or the run is to end in the middle.
  bool generation() {
    const std::vector<search::Genome> genomes = searcher_->ask();
    if (genomes.empty())
      return false;
    const auto& objectives = options_.searched.empty() ? options_.objectives : options_.searched;
    std::vector<search::Evaluation> values;
    for (const search::Genome& genome : genomes) {
      if (!observer_.keep_going()) {
        save();
        return false;
      }
      const std::optional<Evaluated> candidate = measured(paths_.choice_of(genome));
      if (candidate) {
        values.push_back(value_of(*candidate, objectives));
        offer(*candidate);
      } else {
        // A mapping that does not fit is worse than any that breaks limits.
        constexpr double kDoesNotFit = 1e9;
        values.push_back({plan::Point(objectives.size(), 0.0), kDoesNotFit});
      }
      observer_.progress(done(values.size()), "search");
      if (observer_.checkpoint_due())
        save();
    }
    searcher_->tell(values);
    asked_ += static_cast<std::int64_t>(genomes.size());
    ++generations_;
    trace({"search", generations_, "hypervolume", hypervolume()});
    save();
    observer_.found(front_, accuracy_->network(), accuracy_->kernel_state());
    return true;
  }

  double done(std::size_t in_generation) const {
    const double searched = static_cast<double>(asked_ + static_cast<std::int64_t>(in_generation)) /
                            static_cast<double>(options_.evaluations);
    return std::min(1.0, options_.prepare_share + (1 - options_.prepare_share) * searched);
  }

  // The front among all mappings measured, in the objectives asked for.
  void offer(const Evaluated& candidate) {
    const search::Evaluation value = value_of(candidate, options_.objectives);
    search::Genome name(candidate.choice.begin(), candidate.choice.end());
    archive_.offer({std::move(name), value});
    best_.insert_or_assign(candidate.choice, candidate);
    front_.clear();
    for (const search::Individual& member : archive_.members()) {
      const Choice choice(member.genome.begin(), member.genome.end());
      front_.push_back(best_.at(choice));
    }
    std::erase_if(best_, [&](const auto& entry) {
      return std::none_of(front_.begin(), front_.end(),
                          [&](const Evaluated& e) { return e.choice == entry.first; });
    });
    // Most accurate first; in an order that does not depend on what came when.
    std::sort(front_.begin(), front_.end(), [](const Evaluated& a, const Evaluated& b) {
      return std::pair(-a.accuracy.mean, a.choice) < std::pair(-b.accuracy.mean, b.choice);
    });
  }

  // Relative to the widest uniform mapping: each objective as a share of its value, accuracy from
  // 0.
  double hypervolume() {
    const std::vector<Choice> uniform = uniform_choices(searched_);
    if (uniform.empty())
      return 0;
    const auto totals = problem_.model.totals(through(in_model_, uniform.back()));
    if (!totals)
      return 0;
    const Evaluated reference{.choice = {}, .totals = *totals, .accuracy = {}};
    plan::Point corner;
    for (const Objective objective : options_.objectives)
      corner.push_back(objective == Objective::kAccuracy ? 0.0 : 1.0);
    std::vector<plan::Point> points;
    for (const Evaluated& member : front_) {
      plan::Point& point = points.emplace_back();
      for (const Objective objective : options_.objectives) {
        const double own = objective_value(objective, member);
        point.push_back(
            objective == Objective::kAccuracy ? own : own / objective_value(objective, reference));
      }
    }
    return plan::hypervolume(points, corner);
  }

  void trace(plan::TracePoint point) {
    observer_.trace(point);
    trace_.push_back(std::move(point));
  }

  void save() {
    Json accuracies = Json::array();
    for (const auto& [choice, accuracy] : accuracies_) {
      accuracies.push_back({{"choice", choice},
                            {"mean", accuracy.mean},
                            {"std", accuracy.std},
                            {"n", accuracy.n},
                            {"t_eval_s", accuracy.t_eval_s},
                            {"split", accuracy.split},
                            {"images", accuracy.images}});
    }
    Json front = Json::array();
    for (const Evaluated& member : front_)
      front.push_back(member.choice);
    Json trace = Json::array();
    for (const plan::TracePoint& point : trace_)
      trace.push_back({point.phase, point.step, point.quantity, point.value});
    const Json json = {{"asked", asked_}, {"generations", generations_},
                       {"trace", trace},  {"searcher", searcher_->state()},
                       {"front", front},  {"accuracies", accuracies}};
    observer_.save(kCheckpointName, {.tensors = {}, .json = json.dump()});
  }

  void restore() {
    const auto checkpoint = observer_.load(kCheckpointName);
    if (!checkpoint)
      return;
    try {
      const Json json = Json::parse(checkpoint->json);
      asked_ = json.at("asked");
      generations_ = json.at("generations");
      for (const Json& row : json.at("trace"))
        trace({row.at(0), row.at(1), row.at(2), row.at(3)});
      for (const Json& row : json.at("accuracies")) {
        accuracies_.emplace(row.at("choice").get<Choice>(),
                            plan::Accuracy{.mean = row.at("mean"),
                                           .std = row.at("std"),
                                           .n = row.at("n"),
                                           .t_eval_s = row.at("t_eval_s"),
                                           .split = row.at("split"),
                                           .images = row.at("images")});
      }
      searcher_->restore(json.at("searcher"));
      for (const Json& row : json.at("front")) {
        const auto choice = row.get<Choice>();
        const auto cost = problem_.model.evaluate(assignment_of(problem_.space, choice));
        TESSERA_CHECK(cost.has_value(), "a mapping of the front does not fit");
        offer({.choice = choice, .totals = cost->totals, .accuracy = accuracies_.at(choice)});
      }
    } catch (const nlohmann::json::exception& broken) {
      throw IoError(fmt::format("checkpoint '{}' is damaged: {}", kCheckpointName, broken.what()));
    } catch (const std::out_of_range&) {
      throw IoError(fmt::format(
          "checkpoint '{}' is damaged: a mapping of the front was not measured", kCheckpointName));
    }
  }

  std::vector<Choice> compared_choices() const {
    std::vector<Choice> choices;
    for (const Choice& uniform : uniform_choices(searched_))
      choices.push_back(through(in_space_, uniform));
    Rng rng = problem_.rng.split("comparison");
    while (static_cast<std::int64_t>(choices.size()) < options_.comparison.mappings) {
      const search::Genome drawn = search::random_genome(paths_.variables(), rng);
      choices.push_back(through(in_space_, paths_.choice_of(drawn)));
    }
    choices.resize(static_cast<std::size_t>(options_.comparison.mappings));
    return choices;
  }

  // All ways measure the same mappings; what was measured is kept for a run that continues.
  void compare_ranks() {
    const RankComparison& comparison = options_.comparison;
    const std::vector<Choice> choices = compared_choices();
    std::map<std::string, std::vector<double>> measured;
    if (const auto checkpoint = observer_.load(kComparisonName)) {
      try {
        measured = Json::parse(checkpoint->json).get<decltype(measured)>();
      } catch (const nlohmann::json::exception& broken) {
        throw IoError(
            fmt::format("checkpoint '{}' is damaged: {}", kComparisonName, broken.what()));
      }
    }
    const auto measure_all = [&](const std::string& name, AccuracyModel& model) {
      std::vector<double>& values = measured[name];
      while (values.size() < choices.size() && observer_.keep_going()) {
        values.push_back(model.measure(choices[values.size()]).mean);
        observer_.save(kComparisonName, {.tensors = {}, .json = Json(measured).dump()});
        observer_.progress(1, "ranks by " + name);
      }
    };
    measure_all(comparison.own_name, *accuracy_);
    for (const auto& [name, make] : comparison.others) {
      const std::unique_ptr<AccuracyModel> model = make(problem_);
      if (model->prepare(observer_, 1))
        measure_all(name, *model);
    }
    if (!observer_.keep_going())
      return;
    for (const auto& [name, values] : measured) {
      for (std::size_t i = 0; i < values.size(); ++i)
        observer_.trace({"ranks", static_cast<std::int64_t>(i), name, values[i]});
    }
    for (auto a = measured.begin(); a != measured.end(); ++a) {
      for (auto b = std::next(a); b != measured.end(); ++b) {
        observer_.trace({"ranks", static_cast<std::int64_t>(choices.size()),
                         fmt::format("kendall {} ~ {}", a->first, b->first),
                         plan::kendall_tau(a->second, b->second)});
      }
    }
  }

  // Where none keeps the limits: all of them, which tell what clashes.
  std::vector<Evaluated> all_measured() const {
    std::vector<Evaluated> all;
    for (const auto& [choice, accuracy] : accuracies_) {
      const auto cost = problem_.model.evaluate(assignment_of(problem_.space, choice));
      if (cost)
        all.push_back({.choice = choice, .totals = cost->totals, .accuracy = accuracy});
    }
    return all;
  }

  Solution finish() {
    Solution solution;
    solution.front = front_.empty() ? all_measured() : front_;
    solution.evaluations = static_cast<std::int64_t>(accuracies_.size());
    solution.training_samples = accuracy_->training_samples(solution.evaluations);
    solution.network = accuracy_->network().clone();
    solution.kernel_state = accuracy_->kernel_state();
    return solution;
  }

  const AskTellOptions& options_;
  const Problem& problem_;
  Observer& observer_;
  Space searched_;
  std::vector<int> groups_;  // by layer
  PathSpace paths_;
  std::unique_ptr<AccuracyModel> accuracy_;
  std::unique_ptr<search::Searcher> searcher_;
  std::vector<std::vector<int>> in_space_;
  std::vector<std::vector<int>> in_model_;
  std::map<Choice, plan::Accuracy> accuracies_;
  search::Archive archive_;
  std::map<Choice, Evaluated> best_;
  std::vector<Evaluated> front_;
  std::vector<plan::TracePoint> trace_;
  std::int64_t asked_ = 0;
  std::int64_t generations_ = 0;
};

}  // namespace

std::vector<Objective> parse_objectives(std::string_view text) {
  static const std::vector<std::pair<std::string, Objective>> kNames = {
      {"accuracy", Objective::kAccuracy},
      {"energy", Objective::kEnergy},
      {"edp", Objective::kEdp},
      {"latency", Objective::kLatency},
      {"memory", Objective::kMemory}};
  std::vector<std::string> known;
  for (const auto& [name, objective] : kNames)
    known.push_back(name);
  std::vector<Objective> objectives;
  for (const std::string& item : split(text, ',')) {
    const std::string wanted(trim(item));
    const auto found = std::find_if(kNames.begin(), kNames.end(),
                                    [&](const auto& entry) { return entry.first == wanted; });
    if (found == kNames.end())
      throw UsageError("objectives: " + unknown_name("objective", wanted, known));
    if (std::find(objectives.begin(), objectives.end(), found->second) != objectives.end())
      throw UsageError(fmt::format("objectives: '{}' stands there twice", wanted));
    objectives.push_back(found->second);
  }
  if (objectives.size() < 2)
    throw UsageError(
        fmt::format("objectives: found '{}'; allowed: two or more of accuracy, energy, edp, "
                    "latency, memory",
                    text));
  return objectives;
}

double objective_value(Objective objective, const Evaluated& candidate) {
  const plan::Totals& totals = candidate.totals;
  switch (objective) {
    case Objective::kAccuracy:
      return -candidate.accuracy.mean;
    case Objective::kEnergy:
      return totals.energy_pj;
    case Objective::kEdp:
      return totals.energy_pj * totals.latency_ns;
    case Objective::kLatency:
      return totals.latency_ns;
    case Objective::kMemory:
      return static_cast<double>(totals.digital_weight_bytes);
  }
  TESSERA_CHECK(false, "objective {}", static_cast<int>(objective));
}

Solution AskTell::run(const Problem& problem, Observer& observer) {
  return AskTellRun(options_, problem, observer).run();
}

}  // namespace tessera::supernet
