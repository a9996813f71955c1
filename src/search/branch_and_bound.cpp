// SPDX-License-Identifier: Apache-2.0
// Best first through the outer levels, depth first below. Nodes are taken in batches whose size
// depends on nothing but how many were taken before; the nodes of a batch start from the same
// incumbent and are merged in order, so that the result is the same on any number of threads.
#include <algorithm>
#include <limits>
#include <memory>

#include "tessera/core/rng.h"

#include "incumbent.h"

namespace tessera::search {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
// Levels whose nodes wait in one queue.
constexpr int kQueuedLevels = 2;
constexpr std::size_t kMaxBatch = 64;
// Beyond this many waiting nodes, taken ones are searched to the end instead of queueing children.
constexpr std::size_t kMaxQueue = 100'000;
// A node with more children than this is not searched to its end, for want of memory.
constexpr std::size_t kMaxChildren = 100'000;
// Draws from the whole space that give the first incumbent.
constexpr std::int64_t kFirstDraws = 1000;

struct QueuedNode {
  NestNode node;
  std::vector<cost::CompactNest::Level> levels;  // decided ones, outer to inner
  std::int64_t keep = 0;
  double value = 0;
};

// What one node of a batch gave.
struct Outcome {
  Incumbent incumbent;
  std::vector<QueuedNode> children;
  bool finished = true;
  std::int64_t evaluated = 0;
  std::int64_t valid = 0;
};

class Worker {
 public:
  Worker(const MapSpace& space, const cost::Pricing& pricing, const NestSearchOptions& options,
         bool prune)
      : space_(space),
        pricing_(pricing),
        options_(options),
        prune_(prune),
        brancher_(space, pricing, prune),
        children_(static_cast<std::size_t>(space.model().levels())) {}

  Outcome run(const QueuedNode& queued, const Incumbent& incumbent, bool may_queue) {
    Outcome outcome{.incumbent = incumbent, .children = {}, .finished = true};
    outcome_ = &outcome;
    NestNode root;
    brancher_.start(queued.keep, root);
    const int decided = static_cast<int>(queued.levels.size());
    const int s = space_.model().levels() - 1 - decided;
    cost::CompactNest nest;
    for (int i = 0; i < decided; ++i)
      nest.levels[s + decided - i] = queued.levels[static_cast<std::size_t>(i)];
    brancher_.restore(nest, s + 1);
    if (may_queue && decided < kQueuedLevels && s > 0)
      queue_children(s, queued);
    else
      search(s, queued.node);
    // Only the workers that run hold large lists.
    for (auto& children : children_) {
      if (children.capacity() > kMaxChildren / 8)
        children = {};
    }
    return outcome;
  }

 private:
  bool refuses(const NestBound& bound) const {
    return prune_ && outcome_->incumbent.refuses(bound);
  }

  void expand(int s, const NestNode& node) {
    auto& children = children_[static_cast<std::size_t>(s)];
    bool halt = false;
    const auto refuse = [&](const NestBound& bound) {
      halt = halt || children.size() >= kMaxChildren || must_halt();
      return halt || refuses(bound);
    };
    brancher_.expand(s, node, refuse, halt, children);
    outcome_->finished = outcome_->finished && !halt;
  }

  // The clock is looked at now and then.
  bool must_halt() { return ++steps_ % 256 == 0 && must_stop(options_); }

  void queue_children(int s, const QueuedNode& queued) {
    expand(s, queued.node);
    for (const NestBrancher::Child& child : children_[static_cast<std::size_t>(s)]) {
      QueuedNode next{.node = child.node, .levels = queued.levels, .keep = queued.keep};
      next.levels.push_back(child.level);
      next.value = outcome_->incumbent.value(child.node.bound);
      outcome_->children.push_back(std::move(next));
    }
  }

  void search(int s, const NestNode& node) {
    if (s < 0) {
      evaluate();
      return;
    }
    if (must_stop(options_)) {
      outcome_->finished = false;
      return;
    }
    expand(s, node);
    const auto& children = children_[static_cast<std::size_t>(s)];
    std::vector<std::pair<double, std::uint32_t>> order(children.size());
    for (std::uint32_t i = 0; i < order.size(); ++i)
      order[i] = {prune_ ? outcome_->incumbent.value(children[i].node.bound) : 0, i};
    std::ranges::sort(order);
    for (const auto& [value, i] : order) {
      const NestBrancher::Child& child = children_[static_cast<std::size_t>(s)][i];
      if (refuses(child.node.bound))
        continue;
      const std::size_t mark = brancher_.loop_mark();
      brancher_.enter(s, child.level, child.node.rest);
      search(s - 1, child.node);
      brancher_.leave(mark);
    }
  }

  void evaluate() {
    ++outcome_->evaluated;
    const auto summary = space_.model().evaluate(brancher_.nest(), pricing_);
    if (!summary)
      return;
    ++outcome_->valid;
    outcome_->incumbent.offer(brancher_.nest(), *summary);
  }

