#!/usr/bin/python3
"""Runs as a unit of a VM with Debian: compares seccomp profiles of oci-seccomp-bpf-hook and of syscallmon.

Each server runs in a container twice: syscallmon counts its calls, and the hook traces them. Not both at once, because
the hook's compiler takes longer in an emulated machine than container init may take. Then the server runs with each
profile. All runs have the same load. What xtask reads begins with "@".
"""

import concurrent.futures
import json
import os
import subprocess
import time
import traceback
import urllib.parse
import urllib.request

API = "http://127.0.0.1:9778"
SERVERS_SH = "/syscallmon/programs/servers.sh"
ROOT = "/srv/root"
WORK = "/run/peer"
RUNTIMES = ["crun", "runc"]
JOBS = 2
# The signal that ends a server gracefully. busybox has none as the first process of a container.
SERVERS = {"nginx": "QUIT", "redis": "TERM", "busybox": "KILL", "python": "INT"}
# Docker's and Podman's default.
CAPABILITIES = [
    "CAP_" + name
    for name in "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE "
    "SYS_CHROOT KILL AUDIT_WRITE".split()
]
COLUMNS = [
    "server",
    "recorded with",
    "profile of",
    "calls",
    "calls of the server",
    "of these missing",
    "only in this profile",
    "same runtime",
    "with no_new_privs",
    "other runtime",
]
# Longer lists are counted instead.
MAX_LISTED = 5
TRACE_SECONDS = 600
ANSWER_SECONDS = 60
STOP_SECONDS = 30
LOAD_SECONDS = 300


def say(text):
    print(f"# {time.monotonic():.0f} s: {text}", flush=True)


def servers_sh(*arguments, seconds=LOAD_SECONDS):
    """Calls a function of servers.sh. Returns whether it succeeded in time."""
    process = subprocess.Popen(["bash", SERVERS_SH, *arguments], start_new_session=True)
    try:
        return process.wait(seconds) == 0
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.wait()
        return False


def words(expression, server):
    """Returns the words of an expression in servers.sh, in which `name` is the server."""
    script = f". {SERVERS_SH}; echo {expression}"
    environment = {**os.environ, "name": server}
    return output(["bash", "-c", script], env=environment).split()


def output(command, **settings):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **settings).stdout


def specification(server, cgroup, no_new_privileges, seccomp, profile_of_hook):
    [user] = words("${user[$name]:-root}", server)
    uid, gid = (int(output(["id", flag, user])) for flag in ["-u", "-g"])
    in_effect = CAPABILITIES if uid == 0 else []

    def tmpfs(path, mode):
        options = ["nosuid", "nodev", f"mode={mode}"]
        return {"destination": path, "type": "tmpfs", "source": "tmpfs", "options": options}

    spec = {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": {"uid": uid, "gid": gid},
            "args": words("${serve[$name]}", server),
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "cwd": "/",
            "capabilities": {"bounding": CAPABILITIES, "effective": in_effect, "permitted": in_effect},
            "noNewPrivileges": no_new_privileges,
        },
        "root": {"path": ROOT, "readonly": False},
        "hostname": "server",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            tmpfs("/dev/shm", "1777"),
            tmpfs("/tmp", "1777"),
            tmpfs("/run", "755"),
        ],
        "linux": {"cgroupsPath": cgroup, "namespaces": [{"type": kind} for kind in ["pid", "ipc", "uts", "mount"]]},
    }
    if seccomp:
        spec["linux"]["seccomp"] = seccomp
    if profile_of_hook:
        hook = {"path": "/syscallmon/programs/trace", "args": ["trace", profile_of_hook], "env": spec["process"]["env"]}
        spec["hooks"] = {"prestart": [hook]}
    return spec


def run(server, runtime, name, no_new_privileges, seccomp=None, profile_of_hook=None):
    """Runs a server in a container: start, load, reload, load, stop. Returns what failed, or nothing."""
    container = f"{server}-{runtime}-{name}"
    bundle = f"{WORK}/{container}"
    os.makedirs(bundle)
    servers_sh("forget", server)
    spec = specification(server, f"/peer/{container}", no_new_privileges, seccomp, profile_of_hook)
    with open(f"{bundle}/config.json", "w") as file:
        json.dump(spec, file)
    with open(f"{bundle}/log", "w") as log:
        # The root of the VM is the first file system of the kernel, which cannot be a place for pivot_root.
        command = [runtime, "run", "--no-pivot", "--bundle", bundle, container]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    failed = exercise(server, runtime, container, process, profile_of_hook)
    if process.poll() is None:
        subprocess.run([runtime, "kill", container, "KILL"], stderr=subprocess.DEVNULL)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
    subprocess.run([runtime, "delete", "--force", container], stderr=subprocess.DEVNULL)
    if failed:
        with open(f"{bundle}/log") as log:
            say(f"{container}: {failed}: {log.read()[-400:]}")
    return failed


def wait_for(file, process):
    """Waits for a file. Returns whether it appeared before the process ended."""
    for _ in range(TRACE_SECONDS):
        if os.path.exists(file):
            return True
        if process.poll() is not None:
            return False
        time.sleep(1)
    return False


def exercise(server, runtime, container, process, profile):
    if profile and not wait_for(f"{profile}.seconds", process):
        return "the hook does not trace"
    end = time.monotonic() + ANSWER_SECONDS
    while not servers_sh("answers", server, seconds=10):
        if process.poll() is not None:
            return "does not start"
        if time.monotonic() > end:
            return "does not answer"
        time.sleep(0.5)
    if not servers_sh("load", server, "2"):
        return "load fails"
    if not servers_sh("reload", server, runtime, "kill", container, "HUP"):
        return "reload fails"
    if not servers_sh("load", server, "2"):
        return "load after the reload fails"
    signal = SERVERS[server]
    if process.poll() is not None:
        return "ends early"
    subprocess.run([runtime, "kill", container, signal])
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        return "does not stop"
    return None


