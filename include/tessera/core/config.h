// SPDX-License-Identifier: Apache-2.0
#pragma once

// Structs read from YAML files. A struct is described once, as a table of its keys; the table
// parses, checks, prints back and documents:
//
//   struct Cache { std::string name; std::int64_t ways = 4; Quantity read_pj; };
//
//   const Schema<Cache> kCache("cache", "A cache.", {
//       required("name", &Cache::name, text(), "What others call it."),
//       optional("ways", &Cache::ways, integer<std::int64_t>({.min = 1}), "Associativity."),
//       required("read", &Cache::read_pj, quantity(Dimension::kEnergy), "One access."),
//   });
//
//   Document document = parse_yaml(read_text(path), path);
//   Cache cache = read(document, kCache);    // ConfigError with every mistake, a line each
//
// Reading depends on nothing but the file's text, and is thread-safe.

#include <charconv>
#include <cmath>
#include <concepts>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "tessera/core/config_node.h"
#include "tessera/core/expected.h"
#include "tessera/core/quantity.h"
#include "tessera/core/units.h"

namespace tessera::config {

// ---- What went wrong ---------------------------------------------------------------------------

// Collects the mistakes of one file, each with its place and the path of its key
// ("units[0].mvm.latency").
class Findings {
 public:
  explicit Findings(const Document& document);

  // At the value `node`, under the path entered so far.
  void add(const Node& node, std::string_view message);
  // At the key of the entry `entry` of a map.
  void add_at_key(const Node& entry, std::string_view message);
  // For checks after parsing: at the value under `path`, or at what is there of it.
  void add(std::string_view path, std::string_view message);

  bool empty() const { return findings_.empty(); }
  // Throws ConfigError with a line for each finding, in the file's order; at most 50 of them.
  void throw_if_any() const;

  // Appends `step` to the path until it goes out of scope.
  class Scope {
   public:
    Scope(Findings& findings, std::string_view step);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Findings& findings_;
    std::size_t length_;
  };

 private:
  void add(int line, int column, const std::string& origin, std::string_view path,
           std::string_view message);

  std::string file_;
  const Node* root_;  // of the document, which must outlive this
  std::vector<Finding> findings_;
  std::string path_;
};

// ---- How a value is written --------------------------------------------------------------------

// Documentation of a struct, as explain() prints it.
struct Help {
  struct Row {
    std::string key;
    std::string form;           // "text", "energy, above 0 pJ"
    std::string default_value;  // empty: required
    std::string help;
    std::vector<std::shared_ptr<const Help>> nested;
  };
  std::string name;
  std::string summary;
  std::vector<Row> rows;
};

// Markdown: a section with a table for the struct and, after it, for each one it uses.
std::string explain(const Help& help);

using QuantityVisitor =
    std::function<void(const std::string& path, const Quantity& value, Dimension dimension)>;

// How values of type V are read, written and described.
template <typename V>
struct Type {
  std::string form;
  // Leaves the value alone where it adds a finding.
  std::function<void(const Node&, V&, Findings&)> read;
  std::function<Node(const V&)> dump;
  // Calls the visitor for every Quantity inside; empty when there can be none.
  std::function<void(const V&, const std::string& path, const QuantityVisitor&)> visit;
  std::vector<std::shared_ptr<const Help>> nested;
};

// Bounds of a number; the default has none.
struct Range {
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  bool above_min = false;  // min itself is not allowed

