#!/bin/sh
# Does what the harness asks of curl: copies the archive of the bench.
if [ "$STAND_IN_CURL" = hangs ]; then
    sleep 1000 &
    wait
fi
while [ "$1" != --output ]; do shift; done
cp "$STAND_IN_ARCHIVE" "$2"
if [ "$STAND_IN_CURL" = corrupts ]; then printf x >> "$2"; fi
