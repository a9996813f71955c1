// SPDX-License-Identifier: Apache-2.0
#include "tessera/plan/path.h"

namespace tessera::plan {

std::string to_string(const Path& path) {
  std::string text;
  for (const Part& part : path.parts) {
    if (!text.empty())
      text += " + ";
    text += part.unit + " " + format::to_string(part.format);
  }
  return text;
}

}  // namespace tessera::plan
