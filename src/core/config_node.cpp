// SPDX-License-Identifier: Apache-2.0
#include "tessera/core/config_node.h"

#include <algorithm>
#include <map>
#include <sstream>

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include "tessera/core/error.h"
#include "tessera/core/text.h"

namespace tessera::config {
namespace {

constexpr std::size_t kMaxTextBytes = std::size_t{4} << 20;
constexpr std::size_t kMaxDepth = 64;
constexpr std::size_t kMaxNodes = 1'000'000;
constexpr std::size_t kMaxExpandedBytes = std::size_t{64} << 20;

struct Size {
  std::size_t nodes = 0;
  std::size_t bytes = 0;
  std::size_t depth = 0;
};

Size size_of(const Node& node) {
  Size size{1, node.text.size() + node.key.size(), 1};
  for (const Node& child : node.children) {
    const Size inner = size_of(child);
    size.nodes += inner.nodes;
    size.bytes += inner.bytes;
    size.depth = std::max(size.depth, inner.depth + 1);
  }
  return size;
}

// Builds the tree from the parser's events. yaml-cpp's own node type would forget where keys stand
// and would let the last of several equal keys win.
class TreeBuilder : public YAML::EventHandler {
 public:
  explicit TreeBuilder(std::string file) { document_.file = std::move(file); }

