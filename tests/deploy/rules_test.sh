#!/bin/sh
# Usage: rules_test.sh DIR PROMTOOL_DIR
#
# Lets promtool check the rules and run their tests, and sees it fail on rules
# that are wrong. DIR is for what it writes; PROMTOOL_DIR is where promtool is
# unpacked if it is not installed.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
dir=$1
rules="$root/deploy/prometheus"
promtool=$("$root/tools/get_promtool" "$2" | tail -n 1)

"$promtool" check rules "$rules/rules.yaml"
cd "$rules"
"$promtool" test rules rules_test.yaml rules_budget_test.yaml

# Every alert is in a test.
for alert in $(sed -n 's/^ *- alert: //p' rules.yaml); do
  grep -q "\"$alert\"" rules_test.yaml rules_budget_test.yaml || {
    echo "no test makes $alert fire" >&2
    exit 1
  }
done

# The tests see a rule that does not fire, one that never clears, and one that
# divides by calls what is counted by requests.
mkdir -p "$dir/broken"
cp rules_test.yaml "$dir/broken/"
for change in 's/longhand_session_store_up == 0/longhand_session_store_up == 2/' \
              's/longhand_checksum_failures_total\[15m\]/longhand_checksum_failures_total[9h]/' \
              's/longhand_admission_queue_wait_seconds_count/grpc_server_started_total/'; do
  sed "$change" rules.yaml > "$dir/broken/rules.yaml"
  if cmp -s rules.yaml "$dir/broken/rules.yaml"; then
    echo "the change $change changes nothing" >&2
    exit 1
  fi
  if "$promtool" test rules "$dir/broken/rules_test.yaml" > /dev/null 2>&1; then
    echo "the tests pass in spite of $change" >&2
    exit 1
  fi
done
echo "the rules fire and clear as they should"
