// SPDX-License-Identifier: Apache-2.0
#include "tessera/search/nsga2.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/core/error.h"
#include "tessera/search/samplers.h"

#include "search/problems.h"
#include "search/variation.h"

namespace tessera::search {
namespace {

using namespace testing;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

std::vector<plan::Point> points_of(const std::vector<Individual>& individuals) {
  std::vector<plan::Point> points;
  for (const Individual& individual : individuals)
    points.push_back(individual.value.objectives);
  return points;
}

// Two objectives that pull each of seven ordered variables of five choices both ways, each by an
// amount of its own: 78,125 points.
SearchSpace choices() {
  SearchSpace space;
  for (int i = 0; i < 7; ++i) {
    space.variables.push_back(ChoiceVariable{5, true});
    space.blocks.push_back(i / 2);
  }
  return space;
}
Evaluation weigh(const Genome& x) {
  const std::vector<double> gain = {3, 14, 1, 5, 9, 2, 6};
  const std::vector<double> price = {5, 8, 9, 7, 9, 3, 2};
  Evaluation value{{0, 0}};
  for (std::size_t i = 0; i < x.size(); ++i) {
    value.objectives[0] += gain[i] * std::exp2(-2 * x[i]);
    value.objectives[1] += price[i] * (x[i] + 2);
  }
  return value;
}

std::vector<Individual> run(const SearchSpace& space, Nsga2Options options, std::uint64_t seed,
                            int generations, const std::function<Evaluation(const Genome&)>& f) {
  Nsga2 nsga2(space, std::move(options), Rng(seed));
  search_for(nsga2, generations, f);
  return nsga2.population();
}

// ---- Fronts that are known in closed form ----

// Area that the front dominates below (1.1, 1.1): 1.21 less the area under it, 1/3. A hundred
// points on the front lose at most the largest step times the height between neighbours; evenly
// spread, 1/200 of the unit square.
TEST(Nsga2, FindsTheFrontOfZdt1) {
  const auto population = run(unit_cube(30), {}, 1, 250, zdt1);
  const double exact = 1.21 - 1.0 / 3;
  const double volume = plan::hypervolume(points_of(population), plan::Point{1.1, 1.1});
  EXPECT_GT(volume, exact - 0.01);
  EXPECT_LT(volume, exact);
  for (const Individual& individual : population)
    EXPECT_NEAR(zdt_g(individual.genome), 1, 0.02);
}

TEST(Nsga2, FindsTheConcaveFrontOfZdt2) {
  const auto population = run(unit_cube(30), {}, 2, 250, zdt2);
  const double exact = 1.21 - 2.0 / 3;
  const double volume = plan::hypervolume(points_of(population), plan::Point{1.1, 1.1});
  EXPECT_GT(volume, exact - 0.01);
  EXPECT_LT(volume, exact);
}

// The front of ZDT3 falls into five pieces, at these values of the first objective.
TEST(Nsga2, FindsAllPiecesOfTheFrontOfZdt3) {
  const auto population = run(unit_cube(30), {}, 3, 250, zdt3);
  const std::vector<std::pair<double, double>> pieces = {{0, 0.0830015349},
                                                         {0.1822287280, 0.2577623634},
                                                         {0.4093136748, 0.4538821041},
                                                         {0.6183967944, 0.6525117038},
                                                         {0.8233317983, 0.8518328654}};
  std::vector<int> members(pieces.size(), 0);
  for (const plan::Point& point : points_of(population)) {
    for (std::size_t p = 0; p < pieces.size(); ++p)
      members[p] += point[0] >= pieces[p].first - 0.01 && point[0] <= pieces[p].second + 0.01;
  }
  for (std::size_t p = 0; p < pieces.size(); ++p)
    EXPECT_GE(members[p], 5) << "piece " << p;
}

TEST(Nsga2, FindsTheSphereOfDtlz2) {
  const auto population = run(unit_cube(12), {}, 4, 250, dtlz2);
  for (const plan::Point& point : points_of(population)) {
    const double norm = std::sqrt(point[0] * point[0] + point[1] * point[1] + point[2] * point[2]);
    EXPECT_NEAR(norm, 1, 0.1);
  }
  // Every third of each axis is reached: the front is covered.
  for (std::size_t axis = 0; axis < 3; ++axis) {
    std::set<int> thirds;
    for (const plan::Point& point : points_of(population))
      thirds.insert(static_cast<int>(std::min(point[axis], 0.999) * 3));
    EXPECT_EQ(thirds.size(), 3u);
  }
}

// Nothing but x2 = max(0, 6 - 9 x1) is on the front; 0.1 is a fiftieth of the range of x2, whose
// constraint crossover along the axes cannot follow.
TEST(Nsga2, KeepsConstraints) {
  const auto population = run(constr_space(), {}, 5, 200, constr);
  double least = 1;
  for (const Individual& individual : population) {
    EXPECT_EQ(individual.value.violation, 0);
    const double x1 = individual.genome[0];
    least = std::min(least, x1);
    EXPECT_NEAR(individual.genome[1], std::max(0.0, 6 - 9 * x1), 0.1);
  }
  // x2 = 6 - 9 x1 = 9 x1 - 1 at the end: x1 = 7/18.
  EXPECT_NEAR(least, 7.0 / 18, 0.01);
}

TEST(Nsga2, MovesTowardsConstraintsWhereNothingKeepsThem) {
  const auto broken = [](const Genome& x) {
    return Evaluation{{x[0], -x[0]}, 1 + std::abs(x[0] - 0.25)};
  };
  const auto population = run(unit_cube(1), {.population = 20}, 6, 40, broken);
  EXPECT_NEAR(population.front().genome[0], 0.25, 1e-3);
}

// ---- Against exhaustive search ----

TEST(Nsga2, FindsTheFrontOfExhaustiveSearchOverChoices) {
  ExhaustiveSearch all(choices(), 10'000);
  Archive exact;
  while (!all.ask().empty()) {
    const std::vector<Genome> asked = all.ask();
    const auto values = evaluate_all(asked, weigh, 1);
    for (std::size_t i = 0; i < asked.size(); ++i)
      exact.offer({asked[i], values[i]});
    all.tell(values);
  }
  Archive found;
  Nsga2 nsga2(choices(), {.population = 80}, Rng(7));
  for (int generation = 0; generation < 150; ++generation) {
    const std::vector<Genome> asked = nsga2.ask();
    const auto values = evaluate_all(asked, weigh, 1);
    for (std::size_t i = 0; i < asked.size(); ++i)
      found.offer({asked[i], values[i]});
    nsga2.tell(values);
  }
  const plan::Point reference{41, 260};
  const double best = plan::hypervolume(exact.points(), reference);
  EXPECT_GT(plan::hypervolume(found.points(), reference), 0.999 * best);
  const auto least = [](const Archive& archive, std::size_t objective) {
    double value = std::numeric_limits<double>::infinity();
    for (const plan::Point& point : archive.points())
      value = std::min(value, point[objective]);
    return value;
  };
  EXPECT_EQ(least(found, 0), least(exact, 0));
  EXPECT_EQ(least(found, 1), least(exact, 1));

  // The same number of points drawn at random does worse.
  RandomSearch random(choices(), 80, Rng(7));
  Archive drawn;
  for (int round = 0; round < 150; ++round) {
    const std::vector<Genome> asked = random.ask();
    const auto values = evaluate_all(asked, weigh, 1);
    for (std::size_t i = 0; i < asked.size(); ++i)
      drawn.offer({asked[i], values[i]});
    random.tell(values);
  }
  EXPECT_LT(plan::hypervolume(drawn.points(), reference),
            plan::hypervolume(found.points(), reference));
}

TEST(Nsga2, ThePapersOperatorsFindTheFrontToo) {
  const auto population = run(choices(),
                              {.population = 80,
                               .operators = Nsga2Operators::kKlhufek2024,
                               .crowding_scale = plan::Point{41, 260}},
                              8, 300, weigh);
  const double standard = plan::hypervolume(
      points_of(run(choices(), {.population = 80}, 8, 300, weigh)), plan::Point{41, 260});
  EXPECT_GT(plan::hypervolume(points_of(population), plan::Point{41, 260}), 0.98 * standard);
}

// ---- What all searchers keep ----

struct Kind {
  std::string name;
  std::function<std::unique_ptr<Searcher>()> make;
};

class Searchers : public ::testing::TestWithParam<Kind> {};

TEST_P(Searchers, AskTheSameUntilTold) {
  const auto searcher = GetParam().make();
  EXPECT_EQ(searcher->ask(), searcher->ask());
  search_for(*searcher, 1, weigh);
  EXPECT_EQ(searcher->ask(), searcher->ask());
}

TEST_P(Searchers, StayInsideTheSpace) {
  const auto searcher = GetParam().make();
  for (int round = 0; round < 20; ++round) {
    for (const Genome& genome : searcher->ask()) {
      ASSERT_EQ(genome.size(), 7u);
      for (const double value : genome)
        EXPECT_TRUE(value == 0 || value == 1 || value == 2 || value == 3 || value == 4) << value;
    }
    search_for(*searcher, 1, weigh);
  }
}

TEST_P(Searchers, DoNotDependOnTheNumberOfThreads) {
  const auto one = GetParam().make();
  const auto four = GetParam().make();
  search_for(*one, 15, weigh, 1);
  search_for(*four, 15, weigh, 4);
  EXPECT_EQ(one->ask(), four->ask());
  EXPECT_EQ(one->state(), four->state());
}

// Stopped after any round, written as text, and continued: the same as not stopped.
TEST_P(Searchers, ContinueFromTheirState) {
  const auto whole = GetParam().make();
  search_for(*whole, 12, weigh);
  for (int stop = 0; stop <= 12; ++stop) {
    const auto first = GetParam().make();
    search_for(*first, stop, weigh);
    const std::string text = first->state().dump();
    const auto second = GetParam().make();
    second->restore(nlohmann::ordered_json::parse(text));
    search_for(*second, 12 - stop, weigh);
    EXPECT_EQ(second->ask(), whole->ask()) << "stopped after " << stop;
    EXPECT_EQ(second->state(), whole->state()) << "stopped after " << stop;
  }
}

TEST_P(Searchers, RefuseAStateThatIsNone) {
  const auto searcher = GetParam().make();
  EXPECT_THAT(
      [&] {
        searcher->restore({{"colour", "blue"}});
      },
      ThrowsMessage<ConfigError>(HasSubstr("state of")));
}

INSTANTIATE_TEST_SUITE_P(
    All, Searchers,
    ::testing::Values(
        Kind{"nsga2",
             [] {
               return std::make_unique<Nsga2>(choices(), Nsga2Options{.population = 20}, Rng(11));
             }},
        Kind{"klhufek",
             [] {
               return std::make_unique<Nsga2>(
                   choices(),
                   Nsga2Options{.population = 20, .operators = Nsga2Operators::kKlhufek2024},
                   Rng(11));
             }},
        Kind{"random", [] { return std::make_unique<RandomSearch>(choices(), 20, Rng(11)); }},
        Kind{"exhaustive", [] { return std::make_unique<ExhaustiveSearch>(choices(), 20); }}),
    [](const auto& one) { return one.param.name; });

TEST(Nsga2, RefusesAStateOfAnotherSpace) {
  Nsga2 nsga2(choices(), {.population = 20}, Rng(1));
  const nlohmann::ordered_json state = {
      {"generation", 1},
      {"population", {{{"genome", {1, 2}}, {"objectives", {0, 0}}, {"violation", 0}}}}};
  EXPECT_THAT([&] { nsga2.restore(state); },
              ThrowsMessage<ConfigError>("state of nsga2: a point of 2 values; allowed: 7"));
  EXPECT_THAT(
      [&] {
        nsga2.restore({{"generation", 1}, {"population", {{{"genome", 3}}}}});
      },
      ThrowsMessage<ConfigError>(HasSubstr("not a list of individuals")));
}

TEST(Nsga2, StartsFromWhatItIsGiven) {
  const Genome low(7, 0);
  const Genome high(7, 4);
  Nsga2 nsga2(choices(), {.population = 4, .start = {low, high, low}}, Rng(1));
  const std::vector<Genome> asked = nsga2.ask();
  EXPECT_EQ(asked.size(), 4u);
  EXPECT_EQ(asked[0], low);
  EXPECT_EQ(asked[1], high);
  EXPECT_NE(asked[2], low) << "a start given twice counts once";
}

TEST(Nsga2, DrawsNoPointTwiceWhereThereAreOthers) {
  SearchSpace small{{ChoiceVariable{4}, ChoiceVariable{4}, ChoiceVariable{4}}};
  Nsga2 nsga2(small, {.population = 10}, Rng(3));
  const auto flat = [](const Genome& x) { return Evaluation{{x[0], -x[0]}}; };
  for (int generation = 0; generation < 10; ++generation) {
    std::set<Genome> known;
    for (const Individual& individual : nsga2.population())
      known.insert(individual.genome);
    for (const Genome& genome : nsga2.ask())
      EXPECT_TRUE(known.insert(genome).second);
    search_for(nsga2, 1, flat);
  }
}

TEST(Nsga2, EndsInASpaceOfOnePoint) {
  SearchSpace point{{ChoiceVariable{1}, ChoiceVariable{1}}};
  Nsga2 nsga2(point, {.population = 4}, Rng(3));
  search_for(nsga2, 3, [](const Genome&) { return Evaluation{{1, 2}}; });
  EXPECT_EQ(nsga2.population().size(), 4u);
}

TEST(Nsga2, FaultyUseIsABug) {
  EXPECT_THROW(Nsga2(choices(), {.population = 3}, Rng(1)), InternalError);
  EXPECT_THROW(Nsga2(choices(), {.start = {{1, 2}}}, Rng(1)), InternalError);
  EXPECT_THROW(Nsga2(choices(), {.start = {Genome(7, 5)}}, Rng(1)), InternalError);
  EXPECT_THROW(Nsga2(unit_cube(2), {.operators = Nsga2Operators::kKlhufek2024}, Rng(1)),
               InternalError);
  Nsga2 nsga2(unit_cube(2), {.population = 2}, Rng(1));
  nsga2.ask();
  EXPECT_THROW(nsga2.tell(std::vector<Evaluation>{{{0, 1}}}), InternalError);
  EXPECT_THROW(
      nsga2.tell(std::vector<Evaluation>{{{0, 1}}, {{0, std::numeric_limits<double>::infinity()}}}),
      InternalError);
}

TEST(ExhaustiveSearch, MeetsEveryPointOnceAndEnds) {
  SearchSpace space{{ChoiceVariable{2}, ChoiceVariable{3}, ChoiceVariable{2}}};
  ExhaustiveSearch search(space, 5);
  std::vector<Genome> met;
  while (!search.ask().empty()) {
    for (const Genome& genome : search.ask())
      met.push_back(genome);
    search_for(search, 1, [](const Genome&) { return Evaluation{{0}}; });
  }
  EXPECT_EQ(met.size(), 12u);
  EXPECT_TRUE(std::is_sorted(met.begin(), met.end()));
  EXPECT_EQ(std::set<Genome>(met.begin(), met.end()).size(), 12u);
}

TEST(ExhaustiveSearch, RefusesSpacesThatAreTooLarge) {
  EXPECT_THAT([] { ExhaustiveSearch(choices(), 5, 1000); },
              ThrowsMessage<UsageError>(HasSubstr("78125 points; allowed: at most 1000")));
  EXPECT_THROW(ExhaustiveSearch(unit_cube(1), 5), UsageError);
}

// ---- Operators ----

// The mean of the children is that of the parents, but for what the bounds take; the spread is the
// one of the density 0.5 (n + 1) b^n for children inside the parents (b < 1), of probability 1/2.
TEST(SimulatedBinaryCrossover, KeepsTheParentsMiddleAndSpread) {
  Rng rng(1);
  const RealVariable wide{-1e6, 1e6};
  int inside = 0;
  constexpr int kDraws = 4000;
  for (int i = 0; i < kDraws; ++i) {
    const RealPair children = simulated_binary_crossover({1, 3}, wide, 15, rng);
    EXPECT_NEAR(children.a + children.b, 4, 1e-9);
    EXPECT_LT(children.a, children.b);
    inside += children.a > 1;
  }
  // Binomial with p = 1/2: five standard deviations.
  EXPECT_NEAR(inside, kDraws / 2, 5 * 0.5 * std::sqrt(kDraws));
}

TEST(Operators, StayWithinBounds) {
  Rng rng(2);
  const RealVariable narrow{0, 1};
  for (int i = 0; i < 2000; ++i) {
    const RealPair children = simulated_binary_crossover({0, 0.97}, narrow, 2, rng);
    for (const double value : {children.a, children.b, polynomial_mutation(0.01, narrow, 2, rng)}) {
      EXPECT_GE(value, 0);
      EXPECT_LE(value, 1);
    }
    for (const int value : {0, 3}) {
      const int other = mutated_choice(value, {4, i % 2 == 0}, rng);
      EXPECT_NE(other, value);
      EXPECT_GE(other, 0);
      EXPECT_LT(other, 4);
    }
  }
  EXPECT_EQ(mutated_choice(0, {1}, rng), 0);
}

TEST(Operators, CrossoverHandsBlocksOnTogether) {
  Rng rng(3);
  const SearchSpace space{std::vector<Variable>(6, ChoiceVariable{2}), {0, 0, 1, 1, 2, 2}};
  std::set<Genome> children;
  for (int i = 0; i < 200; ++i) {
    const GenomePair pair =
        standard_crossover(space, {.crossover_rate = 1}, {Genome(6, 0), Genome(6, 1)}, rng);
    children.insert(pair.a);
    for (std::size_t k = 0; k < 6; ++k) {
      EXPECT_EQ(pair.a[k] + pair.b[k], 1);
      EXPECT_EQ(pair.a[k], pair.a[k / 2 * 2]);
    }
  }
  EXPECT_EQ(children.size(), 8u) << "all ways to deal three blocks";
}

// ---- Ranks and archive ----

TEST(ConstrainedRanks, PutThoseThatBreakConstraintsBehindByViolation) {
  const std::vector<Individual> all = {{{}, {{0, 0}, 2}}, {{}, {{5, 5}, 0}}, {{}, {{1, 9}, 0}},
                                       {{}, {{6, 6}, 0}}, {{}, {{9, 9}, 1}}, {{}, {{7, 7}, 2}}};
  EXPECT_EQ(constrained_ranks(all), (std::vector<int>{3, 0, 0, 1, 2, 3}));
}

TEST(Archive, HoldsTheFrontOfAllThatWasOffered) {
  Rng rng(4);
  std::vector<plan::Point> points;
  Archive archive;
  for (int i = 0; i < 300; ++i) {
    const plan::Point point{static_cast<double>(rng.below(12)), static_cast<double>(rng.below(12)),
                            static_cast<double>(rng.below(12))};
    archive.offer({{}, {point, 0}});
    archive.offer({{}, {{-1, -1, -1}, 0.5}});
    points.push_back(point);
  }
  std::set<plan::Point> expected;
  for (const std::size_t i : plan::pareto_front(points))
    expected.insert(points[i]);
  const std::vector<plan::Point> kept = archive.points();
  EXPECT_EQ(std::set<plan::Point>(kept.begin(), kept.end()), expected);
  EXPECT_EQ(kept.size(), expected.size());
}

TEST(Archive, IsTheSameAsJson) {
  const std::vector<Individual> all = {{{1, 0.1}, {{1e-300, 1.0 / 3}, 0}}, {{}, {{}, 2.5}}};
  EXPECT_EQ(individuals_from_json(nlohmann::ordered_json::parse(to_json(all).dump()), "x"), all);
}

TEST(CrowdingDistances, ByHand) {
  const std::vector<plan::Point> front = {{0, 10}, {10, 0}, {1, 6}, {4, 2}};
  const std::vector<double> distance = crowding_distances(front);
  EXPECT_EQ(distance[0], std::numeric_limits<double>::infinity());
  EXPECT_EQ(distance[1], std::numeric_limits<double>::infinity());
  EXPECT_DOUBLE_EQ(distance[2], 4.0 / 10 + 8.0 / 10);
  EXPECT_DOUBLE_EQ(distance[3], 9.0 / 10 + 6.0 / 10);
}

}  // namespace
}  // namespace tessera::search
