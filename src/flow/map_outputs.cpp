// SPDX-License-Identifier: Apache-2.0
#include "map_outputs.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tessera/core/error.h"
#include "tessera/core/file.h"
#include "tessera/flow/inputs.h"
#include "tessera/onnx/export.h"
#include "tessera/report/csv.h"
#include "tessera/report/html.h"

namespace tessera::flow {

void write_record(const std::filesystem::path& folder, const plan::RunRecord& record) {
  write_atomic(folder / "pareto.csv", report::pareto_csv(record));
  write_atomic(folder / "report.html", report::html_report(record));
  write_atomic(folder / "run.json", plan::to_json(record).dump(1) + "\n");
}

void write_outputs(const std::filesystem::path& folder, const plan::RunRecord& record,
                   const nn::MappedNetwork& mapped, const nn::Preprocessing& preprocessing) {
  write_weights(folder / record.chosen.weights, mapped);
  ir::Graph graph = mapped.network().to_graph();
  graph.metadata["tessera.mean"] = fmt::format("{}", fmt::join(preprocessing.mean, ","));
  graph.metadata["tessera.std"] = fmt::format("{}", fmt::join(preprocessing.std, ","));
  onnx::export_onnx(graph,
                    {.mapping = onnx::ExportMapping{.assignment = mapped.assignment(),
                                                    .numerics = record.chosen.numerics}},
                    folder / "model.onnx");
  write_atomic(folder / "mapping.json", plan::to_json(record.chosen).dump(1) + "\n");
  write_record(folder, record);
}

std::string describe(const nn::Preprocessing& preprocessing) {
  return fmt::format("mean {}, std {} ({})", fmt::join(preprocessing.mean, " "),
                     fmt::join(preprocessing.std, " "), preprocessing.source);
}

std::map<std::string, std::string> settings_by_key(const MapSettings& settings) {
  std::map<std::string, std::string> by_key;
  for (const config::Node& entry : map_schema().dump(settings).children) {
    by_key[entry.key] = entry.text;
  }
  return by_key;
}

nn::TrainingOptions training_options(const MapSettings& settings, std::int64_t steps, double rate) {
  return {.steps = steps,
          .batch = settings.batch,
          .learning_rate = rate,
          .distillation = settings.distillation};
}

void check_fit(const ir::Graph& graph, const nn::Dataset& data, const std::string& network) {
  if (graph.inputs.size() != 1) {
    throw UnsupportedError(fmt::format("{}: has {} inputs, only networks with one can be mapped",
                                       network, graph.inputs.size()));
  }
  nn::check_fits(graph, data);
  const auto& output = graph.value(graph.outputs.front()).shape;
  if (!output || output->size() != 2 || output->back() != data.classes) {
    throw UsageError(fmt::format("{}: output is {}, {} has {} classes", network,
                                 output ? ir::to_string(*output) : "unknown", data.spec,
                                 data.classes));
  }
}

}  // namespace tessera::flow
