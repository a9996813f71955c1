// SPDX-License-Identifier: Apache-2.0
#include "tessera/core/config.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/core/error.h"
#include "tessera/core/rng.h"

namespace tessera::config {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

enum class Policy { kFifo, kLru };

struct Port {
  std::string name;
  int width = 0;
  bool operator==(const Port&) const = default;
};

struct Cache {
  std::string name;
  std::int64_t ways = 4;
  double share = 0.5;
  bool shared = false;
  Policy policy = Policy::kLru;
  double clock_ghz = 1;
  Quantity read_pj;
  Quantity write_pj;
  std::vector<Port> ports;
  bool operator==(const Cache&) const = default;
};

const Schema<Cache>& cache_schema() {
  static const Schema<Cache> energies(
      "energies", "Energy of an access.",
      {
          required("read", &Cache::read_pj, quantity(Dimension::kEnergy, kPositive), "Reading."),
          required("write", &Cache::write_pj, quantity(Dimension::kEnergy), "Writing."),
      });
  static const Schema<Port> port(
      "port", "A way in.",
      {
          required("name", &Port::name, text(), "What others call it."),
          required("width", &Port::width, integer<int>({.min = 1, .max = 64}), "Bytes."),
      });
  static const Schema<Cache> schema(
      "cache", "A cache.",
      {
          constant<Cache>("version", "1", "Version."),
          required("name", &Cache::name, text(), "What others call it."),
          optional("ways", &Cache::ways, integer<std::int64_t>({.min = 1, .max = 64}), "Ways."),
          optional("share", &Cache::share, number({.min = 0, .max = 1}), "Share."),
          optional("shared", &Cache::shared, boolean(), "By all cores."),
          optional("policy", &Cache::policy,
                   choice<Policy>("policy", {{"fifo", Policy::kFifo}, {"lru", Policy::kLru}}),
                   "Replacement | eviction."),
          optional("clock", &Cache::clock_ghz, measure(Dimension::kFrequency, kPositive), "Clock."),
          group("energy", energies, "Energies."),
          optional(
              "ports", &Cache::ports,
              list_of(object(port), 0, std::function<std::string(const Port&)>([](const Port& p) {
                        return p.name;
                      })),
              "Ports."),
      });
  return schema;
}

Cache read_cache(std::string_view text) {
  return read(parse_yaml(text, "c.yaml"), cache_schema());
}

// The message of the ConfigError that `text` gives; empty when it is fine.
std::string mistakes(std::string_view text) {
  try {
    read_cache(text);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

constexpr std::string_view kGood = R"(version: 1
name: l1
ways: 8
share: 0.25
shared: true
policy: fifo
clock: 800 MHz
energy:
  read: {value: 13.4 nJ, source: "a paper", plus_minus: 10%}
  write: 20 pJ
ports:
  - name: a
    width: 4
  - {name: b, width: 8}
)";

TEST(Config, ReadsEveryKindOfField) {
  const Cache cache = read_cache(kGood);
  EXPECT_EQ(cache.name, "l1");
  EXPECT_EQ(cache.ways, 8);
  EXPECT_EQ(cache.share, 0.25);
  EXPECT_TRUE(cache.shared);
  EXPECT_EQ(cache.policy, Policy::kFifo);
  EXPECT_EQ(cache.clock_ghz, 0.8);
  EXPECT_EQ(cache.read_pj, (Quantity{13400, 0.1, "a paper"}));
  EXPECT_EQ(cache.write_pj, (Quantity{20, 0, ""}));
  EXPECT_EQ(cache.ports, (std::vector<Port>{{"a", 4}, {"b", 8}}));
}

TEST(Config, AbsentOptionalKeysKeepTheStructsValues) {
  const Cache cache = read_cache("version: 1\nname: x\nenergy: {read: 1 pJ, write: 0 pJ}\n");
  EXPECT_EQ(cache.ways, 4);
  EXPECT_EQ(cache.policy, Policy::kLru);
  EXPECT_TRUE(cache.ports.empty());
}

TEST(Config, WhatIsDumpedReadsBackTheSame) {
  Cache cache = read_cache(kGood);
  cache.share = 0.1 + 0.2;  // needs all 17 digits
  cache.read_pj.value = 1.0 / 3;
  cache.name = "null";  // must come back as text
  cache.ports[0].name = "a: b # \"c\"\nd";
  const std::string text = write_yaml(cache_schema().dump(cache));
  EXPECT_EQ(read_cache(text), cache) << text;
}

TEST(Config, VisitsQuantitiesWithTheirPaths) {
  std::vector<std::string> paths;
  cache_schema().visit(read_cache(kGood), "caches.l1",
                       [&](const std::string& path, const Quantity&, Dimension dimension) {
                         paths.push_back(path + " " + std::string(name(dimension)));
                       });
  EXPECT_THAT(paths, ::testing::ElementsAre("caches.l1.energy.read energy",
                                            "caches.l1.energy.write energy"));
}

TEST(Config, ExplainsEveryKeyWithItsDefault) {
  const std::string text = explain(*cache_schema().help());
  EXPECT_THAT(text, HasSubstr("| `ways` | whole number, 1 to 64 | 4 | Ways. |"));
  EXPECT_THAT(text, HasSubstr("| `name` | text | required |"));
  EXPECT_THAT(text, HasSubstr("| `policy` | `fifo` or `lru` | lru | Replacement \\| eviction. |"));
  EXPECT_THAT(text, HasSubstr("| `clock` | frequency, above 0 GHz | 1 GHz | Clock. |"));
  EXPECT_THAT(text, HasSubstr("## energies"));
  EXPECT_THAT(text, HasSubstr("## port\n\nA way in."));
  // A struct that is used twice is explained once.
  EXPECT_EQ(text.find("## constant"), text.rfind("## constant"));
}

TEST(ConfigErrors, ReportsAllMistakesOfAFileInItsOrder) {
  const std::string text = mistakes(R"(version: 2
nmae: l1
ways: 0
share: 1.5
shared: yes
policy: lur
clock: 800
energy:
  read: 13.4 nm
  write:
ports:
  - name: a
    width: four
  - 7
ways: 3
)");
  EXPECT_EQ(text,
            "c.yaml:1:1: missing key 'name' of cache\n"
            "c.yaml:1:10: version: found '2'; allowed: '1'\n"
            "c.yaml:2:1: unknown key 'nmae'; did you mean 'name'? (known: version, name, ways, "
            "share, shared, policy, clock, energy, ports)\n"
            "c.yaml:3:7: ways: found '0'; allowed: whole number, 1 to 64\n"
            "c.yaml:4:8: share: found '1.5'; allowed: number, 0 to 1\n"
            "c.yaml:5:9: shared: unknown value 'yes' (known: true, false)\n"
            "c.yaml:6:9: policy: unknown policy 'lur'; did you mean 'lru'? (known: fifo, lru)\n"
            "c.yaml:7:8: clock: '800' is not a quantity of frequency (the unit is missing); "
            "allowed: a number with one of Hz, kHz, MHz, GHz\n"
            "c.yaml:9:9: energy.read: '13.4 nm' is not a quantity of energy (unknown unit 'nm'); "
            "allowed: a number with one of fJ, pJ, nJ, uJ, mJ, J\n"
            "c.yaml:10:3: energy.write: found nothing; allowed: energy\n"
            "c.yaml:13:12: ports[0].width: found 'four'; allowed: whole number, 1 to 64\n"
            "c.yaml:14:5: ports[1]: found '7'; allowed: a map (port)\n"
            "c.yaml:15:1: duplicate key 'ways' (first at line 3)");
}

TEST(ConfigErrors, WrongKindsOfValues) {
  EXPECT_THAT(mistakes("[1, 2]"), HasSubstr("c.yaml:1:1: found a list; allowed: a map (cache)"));
  EXPECT_THAT(mistakes(""), HasSubstr("found nothing; allowed: a map (cache)"));
  EXPECT_THAT(
      mistakes("version: 1\nname: [x]\nenergy: 3\nports: {a: 1}"),
      ::testing::AllOf(HasSubstr("c.yaml:2:7: name: found a list; allowed: text"),
                       HasSubstr("c.yaml:3:9: energy: found '3'; allowed: a map (energies)"),
                       HasSubstr("c.yaml:4:8: ports: found a map; allowed: list of port")));
}

TEST(ConfigErrors, NumbersThatAreNone) {
  for (const std::string bad : {"nan", "inf", "0x10", "1e999", "1_000", "''", "3.5", "1e2"}) {
    EXPECT_THAT(mistakes("version: 1\nname: x\nenergy: {read: 1 pJ, write: 0 pJ}\nways: " + bad),
                HasSubstr("c.yaml:4:7: ways: found"))
        << bad;
  }
  for (const std::string bad : {"nan", "-inf", "1e999", "abc", "0.5x"}) {
    EXPECT_THAT(mistakes("version: 1\nname: x\nenergy: {read: 1 pJ, write: 0 pJ}\nshare: " + bad),
                HasSubstr("c.yaml:4:8: share: found"))
        << bad;
  }
}

TEST(ConfigErrors, ConstantsAreCheckedInside) {
  EXPECT_EQ(mistakes("version: 1\nname: x\nenergy:\n  read: {value: 0 pJ, sorce: s}\n"
                     "  write: {source: s, plus_minus: -1}"),
            "c.yaml:4:17: energy.read.value: found '0 pJ'; allowed: energy, above 0 pJ\n"
            "c.yaml:4:23: energy.read: unknown key 'sorce'; did you mean 'source'? (known: value, "
            "source, plus_minus)\n"
            "c.yaml:5:10: energy.write: missing key 'value' of constant\n"
            "c.yaml:5:34: energy.write.plus_minus: found '-1'; allowed: ratio, 0 to 100");
}

TEST(ConfigErrors, SecondPhaseFindsPlacesByPath) {
  const Document document = parse_yaml(kGood, "c.yaml");
  const auto check = [](const Cache&, Findings& findings) {
    findings.add("ports[1].width", "odd");
    findings.add("policy", "old");
    findings.add("ports[0].nothing.here", "gone");
  };
  try {
    read<Cache>(document, cache_schema(), check);
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_EQ(std::string(error.what()),
              "c.yaml:6:9: policy: old\n"
              "c.yaml:12:5: ports[0].nothing.here: gone\n"
              "c.yaml:14:22: ports[1].width: odd");
  }
}

TEST(ConfigErrors, ManyMistakesAreCounted) {
  std::string text = "version: 1\nname: x\nenergy: {read: 1 pJ, write: 0 pJ}\nports:\n";
  for (int i = 0; i < 60; ++i)
    text += "  - {name: p, width: 0}\n";
  EXPECT_THAT(mistakes(text), ::testing::EndsWith("\nc.yaml: 10 more"));
}

// ---- The YAML reader ---------------------------------------------------------------------------

std::string yaml_mistake(std::string_view text) {
  try {
    parse_yaml(text, "c.yaml");
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST(Yaml, AliasesStandForTheirAnchors) {
  const Document document = parse_yaml("a: &x {k: 1}\nb: *x\nc: [&y 2, *y]\n", "c.yaml");
  const Node* b = document.root.find("b");
  ASSERT_NE(b, nullptr);
  ASSERT_NE(b->find("k"), nullptr);
  EXPECT_EQ(b->find("k")->text, "1");
  EXPECT_EQ(b->find("k")->line, 1);  // mended at the anchor
  EXPECT_EQ(b->key_line, 2);
  EXPECT_EQ(document.root.find("c")->children[1].text, "2");
}

TEST(Yaml, SyntaxErrorsHaveAPlace) {
  EXPECT_THAT(yaml_mistake("a: [1, 2\nb: 3\n"), MatchesRegex("c\\.yaml:[0-9]+:[0-9]+: not valid "
                                                             "YAML: .*"));
  EXPECT_THAT(yaml_mistake("a: *nowhere\n"), HasSubstr("c.yaml:1:4: not valid YAML"));
  EXPECT_THAT(yaml_mistake("a: 1\n\tb: 2\n"), HasSubstr("not valid YAML"));
  EXPECT_THAT(yaml_mistake("? [a, b]\n: 1\n"), HasSubstr("a key must be plain text"));
  EXPECT_THAT(yaml_mistake("{a: 1}: 2\n"), HasSubstr("a key must be plain text"));
  EXPECT_THAT(yaml_mistake("~: 2\n"), HasSubstr("a key must be plain text, found nothing"));
  EXPECT_THAT(yaml_mistake("a: 1\n---\nb: 2\n"), HasSubstr("c.yaml:3:1: a second document"));
  EXPECT_THAT(yaml_mistake("a: &x [*x]\n"), HasSubstr("alias inside the value"));
}

TEST(Yaml, GarbageIsRefused) {
  EXPECT_THAT(yaml_mistake(std::string("a: \0b", 5)), HasSubstr("not a text file"));
  EXPECT_THAT(yaml_mistake("a: \"\\0\""), HasSubstr("c.yaml:1:4: a zero byte"));
  EXPECT_THAT(yaml_mistake("\xff\xfe\x61"), HasSubstr("not a text file"));
  EXPECT_THAT(yaml_mistake(std::string(5 << 20, 'x')), HasSubstr("allowed: up to 4194304"));
}

TEST(Yaml, DeepNestingIsRefused) {
  EXPECT_EQ(yaml_mistake(std::string(60, '[') + std::string(60, ']')), "");
  EXPECT_THAT(yaml_mistake(std::string(65, '[') + std::string(65, ']')),
              HasSubstr("c.yaml:1:65: nested deeper than 64 levels"));
  EXPECT_THAT(yaml_mistake(std::string(100'000, '[')), HasSubstr("c.yaml:1:"));
  EXPECT_THAT(yaml_mistake(std::string(100'000, '{')), HasSubstr("c.yaml:1:"));
  std::string sequence;
  for (int i = 0; i < 100'000; ++i)
    sequence += "- ";
  EXPECT_THAT(yaml_mistake(sequence), HasSubstr("c.yaml:1:"));
}

TEST(Yaml, AliasesCannotGrowWithoutBound) {
  std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    const std::string name = "a" + std::to_string(i);
    const std::string before = "*a" + std::to_string(i - 1);
    text += name + ": &" + name + " [" + before;
    for (int k = 0; k < 9; ++k)
      text += ", " + before;
    text += "]\n";
  }
  EXPECT_THAT(yaml_mistake(text), HasSubstr("the document is too large"));
}

// Broken variants of a good file end in a value or a ConfigError, never otherwise.
TEST(Yaml, SurvivesDamage) {
  Rng rng(1);
  int fine = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string text(kGood);
    const std::uint64_t edits = 1 + rng.below(6);
    for (std::uint64_t edit = 0; edit < edits; ++edit) {
      const std::size_t at = rng.below(text.size());
      constexpr std::string_view kMarks = "{}[]:,-&*!|>'\"%@`#? \n\tx9";
      switch (rng.below(3)) {
        case 0:
          text[at] = kMarks[rng.below(kMarks.size())];
          break;
        case 1:
          text.insert(at, 1, kMarks[rng.below(kMarks.size())]);
          break;
        default:
          text.erase(at, 1 + rng.below(5));
      }
    }
    fine += mistakes(text).empty() ? 1 : 0;
  }
  EXPECT_GT(fine, 0);
  EXPECT_LT(fine, 3000);
}

}  // namespace
}  // namespace tessera::config
