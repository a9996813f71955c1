// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace tessera::flow {

std::string version();        // "0.1.0"
std::string compiler_name();  // "GCC 12.2.0"

}  // namespace tessera::flow
