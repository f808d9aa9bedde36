#!/usr/bin/env bash
# steps.sh NAME COMMAND...: run one step of `make check` or `make test`, and say how long it took.
# With STEP_TIMES set, the line is also appended to that file, from which .ci/run prints its summary.
set -euo pipefail
name=$1
shift
echo "== $name"
start=$(date +%s%N)
code=0
"$@" </dev/null || code=$?
ms=$((($(date +%s%N) - start) / 1000000))
line=$(printf '%8d.%01d s  %s%s' $((ms / 1000)) $((ms % 1000 / 100)) "$name" "$([ $code = 0 ] || echo "  FAILED ($code)")")
[ -z "${STEP_TIMES:-}" ] || echo "$line" >>"$STEP_TIMES"
echo "$line"
exit $code
