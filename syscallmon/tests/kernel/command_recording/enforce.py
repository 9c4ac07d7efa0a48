"""Loads a seccomp profile with libseccomp, and then executes a command, or opens a socket of one family.

Arguments: PROFILE COMMAND..., or PROFILE FAMILY. The exit status of a socket is its errno.
"""

import ctypes
import json
import os
import sys

import seccomp
from seccomp import Arch, Arg

ACTIONS = {"SCMP_ACT_ALLOW": lambda rule: seccomp.ALLOW, "SCMP_ACT_ERRNO": lambda rule: seccomp.ERRNO(rule["errnoRet"])}


def comparison(condition):
    if condition["op"] == "SCMP_CMP_EQ":
        return Arg(condition["index"], seccomp.EQ, condition["value"])
    assert condition["op"] == "SCMP_CMP_MASKED_EQ"
    return Arg(condition["index"], seccomp.MASKED_EQ, condition["value"], condition["valueTwo"])


with open(sys.argv[1]) as file:
    profile = json.load(file)
libc = ctypes.CDLL(None, use_errno=True)
bpf = seccomp.SyscallFilter(seccomp.ERRNO(profile["defaultErrnoRet"]))
for rule in profile["syscalls"]:
    for name in rule["names"]:
        if seccomp.resolve_syscall(Arch(), name) != -1:
            bpf.add_rule(ACTIONS[rule["action"]](rule), name, *map(comparison, rule.get("args", [])))
bpf.load()
if len(sys.argv) > 3:
    os.execv(sys.argv[2], sys.argv[2:])
is_open = libc.socket(int(sys.argv[2]), 5, 0) >= 0
os._exit(0 if is_open else ctypes.get_errno())
