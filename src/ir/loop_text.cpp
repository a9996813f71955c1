// SPDX-License-Identifier: Apache-2.0
#include "tessera/ir/loop_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>

#include "tessera/core/text.h"

namespace tessera::ir {
namespace {

using config::Findings;
using config::Node;

template <typename V>
bool parse_whole(std::string_view text, V& value) {
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  return code == std::errc() && end == text.data() + text.size();
}

// "a, b c" as words.
std::vector<std::string> words(std::string_view text) {
  std::vector<std::string> result;
  std::string word;
  for (const char c : text) {
    if (c == ',' || c == ' ' || c == '\t' || c == '\n') {
      if (!word.empty())
        result.push_back(std::exchange(word, {}));
    } else {
      word += c;
    }
  }
  if (!word.empty())
    result.push_back(word);
  return result;
}

bool is_known(const std::vector<std::string>& known, std::string_view name) {
  return std::ranges::find(known, name) != known.end();
}

void add_factor(const Node& node, std::string_view text, const std::vector<std::string>& dims,
                std::vector<WrittenFactor>& factors, Findings& findings) {
  std::size_t name_end = 0;
  while (name_end < text.size() &&
         (std::isalpha(static_cast<unsigned char>(text[name_end])) != 0 || text[name_end] == '_'))
    ++name_end;
  WrittenFactor factor{.dim = std::string(text.substr(0, name_end))};
  std::string_view rest = text.substr(name_end);
  if (rest.starts_with("<=")) {
    factor.at_most = true;
    rest.remove_prefix(2);
  } else if (rest.starts_with("=")) {
    rest.remove_prefix(1);
  }
  if (factor.dim.empty() || !parse_whole(rest, factor.value) || factor.value < 0) {
    findings.add(node, fmt::format("found factor '{}'; allowed: DIMENSION=NUMBER or "
                                   "DIMENSION<=NUMBER, a number of at least 1, or 0 for the rest",
                                   text.substr(0, 60)));
    return;
  }
  if (!is_known(dims, factor.dim)) {
    findings.add(node, unknown_name("dimension", factor.dim, dims));
    return;
  }
  if (std::ranges::find(factors, factor.dim, &WrittenFactor::dim) != factors.end()) {
    findings.add(node, fmt::format("dimension '{}' stands twice", factor.dim));
    return;
  }
  factors.push_back(std::move(factor));
}

void add_to_order(const Node& node, std::string_view text, const std::vector<std::string>& dims,
                  WrittenOrder& order, bool& behind_star, Findings& findings) {
  std::vector<std::string> names = words(text);
  // Without separators every letter is a name, unless all together are one.
  if (names.size() == 1 && !is_known(dims, names[0])) {
    const std::string letters = names[0];
    names.clear();
    for (const char c : letters)
      names.emplace_back(1, c);
  }
  for (const std::string& name : names) {
    if (name == "*") {
      behind_star = true;
    } else if (!is_known(dims, name)) {
      findings.add(node, unknown_name("dimension", name, dims));
    } else if (is_known(order.inner, name) || is_known(order.outer, name)) {
      findings.add(node, fmt::format("dimension '{}' stands twice", name));
    } else {
      (behind_star ? order.outer : order.inner).push_back(name);
    }
  }
}

}  // namespace

std::vector<WrittenFactor> parse_factors(const Node& node, const std::vector<std::string>& dims,
                                         Findings& findings) {
  std::vector<WrittenFactor> factors;
  const auto add_text = [&](const Node& at) {
    for (const std::string& word : words(at.text))
      add_factor(at, word, dims, factors, findings);
  };
  if (node.kind == Node::Kind::kScalar) {
    add_text(node);
  } else if (node.kind == Node::Kind::kList) {
    for (const Node& item : node.children) {
      if (item.kind == Node::Kind::kScalar)
        add_text(item);
      else
        findings.add(item, "found " + describe(item) + "; allowed: DIMENSION=NUMBER");
    }
  } else if (node.kind == Node::Kind::kMap) {
    for (const Node& entry : node.children)
      add_factor(entry, entry.key + "=" + entry.text, dims, factors, findings);
  }
  return factors;
}

WrittenOrder parse_order(const Node& node, const std::vector<std::string>& dims,
                         Findings& findings) {
  WrittenOrder order;
  bool behind_star = false;
  if (node.kind == Node::Kind::kScalar) {
    add_to_order(node, node.text, dims, order, behind_star, findings);
  } else if (node.kind == Node::Kind::kList) {
    for (const Node& item : node.children)
      add_to_order(item, item.text, dims, order, behind_star, findings);
  } else if (node.kind == Node::Kind::kMap) {
    findings.add(node, "found a map; allowed: dimensions, inner to outer");
  }
  return order;
}

std::optional<std::int64_t> parse_integer(const Node& node, std::int64_t least,
                                          Findings& findings) {
  std::int64_t value = 0;
  if (node.kind != Node::Kind::kScalar || !parse_whole(node.text, value) || value < least) {
    findings.add(node, fmt::format("found {}; allowed: a whole number of at least {}",
                                   describe(node), least));
    return std::nullopt;
  }
  return value;
}

std::optional<double> parse_number(const Node& node, Findings& findings) {
  double value = 0;
  if (node.kind != Node::Kind::kScalar || !parse_whole(node.text, value) || !(value >= 0) ||
      !std::isfinite(value)) {
    findings.add(node, fmt::format("found {}; allowed: a number of at least 0", describe(node)));
    return std::nullopt;
  }
  return value;
}

std::vector<std::string> parse_names(const Node& node, std::string_view what,
                                     const std::vector<std::string>& known, Findings& findings) {
  std::vector<std::string> names;
  const auto add = [&](const Node& at, const std::string& name) {
    if (!is_known(known, name))
      findings.add(at, unknown_name(what, name, known));
    else
      names.push_back(name);
  };
  if (node.kind == Node::Kind::kScalar) {
    for (const std::string& word : words(node.text))
      add(node, word);
  } else if (node.kind == Node::Kind::kList) {
    for (const Node& item : node.children)
      add(item, item.text);
  } else if (node.kind == Node::Kind::kMap) {
    findings.add(node, fmt::format("found a map; allowed: names of {}s", what));
  }
  return names;
}

bool check_keys(const Node& node, std::string_view what, const std::vector<std::string>& known,
                Findings& findings) {
  if (node.kind != Node::Kind::kMap) {
    findings.add(node, fmt::format("found {}; allowed: {} as a map", describe(node), what));
    return false;
  }
  for (const Node& entry : node.children) {
    if (!is_known(known, entry.key))
      findings.add_at_key(entry, unknown_name(fmt::format("key of {}", what), entry.key, known));
  }
  return true;
}

}  // namespace tessera::ir
