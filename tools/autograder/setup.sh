#!/bin/sh
# Gradescope runs this once, as root, when it builds the image.
set -eu

is_new_enough() {
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null
}

if ! is_new_enough; then
    apt-get update
    apt-get install --yes --no-install-recommends python3
fi
if ! is_new_enough; then
    echo "The grader needs Python 3.10 or newer: choose Ubuntu 22.04 or newer as the base image." >&2
    exit 1
fi

# Who runs what students submit. The name is in run_autograder, too.
if ! id solution >/dev/null 2>&1; then
    useradd --system --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin solution
fi
