#!/bin/sh
# Usage: make_venv.sh DIR requirements.txt
#
# Makes the Python virtual environment DIR with exactly the packages of the
# requirements file, which must name every package, dependencies included, with
# its exact version. Does nothing, and needs no network, if DIR already holds
# them. PYTHON names the interpreter (python3 otherwise).
set -eu

if [ $# -ne 2 ]; then
  echo "usage: make_venv.sh DIR requirements.txt" >&2
  exit 2
fi
dir=$1
requirements=$2
python=${PYTHON:-python3}
stamp="$dir/requirements.sha256"

mkdir -p "$(dirname "$dir")"
# Two tests may ask for one environment at once.
exec 9>"$dir.lock"
flock 9

wanted=$({ "$python" -VV; cat "$requirements"; } | sha256sum)
if [ -x "$dir/bin/python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
  exit 0
fi

rm -rf "$dir"
"$python" -m venv "$dir"
if ! "$dir/bin/python" -m pip install --quiet --disable-pip-version-check \
    --no-input --no-deps --requirement "$requirements"; then
  echo "make_venv.sh: could not install the packages of $requirements;" \
       "the first run needs the network or a pip mirror" >&2
  exit 1
fi
echo "$wanted" > "$stamp"
