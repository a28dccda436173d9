# Every external dependency, found in one place.
find_package(Threads REQUIRED)
find_package(absl REQUIRED)
# Not oneDNN's CMake package: Debian's asks for OpenCL, which the CPU engine does
# not use.
find_path(DNNL_INCLUDE_DIR oneapi/dnnl/dnnl.hpp REQUIRED)
find_library(DNNL_LIBRARY dnnl REQUIRED)
add_library(DNNL::dnnl UNKNOWN IMPORTED)
set_target_properties(DNNL::dnnl PROPERTIES
  IMPORTED_LOCATION "${DNNL_LIBRARY}"
  INTERFACE_INCLUDE_DIRECTORIES "${DNNL_INCLUDE_DIR}")
find_package(nlohmann_json REQUIRED)
find_package(OpenSSL 3 REQUIRED COMPONENTS Crypto SSL)
find_package(Eigen3 REQUIRED NO_MODULE)
find_package(ICU REQUIRED COMPONENTS uc)
find_package(PkgConfig REQUIRED)
pkg_check_modules(HWY REQUIRED IMPORTED_TARGET libhwy)
# Not RocksDB's CMake package: it asks for the development files of everything
# that the shared library links.
find_path(ROCKSDB_INCLUDE_DIR rocksdb/db.h REQUIRED)
find_library(ROCKSDB_LIBRARY rocksdb REQUIRED)
add_library(RocksDB::library UNKNOWN IMPORTED)
set_target_properties(RocksDB::library PROPERTIES
  IMPORTED_LOCATION "${ROCKSDB_LIBRARY}"
  INTERFACE_INCLUDE_DIRECTORIES "${ROCKSDB_INCLUDE_DIR}")
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
add_library(xxHash::library ALIAS PkgConfig::XXHASH)
pkg_check_modules(ISAL REQUIRED IMPORTED_TARGET libisal)
find_program(CARGO_PROGRAM NAMES cargo cargo-web REQUIRED)

if(LONGHAND_BUILD_SERVER OR LONGHAND_BUILD_CLIENT)
  # Debian ships no protobuf CMake package: module mode, before gRPC.
  find_package(Protobuf REQUIRED)
  find_package(gRPC CONFIG REQUIRED)
  find_program(GRPC_CPP_PLUGIN grpc_cpp_plugin REQUIRED)
  find_package(CLI11 REQUIRED)
  find_path(LONGHAND_GOOGLEAPIS_DIR google/rpc/error_details.proto
            PATHS "${LONGHAND_DEPS_DIR}/googleapis" NO_DEFAULT_PATH)
  if(NOT LONGHAND_GOOGLEAPIS_DIR)
    message(FATAL_ERROR
      "google/rpc/error_details.proto not found. Run tools/setup, or set "
      "LONGHAND_GOOGLEAPIS_DIR to a directory that holds google/rpc and "
      "google/api (PyPI package googleapis-common-protos).")
  endif()
endif()
if(LONGHAND_BUILD_SERVER)
  find_package(prometheus-cpp CONFIG REQUIRED)
  find_package(spdlog REQUIRED)
endif()
if(LONGHAND_BUILD_TESTS)
  find_package(GTest REQUIRED)
  find_package(rapidcheck CONFIG REQUIRED)
  find_package(Python3 REQUIRED COMPONENTS Interpreter)
endif()
