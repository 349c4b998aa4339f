#!/bin/sh
# Does what the harness asks of cargo: two files for the guest's binaries.
if [ "$STAND_IN_CARGO" = fails ]; then
    echo "error: a stand-in for trouble"
    exit 101
fi
if [ "$STAND_IN_CARGO" = hangs ]; then
    sleep 1000 &
    wait
fi
dir="$CARGO_TARGET_DIR/x86_64-unknown-linux-gnu/guest"
mkdir -p "$dir" && echo init > "$dir/init" && echo munmap > "$dir/munmap"
