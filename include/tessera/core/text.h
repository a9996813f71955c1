// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

// The candidate closest to `word` by Damerau-Levenshtein distance, if it is close enough to be a
// likely misspelling (distance at most a third of the longer word, at least 1); ties by order.
std::optional<std::string> nearest_name(std::string_view word,
                                        std::span<const std::string> candidates);

// "unknown UNIT 'pmc'; did you mean 'pcm'? known: pcm, npu" for messages.
std::string unknown_name(std::string_view what, std::string_view word,
                         std::span<const std::string> candidates);

std::vector<std::string> split(std::string_view text, char separator);
std::string_view trim(std::string_view text);
bool is_valid_utf8(std::string_view text);

}  // namespace tessera
