# Shared by the scripts here; sourced by bash. Sets ROOT, the repository, and
# the directories that LONGHAND_* variables may move.
set -euo pipefail
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
DEPS_DIR="${LONGHAND_DEPS_DIR:-$ROOT/.deps}"
MODEL_DIR="${LONGHAND_MODEL_DIR:-$ROOT/models/all-MiniLM-L6-v2}"
BUILD_DIR="${LONGHAND_BUILD_DIR:-$ROOT/build}"
JOBS="${LONGHAND_JOBS:-$(nproc)}"
# Checkouts in different places share what ccache keeps.
export CCACHE_BASEDIR="$ROOT" CCACHE_NOHASHDIR=1

step() { printf '\n== %s\n' "$*" >&2; }
fail() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# Fetches a wheel by package name and checks it: fetch_wheel NAME VERSION SHA256
# DIR prints the file's path.
fetch_wheel() {
  local name=$1 version=$2 sha256=$3 dir=$4
  mkdir -p "$dir"
  printf '%s==%s --hash=sha256:%s\n' "$name" "$version" "$sha256" > "$dir/requirements.txt"
  python3 -m pip download --quiet --no-deps --require-hashes --only-binary :all: \
    --disable-pip-version-check --dest "$dir" -r "$dir/requirements.txt" >&2
  ls "$dir"/*.whl
}
