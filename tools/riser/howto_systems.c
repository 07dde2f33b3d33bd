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

/* The one name that is let in. Whoever has it already is left alone. */
static void linux_name(const struct howto *h)
{
	printf("# the name that the target lets in; a host that needs its own keeps that, and the\n"
	       "# target is told: riser target set %s allow=NAME\n"
	       "grep -qsx InitiatorName=%s /etc/iscsi/initiatorname.iscsi || {\n"
	       "    echo InitiatorName=%s >/etc/iscsi/initiatorname.iscsi\n"
	       "    systemctl restart iscsid\n}\n",
	       safe(h->target), safe(h->initiator), safe(h->initiator));
}

/* Where discovery wants a secret of its own the records are made without it. */
static void linux_records(const struct howto *h)
{
	const char *iface = h->iser ? " -I iser" : "";

	if (!h->discovery_chap) {
		printf("iscsiadm -m discovery -t sendtargets -p %s%s\n", safe(h->portals[0]),
		       iface);
		return;
	}
	for (unsigned int i = 0; i < h->portal_count; i++)
		printf("iscsiadm -m node -T %s -p %s,%d%s --op new\n", safe(h->target),
		       safe(h->portals[i]), h->tags[i], iface);
}

/* Records are named after their interface, and are where the distribution has them. */
static void linux_chap(const struct howto *h)
{
	if (!h->user)
		return;
	printf("\n# the secret of CHAP user %s, which bash asks for; no command line shows it\n"
	       "IFS= read -rsp 'secret of %s: ' secret\necho\n"
	       "cd /etc/iscsi/nodes/%s 2>/dev/null || cd /var/lib/iscsi/nodes/%s\n"
	       "for record in */%s; do\n"
	       "    printf 'node.session.auth.%%s\\n' 'authmethod = CHAP' 'username = %s' "
	       "\"password = $secret\" |\n"
	       "        sed -i -e '/^node.session.auth.\\(authmethod\\|username\\|password\\) /d' "
	       "-e '/^node.name /r /dev/stdin' \"$record\"\n"
	       "done\n",
	       safe(h->user), safe(h->user), safe(h->target), safe(h->target),
	       h->iser ? "iser" : "default", safe(h->user));
}

/*
 * In parentheses to the end, so that bash has read all lines before anything asks: otherwise apt-get, or the
 * question for the secret, would take the next of the pasted lines for its answer.
 */
static void print_linux(const struct howto *h)
{
	const char *iface = h->iser ? " -I iser" : "";

	printf("# Linux, as root in bash; paste all of it, the first line that fails ends it\n"
	       "(\nset -e\ncommand -v iscsiadm >/dev/null || apt-get install open-iscsi ||\n"
	       "    dnf install iscsi-initiator-utils\n");
	if (h->initiator)
		linux_name(h);
	printf("\n");
	if (h->iser)
		printf("modprobe ib_iser\n");
	linux_records(h);
	linux_chap(h);
	printf("\niscsiadm -m node -T %s%s --op update -n node.startup -v automatic\n"
	       "iscsiadm -m node -T %s%s --login\n",
	       safe(h->target), iface, safe(h->target), iface);
	printf("lsblk --scsi    # the new disk; with several portals: apt-get install "
	       "multipath-tools\n"
	       "# in /etc/fstab by its UUID, with the option _netdev\n"
	       "# back, when nothing uses the disk any more:\n"
	       "#   iscsiadm -m node -T %s%s --logout && iscsiadm -m node -T %s%s --op delete\n)\n",
	       safe(h->target), iface, safe(h->target), iface);
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
		printf("# Windows takes secrets of 12 to 16 characters only\n"
		       "$chap = Get-Credential -UserName %s -Message 'iSCSI'\n",
		       safe(h->user));
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
	printf("# QEMU: each LUN as a disk of the guest, without the host's kernel. It needs the package\n"
	       "# qemu-block-extra (Fedora: qemu-block-iscsi); your own options take the place of ...\n");
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

/* The target's name as Kubernetes takes names: no two targets may share an object. */
static const char *kubernetes_name(const struct howto *h)
{
	static char buf[SAFE];
	size_t n = 0;

	for (const char *c = safe(h->target); *c && n + 1 < sizeof(buf); c++)
		buf[n++] = isalnum((unsigned char)*c) ? (char)tolower((unsigned char)*c) : '-';
	buf[n] = 0;
	return buf;
}

static void kubernetes_secret(const struct howto *h)
{
	printf("# the file `secret` holds the secret of CHAP user %s, without a newline\n"
	       "printf %%s %s >user\n"
	       "kubectl create secret generic %s-chap --type=kubernetes.io/iscsi-chap \\\n"
	       "    --from-file=node.session.auth.username=user "
	       "--from-file=node.session.auth.password=secret\n",
	       safe(h->user), safe(h->user), kubernetes_name(h));
}

static void kubernetes_volume(const struct howto *h, unsigned int i)
{
	const json_t *o = json_array_get(h->luns, i);
	long long gib = json_is_object(o) ? (long long)(member_number(o, "size") >> 30) : 0;

	printf("---\napiVersion: v1\nkind: PersistentVolume\nmetadata:\n  name: %s-lun%lld\n"
	       "spec:\n  capacity:\n    storage: %lldGi\n  accessModes: [ReadWriteOnce]\n"
	       "  persistentVolumeReclaimPolicy: Retain\n  iscsi:\n    targetPortal: \"%s\"\n",
	       kubernetes_name(h), howto_lun(h, i), gib > 0 ? gib : 1, safe(h->portals[0]));
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
		printf("    chapAuthSession: true\n    secretRef:\n      name: %s-chap\n",
		       kubernetes_name(h));
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
	{ "linux", false, print_linux }, { "windows", true, print_windows },
	{ "esxi", true, print_esxi },	 { "qemu", false, print_qemu },
	{ "k8s", true, print_k8s },	 { NULL, false, NULL },
};
