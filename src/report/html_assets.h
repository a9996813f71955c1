// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

// The texts of assets/ and Chart.js, compiled in by embed_assets.cmake.
namespace tessera::report::assets {

extern const std::string_view kReportCss;
extern const std::string_view kChartJs;
extern const std::string_view kPluginsJs;
extern const std::string_view kReportJs;
extern const std::string_view kComparisonJs;

}  // namespace tessera::report::assets
