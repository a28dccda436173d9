# Helpers that keep the CMakeLists.txt of each folder to a few lines.
add_library(longhand_warnings INTERFACE)
target_compile_options(longhand_warnings INTERFACE
  -Wall -Wextra -Wno-missing-field-initializers -Wshadow -Wvla -Wnon-virtual-dtor -Werror=return-type
  -Werror=unused-result -fstack-protector-strong)
target_compile_definitions(longhand_warnings INTERFACE _GLIBCXX_ASSERTIONS)

# longhand_library(core_text SOURCES a.cc DEPS longhand::core_base absl::strings)
# Makes the static library longhand::core_text; includes are rooted at the
# repository.
function(longhand_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;PRIVATE_DEPS" ${ARGN})
  add_library(longhand_${name} STATIC ${ARG_SOURCES})
  add_library(longhand::${name} ALIAS longhand_${name})
  target_include_directories(longhand_${name} PUBLIC "${CMAKE_SOURCE_DIR}")
  target_link_libraries(longhand_${name}
    PUBLIC ${ARG_DEPS}
    PRIVATE ${ARG_PRIVATE_DEPS} $<BUILD_INTERFACE:longhand_warnings>)
endfunction()

# longhand_test(core/text/text_stream_test.cc DEPS longhand::core_text)
# One GoogleTest binary per source file, one ctest entry per binary.
function(longhand_test source)
  cmake_parse_arguments(ARG "" "TIMEOUT" "DEPS;LABELS;DEFINITIONS" ${ARGN})
  string(REPLACE "/" "_" name "${source}")
  string(REPLACE ".cc" "" name "${name}")
  add_executable(${name} ${source})
  target_include_directories(${name} PRIVATE "${CMAKE_SOURCE_DIR}")
  target_compile_definitions(${name} PRIVATE
    LONGHAND_MODEL_DIR="${LONGHAND_MODEL_DIR}"
    LONGHAND_TESTDATA_DIR="${CMAKE_SOURCE_DIR}/tests/testdata"
    LONGHAND_GOLDEN_DIR="${CMAKE_SOURCE_DIR}/tests/golden"
    ${ARG_DEFINITIONS})
  target_link_libraries(${name} PRIVATE
    ${ARG_DEPS} GTest::gmock GTest::gtest_main longhand_warnings)
  add_test(NAME ${name} COMMAND ${name})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT}
                       LABELS "${ARG_LABELS}")
endfunction()
