// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "tessera/core/error.h"
#include "tessera/core/file.h"
#include "tessera/core/log.h"
#include "tessera/core/text.h"
#include "tessera/core/units.h"
#include "tessera/cost/loop_nest_records.h"
#include "tessera/flow/inputs.h"
#include "tessera/flow/run_folder.h"
#include "tessera/hw/read_platform.h"
#include "tessera/hw/read_spatial.h"
#include "tessera/ir/workload.h"
#include "tessera/report/table.h"
#include "tessera/search/mapper.h"
#include "tessera/search/nest_table.h"

#include "commands.h"

namespace tessera::cli {

namespace {

using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

struct ScheduleOptions {
  std::string problem;
  std::string hardware;
  std::string bits;
  int partial_sum_bits = 0;
  std::string objective = "edp";
  std::string search = "branch-and-bound";
  std::string mapping;
  std::string check;
  std::string cache;
  std::int64_t samples = 10'000;
  double max_seconds = 0;
  int threads = 0;
  bool dense = false;
  bool front = false;
  bool yaml = false;
};

// What one line of the result is made from.
struct NamedProblem {
  std::string name;
  ir::LoopProblem problem;
  std::optional<std::vector<int>> bits;  // that the problem's file states
};

std::vector<NamedProblem> read_problems(const ScheduleOptions& options) {
  const std::string& text = options.problem;
  if (text.ends_with(".onnx")) {
    const flow::LoadedNetwork network = flow::load_network(text, onnx::Constants::kInFile);
    std::vector<NamedProblem> problems;
    const auto grouping = options.dense ? ir::Grouping::kDense : ir::Grouping::kAsIs;
    for (const ir::Layer& layer : ir::workload(network.graph).layers)
      problems.push_back(
          {layer.name, ir::conv_problem(ir::conv_shape(network.graph, layer, grouping)), {}});
    return problems;
  }
  if (text.ends_with(".yaml") || text.ends_with(".yml")) {
    const config::Document document = config::parse_yaml(read_text(text), text);
    ir::LoopProblem problem = ir::parse_loop_problem(document);
    auto bits = ir::parse_bitwidths(document, problem);
    return {{text, std::move(problem), std::move(bits)}};
  }
  return {{text, ir::parse_inline_problem(text), {}}};
}

// "I,W,O" for inputs, weights, outputs.
cost::Bits read_bits(const ScheduleOptions& options, const NamedProblem& problem) {
  cost::Bits bits{.partial_sums = options.partial_sum_bits};
  if (options.bits.empty()) {
    for (std::size_t t = 0; problem.bits && t < problem.bits->size() && t < bits.tensor.size(); ++t)
      bits.tensor[t] = (*problem.bits)[t];
    return bits;
  }
  const char* names[] = {"Inputs", "Weights", "Outputs"};
  const std::vector<std::string> parts = split(options.bits, ',');
  if (parts.size() != 3)
    throw UsageError("--bits '" + options.bits + "'; allowed: I,W,O, say 8,4,8");
  for (std::size_t i = 0; i < 3; ++i) {
    int value = 0;
    const auto [end, code] =
        std::from_chars(parts[i].data(), parts[i].data() + parts[i].size(), value);
    if (code != std::errc() || end != parts[i].data() + parts[i].size() || value < 1)
      throw UsageError("--bits: '" + parts[i] + "'; allowed: a whole number from 1 up");
    const int tensor = problem.problem.find_tensor(names[i]);
    if (tensor < 0)
      throw UsageError(std::string("--bits needs a problem with a tensor ") + names[i]);
    bits.tensor[static_cast<std::size_t>(tensor)] = value;
  }
  return bits;
}

search::NestSearch read_search(const std::string& name) {
  static const std::map<std::string, search::NestSearch> kSearches = {
      {"branch-and-bound", search::NestSearch::kBranchAndBound},
      {"pruned", search::NestSearch::kPruned},
      {"exhaustive", search::NestSearch::kExhaustive},
      {"random", search::NestSearch::kRandom}};
  if (const auto found = kSearches.find(name); found != kSearches.end())
    return found->second;
  std::vector<std::string> known;
  for (const auto& [known_name, search] : kSearches)
    known.push_back(known_name);
  throw UsageError(unknown_name("search", name, known));
}

search::NestSearchOptions search_options(const ScheduleOptions& options,
                                         const CommonOptions& common) {
  search::NestSearchOptions result;
  result.search = read_search(options.search);
  result.objective = search::parse_nest_objective(options.objective);
  result.samples = options.samples;
  result.seed = common.seed;
  result.threads =
      options.threads > 0 ? options.threads : static_cast<int>(std::thread::hardware_concurrency());
  return result;
}

hw::SpatialUnit read_unit(const ScheduleOptions& options,
                          const std::vector<NamedProblem>& problems) {
  hw::SpatialNames names;
  for (const NamedProblem& problem : problems) {
    for (const std::string& dim : problem.problem.dim_names())
      names.dims.push_back(dim);
    for (const std::string& tensor : problem.problem.tensor_names())
      names.tensors.push_back(tensor);
  }
  return hw::load_spatial_unit(options.hardware, hw::platform_folders(), names);
}

// One problem's answer.
struct Answer {
  std::optional<plan::LoopNest> nest;
  std::optional<plan::LoopNestCost> cost;
  std::string why_not;
  search::NestSearchResult search;
};

plan::LoopNest read_nest(const std::string& file, const cost::LoopNestModel& model) {
  return plan::parse_loop_nest(config::parse_yaml(read_text(file), file), model.nest_names());
}

std::string rejections(const search::NestSearchResult& result) {
  std::string text;
  for (const auto& [reason, times] : result.rejections)
    text += fmt::format("{}{}: {}", text.empty() ? "" : ", ", reason, times);
  return text.empty() ? "no loop nest fits the unit's sizes and constraints" : text;
}

Answer solve(const cost::LoopNestModel& model, const cost::Bits& bits,
             const ScheduleOptions& options, const search::NestSearchOptions& how) {
  Answer answer;
  if (!options.mapping.empty()) {
    answer.nest = read_nest(options.mapping, model);
    answer.search.evaluated = 1;
  } else {
    const search::MapSpace space(model);
    answer.search = search::find_nest(space, model.pricing(bits), how);
    if (!answer.search.best) {
      answer.why_not = rejections(answer.search);
      return answer;
    }
    answer.nest = model.decompile(answer.search.best->nest);
  }
  auto cost = model.cost(*answer.nest, bits);
  if (cost) {
    answer.cost = std::move(*cost);
    answer.search.valid = std::max<std::int64_t>(answer.search.valid, 1);
  } else {
    answer.why_not = cost.error().reason + ": " + cost.error().detail;
  }
  return answer;
}

Json to_json(const Answer& answer) {
  if (!answer.cost)
    return {{"valid", answer.search.valid}, {"why", answer.why_not}};
  return {{"cycles", answer.cost->cycles},
          {"energy_pj", answer.cost->energy_pj},
          {"edp", answer.cost->edp()},
          {"utilization", answer.cost->utilization},
          {"last_level_accesses", answer.cost->last_level_accesses},
          {"area_um2", answer.cost->area_um2},
          {"gap", answer.search.gap},
          {"valid", answer.search.valid},
          {"evaluated", answer.search.evaluated},
          {"seconds", answer.search.seconds},
          {"loop_nest", plan::to_json(*answer.nest)},
          {"levels", plan::to_json(*answer.cost)},
          {"mapping", plan::to_yaml(*answer.nest)}};
}

std::string describe_gap(double gap) {
  return gap == 0 ? "proven optimum" : fmt::format("gap {:.2f} %", 100 * gap);
}

int print_answer(const Answer& answer, const ScheduleOptions& options, bool json) {
  if (json) {
    print_json(to_json(answer));
  } else if (!answer.cost) {
    print_result("no loop nest runs: " + answer.why_not + "\n");
  } else if (options.yaml) {
    print_result(plan::to_yaml(*answer.nest));
  } else {
    std::string text = plan::to_text(*answer.nest) + "\n" + plan::to_text(*answer.cost);
    if (options.mapping.empty())
      text += fmt::format("{}, {} nests evaluated in {:.3f} s\n", describe_gap(answer.search.gap),
                          answer.search.evaluated, answer.search.seconds);
    print_result(text);
  }
  return answer.cost ? kDone : kNoAnswer;
}

int print_front(const cost::LoopNestModel& model, const cost::Bits& bits,
                const search::NestSearchOptions& how, bool json) {
  const search::MapSpace space(model);
  const search::NestFront front = search::find_nest_front(space, model.pricing(bits), how);
  Json rows = Json::array();
  std::string text;
  for (const search::ScoredNest& point : front.nests) {
    rows.push_back({{"cycles", point.summary.cycles},
                    {"energy_pj", point.summary.energy_pj},
                    {"mapping", plan::to_yaml(model.decompile(point.nest))}});
    text += fmt::format("{:>14} cycles  {:>10}\n", point.summary.cycles,
                        format_quantity(point.summary.energy_pj, Dimension::kEnergy));
  }
  text += front.complete ? "" : "not all of the front: the time was up\n";
  if (json) {
    print_json({{"front", rows}, {"complete", front.complete}});
  } else {
    print_result(text);
  }
  return front.nests.empty() ? kNoAnswer : kDone;
}

// All layers of a network, each distinct one searched once.
int run_network(const std::vector<NamedProblem>& problems, const hw::SpatialUnit& unit,
                const ScheduleOptions& options, const search::NestSearchOptions& how, bool json) {
  search::NestTable table(unit, how);
  if (!options.cache.empty() && std::filesystem::exists(options.cache))
    table.read(options.cache);
  std::vector<ir::LoopProblem> all;
  for (const NamedProblem& problem : problems)
    all.push_back(problem.problem);
  if (!all.empty())
    table.fill(all, std::vector{read_bits(options, problems.front())});
  if (!options.cache.empty())
    table.write(options.cache);
  Json layers = Json::array();
  report::Table rows({{"layer"}, {"problem"}, {"cycles"}, {"energy"}, {"utilization"}, {"gap"}});
  double energy = 0;
  std::int64_t cycles = 0;
  bool complete = true;
  for (const NamedProblem& problem : problems) {
    const cost::LoopNestModel model(problem.problem, unit);
    const cost::Bits bits = read_bits(options, problem);
    const search::NestTableEntry* entry = table.find(problem.problem, bits);
    Answer answer;
    if (entry != nullptr && !entry->mapping.empty()) {
      answer.nest =
          plan::parse_loop_nest(config::parse_yaml(entry->mapping, "cache"), model.nest_names());
      answer.cost = *model.cost(*answer.nest, bits);
      answer.search.gap = entry->gap;
      energy += answer.cost->energy_pj;
      cycles += answer.cost->cycles;
      rows.add_row({problem.name, to_string(problem.problem), std::to_string(answer.cost->cycles),
                    format_quantity(answer.cost->energy_pj, Dimension::kEnergy),
                    fmt::format("{:.1f} %", 100 * answer.cost->utilization),
                    fmt::format("{:.2f} %", 100 * answer.search.gap)});
    } else {
      complete = false;
      answer.why_not = entry == nullptr || !entry->complete ? "the time was up" : "no nest fits";
      rows.add_row({problem.name, to_string(problem.problem), "-", answer.why_not, "-", "-"});
    }
    Json json_row = to_json(answer);
    json_row["name"] = problem.name;
    layers.push_back(std::move(json_row));
  }
  const Json totals = {{"energy_pj", energy}, {"cycles", cycles}};
  if (json) {
    print_json({{"layers", layers}, {"totals", totals}});
  } else {
    print_result(rows.render(160) + fmt::format("total {}, {} cycles\n",
                                                format_quantity(energy, Dimension::kEnergy),
                                                cycles));
  }
  return complete ? kDone : kNoAnswer;
}

int run_check(const std::string& file, bool json) {
  std::map<std::string, hw::SpatialUnit> units;
  const auto folders = hw::platform_folders();
  const std::vector<std::string> known = hw::spatial_preset_names(folders);
  const auto find_unit = [&](const std::string& name) -> const hw::SpatialUnit* {
    if (std::ranges::find(known, name) == known.end())
      return nullptr;
    if (!units.contains(name))
      units.emplace(name, hw::load_spatial_unit(name, folders));
    return &units.at(name);
  };
  const auto records = cost::read_nest_records(file, find_unit);
  int mismatches = 0;
  for (const cost::NestRecord& record : records) {
    const std::string difference = cost::compare_with_record(record);
    if (difference.empty())
      continue;
    ++mismatches;
    log_warning(record.id + ": " + difference);
  }
  if (json) {
    print_json({{"records", records.size()}, {"mismatches", mismatches}});
  } else {
    print_result(fmt::format("{} records, {} mismatches\n", records.size(), mismatches));
  }
  return mismatches == 0 ? kDone : kNoAnswer;
}

int run_schedule(const ScheduleOptions& options, const CommonOptions& common) {
  if (!options.check.empty())
    return run_check(options.check, common.json);
  if (options.problem.empty() || options.hardware.empty())
    throw UsageError("schedule: give PROBLEM and --hardware, or --check RECORDS");
  const std::vector<NamedProblem> problems = read_problems(options);
  const hw::SpatialUnit unit = read_unit(options, problems);
  search::NestSearchOptions how = search_options(options, common);
  if (options.max_seconds > 0)
    how.deadline = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                      std::chrono::duration<double>(options.max_seconds));
  // Ctrl-C ends the search with the best so far; a second one ends the program.
  std::stop_source stop;
  how.stop = stop.get_token();
  flow::install_interrupt_handler();
  const std::jthread watch([&stop](const std::stop_token& done) {
    while (!done.stop_requested()) {
      if (flow::interrupted())
        stop.request_stop();
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  });
  if (options.problem.ends_with(".onnx"))
    return run_network(problems, unit, options, how, common.json);
  const cost::LoopNestModel model(problems[0].problem, unit);
  const cost::Bits bits = read_bits(options, problems[0]);
  if (options.front)
    return print_front(model, bits, how, common.json);
  const int code = print_answer(solve(model, bits, options, how), options, common.json);
  return flow::interrupted() ? kInterrupted : code;
}

}  // namespace

Command add_schedule(CLI::App& app) {
  auto common = std::make_shared<CommonOptions>();
  auto options = std::make_shared<ScheduleOptions>();
  CLI::App* command =
      app.add_subcommand("schedule", "Loop nests of a layer or a network on a spatial unit");
  command->add_option("PROBLEM", options->problem,
                      "conv:C=64,M=64,R=3,S=3,P=56,Q=56 (also G, N, stride, dilation), "
                      "depthwise:G=…, gemm:M=…,K=…,N=…; a problem as YAML; or a network as ONNX");
  command->add_option("--hardware", options->hardware,
                      "Name of a spatial unit, or its YAML files in Timeloop's form");
  command->add_option("--bits", options->bits, "Widths of inputs, weights, outputs: I,W,O");
  command->add_option("--partial-sums", options->partial_sum_bits,
                      "Width of outputs at all levels but the outermost");
  command
      ->add_option("--objective", options->objective,
                   "energy, delay, edp, lla or a product of powers: energy^2*delay")
      ->capture_default_str();
  command->add_option("--search", options->search, "branch-and-bound, pruned, exhaustive, random")
      ->capture_default_str();
  command->add_option("--samples", options->samples, "Draws of the random search")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--max-seconds", options->max_seconds, "Then the best so far is the result")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--threads", options->threads, "CPU threads; 0: one per core");
  command->add_option("--mapping", options->mapping, "Evaluate this mapping, do not search");
  command->add_option("--cache", options->cache, "File that keeps what was found for a network");
  command->add_flag("--front", options->front, "All nests that none beats in energy and cycles");
  command->add_flag("--yaml", options->yaml, "Print the nest as a Timeloop mapping");
  command->add_flag("--dense", options->dense, "Price grouped convolutions as dense ones");
  command->add_option("--check", options->check,
                      "Evaluate recorded loop nests and count those that differ");
  add_common_options(*command, *common, {.seed = true});
  return {command, common, [options, common] { return run_schedule(*options, *common); }};
}

}  // namespace tessera::cli
