// SPDX-License-Identifier: Apache-2.0
#include "tessera/core/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "tessera/core/error.h"
#include "tessera/core/text.h"

namespace tessera::config {
namespace {

constexpr std::size_t kMaxReported = 50;

std::string allowed(std::string_view form) {
  return fmt::format("; allowed: {}", form);
}

// The node under "units[0].mvm.latency", or the deepest one on the way that exists.
const Node& deepest(const Node& root, std::string_view path) {
  const Node* node = &root;
  while (!path.empty()) {
    const Node* next = nullptr;
    if (path.front() == '[') {
      const std::size_t end = path.find(']');
      std::size_t index = 0;
      std::from_chars(path.data() + 1, path.data() + end, index);
      if (node->kind == Node::Kind::kList && index < node->children.size())
        next = &node->children[index];
      path.remove_prefix(end + 1);
    } else {
      if (path.front() == '.')
        path.remove_prefix(1);
      const std::string_view key = path.substr(0, path.find_first_of(".["));
      next = node->find(key);
      path.remove_prefix(key.size());
    }
    if (next == nullptr)
      break;
    node = next;
  }
  return *node;
}

void collect(const Help& help, std::set<std::string>& seen, std::vector<const Help*>& order) {
  if (!seen.insert(help.name).second)
    return;
  order.push_back(&help);
  for (const Help::Row& row : help.rows) {
    for (const auto& nested : row.nested)
      collect(*nested, seen, order);
  }
}

// A cell of a Markdown table: one line, no bars.
std::string cell(std::string_view content) {
  std::string result;
  for (const char c : content) {
    if (c == '|')
      result += '\\';
    result += c == '\n' ? ' ' : c;
  }
  return result;
}

// The same for constants of every dimension.
std::shared_ptr<const Help> constant_help() {
  static const auto help = std::make_shared<const Help>(
      Help{"constant",
           "A quantity with its unit (`13.4 nJ`), or a map that also says where it comes from.",
           {{"value", "quantity with its unit", "", "The number; counts have no unit.", {}},
            {"source", "text", "\"\"", "A publication, \"derived: …\" or \"assumed: …\".", {}},
            {"plus_minus", "ratio, 0 to 100", "0", "Uncertainty: 0.1 or `10%`.", {}}}});
  return help;
}

}  // namespace

// ---- Findings ----------------------------------------------------------------------------------

Findings::Findings(const Document& document)
    : file_(document.file), root_(&document.root), findings_(document.findings) {}

void Findings::add(int line, int column, const std::string& origin, std::string_view path,
                   std::string_view message) {
  if (path.starts_with('.'))
    path.remove_prefix(1);
  const bool bare = path.empty() || !origin.empty();
  findings_.push_back(
      {line, column, bare ? std::string(message) : fmt::format("{}: {}", path, message), origin});
}

void Findings::add(const Node& node, std::string_view message) {
  add(node.line, node.column, node.origin, path_, message);
}

void Findings::add_at_key(const Node& entry, std::string_view message) {
  add(entry.key_line, entry.key_column, entry.origin, path_, message);
}

void Findings::add(std::string_view path, std::string_view message) {
  const Node& node = deepest(*root_, path);
  add(node.line, node.column, node.origin, path, message);
}

void Findings::throw_if_any() const {
  if (findings_.empty())
    return;
  std::vector<Finding> sorted = findings_;
  std::stable_sort(sorted.begin(), sorted.end(), [](const Finding& a, const Finding& b) {
    return std::pair(a.line, a.column) < std::pair(b.line, b.column);
  });
  std::string message;
  for (std::size_t i = 0; i < std::min(sorted.size(), kMaxReported); ++i) {
    const Finding& finding = sorted[i];
    const std::string where = finding.origin.empty()
                                  ? to_string(SourceLocation{file_, finding.line, finding.column})
                                  : finding.origin;
    message += fmt::format("{}{}: {}", i == 0 ? "" : "\n", where, finding.message);
  }
  if (sorted.size() > kMaxReported)
    message += fmt::format("\n{}: {} more", file_, sorted.size() - kMaxReported);
  throw ConfigError(message);
}

Findings::Scope::Scope(Findings& findings, std::string_view step)
    : findings_(findings), length_(findings.path_.size()) {
  findings_.path_ += step;
}

Findings::Scope::~Scope() {
  findings_.path_.resize(length_);
}

// ---- Types -------------------------------------------------------------------------------------

bool Range::contains(double value) const {
  return value >= min && value <= max && !(above_min && value == min);
}

std::string to_string(const Range& range, std::string_view unit) {
  const auto bound = [&](double value) {
    return unit.empty() ? fmt::format("{}", value) : fmt::format("{} {}", value, unit);
  };
  const bool has_min = std::isfinite(range.min);
  const bool has_max = std::isfinite(range.max);
  if (!has_min && !has_max)
    return "";
  std::string text;
  if (range.above_min) {
    text = ", above " + bound(range.min);
    return has_max ? text + ", up to " + bound(range.max) : text;
  }
  if (has_min && has_max)
    return fmt::format(", {} to {}", range.min, bound(range.max));
  return has_min ? fmt::format(", {} or more", bound(range.min)) : ", up to " + bound(range.max);
}

std::optional<std::string_view> detail::read_scalar(const Node& node, std::string_view form,
                                                    Findings& findings) {
  if (node.kind == Node::Kind::kScalar)
    return node.text;
  findings.add(node, "found " + describe(node) + allowed(form));
  return std::nullopt;
}

std::string detail::join_path(const std::string& path, std::string_view step) {
  return path.empty() ? std::string(step) : fmt::format("{}.{}", path, step);
}

Type<std::string> text() {
  Type<std::string> type;
  type.form = "text";
  type.read = [](const Node& node, std::string& value, Findings& findings) {
    if (const auto found = detail::read_scalar(node, "text", findings))
      value = *found;
  };
  type.dump = [](const std::string& value) { return Node::scalar(value); };
  return type;
}

Type<bool> boolean() {
  return choice<bool>("value", {{"true", true}, {"false", false}});
}

Type<double> number(Range range) {
  Type<double> type;
  type.form = "number" + to_string(range);
  type.read = [range, form = type.form](const Node& node, double& value, Findings& findings) {
    const auto found = detail::read_scalar(node, form, findings);
    if (!found)
      return;
    double parsed = 0;
    const auto [end, code] = std::from_chars(found->data(), found->data() + found->size(), parsed);
    if (code != std::errc() || end != found->data() + found->size() || !std::isfinite(parsed) ||
        !range.contains(parsed)) {
      findings.add(node, "found " + describe(node) + allowed(form));
    } else {
      value = parsed;
    }
  };
  type.dump = [](const double& value) { return Node::scalar(fmt::format("{}", value)); };
  return type;
}

Type<double> measure(Dimension dimension, Range range) {
  const std::string_view unit = base_unit(dimension);
  Type<double> type;
  type.form = std::string(name(dimension)) + to_string(range, unit);
  type.read = [dimension, range, form = type.form](const Node& node, double& value,
                                                   Findings& findings) {
    const auto found = detail::read_scalar(node, form, findings);
    if (!found)
      return;
    const Expected<double> parsed = parse_quantity(*found, dimension);
    if (!parsed) {
      findings.add(node, parsed.error().detail);
    } else if (!range.contains(*parsed)) {
      findings.add(node, "found " + describe(node) + allowed(form));
    } else {
      value = *parsed;
    }
  };
  type.dump = [dimension](const double& value) {
    return Node::scalar(exact_quantity(value, dimension));
  };
  return type;
}

Type<Quantity> quantity(Dimension dimension, Range range) {
  const Type<double> value_type = measure(dimension, range);
  const Schema<Quantity> schema(
      constant_help()->name, constant_help()->summary,
      {
          required("value", &Quantity::value, value_type, ""),
          optional("source", &Quantity::source, text(), ""),
          optional("plus_minus", &Quantity::plus_minus,
                   measure(Dimension::kRatio, {.min = 0, .max = 100}), ""),
      });
  Type<Quantity> type;
  type.form = "constant: " + value_type.form;
  type.nested = {constant_help()};
  type.read = [value_type, schema](const Node& node, Quantity& value, Findings& findings) {
    if (node.kind == Node::Kind::kMap) {
      schema.read(node, value, findings);
    } else {
      value_type.read(node, value.value, findings);
    }
  };
  type.dump = [value_type, schema](const Quantity& value) {
    if (value.source.empty() && value.plus_minus == 0)
      return value_type.dump(value.value);
    return schema.dump(value);
  };
  type.visit = [dimension](const Quantity& value, const std::string& path,
                           const QuantityVisitor& visitor) { visitor(path, value, dimension); };
  return type;
}

Type<std::size_t> detail::choice(std::string what, std::vector<std::string> names) {
  Type<std::size_t> type;
  for (const std::string& name : names)
    type.form += fmt::format("{}`{}`", type.form.empty() ? "" : " or ", name);
  type.read = [what, names, form = type.form](const Node& node, std::size_t& chosen,
                                              Findings& findings) {
    const auto found = read_scalar(node, form, findings);
    if (!found)
      return;
    const auto match = std::find(names.begin(), names.end(), *found);
    if (match == names.end()) {
      findings.add(node, unknown_name(what, *found, names));
    } else {
      chosen = static_cast<std::size_t>(match - names.begin());
    }
  };
  return type;
}

// ---- Structs -----------------------------------------------------------------------------------

void detail::read_fields(const Node& node, std::string_view what,
                         const std::vector<std::string>& keys, const std::vector<bool>& is_required,
                         Findings& findings,
                         const std::function<void(std::size_t field, const Node& value)>& read) {
  if (node.kind != Node::Kind::kMap) {
    findings.add(node, fmt::format("found {}; allowed: a map ({})", describe(node), what));
    return;
  }
  for (const Node& entry : node.children) {
    if (std::find(keys.begin(), keys.end(), entry.key) == keys.end())
      findings.add_at_key(entry, unknown_name("key", entry.key, keys));
  }
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (const Node* value = node.find(keys[i])) {
      const Findings::Scope scope(findings, "." + keys[i]);
      read(i, *value);
    } else if (is_required[i]) {
      findings.add(node, fmt::format("missing key '{}' of {}", keys[i], what));
    }
  }
}

std::string explain(const Help& help) {
  std::set<std::string> seen;
  std::vector<const Help*> order;
  collect(help, seen, order);
  std::string text;
  for (const Help* section : order) {
    text += fmt::format("{}## {}\n\n{}\n\n| key | value | default | meaning |\n|---|---|---|---|\n",
                        text.empty() ? "" : "\n", section->name, section->summary);
    for (const Help::Row& row : section->rows) {
      text += fmt::format("| `{}` | {} | {} | {} |\n", row.key, cell(row.form),
                          row.default_value.empty() ? "required" : cell(row.default_value),
                          cell(row.help));
    }
  }
  return text;
}

}  // namespace tessera::config
