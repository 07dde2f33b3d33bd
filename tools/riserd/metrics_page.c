// SPDX-License-Identifier: BSD-2-Clause
/* The status page as it is in page.html, a file that one can open and edit. */
#include "metrics_impl.h"

__asm__(".section .rodata\n"
	".globl metrics_page, metrics_page_end\n"
	"metrics_page: .incbin \"tools/riserd/page.html\"\n"
	"metrics_page_end: .byte 0\n"
	".previous\n");
