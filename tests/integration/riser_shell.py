#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""riser shell: a tree to walk in, completion at a terminal, scripts in a pipe; and completion of the
command line in bash, zsh and fish."""

import os
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

# pylint: disable=wrong-import-position
import command
from command import HOST, IQN, OTHER, RISER, Daemon, Terminal, answers, contains, run
from tap import check, equal


def walks():
    """cd and ls go through targets, LUNs and sessions; names may be short"""
    with Daemon(answers()) as d:
        text = d.run("shell", text="pwd\ncd targets/disk1\npwd\nls\ncd luns\nls\ncd 0\npwd\ncd ../../sessions\n"
                                   "ls 1\ncd /\nls portals\npwd\n")
        contains(text, f"/targets/{IQN}\n", "chap users", f"/targets/{IQN}/luns/0\n", "00023d000001",
                 "192.0.2.1:3260")
        check(text.startswith("/\n") and text.endswith("/\n"), text)
        d.run("shell", text="ls\n")
        check(("status", None) in d.heard, "ls at / is the tree")


def place_is_meant():
    """what a command lacks is taken from the place in the tree, and nothing that was given"""
    said = answers()
    said["reservation.clear"] = {"cleared": {}}
    with Daemon(said) as d:
        for place, line, call in (
                (f"/targets/{IQN}", "lun list", ("lun.list", {"target": IQN})),
                ("/targets/disk1", "lun list --json", ("lun.list", {"target": IQN})),
                ("/targets/disk1", f"lun list {OTHER}", ("lun.list", {"target": OTHER})),
                ("/", "lun list", ("lun.list", {})),
                ("/targets/disk1/luns/0", "reservation clear --dry-run",
                 ("reservation.clear", {"target": IQN, "lun": 0, "dry_run": True})),
                ("/targets/disk1/sessions/1", "session show", ("session.show", {"session": "1"})),
                ("/sessions/1", "session show", ("session.show", {"session": "1"}))):
            d.run("shell", text=f"cd {place}\n{line}\n")
            equal([params for method, params in d.heard if method == call[0]][-1:], [call[1]],
                  f"{line} in {place}")
        contains(d.run("shell", text="cd /targets\nlun show 0\n", status=2), "")


def scripts():
    """a script ends at the first command that fails, with its status; quotes, comments, exit"""
    with Daemon(answers()) as d:
        text = d.run("shell", text="# a comment\n\npwd\ncd nowhere\npwd\n", status=3)
        equal(text, "/\n", "said")
        contains(d.refused(0, "shell"), "")
        text = d.run("shell", text="target show 'disk1\n", status=2)
        contains(d.run("shell", text='target show "disk1" -q\nexit\nnonsense\n'), "")
        d.run("shell", text="sesion list\n", status=2)
        d.methods["target.list"] = [command.target(), command.target("iqn.2026-11.x:disk1")]
        d.run("shell", text="cd /targets/disk1\n", status=3)


def options_are_for_one():
    """--json of one command is not one of the next"""
    with Daemon(answers()) as d:
        lines = d.run("shell", text="target list --json\ntarget list\n").splitlines()
        check(lines[0].startswith("[{") and lines[1].startswith("TARGET"), lines)


def other_riserd():
    """--control of one command in the shell asks that riserd, and the next command the shell's again"""
    with Daemon(answers()) as d, Daemon(answers()) as other:
        d.run("shell", text=f"target list\nlun list --control {other.path}\nportal list\n")
        equal([method for method, _ in d.heard], ["target.list", "portal.list"], "the shell's")
        equal([method for method, _ in other.heard], ["lun.list", "lun.hanging"], "the other one's")


def secret_given_up():
    """Ctrl-C at the question for a secret leaves a terminal that shows what is typed"""
    with Daemon(answers()) as d:
        t = Terminal("bash", "-c", f"trap : INT; '{RISER}' --control {d.path} user add bob "
                                   f"--target {IQN}; stty -a")
        t.until("secret of bob: ")
        t.type("\x03")
        text = t.until("echoke")
        check(" echo " in text and "-echo " not in text, text)
        t.end()


def restart():
    """the daemon may be restarted under the shell"""
    with Daemon(answers()) as d:
        t = Terminal(RISER, "shell", "--control", d.path)
        t.until("riser /> ")
        t.type("target list\n")
        t.until(OTHER)
        for conn in d.clients:
            conn.shutdown(2)
        t.until("riser /> ")
        t.type("session list\n")
        t.until("alice")
        t.type("exit\n")
        equal(t.end(), 0, "status")


def completes():
    """Tab completes commands, paths and names that riserd knows, and lists what is possible"""
    with Daemon(answers()) as d:
        t = Terminal(RISER, "shell", "--control", d.path)
        t.until("riser /> ")
        t.type("cd ta\t")
        t.until("rgets/")
        t.type("\t")
        t.until(".2026-11.test:")
        t.type("di\t\n")
        t.until(f"riser /targets/{IQN}> ")
        t.type("session \t")
        contains(t.until("kick"), "list", "show")
        t.type("s\t")
        t.until("how ")
        t.type("\t\n")
        t.until("00023d000001")
        t.type("lun list --js\t\n")
        t.until('"target"')
        t.until("> ")
        t.type("nonsense")
        t.until("nonsense")
        t.type("\x03")  # gives up the line, not the shell
        t.until("> ")
        t.type("pwd\n")
        t.until(f"/targets/{IQN}\r\n")
        t.type("\x04")
        equal(t.end(), 0, "status")


