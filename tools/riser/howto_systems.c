// SPDX-License-Identifier: BSD-2-Clause
/*
 * The lines for each system. Names and addresses of riserd's answers have been checked there, but they
 * are pasted into shells: what is not a letter, a digit or one of ".:-[]_%" is left out.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "howto.h"

enum { SAFE = 300 };

static const char *safe(const char *text)
{
	static char buffers[8][SAFE];
	static unsigned int next;
	char *buf = buffers[next++ % 8];
	size_t n = 0;

	for (; *text && n + 1 < SAFE; text++) {
		if (isalnum((unsigned char)*text) || strchr(".:-[]_%@", *text))
			buf[n++] = *text;
	}
	buf[n] = 0;
	return buf;
}

bool howto_is_safe(const char *text)
{
	return !strcmp(safe(text), text);
}

/* The address without brackets and port, and the port. */
static const char *host(const char *portal)
{
	static char buf[HOWTO_ADDRESS];
	const char *from = portal + (*portal == '['), *end = strrchr(portal, ':');

	end -= end > from && end[-1] == ']';
	snprintf(buf, sizeof(buf), "%.*s", (int)(end - from), safe(from));
	return buf;
}

static const char *port(const char *portal)
{
	return safe(strrchr(portal, ':') + 1);
}

/* --- Linux --- */

static void linux_chap(const struct howto *h)
{
	if (!h->user)
		return;
	printf("\n# the secret of CHAP user %s, which bash asks for; no command line shows it\n"
	       "read -rsp 'secret: ' secret && echo\n"
	       "for record in /etc/iscsi/nodes/%s/*/default; do\n"
	       "    printf 'node.session.auth.%%s\\n' 'authmethod = CHAP' 'username = %s' "
	       "\"password = $secret\" |\n"
	       "        sed -i -e '/^node.session.auth.\\(authmethod\\|username\\|password\\) /d' "
	       "-e '/^node.name /r /dev/stdin' \"$record\"\n"
	       "done\nunset secret\n",
	       safe(h->user), safe(h->target), safe(h->user));
}

static void print_linux(const struct howto *h)
{
	printf("# Linux, as root (bash)\napt-get install open-iscsi || dnf install "
	       "iscsi-initiator-utils\n");
	if (h->initiator)
		printf("echo InitiatorName=%s >/etc/iscsi/initiatorname.iscsi\n"
		       "systemctl restart iscsid\n",
		       safe(h->initiator));
	printf("\n");
	if (h->iser)
		printf("modprobe ib_iser\n");
	printf("iscsiadm -m discovery -t sendtargets -p %s%s\n", safe(h->portals[0]),
	       h->iser ? " -I iser" : "");
	linux_chap(h);
	printf("\niscsiadm -m node -T %s --op update -n node.startup -v automatic\n"
	       "iscsiadm -m node -T %s --login\n",
	       safe(h->target), safe(h->target));
	printf("lsblk --scsi    # the new disk; with several portals: apt-get install "
	       "multipath-tools\n"
	       "# in /etc/fstab by its UUID, with the option _netdev\n");
}

/* --- Windows --- */

static void print_windows(const struct howto *h)
{
	printf("# Windows, in PowerShell as administrator\n"
	       "Set-Service MSiSCSI -StartupType Automatic; Start-Service MSiSCSI\n");
	if (h->initiator)
		printf("Get-InitiatorPort | Where-Object ConnectionType -eq iSCSI | "
		       "Set-InitiatorPort -NewNodeAddress %s\n",
		       safe(h->initiator));
	for (unsigned int i = 0; i < h->portal_count; i++)
		printf("New-IscsiTargetPortal -TargetPortalAddress '%s' -TargetPortalPortNumber "
		       "%s\n",
		       host(h->portals[i]), port(h->portals[i]));
	if (h->user)
		printf("$chap = Get-Credential -UserName %s -Message 'iSCSI'\n", safe(h->user));
	printf("Connect-IscsiTarget -NodeAddress %s -IsPersistent $true%s", safe(h->target),
	       h->portal_count > 1 ? " -IsMultipathEnabled $true" : "");
	if (h->user)
		printf(" `\n    -AuthenticationType ONEWAYCHAP -ChapUsername $chap.UserName `\n"
		       "    -ChapSecret $chap.GetNetworkCredential().Password");
	printf("\nGet-Disk | Where-Object BusType -eq iSCSI\n");
}

/* --- ESXi --- */

