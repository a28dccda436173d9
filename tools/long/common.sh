# Shared by the long jobs; sourced by bash. Each kind of build has a directory
# below LONGHAND_LONG_DIR, default build-long.
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"
LONG_DIR="${LONGHAND_LONG_DIR:-$ROOT/build-long}"
# All of a developer's machine is not for them alone.
export NINJA_STATUS='[%f/%t] '

need() {
  command -v "$1" >/dev/null || fail "$1 is missing: run tools/setup --long"
}

# configure DIRECTORY CMAKE_OPTION...: with Clang.
configure() {
  local directory=$1
  shift
  need clang++
  cmake -S "$ROOT" -B "$directory" -G Ninja --log-level=WARNING \
    -DCMAKE_C_COMPILER=clang -DCMAKE_CXX_COMPILER=clang++ \
    -DLONGHAND_BUILD_TESTS=ON -DLONGHAND_DEPS_DIR="$DEPS_DIR" \
    -DLONGHAND_MODEL_DIR="$MODEL_DIR" "$@"
}
