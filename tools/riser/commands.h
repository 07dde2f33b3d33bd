// SPDX-License-Identifier: BSD-2-Clause
/* The tables of all nouns. */
#ifndef RISER_COMMANDS_H
#define RISER_COMMANDS_H

#include "command.h"

extern const struct command tree_commands[], portal_commands[], target_commands[], lun_commands[];
extern const struct command session_commands[], initiator_commands[], reservation_commands[];
extern const struct command alua_commands[], events_commands[], log_commands[], help_commands[],
	top_commands[], stats_commands[];
extern const struct command howto_commands[], doctor_commands[], shell_commands[];
extern const struct command completion_commands[];
extern const struct command import_commands[];
extern const struct command trace_commands[], job_commands[], image_commands[];
extern const struct command target_change_commands[], lun_change_commands[],
	portal_change_commands[], initiator_change_commands[], user_commands[], config_commands[];

#endif