  const MapSpace& space_;
  const cost::Pricing& pricing_;
  const NestSearchOptions& options_;
  bool prune_;
  NestBrancher brancher_;
  std::vector<std::vector<NestBrancher::Child>> children_;  // of each level
  Outcome* outcome_ = nullptr;
  std::uint64_t steps_ = 0;
};

// A heap with the least value on top; equal values in the order they came.
class Queue {
 public:
  void push(QueuedNode node) {
    items_.push_back({node.value, next_++, std::move(node)});
    std::ranges::push_heap(items_, later);
  }
  QueuedNode pop() {
    std::ranges::pop_heap(items_, later);
    QueuedNode node = std::move(items_.back().node);
    items_.pop_back();
    return node;
  }
  bool empty() const { return items_.empty(); }
  std::size_t size() const { return items_.size(); }
  const QueuedNode& top() const { return items_.front().node; }

 private:
  struct Item {
    double value;
    std::uint64_t number;
    QueuedNode node;
  };
  static bool later(const Item& a, const Item& b) {
    return std::pair(a.value, a.number) > std::pair(b.value, b.number);
  }
  std::vector<Item> items_;
  std::uint64_t next_ = 0;
};

void fill_queue(const MapSpace& space, const cost::Pricing& pricing, const Incumbent& incumbent,
                Queue& queue) {
  NestBrancher brancher(space, pricing, /*bounds=*/true);
  for (std::int64_t keep = 0; keep < space.keeps(); ++keep) {
    QueuedNode root;
    if (!brancher.start(keep, root.node))
      continue;
    root.keep = keep;
    root.value = incumbent.value(root.node.bound);
    queue.push(std::move(root));
  }
}

void draw_first(const MapSpace& space, const cost::Pricing& pricing,
                const NestSearchOptions& options, BranchAndBoundResult& result) {
  const Rng rng = Rng(options.seed).split("first nests");
  const auto size = static_cast<std::uint64_t>(space.size());
  for (std::int64_t i = 0; i < kFirstDraws && !must_stop(options); ++i) {
    const auto nest =
        space.nest(static_cast<std::int64_t>(rng.split(static_cast<std::uint64_t>(i)).below(size)));
    if (!nest)
      continue;
    ++result.evaluated;
    if (const auto summary = space.model().evaluate(*nest, pricing)) {
      ++result.valid;
      result.incumbent.offer(*nest, *summary);
    }
  }
}

std::vector<QueuedNode> next_batch(Queue& queue, std::size_t most, const Incumbent& incumbent,
                                   bool prune) {
  std::vector<QueuedNode> batch;
  while (!queue.empty() && batch.size() < most) {
    QueuedNode node = queue.pop();
    if (!prune || !incumbent.refuses(node.node.bound))
      batch.push_back(std::move(node));
  }
  return batch;
}

}  // namespace

BranchAndBoundResult branch_and_bound(const MapSpace& space, const cost::Pricing& pricing,
                                      const NestSearchOptions& options, Incumbent::Goal goal,
                                      bool prune) {
  BranchAndBoundResult result{.incumbent = Incumbent(goal, options.objective)};
  for (const cost::CompactNest& hint : options.hints) {
    if (const auto summary = space.model().evaluate(hint, pricing))
      result.incumbent.offer(hint, *summary);
  }
  if (prune)
    draw_first(space, pricing, options, result);
  Queue queue;
  fill_queue(space, pricing, result.incumbent, queue);
  const int threads = std::max(options.threads, 1);
  std::vector<std::unique_ptr<Worker>> workers(kMaxBatch);
  result.open_value = kInfinity;
  std::size_t batch_size = 1;
  while (!queue.empty()) {
    const std::vector<QueuedNode> batch = next_batch(queue, batch_size, result.incumbent, prune);
    const bool may_queue = queue.size() < kMaxQueue;
    std::vector<std::optional<Outcome>> outcomes(batch.size());
    for_each_index(batch.size(), threads, [&](std::size_t i) {
      if (must_stop(options))
        return;
      if (!workers[i])
        workers[i] = std::make_unique<Worker>(space, pricing, options, prune);
      outcomes[i] = workers[i]->run(batch[i], result.incumbent, may_queue);
    });
    for (std::size_t i = 0; i < batch.size(); ++i) {
      if (!outcomes[i] || !outcomes[i]->finished)
        result.open_value = std::min(result.open_value, batch[i].value);
      if (!outcomes[i])
        continue;
      result.evaluated += outcomes[i]->evaluated;
      result.valid += outcomes[i]->valid;
      result.incumbent.merge(outcomes[i]->incumbent);
      for (QueuedNode& child : outcomes[i]->children)
        queue.push(std::move(child));
    }
    batch_size = std::min(2 * batch_size, kMaxBatch);
    if (must_stop(options))
      break;
  }
  if (!queue.empty())
    result.open_value = std::min(result.open_value, queue.top().value);
  return result;
}

}  // namespace tessera::search
