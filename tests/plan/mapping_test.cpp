// SPDX-License-Identifier: Apache-2.0
#include "tessera/plan/mapping.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/core/error.h"
#include "tessera/core/file.h"

#include "example.h"
#include "schema_check.h"
#include "support/shared_files.h"

namespace tessera::plan {
namespace {

using Json = nlohmann::ordered_json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::filesystem::path write(const std::string& text) {
  const auto file = tessera::testing::temp_folder() / "mapping.json";
  write_atomic(file, text);
  return file;
}

// The message of the ConfigError that reading `text` gives.
std::string error_of(const std::string& text) {
  const auto file = write(text);
  try {
    read_mapping(file);
  } catch (const ConfigError& error) {
    std::string message = error.what();
    EXPECT_EQ(message.rfind(file.string(), 0), 0u) << message;
    return message.substr(std::min(message.size(), file.string().size()));
  }
  return "no error";
}

TEST(Mapping, InputSurvivesTheRoundTripToTheBit) {
  for (std::uint64_t trial = 0; trial < 100; ++trial) {
    SCOPED_TRACE(trial);
    Rng rng = Rng(11).split(trial);
    const Mapping mapping = testing::random_mapping(rng);
    const auto input = read_mapping(write(to_json(mapping).dump(2)));
    EXPECT_EQ(input.network, mapping.network);
    EXPECT_EQ(input.platform, mapping.platform);
    EXPECT_EQ(input.numerics, mapping.numerics);
    EXPECT_EQ(input.weights, mapping.weights);
    EXPECT_EQ(assignment_for(input, mapping.workload), mapping.assignment);
  }
}

TEST(Mapping, IsWrittenInTheOrderOfTheDesign) {
  Rng rng(12);
  const Json json = to_json(testing::random_mapping(rng));
  std::vector<std::string> keys;
  for (const auto& [key, value] : json.items())
    keys.push_back(key);
  EXPECT_EQ(keys, (std::vector<std::string>{"tessera", "network", "platform", "layers", "glue",
                                            "links", "totals", "accuracy", "numerics", "weights",
                                            "search", "timing"}));
  const Json& nest = json["layers"][0]["loop_nest"];
  EXPECT_TRUE(nest.is_null() || nest["mapping"].is_string());
}

TEST(Mapping, WhatIsWrittenHoldsToTheSchema) {
  const Json schema =
      Json::parse(read_text(tessera::testing::source_file("docs/mapping.schema.json")));
  for (std::uint64_t trial = 0; trial < 50; ++trial) {
    SCOPED_TRACE(trial);
    Rng rng = Rng(13).split(trial);
    const Json json = to_json(testing::random_mapping(rng));
    EXPECT_THAT(tessera::testing::schema_violations(schema, json), IsEmpty());
  }
  // The check itself finds what is wrong.
  Rng rng(14);
  Json broken = to_json(testing::random_mapping(rng));
  broken["layers"][0]["parts"][0]["format"] = "int9";
  broken["totals"].erase("macs");
  broken["extra"] = 1;
  EXPECT_EQ(tessera::testing::schema_violations(schema, broken).size(), 3u);
}

TEST(Mapping, TheShippedExampleReadsAndHoldsToTheSchemaAndAddsUp) {
  const auto file = tessera::testing::source_file("docs/mapping.example.json");
  const Json schema =
      Json::parse(read_text(tessera::testing::source_file("docs/mapping.schema.json")));
  const Json example = Json::parse(read_text(file));
  EXPECT_THAT(tessera::testing::schema_violations(schema, example), IsEmpty());
  EXPECT_FALSE(read_mapping(file).paths.empty());
  double energy_pj = 0;
  double latency_ns = 0;
  for (const char* rows : {"layers", "glue", "links"}) {
    for (const Json& row : example[rows]) {
      energy_pj += row["energy_pj"].get<double>();
      latency_ns += row["latency_ns"].get<double>();
    }
  }
  EXPECT_EQ(example["totals"]["energy_pj"].get<double>(), energy_pj);
  EXPECT_EQ(example["totals"]["latency_ns"].get<double>(), latency_ns);
}

TEST(Mapping, NumbersThatAreNotFiniteAreNeverWritten) {
  Rng rng(15);
  Mapping mapping = testing::random_mapping(rng);
  mapping.cost.layers[0].latency_ns = std::nan("");
  EXPECT_THROW(to_json(mapping), InternalError);
  mapping = testing::random_mapping(rng);
  mapping.cost.totals.energy_pj = INFINITY;
  EXPECT_THROW(to_json(mapping), InternalError);
  mapping = testing::random_mapping(rng);
  mapping.accuracy = {{"top1", std::nan(""), 0, 1, 0, "test", 1}};
  EXPECT_THROW(to_json(mapping), InternalError);
}

TEST(Mapping, BrokenJsonIsShownWithLineAndColumn) {
  EXPECT_THAT(error_of("{\n  \"tessera\": 1,\n  \"layers\": [,]\n}"),
              AllOf(HasSubstr(":3:14: not valid JSON"), HasSubstr("unexpected ','")));
  EXPECT_THAT(error_of(""), AllOf(HasSubstr(":1:1: not valid JSON: "), HasSubstr("input")));
  EXPECT_THAT(error_of("{\"a\": \"\xff\"}"), HasSubstr("invalid"));
  EXPECT_THAT(error_of("{\"a\": 1e999}"), HasSubstr("1e999"));
  EXPECT_THROW(read_mapping("/nonexistent/mapping.json"), IoError);
}

constexpr const char* kGood = R"({
  "tessera": 1,
  "network": {"file": "n.onnx", "sha256": ""},
  "platform": {"name": "p", "sha256": ""},
  "layers": [
    {"name": "a.\"b\"", "parts": [
      {"unit": "npu", "format": "int8", "channels": [0, 4]},
      {"unit": "pcm", "format": "analog:x", "channels": [4, 8]}]},
    {"name": "c", "parts": [{"unit": "npu", "format": "fp16", "channels": [0, 5]}]}
  ]
})";