def candidates():
    """the hidden command behind all completion: words by the table, names from riserd, files"""
    with Daemon(answers()) as d:
        def words(*typed):
            lines = run("__complete", "--control", d.path, *typed).splitlines()
            return [line.split("\t")[0] for line in lines]
        check({"session", "target", "howto"} <= set(words("")), words(""))
        equal(words("ses"), ["session"], "ses")
        check({"list", "show", "kick"} <= set(words("session", "")), words("session", ""))
        equal(words("target", "show", ""), [IQN, OTHER], "targets")
        equal(words("lun", "show", IQN, ""), ["0"], "its LUNs")
        equal(words("session", "kick", "--initiator", "x", "1", ""), ["1"], "sessions")
        equal(words("howto", "x", "--os", "w"), ["windows"], "--os w")
        equal(words("howto", "x", "--d"), ["--dry-run"], "--d")
        equal(words("doctor", ""), [":file"], "files")
        equal(words("top", "--by=x", "--so"), ["--sort"], "--so")
        equal(words("nonsense", ""), [], "nonsense")
    equal(run("__complete", "--control", "/nonexistent/s", "target", "show", ""), "", "nobody there")


def in_bash():
    """bash completes names with colons"""
    with Daemon(answers()) as d:
        script = run("completion", "bash") + f"""
            export RISER_CONTROL={d.path}
            try() {{ COMP_LINE="$1" COMP_POINT=${{#1}}; _riser; printf '%s\\n' "${{COMPREPLY[@]}}"; echo .; }}
            try '{RISER} ses'
            try '{RISER} target show '
            try '{RISER} target show iqn.2026-11.test:d'
            cd {d.folder}; touch image.raw
            try '{RISER} doctor im'
            rm image.raw"""
        done = subprocess.run(["bash", "-c", script], capture_output=True, encoding="utf-8", check=True)
        equal(done.stdout, f"session\n.\n{IQN}\n{OTHER}\n.\ndisk1\n.\nimage.raw\n.\n", done.stderr)


def in_zsh():
    """zsh completes, with what words are about"""
    check(shutil.which("zsh"), "there is no zsh (ci/deps)")
    with Daemon(answers()) as d:
        with open(os.path.join(d.folder, "_riser"), "w", encoding="ascii") as file:
            file.write(run("completion", "zsh"))
        t = Terminal("zsh", "-f", env={"RISER_CONTROL": d.path, "PS1": "READY> ",
                                       "PATH": os.path.dirname(RISER) + ":" + os.environ["PATH"]})
        t.until("READY> ")
        t.type(f"fpath=({d.folder} $fpath); autoload -U compinit; compinit -u -D; PS1='NOW'' ; '\n")
        t.until("NOW ; ")
        t.type("riser session \t")
        contains(t.until("show"), "kick", "list")
        t.type("\x15riser target show iqn.2026-11.test:o\t\n")
        t.until("iqn.2026-11.test:other")
        t.until("chap users")
        t.type("\x15exit\n")
        t.end()


def in_fish():
    """fish completes, with what words are about"""
    check(shutil.which("fish"), "there is no fish (ci/deps)")
    with Daemon(answers()) as d:
        script = os.path.join(d.folder, "riser.fish")
        with open(script, "w", encoding="ascii") as file:
            file.write(run("completion", "fish"))
        path = os.path.dirname(RISER) + ":" + os.environ["PATH"]

        def offered(line):
            done = subprocess.run(
                ["fish", "--no-config", "-c", "source $argv[1]; complete -C $argv[2]", script, line],
                capture_output=True, encoding="utf-8", check=False, cwd=d.folder, timeout=30,
                env={"HOME": d.folder, "PATH": path, "RISER_CONTROL": d.path, "LC_ALL": "C.UTF-8"})
            equal((done.returncode, done.stderr), (0, ""), f"fish about {line!r}")
            return dict(line.partition("\t")[::2] for line in done.stdout.splitlines())

        check({"list", "show", "kick"} <= set(offered("riser session ")), offered("riser session "))
        equal(list(offered("riser ses")), ["session"], "ses")
        equal(offered("riser target show iqn.2026-11.test:d"), {IQN: "Disk 1"}, "a target")
        equal(list(offered("riser target show 'iqn.2026-11.test:o")), [OTHER], "with a quote")
        equal(list(offered("riser howto x --os w")), ["windows"], "--os w")
        equal(list(offered("riser nonsense ")), [], "nonsense")
        with open(os.path.join(d.folder, "image.raw"), "wb"):
            equal(list(offered("riser doctor im")), ["image.raw"], "files")


if __name__ == "__main__":
    command.main([walks, place_is_meant, scripts, options_are_for_one, other_riserd, secret_given_up,
                  restart, completes, candidates, in_bash, in_zsh, in_fish])
