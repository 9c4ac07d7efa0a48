"""Compiles a seccomp profile with libseccomp, as runc does (libcontainer/seccomp/seccomp_linux.go).

Input: JSON with the native ABI and the profile. Output: JSON with the filter, as hexadecimal instructions of classic
BPF, and by ABI the names that libseccomp does not know. Docker's conditions are resolved as Docker does for a
container with its default capabilities.
"""

import json
import sys
import tempfile

import seccomp
from seccomp import Arch, Arg

NATIVE = {"x86_64": ("SCMP_ARCH_X86_64", "amd64"), "aarch64": ("SCMP_ARCH_AARCH64", "arm64")}

ABIS = {
    "x86_64": Arch.X86_64,
    "ia32": Arch.X86,
    "x32": Arch.X32,
    "aarch64": Arch.AARCH64,
    "aarch32": Arch.ARM,
}

ARCHITECTURES = {
    "SCMP_ARCH_X86_64": Arch.X86_64,
    "SCMP_ARCH_X86": Arch.X86,
    "SCMP_ARCH_X32": Arch.X32,
    "SCMP_ARCH_AARCH64": Arch.AARCH64,
    "SCMP_ARCH_ARM": Arch.ARM,
}

OPERATORS = {
    "SCMP_CMP_NE": seccomp.NE,
    "SCMP_CMP_LT": seccomp.LT,
    "SCMP_CMP_LE": seccomp.LE,
    "SCMP_CMP_EQ": seccomp.EQ,
    "SCMP_CMP_GE": seccomp.GE,
    "SCMP_CMP_GT": seccomp.GT,
    "SCMP_CMP_MASKED_EQ": seccomp.MASKED_EQ,
}

# Docker's and containerd's default capabilities.
CAPABILITIES = {
    "CAP_" + name
    for name in (
        "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP SETGID SETPCAP SETUID"
        " SYS_CHROOT"
    ).split()
}

# runc optimizes filters with more calls than this.
MAX_LINEAR = 32


def action(rule, name, errno):
    number = 1 if rule.get(errno) is None else rule[errno]
    return {
        "SCMP_ACT_ALLOW": seccomp.ALLOW,
        "SCMP_ACT_LOG": seccomp.LOG,
        "SCMP_ACT_TRACE": seccomp.TRACE(number),
        "SCMP_ACT_ERRNO": seccomp.ERRNO(number),
        "SCMP_ACT_TRAP": seccomp.TRAP,
        "SCMP_ACT_KILL": seccomp.KILL,
        "SCMP_ACT_KILL_THREAD": seccomp.KILL,
        "SCMP_ACT_KILL_PROCESS": seccomp.KILL_PROCESS,
        "SCMP_ACT_NOTIFY": seccomp.NOTIFY,
    }[rule[name]]


def applies(rule, go_arch):
    includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
    if includes.get("arches") and go_arch not in includes["arches"]:
        return False
    if not CAPABILITIES.issuperset(includes.get("caps") or []):
        return False
    # The kernel is newer than any that profiles name.
    is_excluded = go_arch in (excludes.get("arches") or []) or CAPABILITIES & set(excludes.get("caps") or [])
    return not is_excluded and not excludes.get("minKernel")


def architectures(profile, native):
    names = list(profile.get("architectures") or [])
    for entry in profile.get("archMap") or []:
        if entry["architecture"] == native:
            names += [native, *(entry.get("subArchitectures") or [])]
    return names


def argument(condition):
    value, second, op = condition["value"], condition.get("valueTwo") or 0, OPERATORS[condition["op"]]
    return Arg(condition["index"], op, value, second) if op == seccomp.MASKED_EQ else Arg(condition["index"], op, value)


def add(bpf, name, act, conditions):
    arguments = [argument(condition) for condition in conditions]
    indices = [condition["index"] for condition in conditions]
    if len(indices) == len(set(indices)):
        bpf.add_rule(act, name, *arguments)
    else:
        # runc adds one rule for each comparison if two compare the same argument.
        for one in arguments:
            bpf.add_rule(act, name, one)


def is_unknown(arch, name):
    # __NR_SCMP_ERROR, or the pseudo number of a call that only other architectures have. Numbers above that are
    # operations of socketcall and ipc.
    number = seccomp.resolve_syscall(arch, name)
    return number == -1 or number <= -10000


def compile_profile(native_abi, profile):
    native, go_arch = NATIVE[native_abi]
    default = action(profile, "defaultAction", "defaultErrnoRet")
    bpf = seccomp.SyscallFilter(default)
    # The filter begins with this machine's architecture.
    wanted = {ARCHITECTURES[native], *(ARCHITECTURES[name] for name in architectures(profile, native))}
    for arch in wanted:
        if not bpf.exist_arch(arch):
            bpf.add_arch(arch)
    if Arch() not in wanted and int(Arch()) not in wanted:
        bpf.remove_arch(Arch())
    rules = [rule for rule in profile.get("syscalls") or [] if applies(rule, go_arch)]
    calls = [(name, rule) for rule in rules for name in (rule.get("names") or [rule["name"]])]
    if len(calls) > MAX_LINEAR:
        bpf.set_attr(seccomp.Attr.CTL_OPTIMIZE, 2)
    for name, rule in calls:
        act = action(rule, "action", "errnoRet")
        # runc passes over both.
        if act != default and seccomp.resolve_syscall(Arch(), name) != -1:
            add(bpf, name, act, rule.get("args") or [])
    unknown = {abi: sorted({name for name, _ in calls if is_unknown(arch, name)}) for abi, arch in ABIS.items()}
    with tempfile.TemporaryFile() as file:
        bpf.export_bpf(file)
        file.seek(0)
        return {"filter": file.read().hex(), "unknown": unknown}


job = json.load(sys.stdin)
json.dump(compile_profile(job["native"], job["profile"]), sys.stdout)