  bool contains(double value) const;
};
inline constexpr Range kPositive{.min = 0, .above_min = true};
inline constexpr Range kNotNegative{.min = 0};
// "above 0", "1 to 512", "" without bounds.
std::string to_string(const Range& range, std::string_view unit = "");

Type<std::string> text();
Type<bool> boolean();
Type<double> number(Range range = {});
// A number with a unit, held in the dimension's base unit.
Type<double> measure(Dimension dimension, Range range = {});
// The same with an optional source and uncertainty: "13.4 nJ" or
// {value: 13.4 nJ, source: "…", plus_minus: 10%}.
Type<Quantity> quantity(Dimension dimension, Range range = {});

namespace detail {
std::optional<std::string_view> read_scalar(const Node& node, std::string_view form,
                                            Findings& findings);
Type<std::size_t> choice(std::string what, std::vector<std::string> names);
std::string join_path(const std::string& path, std::string_view step);
}  // namespace detail

template <std::integral V>
Type<V> integer(Range range = {}) {
  Type<V> type;
  type.form = "whole number" + to_string(range);
  type.read = [range, form = type.form](const Node& node, V& value, Findings& findings) {
    const auto text = detail::read_scalar(node, form, findings);
    if (!text)
      return;
    V parsed = 0;
    const auto [end, code] = std::from_chars(text->data(), text->data() + text->size(), parsed);
    if (code != std::errc() || end != text->data() + text->size() ||
        !range.contains(static_cast<double>(parsed))) {
      findings.add(node, "found " + describe(node) + "; allowed: " + form);
    } else {
      value = parsed;
    }
  };
  type.dump = [](const V& value) { return Node::scalar(std::to_string(value)); };
  return type;
}

// One of a few names; `what` says of what, for messages.
template <typename E>
Type<E> choice(std::string what, std::vector<std::pair<std::string, E>> options) {
  std::vector<std::string> names;
  for (const auto& [option_name, value] : options)
    names.push_back(option_name);
  const Type<std::size_t> index = detail::choice(std::move(what), std::move(names));
  Type<E> type;
  type.form = index.form;
  type.read = [index, options](const Node& node, E& value, Findings& findings) {
    std::size_t chosen = options.size();
    index.read(node, chosen, findings);
    if (chosen < options.size())
      value = options[chosen].second;
  };
  type.dump = [options](const E& value) {
    for (const auto& [option_name, option] : options) {
      if (option == value)
        return Node::scalar(option_name);
    }
    return Node{};
  };
  return type;
}

// A value with a textual form of its own: `parse` gives the value or what is wrong.
template <typename V>
Type<V> parsed(std::string form, std::function<Expected<V>(std::string_view)> parse,
               std::function<std::string(const V&)> print) {
  Type<V> type;
  type.form = form;
  type.read = [form, parse](const Node& node, V& value, Findings& findings) {
    const auto text = detail::read_scalar(node, form, findings);
    if (!text)
      return;
    if (auto result = parse(*text)) {
      value = std::move(*result);
    } else {
      findings.add(node, result.error().detail);
    }
  };
  type.dump = [print](const V& value) { return Node::scalar(print(value)); };
  return type;
}

// A list. `label` names an item in the paths of visit(); without it items are numbered.
template <typename V>
Type<std::vector<V>> list_of(Type<V> item, std::size_t min_items = 0,
                             std::function<std::string(const V&)> label = {}) {
  Type<std::vector<V>> type;
  type.form = "list of " + item.form +
              (min_items > 0 ? " (at least " + std::to_string(min_items) + ")" : "");
  type.nested = item.nested;
  type.read = [item, min_items, form = type.form](const Node& node, std::vector<V>& values,
                                                  Findings& findings) {
    if (node.kind != Node::Kind::kList || node.children.size() < min_items) {
      findings.add(node, "found " +
                             (node.children.empty() && node.kind == Node::Kind::kList
                                  ? std::string("an empty list")
                                  : describe(node)) +
                             "; allowed: " + form);
      return;
    }
    values.clear();
    for (std::size_t i = 0; i < node.children.size(); ++i) {
      const Findings::Scope scope(findings, "[" + std::to_string(i) + "]");
      V value{};
      item.read(node.children[i], value, findings);
      values.push_back(std::move(value));
    }
  };
  type.dump = [item](const std::vector<V>& values) {
    std::vector<Node> items;
    for (const V& value : values)
      items.push_back(item.dump(value));
    return Node::list(std::move(items));
  };
  if (item.visit) {
    type.visit = [item, label](const std::vector<V>& values, const std::string& path,
                               const QuantityVisitor& visitor) {
      for (std::size_t i = 0; i < values.size(); ++i) {
        item.visit(values[i], detail::join_path(path, label ? label(values[i]) : std::to_string(i)),
                   visitor);
      }
    };
  }
  return type;
}

// ---- Structs -----------------------------------------------------------------------------------

// One key of a struct T.
template <typename T>
struct Field {
  Help::Row row;
  bool is_required = true;
  std::function<void(const Node&, T&, Findings&)> read;
  std::function<Node(const T&)> dump;
  std::function<void(const T&, const std::string& path, const QuantityVisitor&)> visit;
};

namespace detail {

template <typename T>
void no_quantities(const T&, const std::string&, const QuantityVisitor&) {}

// Where the key is absent, the value is the one that T's member initializer gives.
template <typename T>
std::string default_text(const Field<T>& field) {
  std::string value = write_yaml(field.dump(T{}));
  while (!value.empty() && value.back() == '\n')
    value.pop_back();
  return value;
}

void read_fields(const Node& node, std::string_view what, const std::vector<std::string>& keys,
                 const std::vector<bool>& is_required, Findings& findings,
                 const std::function<void(std::size_t field, const Node& value)>& read);

}  // namespace detail

template <typename T, typename V>
Field<T> required(std::string key, V T::*member, Type<V> type, std::string help) {
  Field<T> field;
  field.row = {std::move(key), type.form, "", std::move(help), type.nested};
  field.read = [member, type](const Node& node, T& value, Findings& findings) {
    type.read(node, value.*member, findings);
  };
  field.dump = [member, type](const T& value) { return type.dump(value.*member); };
  field.visit = detail::no_quantities<T>;
  if (type.visit) {
    field.visit = [member, type](const T& value, const std::string& path,
                                 const QuantityVisitor& visitor) {
      type.visit(value.*member, path, visitor);
    };
  }
  return field;
}

template <typename T, typename V>
Field<T> optional(std::string key, V T::*member, Type<V> type, std::string help) {
  Field<T> field = required(std::move(key), member, std::move(type), std::move(help));
  field.is_required = false;
  field.row.default_value = detail::default_text(field);
  return field;
}

// A key that must be there with this very text: a version, a kind.
template <typename T>
Field<T> constant(std::string key, std::string value, std::string help) {
  Field<T> field;
  field.row = {std::move(key), "`" + value + "`", "", std::move(help), {}};
  field.read = [value](const Node& node, T&, Findings& findings) {
    if (node.kind != Node::Kind::kScalar || node.text != value)
      findings.add(node, "found " + describe(node) + "; allowed: '" + value + "'");
  };
  field.dump = [value](const T&) { return Node::scalar(value); };
  field.visit = detail::no_quantities<T>;
  return field;
}

// The table of one struct. Copies share it: schemas nest, and each type that a schema is a part of
// keeps several copies.
template <typename T>
class Schema {
 public:
  Schema(std::string name, std::string summary, std::vector<Field<T>> fields) {
    Table table;
    Help help{std::move(name), std::move(summary), {}};
    for (const Field<T>& field : fields) {
      help.rows.push_back(field.row);
      table.keys.push_back(field.row.key);
      table.is_required.push_back(field.is_required);
    }
    table.fields = std::move(fields);
    table.help = std::make_shared<const Help>(std::move(help));
    table_ = std::make_shared<const Table>(std::move(table));
  }

