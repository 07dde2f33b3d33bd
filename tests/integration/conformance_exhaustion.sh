#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# timeout: 300
# alone: yes
# Floods and slow peers of the conformance suite, with an innocent session measured beside them:
# they want the machine for themselves. Each case starts a riserd of its own, with one CPU.
. "$SRC/tests/lib/daemon.sh"

need_daemon ram:64M ram:16M
"$SRC/tests/conformance/run" --group exhaustion --own "$RISERD" --no-skip --short "${urls[0]}"
