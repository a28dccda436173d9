# Build options and settings for every target.
option(LONGHAND_BUILD_SERVER "Build longhand-server" ON)
option(LONGHAND_BUILD_CLIENT "Build the client library and the longhand command" ON)
option(LONGHAND_BUILD_TESTS "Build the tests" ON)
option(LONGHAND_BUILD_BENCH "Build the measuring programs" OFF)
set(LONGHAND_DEPS_DIR "${CMAKE_SOURCE_DIR}/.deps" CACHE PATH
    "Where tools/setup puts what no Debian package carries")
set(LONGHAND_MODEL_DIR "${CMAKE_SOURCE_DIR}/models/all-MiniLM-L6-v2" CACHE PATH
    "The default model, as tools/get_model unpacks it; tests read it")

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  set(CMAKE_C_COMPILER_LAUNCHER "${CCACHE_PROGRAM}")
  set(CMAKE_CXX_COMPILER_LAUNCHER "${CCACHE_PROGRAM}")
endif()
