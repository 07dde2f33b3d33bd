#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# CHAP over iSER.
# shellcheck source=tests/guest/iser.lib.sh
. "$SRC/tests/guest/iser.lib.sh"
# shellcheck source=tests/guest/chap.lib.sh
. "$SRC/tests/guest/chap.lib.sh"

record() { record_over iser "$@"; }
setting() { setting_over iser "$@"; }
login() { login_over iser "$@"; }
logout() { logout_over iser "$@"; }
disk_of() { disk_over iser "$@"; }

need "a soft-RoCE device" soft_roce_up
# shellcheck disable=SC2086 # a list of words
need "riserd wants CHAP" serve_rdma $chap_options ram:64M
need "iscsid starts" start_iscsid
chap_story
check "riserd stops cleanly" stop_riserd
finish
