// SPDX-License-Identifier: BSD-2-Clause
/*
 * Captured PDUs as a file for Wireshark: pcap with nanoseconds, and Ethernet, IP and TCP headers as if
 * each PDU had been sent in TCP segments of its own, over iSER too. PDUs that were lost, and what was
 * not kept of a PDU, are gaps in the sequence numbers.
 */
#ifndef RISER_PCAP_H
#define RISER_PCAP_H

#include <stdbool.h>
#include <stdio.h>

#include "capture_wire.h"

struct pcap;

/* `to` is borrowed and has the head of the file now. NULL: no memory. */
struct pcap *pcap_new(FILE *to);
/* The PDU stands behind its record, with padding. Errors of the file: ferror(to). */
void pcap_add(struct pcap *p, const struct capture_record *record);
void pcap_free(struct pcap *p); /* NULL is fine */

#endif
