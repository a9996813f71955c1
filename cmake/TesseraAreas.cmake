# tessera_add_area(cost SOURCES … PUBLIC tessera::ir … PRIVATE …)
# One static library for one area. Its public headers are include/tessera/<area>/*, its private ones
# stand beside the sources.
function(tessera_add_area area)
  cmake_parse_arguments(A "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  add_library(tessera_${area} STATIC ${A_SOURCES})
  add_library(tessera::${area} ALIAS tessera_${area})
  target_include_directories(tessera_${area}
    PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
    PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  target_link_libraries(tessera_${area}
    PUBLIC ${A_PUBLIC}
    PRIVATE ${A_PRIVATE} $<BUILD_INTERFACE:tessera_build_flags>)
  target_compile_features(tessera_${area} PUBLIC cxx_std_20)
endfunction()

# tessera_add_test(core SOURCES … LIBS … [LABELS …] [ENVIRONMENT …])
# One test binary for one area; every TEST is an entry of its own, except with SINGLE (LibTorch
# binaries, which take over a second to start): then the whole binary is one entry.
function(tessera_add_test name)
  cmake_parse_arguments(T "SINGLE" "" "SOURCES;LIBS;LABELS;ENVIRONMENT" ${ARGN})
  set(target test_${name})
  add_executable(${target} ${T_SOURCES})
  target_link_libraries(${target} PRIVATE ${T_LIBS} tessera_test_support GTest::gmock GTest::gtest_main
    tessera_build_flags)
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  target_compile_definitions(${target} PRIVATE TESSERA_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  if(NOT T_LABELS)
    set(T_LABELS unit)
  endif()
  set(props LABELS "${T_LABELS}")
  if(T_ENVIRONMENT)
    list(APPEND props ENVIRONMENT "${T_ENVIRONMENT}")
  endif()
  if(T_SINGLE)
    add_test(NAME ${name} COMMAND ${target})
    set_tests_properties(${name} PROPERTIES ${props})
  else()
    include(GoogleTest)
    gtest_discover_tests(${target} TEST_PREFIX "${name}." PROPERTIES ${props} DISCOVERY_TIMEOUT 60)
  endif()
endfunction()
