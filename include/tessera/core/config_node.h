// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tessera::config {

// One value of a YAML document, with the place where it is written. A value that came through an
// alias keeps the place of its anchor, since that is where it is mended.
struct Node {
  enum class Kind { kNull, kScalar, kList, kMap };

  Kind kind = Kind::kNull;
  std::string text;            // of a scalar, unquoted
  std::vector<Node> children;  // a list's items, or a map's entries in the file's order
  std::string key;             // of an entry of a map
  std::string tag;             // "!Name" as written in front of the value; empty: none
  int line = 0;                // lines and columns count from 1
  int column = 0;
  int key_line = 0;
  int key_column = 0;
  std::string origin;  // where a value that is not the document's comes from: "--rounds"

  // The entry `key` of a map; null when it is absent or this is no map.
  const Node* find(std::string_view key) const;

  static Node scalar(std::string text);
  static Node list(std::vector<Node> items);
  static Node map();
  // Appends an entry to a map.
  Node& set(std::string key, Node value);
};

// "'40'", "a list", "a map", "nothing": what stands there, for messages.
std::string describe(const Node& node);

// A mistake in a file: where and what.
struct Finding {
  int line = 0;
  int column = 0;
  std::string message;
  std::string origin = {};  // in place of file, line and column; empty: the document
};

// A parsed file. Duplicate keys do not stop the parser; they wait in `findings` to be reported
// together with all else.
struct Document {
  std::string file;
  Node root;
  std::vector<Finding> findings;
};

// Reads one YAML document; anchors and aliases are resolved. `file` is for messages alone. Throws
// ConfigError with the place for text that is not YAML, not UTF-8, larger than 4 MiB, deeper than
// 64 levels or, aliases expanded, more than a million values or 64 MiB of text.
Document parse_yaml(std::string_view text, const std::string& file);

// The node as a YAML document; parse_yaml() of it gives the same node, places and tags aside.
std::string write_yaml(const Node& node);

}  // namespace tessera::config