std::string replaced(const std::string& from, const std::string& to) {
  std::string text = kGood;
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(Mapping, OnlyTheDecisionIsNeededAsAnInput) {
  const auto input = read_mapping(write(kGood));
  ASSERT_EQ(input.paths.size(), 2u);
  EXPECT_EQ(input.paths[0].first, "a.\"b\"");
  EXPECT_EQ(to_string(input.paths[0].second), "4 of npu int8 + 4 of pcm analog:x");
  EXPECT_EQ(input.weights, "");
}

TEST(Mapping, MistakesAreShownWithPlaceFoundAndAllowed) {
  EXPECT_THAT(error_of(replaced("\"fp16\"", "\"int9\"")),
              AllOf(HasSubstr(":9:55: layers[1].parts[0].format: "), HasSubstr("'int9'"),
                    HasSubstr("allowed: fp32")));
  EXPECT_THAT(error_of(replaced("[4, 8]", "[5, 8]")),
              HasSubstr(":8:58: layers[0].parts[1].channels[0]: found 5, expected 4"));
  EXPECT_THAT(error_of(replaced("[4, 8]", "[4, 4]")), HasSubstr("found 4, expected an integer of "
                                                                "at least 5"));
  EXPECT_THAT(error_of(replaced("[4, 8]", "[4]")), HasSubstr("found a list of 1, expected [first"));
  EXPECT_THAT(error_of(replaced("\"unit\": \"pcm\"", "\"unti\": \"pcm\"")),
              AllOf(HasSubstr(":8:16: layers[0].parts[1].unti: unknown key 'unti'"),
                    HasSubstr("did you mean 'unit'")));
  EXPECT_THAT(error_of(replaced("\"unit\": \"pcm\", ", "")),
              HasSubstr(":8:7: layers[0].parts[1]: 'unit' is missing"));
  EXPECT_THAT(error_of(replaced("\"tessera\": 1", "\"tessera\": 2")),
              HasSubstr(":2:14: tessera: found 2, expected 1"));
  EXPECT_THAT(error_of(replaced("\"name\": \"c\"", "\"name\": \"a.\\\"b\\\"\"")),
              HasSubstr("layers[1].name: layer 'a.\"b\"' stands here a second time"));
  EXPECT_THAT(error_of(replaced("\"file\": \"n.onnx\"", "\"file\": 12.5")),
              HasSubstr(":3:23: network.file: found 12.5, expected a string"));
  EXPECT_THAT(error_of("[1, 2]"), HasSubstr(":1:1: found a list of 2, expected an object"));
  EXPECT_THAT(
      error_of(replaced("{\"unit\": \"npu\", \"format\": \"fp16\", \"channels\": [0, 5]}", "")),
      HasSubstr("layers[1].parts: found a list of 0, expected at least one part"));
}

TEST(Mapping, AByteOrderMarkIsPassedOver) {
  const std::string mark = "\xEF\xBB\xBF";
  EXPECT_THAT(error_of(mark + "{\"tessera\": 2}"), HasSubstr("tessera: found 2, expected 1"));
}

TEST(Mapping, ARepeatedKeyAndBottomlessNestingAreRefused) {
  EXPECT_THAT(error_of("{\"a\": {\"x\": 2,\n \"x\": 3}}"),
              HasSubstr(":2:2: a.x: the key stands here a second time"));
  // The parser keeps the last value, which may be of another kind than the first.
  EXPECT_THAT(error_of("{\"a\": {\"x\": [1]},\n \"a\": 3}"),
              HasSubstr(":2:2: a: the key stands here a second time"));
  EXPECT_THAT(error_of("{\"a\": 3,\n \"a\": [{\"x\": 1}]}"),
              HasSubstr(":2:2: a: the key stands here a second time"));
  EXPECT_THAT(error_of(std::string(100000, '[') + std::string(100000, ']')),
              HasSubstr(":1:101: nested deeper than 100 levels"));
}

TEST(Mapping, AssignmentNamesEveryLayerThatDoesNotFitTheNetwork) {
  const auto input = read_mapping(write(kGood));
  ir::Workload workload;
  workload.layers.resize(3);
  workload.layers[0].name = "a.\"b\"";
  workload.layers[0].dims.M = 9;
  workload.layers[1].name = "cc";
  workload.layers[1].dims.M = 5;
  workload.layers[2].name = "fc";
  try {
    assignment_for(input, workload);
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_THAT(
        error.what(),
        AllOf(HasSubstr("unknown layer 'c'"), HasSubstr("layer 'cc' of the network is missing"),
              HasSubstr("layer 'fc' of the network is missing"),
              HasSubstr("layer 'a.\"b\"': parts cover 8 channels, the layer has 9"),
              HasSubstr("mapping.json: ")));
  }
}

}  // namespace
}  // namespace tessera::plan
