#!/bin/bash
# down.sh: ends the agent and the hub that up.sh started; the data stays.
set -euo pipefail
cd "$(dirname "$0")/.."
home=${MEZITE_HOME:-$PWD/.up}
source scripts/up_lib.sh
finish agent
finish hub
echo "Mezite is down; its data is in $home (make up goes on with it)"
