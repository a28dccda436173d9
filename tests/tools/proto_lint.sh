#!/bin/sh
# Usage: proto_lint.sh DIR GOOGLEAPIS_DIR
#
# Runs `buf lint` on proto/ with the rules of buf.yaml. buf would fetch imports
# from its own registry; to work offline, DIR gets a workspace with a second
# module that holds the Google files that ours import. Exit code 77, which ctest
# counts as skipped, if npm is missing.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
dir=$1
googleapis=$2

if ! command -v npm >/dev/null; then
  echo "skipped: npm, which brings buf, is not installed"
  exit 77
fi
buf=$("$root/tools/get_buf" "$dir/buf")

workspace="$dir/workspace"
rm -rf "$workspace"
mkdir -p "$workspace"
cp -R "$root/proto" "$workspace/proto"

# The imports of the files given; google/protobuf is part of buf.
imports() {
  sed -n 's|^import "\(google/[^"]*\)";|\1|p' "$@" | { grep -v ^google/protobuf/ ||
    true; } | sort -u
}

wanted=$(find "$workspace/proto" -name '*.proto' -exec cat {} + | imports)
while [ -n "$wanted" ]; do
  next=""
  for file in $wanted; do
    [ -e "$workspace/googleapis/$file" ] && continue
    mkdir -p "$workspace/googleapis/$(dirname "$file")"
    cp "$googleapis/$file" "$workspace/googleapis/$file"
    next="$next $(imports "$googleapis/$file")"
  done
  wanted=$(echo $next)
done

# Our buf.yaml and the second module.
sed '/^modules:$/a\  - path: googleapis' "$root/buf.yaml" > "$workspace/buf.yaml"
grep -q '  - path: googleapis' "$workspace/buf.yaml"

cd "$workspace"
"$buf" build
"$buf" lint proto
echo "the protos keep to the rules of buf.yaml"
