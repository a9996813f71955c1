# cmake -DOUTPUT=FILE.cpp "-DASSETS=kName=FILE;…" -P embed_assets.cmake
# Writes a source file that defines each kName of html_assets.h as the text of its file.
set(source "// Made by embed_assets.cmake.\n#include \"html_assets.h\"\n\n")
string(APPEND source "namespace tessera::report::assets {\n")
foreach(asset IN LISTS ASSETS)
  string(REGEX MATCH "^([^=]+)=(.*)$" _ "${asset}")
  set(name ${CMAKE_MATCH_1})
  file(READ "${CMAKE_MATCH_2}" hex HEX)
  string(REGEX REPLACE "(..)" "\\\\x\\1" escaped "${hex}")
  # Short literals, joined by the compiler: few tools like lines of a megabyte.
  string(REGEX REPLACE "(................................................................)"
         "\\1\"\n    \"" escaped "${escaped}")
  string(LENGTH "${hex}" digits)
  math(EXPR bytes "${digits} / 2")
  string(APPEND source "const std::string_view ${name}{\n    \"${escaped}\",\n    ${bytes}};\n")
endforeach()
string(APPEND source "}  // namespace tessera::report::assets\n")
file(WRITE "${OUTPUT}" "${source}")
