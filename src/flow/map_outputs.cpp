// SPDX-License-Identifier: Apache-2.0
#include "map_outputs.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>
#include <nlohmann/json.hpp>
#include <string_view>

#include "tessera/core/error.h"
#include "tessera/core/file.h"
#include "tessera/core/hash.h"
#include "tessera/flow/inputs.h"
#include "tessera/onnx/export.h"
#include "tessera/report/csv.h"
#include "tessera/report/event_file.h"
#include "tessera/report/html.h"

namespace tessera::flow {
namespace {

constexpr std::string_view kFirstWeights = "model.1.safetensors";
constexpr std::string_view kSecondWeights = "model.2.safetensors";
constexpr std::string_view kAdapted = "adapted.";

ir::Graph with_preprocessing(ir::Graph graph, const nn::Preprocessing& preprocessing) {
  note_preprocessing(graph, preprocessing);
  return graph;
}

void remove_other_adapted(const std::filesystem::path& folder, const std::string& kept) {
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(kAdapted) && name.ends_with(".onnx") && name != kept)
      std::filesystem::remove(entry.path());
  }
}

}  // namespace

void write_record(const std::filesystem::path& folder, const plan::RunRecord& record) {
  write_atomic(folder / "pareto.csv", report::pareto_csv(record));
  write_atomic(folder / report::kEventFile, report::event_file(record.trace));
  write_atomic(folder / "report.html", report::html_report(record));
  write_atomic(folder / "run.json", plan::to_json(record).dump(1) + "\n");
}

std::string free_weights_name(const std::filesystem::path& folder) {
  const std::filesystem::path mapping = folder / "mapping.json";
  const bool taken =
      std::filesystem::exists(mapping) && plan::read_mapping(mapping).weights == kFirstWeights;
  return std::string(taken ? kSecondWeights : kFirstWeights);
}

plan::FileRef write_adapted(const std::filesystem::path& folder, const supernet::Adapted& adapted,
                            const nn::Preprocessing& preprocessing) {
  const std::string name = fmt::format("{}{}.onnx", kAdapted, adapted.number);
  const std::filesystem::path path = folder / name;
  // The same run makes the same network.
  if (!std::filesystem::exists(path))
    onnx::export_onnx(with_preprocessing(adapted.start, preprocessing), {}, path);
  return {.file = name, .sha256 = sha256_file(path.string())};
}

void write_mapping(const std::filesystem::path& folder, const plan::Mapping& mapping,
                   const nn::MappedNetwork& mapped, const nn::Preprocessing& preprocessing) {
  write_weights(folder / mapping.weights, mapped);
  std::map<std::string, std::string> metadata;
  for (std::size_t layer = 0; layer < mapping.cost.layers.size(); ++layer) {
    if (const auto& nest = mapping.cost.layers[layer].nest)
      metadata["tessera.loop_nest." + mapping.workload.layers[layer].name] = nest->mapping;
  }
  onnx::export_onnx(with_preprocessing(mapped.network().to_graph(), preprocessing),
                    {.metadata = metadata,
                     .mapping = onnx::ExportMapping{.assignment = mapped.assignment(),
                                                    .numerics = mapping.numerics}},
                    folder / "model.onnx");
  write_atomic(folder / "mapping.json", plan::to_json(mapping).dump(1) + "\n");
}

void write_front(const std::filesystem::path& folder, const supernet::Space& space,
                 const std::vector<supernet::Evaluated>& front) {
  std::string text = "accuracy,images,energy_pj,latency_ns,digital_weight_bytes,formats\n";
  for (const supernet::Evaluated& member : front) {
    std::vector<std::string> formats;
    for (const plan::Path& path : supernet::assignment_of(space, member.choice).paths)
      formats.push_back(format::to_string(path.parts.front().format));
    text += fmt::format("{},{},{},{},{},{}\n", member.accuracy.mean, member.accuracy.images,
                        member.totals.energy_pj, member.totals.latency_ns,
                        member.totals.digital_weight_bytes, fmt::join(formats, " "));
  }
  write_atomic(folder / "front.csv", text);
}

void write_outputs(const std::filesystem::path& folder, const plan::RunRecord& record,
                   const nn::MappedNetwork& mapped, const nn::Preprocessing& preprocessing) {
  write_mapping(folder, record.chosen, mapped, preprocessing);
  for (const std::string_view name : {kFirstWeights, kSecondWeights, kFinalWeights}) {
    if (name != record.chosen.weights)
      std::filesystem::remove(folder / name);
  }
  remove_other_adapted(folder, record.chosen.network.file);
  write_record(folder, record);
}

std::vector<plan::Alternative> find_alternatives(const cost::TiledModel& model,
                                                 const supernet::Space& space,
                                                 const plan::Assignment& chosen) {
  const auto now = model.evaluate(chosen);
  TESSERA_CHECK(now.has_value(), "a mapping does not fit: {}", now.error().detail);
  std::vector<plan::Alternative> found;
  for (std::size_t layer = 0; layer < space.size(); ++layer) {
    plan::Assignment other = chosen;
    for (const plan::Path& path : space[layer]) {
      if (path == chosen.paths[layer])
        continue;
      other.paths[layer] = path;
      if (const auto cost = model.evaluate(other))
        found.push_back({.layer = model.workload().layers[layer].name,
                         .path = plan::to_string(path),
                         .energy_pj = cost->totals.energy_pj - now->totals.energy_pj,
                         .latency_ns = cost->totals.latency_ns - now->totals.latency_ns});
    }
  }
  return found;
}

std::string describe(const nn::Preprocessing& preprocessing) {
  if (preprocessing.mean.empty())
    return preprocessing.source;
  return fmt::format("mean {}, std {} ({})", fmt::join(preprocessing.mean, " "),
                     fmt::join(preprocessing.std, " "), preprocessing.source);
}

}  // namespace tessera::flow