  Document take() { return std::move(document_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnAnchor(const YAML::Mark&, const std::string&) override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    add(mark, make(mark, Node::Kind::kNull), anchor);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    if (value.find('\0') != std::string::npos)
      refuse(mark, "a zero byte in a text");
    Node node = make(mark, Node::Kind::kScalar, tag);
    node.text = value;
    add(mark, std::move(node), anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto anchored = anchors_.find(anchor);
    if (anchored == anchors_.end())
      refuse(mark, "an alias inside the value that it stands for");
    add(mark, anchored->second, 0);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(make(mark, Node::Kind::kList, tag), mark, anchor);
  }
  void OnSequenceEnd() override { close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(make(mark, Node::Kind::kMap, tag), mark, anchor);
  }
  void OnMapEnd() override { close(); }

 private:
  // A list or map that is not yet complete; a map also holds the key that waits for its value.
  struct Open {
    Node node;
    YAML::anchor_t anchor = 0;
    bool has_key = false;
    Node key;
    std::map<std::string, int, std::less<>> line_of_key;
  };

  [[noreturn]] void refuse(const YAML::Mark& mark, std::string_view message) const {
    throw ConfigError({document_.file, mark.line + 1, mark.column + 1}, message);
  }

  static Node make(const YAML::Mark& mark, Node::Kind kind, const std::string& tag = {}) {
    Node node;
    node.kind = kind;
    // The parser says "?" for no tag and "!" for a quoted text.
    if (tag.size() > 1)
      node.tag = tag;
    node.line = mark.line + 1;
    node.column = mark.column + 1;
    return node;
  }

  void open(Node node, const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (!open_.empty() && open_.back().node.kind == Node::Kind::kMap && !open_.back().has_key)
      refuse(mark, "a key must be plain text, found a list or a map");
    if (open_.size() >= kMaxDepth)
      refuse(mark, fmt::format("nested deeper than {} levels", kMaxDepth));
    open_.push_back({std::move(node), anchor, false, {}, {}});
  }

  void close() {
    Open done = std::move(open_.back());
    open_.pop_back();
    place(std::move(done.node), done.anchor);
  }

  // A complete scalar or alias; lists and maps were counted piece by piece.
  void add(const YAML::Mark& mark, Node node, YAML::anchor_t anchor) {
    const Size size = charge(node);
    if (open_.size() + size.depth > kMaxDepth + 1)
      refuse(mark, fmt::format("nested deeper than {} levels", kMaxDepth));
    if (!open_.empty() && open_.back().node.kind == Node::Kind::kMap && !open_.back().has_key) {
      start_entry(mark, std::move(node), anchor);
    } else {
      place(std::move(node), anchor);
    }
  }

  // Counts a value that is stored, once more for each anchor and alias, so that a few lines cannot
  // grow into gigabytes.
  Size charge(const Node& node) {
    const Size size = size_of(node);
    nodes_ += size.nodes;
    bytes_ += size.bytes;
    if (nodes_ > kMaxNodes || bytes_ > kMaxExpandedBytes) {
      throw ConfigError({document_.file, node.line, node.column},
                        "the document is too large (aliases count as what they stand for)");
    }
    return size;
  }

  void keep_anchored(const Node& node, YAML::anchor_t anchor) {
    if (anchor == 0)
      return;
    charge(node);
    anchors_[anchor] = node;
  }

  void start_entry(const YAML::Mark& mark, Node key, YAML::anchor_t anchor) {
    if (key.kind != Node::Kind::kScalar)
      refuse(mark, "a key must be plain text, found " + describe(key));
    keep_anchored(key, anchor);
    Open& map = open_.back();
    const auto [first, is_new] = map.line_of_key.emplace(key.text, key.line);
    if (!is_new) {
      document_.findings.push_back(
          {key.line, key.column,
           fmt::format("duplicate key '{}' (first at line {})", key.text, first->second)});
    }
    map.key = std::move(key);
    map.has_key = true;
  }

  void place(Node node, YAML::anchor_t anchor) {
    keep_anchored(node, anchor);
    if (open_.empty()) {
      document_.root = std::move(node);
      return;
    }
    Open& parent = open_.back();
    if (parent.node.kind == Node::Kind::kMap) {
      node.key = std::move(parent.key.text);
      node.key_line = parent.key.line;
      node.key_column = parent.key.column;
      // An absent value is where the parser noticed; people look for it at its key.
      if (node.kind == Node::Kind::kNull && node.line != node.key_line) {
        node.line = node.key_line;
        node.column = node.key_column;
      }
      parent.has_key = false;
    }
    parent.node.children.push_back(std::move(node));
  }

  Document document_;
  std::vector<Open> open_;
  std::map<YAML::anchor_t, Node> anchors_;
  std::size_t nodes_ = 0;
  std::size_t bytes_ = 0;
};

void require_text(std::string_view text, const std::string& file) {
  if (text.size() > kMaxTextBytes) {
    throw ConfigError({file, 0, 0}, fmt::format("the file has {} bytes; allowed: up to {}",
                                                text.size(), kMaxTextBytes));
  }
  if (!is_valid_utf8(text) || text.find('\0') != std::string_view::npos)
    throw ConfigError({file, 0, 0}, "not a text file in UTF-8");
}

void emit(YAML::Emitter& out, const Node& node) {
  switch (node.kind) {
    case Node::Kind::kNull:
      out << YAML::Null;
      return;
    case Node::Kind::kScalar:
      out << node.text;
      return;
    case Node::Kind::kList:
      if (node.children.empty())
        out << YAML::Flow;
      out << YAML::BeginSeq;
      for (const Node& item : node.children)
        emit(out, item);
      out << YAML::EndSeq;
      return;
    case Node::Kind::kMap:
      if (node.children.empty())
        out << YAML::Flow;
      out << YAML::BeginMap;
      for (const Node& entry : node.children) {
        out << YAML::Key << entry.key << YAML::Value;
        emit(out, entry);
      }
      out << YAML::EndMap;
      return;
  }
}

}  // namespace

const Node* Node::find(std::string_view wanted) const {
  if (kind != Kind::kMap)
    return nullptr;
  const auto entry = std::find_if(children.begin(), children.end(),
                                  [&](const Node& child) { return child.key == wanted; });
  return entry == children.end() ? nullptr : &*entry;
}

Node Node::scalar(std::string text) {
  Node node;
  node.kind = Kind::kScalar;
  node.text = std::move(text);
  return node;
}

Node Node::list(std::vector<Node> items) {
  Node node;
  node.kind = Kind::kList;
  node.children = std::move(items);
  return node;
}

Node Node::map() {
  Node node;
  node.kind = Kind::kMap;
  return node;
}

Node& Node::set(std::string entry_key, Node value) {
  value.key = std::move(entry_key);
  children.push_back(std::move(value));
  return *this;
}

std::string describe(const Node& node) {
  switch (node.kind) {
    case Node::Kind::kNull:
      return "nothing";
    case Node::Kind::kScalar:
      return node.text.size() <= 60 ? "'" + node.text + "'" : "a long text";
    case Node::Kind::kList:
      return "a list";
    case Node::Kind::kMap:
      return "a map";
  }
  TESSERA_CHECK(false, "node kind {}", static_cast<int>(node.kind));
}

Document parse_yaml(std::string_view text, const std::string& file) {
  require_text(text, file);
  TreeBuilder builder(file);
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    if (parser.HandleNextDocument(builder)) {
      Document document = builder.take();
      TreeBuilder rest(file);
      if (parser.HandleNextDocument(rest)) {
        const Node second = rest.take().root;
        throw ConfigError({file, second.line, second.column},
                          "a second document; allowed: one document in a file");
      }
      return document;
    }
  } catch (const YAML::Exception& error) {
    const bool known = !error.mark.is_null();
    throw ConfigError({file, known ? error.mark.line + 1 : 0, known ? error.mark.column + 1 : 0},
                      "not valid YAML: " + error.msg);
  }
  return builder.take();
}

std::string write_yaml(const Node& node) {
  YAML::Emitter out;
  emit(out, node);
  return std::string(out.c_str(), out.size()) + "\n";
}

}  // namespace tessera::config