  const std::shared_ptr<const Help>& help() const { return table_->help; }

  void read(const Node& node, T& value, Findings& findings) const {
    detail::read_fields(node, table_->help->name, table_->keys, table_->is_required, findings,
                        [&](std::size_t field, const Node& entry) {
                          table_->fields[field].read(entry, value, findings);
                        });
  }

  Node dump(const T& value) const {
    Node node = Node::map();
    for (const Field<T>& field : table_->fields)
      node.set(field.row.key, field.dump(value));
    return node;
  }

  void visit(const T& value, const std::string& path, const QuantityVisitor& visitor) const {
    for (const Field<T>& field : table_->fields)
      field.visit(value, detail::join_path(path, field.row.key), visitor);
  }

 private:
  struct Table {
    std::vector<Field<T>> fields;
    std::vector<std::string> keys;
    std::vector<bool> is_required;
    std::shared_ptr<const Help> help;
  };
  std::shared_ptr<const Table> table_;
};

// A struct as the value of a key or an item.
template <typename T>
Type<T> object(const Schema<T>& schema) {
  Type<T> type;
  type.form = schema.help()->name;
  type.nested = {schema.help()};
  type.read = [schema](const Node& node, T& value, Findings& findings) {
    schema.read(node, value, findings);
  };
  type.dump = [schema](const T& value) { return schema.dump(value); };
  type.visit = [schema](const T& value, const std::string& path, const QuantityVisitor& visitor) {
    schema.visit(value, path, visitor);
  };
  return type;
}

// Keys of T that the file groups under one more key: `mvm: {latency: …, row: …}`.
template <typename T>
Field<T> group(std::string key, const Schema<T>& schema, std::string help) {
  Field<T> field;
  field.row = {std::move(key), schema.help()->name, "", std::move(help), {schema.help()}};
  const Type<T> type = object(schema);
  field.read = type.read;
  field.dump = type.dump;
  field.visit = type.visit;
  return field;
}

// One of several structs; each one's schema has constant(`key`, …) with the name given here.
template <typename... Ts>
Type<std::variant<Ts...>> one_of(std::string key, std::pair<std::string, Schema<Ts>>... options) {
  using V = std::variant<Ts...>;
  const Type<std::size_t> kind = detail::choice(key, {options.first...});
  Type<V> type;
  type.form = "map with `" + key + "` " + kind.form;
  type.nested = {options.second.help()...};
  type.read = [key, kind, options...](const Node& node, V& value, Findings& findings) {
    const Node* tag = node.find(key);
    if (tag == nullptr) {
      findings.add(node, node.kind == Node::Kind::kMap
                             ? "missing key '" + key + "': " + kind.form
                             : "found " + describe(node) + "; allowed: a map");
      return;
    }
    std::size_t chosen = sizeof...(Ts);
    {
      const Findings::Scope scope(findings, "." + key);
      kind.read(*tag, chosen, findings);
    }
    std::size_t index = 0;
    const auto read_option = [&]<typename T>(const Schema<T>& schema) {
      if (index++ == chosen)
        schema.read(node, value.template emplace<T>(), findings);
    };
    (read_option(options.second), ...);
  };
  type.dump = [options...](const V& value) {
    Node node;
    const auto dump_option = [&]<typename T>(const Schema<T>& schema) {
      if (const T* held = std::get_if<T>(&value))
        node = schema.dump(*held);
    };
    (dump_option(options.second), ...);
    return node;
  };
  type.visit = [options...](const V& value, const std::string& path,
                            const QuantityVisitor& visitor) {
    const auto visit_option = [&]<typename T>(const Schema<T>& schema) {
      if (const T* held = std::get_if<T>(&value))
        schema.visit(*held, path, visitor);
    };
    (visit_option(options.second), ...);
  };
  return type;
}

// Phase 1 reads every field; only if all are well does phase 2, `check`, look at the whole. Each
// phase reports all its findings in one ConfigError.
template <typename T>
T read(const Document& document, const Schema<T>& schema,
       const std::function<void(const T&, Findings&)>& check = {}) {
  Findings findings(document);
  T value{};
  schema.read(document.root, value, findings);
  findings.throw_if_any();
  if (check) {
    check(value, findings);
    findings.throw_if_any();
  }
  return value;
}

}  // namespace tessera::config
