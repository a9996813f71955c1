# Warnings and sanitizers, linked privately by every target of ours and never exported.
add_library(tessera_build_flags INTERFACE)
target_compile_options(tessera_build_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wcast-align -Wunused
  -Wdouble-promotion -Wformat=2 -Wimplicit-fallthrough)
if(TESSERA_WERROR)
  target_compile_options(tessera_build_flags INTERFACE -Werror)
endif()
if(TESSERA_SANITIZE)
  target_compile_options(tessera_build_flags INTERFACE
    -fsanitize=${TESSERA_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(tessera_build_flags INTERFACE -fsanitize=${TESSERA_SANITIZE})
endif()
# Fused multiply-adds would make results depend on the compiler's choices.
target_compile_options(tessera_build_flags INTERFACE -ffp-contract=off)
