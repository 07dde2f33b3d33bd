// SPDX-License-Identifier: BSD-2-Clause
/*
 * Who the unit and the target's ports are: VPD 83h and 88h, SPC 7.7.6 and 7.7.16.
 *
 * The unit's designators come from its stored serial number, so that they survive restart and
 * rename. Nobody has assigned us an IEEE company identifier: of itself a disk has no EUI-64 and no NAA
 * 5h or 6h, whose first digits would be somebody else's, but NAA 3h, locally assigned. An operator who
 * has one, or a disk that comes from another target, gives it (naa=, eui=). No designator may be added
 * that hosts prefer to the NAA name: disks would come back under another name.
 */
#include <stdio.h>
#include <string.h>

#include "scsi_vpd_wire.h"
#include "vpd.h"

enum { PORT_NAME_MAX = 236 }; /* name of a target, suffix, padding */

/* Writes the descriptor's head in front of `len` bytes that are there; returns its end. */
static uint8_t *designator_end(uint8_t *at, uint8_t code_set, uint8_t type, size_t len)
{
	struct designator *d = (struct designator *)at;

	d->code_set = code_set;
	d->type = type;
	d->len = (uint8_t)len;
	return at + sizeof(*d) + len;
}

/* 60 bits of FNV-1a, mixed so that serials that differ little differ much. */
static uint64_t serial_hash(const char *serial)
{
	uint64_t h = 0xcbf29ce484222325;

	for (; *serial; serial++)
		h = (h ^ (uint8_t)*serial) * 0x100000001b3;
	h = (h ^ h >> 33) * 0xff51afd7ed558ccd;
	h = (h ^ h >> 33) * 0xc4ceb9fe1a85ec53;
	return h ^ h >> 33;
}

/* UTF-8 with at least one NUL, padded to a multiple of four: SPC 7.7.6.11. */
static uint8_t *name_designator(uint8_t *at, uint8_t association, const char *name,
				const char *suffix)
{
	char *text = (char *)at + sizeof(struct designator);
	int len = snprintf(text, PORT_NAME_MAX, "%s%s", name, suffix);

	return designator_end(at, DESIGNATOR_ISCSI | CODE_SET_UTF8,
			      (uint8_t)(DESIGNATOR_PIV | association | DESIGNATOR_NAME),
			      ((size_t)len + 4) & ~3ul);
}

/* RFC 7143 4.2.7.1: the name of a target port ends with the portal group tag. */
static uint8_t *port_designator(uint8_t *at, const struct scsi_target *target,
				const struct target_port *port)
{
	char suffix[16];

	snprintf(suffix, sizeof(suffix), ",t,0x%04x", port->tag);
	return name_designator(at, DESIGNATOR_OF_PORT, target->name, suffix);
}

static uint8_t *number_designator(uint8_t *at, uint8_t type, uint16_t number)
{
	struct be32 value = be32_of(number);

	memcpy(at + sizeof(struct designator), value.b, sizeof(value));
	return designator_end(at, DESIGNATOR_ISCSI | CODE_SET_BINARY,
			      (uint8_t)(DESIGNATOR_PIV | DESIGNATOR_OF_PORT | type), sizeof(value));
}

static uint8_t *t10_designator(uint8_t *at, const char *serial)
{
	uint8_t *data = at + sizeof(struct designator);

	memcpy(data, "RISER   ", 8);
	memcpy(data + 8, serial, strlen(serial));
	return designator_end(at, CODE_SET_ASCII, DESIGNATOR_T10, 8 + strlen(serial));
}

static uint8_t *bytes_designator(uint8_t *at, uint8_t type, const uint8_t *bytes, uint8_t len)
{
	memcpy(at + sizeof(struct designator), bytes, len);
	return designator_end(at, CODE_SET_BINARY, type, len);
}

uint8_t lu_naa(const struct lu *lu, uint8_t naa[16])
{
	const struct bs_designators *given = &lu->bs->designators;
	struct be64 local = be64_of(0x3ull << 60 | serial_hash(lu->serial) >> 4);

	if (given->naa_len) {
		memcpy(naa, given->naa, given->naa_len);
		return given->naa_len;
	}
	memcpy(naa, local.b, sizeof(local));
	return sizeof(local);
}

static uint8_t *naa_designator(uint8_t *at, const struct lu *lu)
{
	uint8_t naa[16], len = lu_naa(lu, naa);

	return bytes_designator(at, DESIGNATOR_NAA, naa, len);
}

int vpd_identification(struct scsi_task *task, uint8_t *out)
{
	const struct bs_designators *given = &task->lu->bs->designators;
	const struct scsi_target *target = task->nexus->target;
	const struct target_port *through = task->nexus->port;
	uint8_t *at = naa_designator(out, task->lu);

	if (given->eui_len)
		at = bytes_designator(at, DESIGNATOR_EUI64, given->eui, given->eui_len);
	at = t10_designator(at, task->lu->serial);
	at = number_designator(at, DESIGNATOR_RELATIVE_PORT, through->relative);
	at = number_designator(at, DESIGNATOR_PORT_GROUP, through->tag);
	at = port_designator(at, target, through);
	at = name_designator(at, DESIGNATOR_OF_DEVICE, target->name, "");
	return (int)(at - out);
}

/* All ports of the target, whatever their access state. */
int vpd_ports(struct scsi_task *task, uint8_t *out)
{
	const struct scsi_target *target = task->nexus->target;
	uint8_t *at = out, *names;

	static_assert(PORT_NAME_MAX == ((sizeof(target->name) - 1 + 9 + 4) & ~3ul) &&
			      sizeof(struct vpd_header) +
					      TARGET_PORTS *
						      (sizeof(struct vpd_port) +
						       sizeof(struct designator) + PORT_NAME_MAX) <=
				      RESPONSE_SIZE,
		      "every port fits");
	for (unsigned int i = 0; i < target->port_count; i++) {
		struct vpd_port *port = (struct vpd_port *)at;

		names = at + sizeof(*port);
		at = port_designator(names, target, &target->ports[i]);
		port->relative = be16_of(target->ports[i].relative);
		port->target_len = be16_of((uint16_t)(at - names));
	}
	return (int)(at - out);
}
