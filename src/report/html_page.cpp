// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "html_assets.h"
#include "html_parts.h"

namespace tessera::report::detail {

std::string safe_json(std::string text) {
  // Nothing in a string may end the element.
  for (std::size_t at = 0; (at = text.find('<', at)) != std::string::npos; at += 6)
    text.replace(at, 1, "\\u003c");
  return text;
}

std::string html_page(const PageParts& parts) {
  return fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"color-scheme\" content=\"light dark\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
      "style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:\">\n"
      "<title>{} – Tessera</title>\n<style>\n{}</style>\n</head>\n<body>\n{}</main>\n"
      "<footer>Tessera {}</footer>\n<div id=\"tip\" hidden></div>\n"
      "<script type=\"application/json\" id=\"report-data\">{}</script>\n"
      "<script>{}</script>\n<script>{}</script>\n<script>{}</script>\n</body>\n</html>\n",
      escape_html(parts.title), assets::kReportCss, parts.body, escape_html(parts.version),
      parts.data, assets::kChartJs, assets::kPluginsJs, parts.script);
}

}  // namespace tessera::report::detail