static void print_esxi(const struct howto *h)
{
	printf("# VMware ESXi, in its shell\n"
	       "esxcli iscsi software set --enabled=true\n"
	       "hba=$(esxcli iscsi adapter list | awk '/iscsi_vmk/ { print $1; exit }')\n");
	if (h->initiator)
		printf("esxcli iscsi adapter set --adapter=$hba --name=%s\n", safe(h->initiator));
	for (unsigned int i = 0; i < h->portal_count; i++)
		printf("esxcli iscsi adapter discovery sendtarget add --adapter=$hba "
		       "--address=%s\n",
		       safe(h->portals[i]));
	if (h->user)
		printf("# CHAP user %s: set the secret in the vSphere Client (Storage Adapters, "
		       "$hba,\n# Authentication, unidirectional), since esxcli takes it on its "
		       "command line only\n",
		       safe(h->user));
	printf("esxcli storage core adapter rescan --adapter=$hba\n"
	       "esxcli storage core device list | grep -A1 riser\n");
}

/* --- QEMU --- */

static void print_qemu(const struct howto *h)
{
	printf("# QEMU: each LUN as a disk of the guest, without the host's kernel\n");
	if (h->user)
		printf("# /etc/qemu/%s.secret holds the secret of CHAP user %s, mode 0600, without a "
		       "newline\n",
		       safe(h->user), safe(h->user));
	printf("qemu-system-x86_64 ...");
	if (h->user)
		printf(" \\\n    -object secret,id=riser,file=/etc/qemu/%s.secret", safe(h->user));
	for (unsigned int i = 0; i < json_array_size(h->luns); i++) {
		printf(" \\\n    -blockdev driver=iscsi,node-name=riser%lld,transport=%s,portal=%s,"
		       "target=%s,lun=%lld",
		       howto_lun(h, i), h->iser ? "iser" : "tcp", safe(h->portals[0]),
		       safe(h->target), howto_lun(h, i));
		if (h->initiator)
			printf(",initiator-name=%s", safe(h->initiator));
		if (h->user)
			printf(",user=%s,password-secret=riser", safe(h->user));
		printf(" \\\n    -device virtio-blk-pci,drive=riser%lld", howto_lun(h, i));
	}
	putchar('\n');
}

/* --- Kubernetes --- */

static void kubernetes_secret(const struct howto *h)
{
	printf("# the file `secret` holds the secret of CHAP user %s, without a newline\n"
	       "printf %%s %s >user\n"
	       "kubectl create secret generic riser-chap --type=kubernetes.io/iscsi-chap \\\n"
	       "    --from-file=node.session.auth.username=user "
	       "--from-file=node.session.auth.password=secret\n",
	       safe(h->user), safe(h->user));
}

static void kubernetes_volume(const struct howto *h, unsigned int i)
{
	const json_t *o = json_array_get(h->luns, i);
	long long gib = json_is_object(o) ? (long long)(member_number(o, "size") >> 30) : 0;

	printf("---\napiVersion: v1\nkind: PersistentVolume\nmetadata:\n  name: riser-lun%lld\n"
	       "spec:\n  capacity:\n    storage: %lldGi\n  accessModes: [ReadWriteOnce]\n"
	       "  persistentVolumeReclaimPolicy: Retain\n  iscsi:\n    targetPortal: \"%s\"\n",
	       howto_lun(h, i), gib > 0 ? gib : 1, safe(h->portals[0]));
	if (h->portal_count > 1) {
		printf("    portals:\n");
		for (unsigned int p = 1; p < h->portal_count; p++)
			printf("      - \"%s\"\n", safe(h->portals[p]));
	}
	printf("    iqn: \"%s\"\n    lun: %lld\n    fsType: ext4\n", safe(h->target),
	       howto_lun(h, i));
	if (h->initiator)
		printf("    initiatorName: \"%s\"\n", safe(h->initiator));
	if (h->iser)
		printf("    iscsiInterface: iser\n");
	if (h->user)
		printf("    chapAuthSession: true\n    secretRef:\n      name: riser-chap\n");
}

static void print_k8s(const struct howto *h)
{
	printf("# Kubernetes: every node needs open-iscsi\n");
	if (h->user)
		kubernetes_secret(h);
	printf("kubectl apply -f - <<'END'\n");
	for (unsigned int i = 0; i < json_array_size(h->luns); i++)
		kubernetes_volume(h, i);
	printf("END\n");
}

const struct howto_system howto_systems[] = {
	{ "linux", print_linux }, { "windows", print_windows }, { "esxi", print_esxi },
	{ "qemu", print_qemu },	  { "k8s", print_k8s },		{ NULL, NULL },
};
