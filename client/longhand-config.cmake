# find_package(longhand): the target longhand::client.
include(CMakeFindDependencyMacro)
find_dependency(Threads)
find_dependency(absl)
find_dependency(OpenSSL)
# Debian ships no protobuf CMake package: module mode, before gRPC.
find_dependency(Protobuf)
find_dependency(gRPC CONFIG)
include("${CMAKE_CURRENT_LIST_DIR}/longhand-targets.cmake")
