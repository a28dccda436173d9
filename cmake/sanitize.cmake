# What the long jobs build with (docs/testing.md): sanitizers and fuzzing.
set(LONGHAND_SANITIZE "" CACHE STRING
    "Instrument everything: address (with undefined behaviour) or thread")
set_property(CACHE LONGHAND_SANITIZE PROPERTY STRINGS "" address thread)
option(LONGHAND_FUZZ "Build the libFuzzer programs too; Clang only" OFF)

if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  add_compile_options(-Wthread-safety -Werror=thread-safety)
  # Clang's own OpenMP would be a second one beside oneDNN's: take GCC's, with
  # its header by itself and without what only GCC understands.
  execute_process(COMMAND gcc -print-file-name=include/omp.h
                  OUTPUT_VARIABLE omp_header OUTPUT_STRIP_TRAILING_WHITESPACE)
  execute_process(COMMAND gcc -print-file-name=libgomp.so
                  OUTPUT_VARIABLE omp_library OUTPUT_STRIP_TRAILING_WHITESPACE)
  file(READ "${omp_header}" omp_text)
  string(REPLACE "__malloc__ (omp_free)" "__malloc__" omp_text "${omp_text}")
  file(WRITE "${CMAKE_BINARY_DIR}/openmp/omp.h" "${omp_text}")
  add_library(OpenMP::OpenMP_CXX UNKNOWN IMPORTED GLOBAL)
  set_target_properties(OpenMP::OpenMP_CXX PROPERTIES
    IMPORTED_LOCATION "${omp_library}"
    INTERFACE_INCLUDE_DIRECTORIES "${CMAKE_BINARY_DIR}/openmp")
endif()

if(LONGHAND_SANITIZE)
  # Instead of the build type's flags, so that assertions are on.
  set(CMAKE_BUILD_TYPE "" CACHE STRING "Build type" FORCE)
  add_compile_options(-O1 -g1 -fno-omit-frame-pointer -fno-sanitize-recover=all)
endif()
if(LONGHAND_SANITIZE STREQUAL "address")
  set(sanitizers address,undefined)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    # Headers of libraries that are not ours to mend.
    set(ignored "${CMAKE_SOURCE_DIR}/cmake/sanitize_ignore.txt")
    add_compile_options("-fsanitize-ignorelist=${ignored}")
  endif()
elseif(LONGHAND_SANITIZE STREQUAL "thread")
  set(sanitizers thread)
  # Every program begins with locks that ThreadSanitizer sees. Made here, since
  # it stands in front of all that is linked.
  set(tsan_mutex "${CMAKE_BINARY_DIR}/tsan_mutex.o")
  set(source "${CMAKE_SOURCE_DIR}/tests/sanitize/tsan_mutex.cc")
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${source}")
  execute_process(
    COMMAND "${CMAKE_CXX_COMPILER}" -std=c++20 -O1 -g1 -fPIC -fsanitize=thread
            -c "${source}" -o "${tsan_mutex}"
    COMMAND_ERROR_IS_FATAL ANY)
  add_link_options("${tsan_mutex}")
elseif(LONGHAND_SANITIZE)
  message(FATAL_ERROR "LONGHAND_SANITIZE is address or thread")
endif()
if(LONGHAND_SANITIZE)
  add_compile_options(-fsanitize=${sanitizers})
  add_link_options(-fsanitize=${sanitizers})
endif()

if(LONGHAND_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang" OR
     NOT LONGHAND_SANITIZE STREQUAL "address")
    message(FATAL_ERROR "LONGHAND_FUZZ needs CMAKE_CXX_COMPILER=clang++ and "
                        "LONGHAND_SANITIZE=address")
  endif()
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