def workload(container):
    """Returns what the daemon knows about a container."""
    match = urllib.parse.urlencode({"match": f'cgroup="/peer/{container}"'})
    with urllib.request.urlopen(f"{API}/api/v1/workloads?{match}") as answer:
        found = json.load(answer)["data"]["workloads"]
    return found[0] if found else {}


def observed(container):
    """Returns the names of the calls that the container made, without those of the runtime."""
    calls = workload(container)["syscalls"]
    return {call["syscall"] for call in calls if call["calls"] > call.get("container_init", 0)}


def allowed(profile):
    names = [rule["names"] for rule in profile["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW"]
    return {name for rule in names for name in rule}


def profile_of_hook(file):
    """Waits for the hook, which writes its file after the container has ended. Returns the profile as OCI wants it."""
    for _ in range(600):
        if os.path.exists(file) and os.path.getsize(file) > 0:
            try:
                with open(file) as text:
                    profile = json.load(text)
                break
            except ValueError:
                pass
        time.sleep(0.2)
    else:
        with open(f"{file}.log") as log:
            raise ValueError(f"no profile of the hook: {log.read()[-2000:]}")
    rules = [{"names": rule["names"], "action": rule["action"]} for rule in profile["syscalls"]]
    return {"defaultAction": profile["defaultAction"], "syscalls": rules}


def profile_of_syscallmon(container):
    command = ["/syscallmon/syscallmon", "profile", "generate", "--daemon", API]
    command += ["--workload", f'cgroup="/peer/{container}"']
    return json.loads(output(command))


def enforce(server, runtime, author, profile):
    """Returns the outcomes: without no_new_privs, with it, and with the other runtime."""
    [other] = set(RUNTIMES) - {runtime}
    outcomes = []
    runs = [(runtime, "without", False), (runtime, "with", True), (other, runtime, False)]
    for which, name, no_new_privileges in runs:
        name = f"{author}-{name}"
        say(f"{server} with {which}: {name}")
        failed = run(server, which, name, no_new_privileges, seccomp=profile)
        known = workload(f"{server}-{which}-{name}")
        if not known and not failed:
            raise ValueError(f"{name}: the daemon does not know the container")
        denied = known.get("denied", [])
        refused = ", ".join(f"`{call['syscall']}` ({call['denied']})" for call in denied)
        outcomes.append((failed or "works") + (f"; refused: {refused}" if refused else ""))
    return outcomes


def listed(names):
    if len(names) > MAX_LISTED:
        return len(names)
    return ", ".join(f"`{name}`" for name in sorted(names)) or "none"


def record(server, runtime):
    """Returns the calls that the server made according to syscallmon, and both profiles."""
    name, file = f"{server}-{runtime}-counted", f"{WORK}/{server}-{runtime}.json"
    say(f"{server} with {runtime}: recording")
    failed = run(server, runtime, "counted", False)
    if failed:
        raise ValueError(f"without a filter: {failed}")
    made, syscallmon = observed(name), profile_of_syscallmon(name)
    failed = run(server, runtime, "traced", False, profile_of_hook=file)
    if failed:
        raise ValueError(f"with the hook: {failed}")
    hook = profile_of_hook(file)
    with open(f"{file}.seconds") as seconds:
        say(f"{server} with {runtime}: the hook traced after {seconds.read()} s")
    return made, hook, syscallmon


def compare(server, runtime, rows):
    """Adds two rows to the table. Prints whether the server works with the profile of syscallmon."""
    try:
        made, hook, syscallmon = record(server, runtime)
        profiles = [("oci-seccomp-bpf-hook", "hook", hook, syscallmon), ("syscallmon", "syscallmon", syscallmon, hook)]
        for title, author, profile, other in profiles:
            calls, only = allowed(profile), allowed(profile) - allowed(other)
            say(f"{server} with {runtime}: {title}: {' '.join(sorted(calls))}")
            outcomes = enforce(server, runtime, author, profile)
            cells = [server, runtime, title, len(calls), len(made), listed(made - calls), listed(only), *outcomes]
            rows.append(f"| {' | '.join(map(str, cells))} |")
            say(rows[-1])
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        print(f"@fail {server} with {runtime}: {error}", flush=True)
        return
    # The profile is for any runtime.
    verdict = "pass" if outcomes == ["works"] * 3 else "fail"
    print(f"@{verdict} {server} with {runtime}: the profile of syscallmon", flush=True)


def main():
    console = os.open("/dev/console", os.O_WRONLY)
    os.dup2(console, 1)
    os.dup2(console, 2)
    print(f"\n@release {os.uname().release}", flush=True)
    packages = ["oci-seccomp-bpf-hook", "libbpfcc", *RUNTIMES]
    subprocess.run(["dpkg-query", "--show", "--showformat=@package ${Package} ${Version}\n", *packages])
    servers_sh("prepare")
    say("the daemon counts")
    os.makedirs(WORK)
    os.makedirs(ROOT)
    subprocess.run(["mount", "--bind", "/", ROOT], check=True)
    rows = []

    def compare_all(server):
        for runtime in RUNTIMES:
            compare(server, runtime, rows)

    # Each server has its own port.
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        list(pool.map(compare_all, SERVERS))
    for row in [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|", *sorted(rows)]:
        print(f"@{row}", flush=True)
    print("@end", flush=True)


try:
    main()
except Exception:
    traceback.print_exc()
finally:
    subprocess.run(["systemctl", "poweroff", "--force", "--force"])
