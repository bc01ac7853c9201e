"""A small process that stands over one server: starts it unprivileged, stops it when unused.

It is run as a script of its own (`python -I -S guardian.py …`), needs only the standard library
and keeps about 10 MB. Two ways to call it:

`run PARENT -- COMMAND…` becomes COMMAND, as an ordinary user, and dies with process PARENT.

`guard` reads a plan (JSON, see `techmart_fast.local.parts.Plan`) from standard input, starts the
server in a session of its own, prints its record, returns, and stays behind as the server's
parent, with the record in a file as long as the server lives. It stops the server on
SIGTERM, or by itself when no command holds the users' lock any more and nothing pins the server.
The lock file `alive` is held by the guardian and, inherited, by every process of the server: it
is free exactly when all of them are gone, however they ended.
"""

import ctypes
import fcntl
import json
import os
import pwd
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

STILL_RUNNING = 3
"""Exit status of `guard`: an earlier server of this folder has not ended yet."""

POLL_SECONDS = 1.0

_CANT_RUN = "can't run, as an ordinary user,"
_CLONE_NEWUSER = 0x1000_0000
_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAP_DAC_OVERRIDE = 1
_CAPABILITY_VERSION_3 = 0x2008_0522


def started_ticks(pid: int) -> int:
    """When process `pid` began, in clock ticks since boot; 0 when there is no such process.

    With the pid it names a process for good: a number that is used again began later.
    """
    try:
        after_name = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return 0
    return 0 if after_name[0] in b"ZX" else int(after_name[19])


def main(arguments: list[str]) -> int:
    """Run one of the two ways; returns the exit status."""
    if arguments == ["guard"]:
        return _guard(json.load(sys.stdin))
    return _run(int(arguments[1]), arguments[3:])


def _run(parent: int, command: list[str]) -> NoReturn:
    try:
        become_ordinary([])
        _die_with(parent, signal.SIGKILL)
        os.execv(command[0], command)  # noqa: S606 - the point of this process
    except OSError as error:
        sys.exit(f"error: {_CANT_RUN} {command[0]}: {error}")


# Privileges ------------------------------------------------------------------------------------


def become_ordinary(owned: list[str]) -> None:
    """Make this process one that PostgreSQL accepts: not root, and with a name in passwd.

    Root gets a user namespace in which its own user id has another number: files stay root's,
    nothing outside is changed. Where namespaces are refused (most containers), root becomes
    `nobody`, keeping the one capability that lets it pass the folders above its data. The files
    in the folders `owned` are given to whatever user the server runs as.

    Raises:
        OSError: neither is allowed here.
    """
    uid = os.geteuid()
    if uid != 0 and _has_name(uid):
        return
    account = _ordinary_account()
    if _succeeds_in_child(lambda: _enter_namespace(account.pw_uid, account.pw_gid)):
        _give(owned, uid, os.getegid())
        _enter_namespace(account.pw_uid, account.pw_gid)
    elif uid == 0:
        _give(owned, account.pw_uid, account.pw_gid)
        _step_down(account.pw_uid, account.pw_gid)
    else:
        raise PermissionError(f"user id {uid} has no name, and user namespaces are refused")


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _ordinary_account() -> pwd.struct_passwd:
    """Any account but root: initdb only wants the number to have a name."""
    accounts = [account for account in pwd.getpwall() if account.pw_uid != 0]
    named = [account for account in accounts if account.pw_name == "nobody"]
    if not accounts:
        raise PermissionError("this machine has no account but root")
    return (named or accounts)[0]


def _succeeds_in_child(action: Any) -> bool:
    child = os.fork()
    if child == 0:
        status = 1
        with suppress(OSError):
            action()
            status = 0
        os._exit(status)
    return os.waitpid(child, 0)[1] == 0


def _enter_namespace(uid: int, gid: int) -> None:
    outer_uid, outer_gid = os.geteuid(), os.getegid()
    _call("unshare", _CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {outer_uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {outer_gid} 1")


def _step_down(uid: int, gid: int) -> None:
    _call("prctl", _PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    kept = 1 << _CAP_DAC_OVERRIDE
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)(kept, kept, kept, 0, 0, 0)
    _call("capset", header, data)
    _call("prctl", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0)


def _give(folders: list[str], uid: int, gid: int) -> None:
    for top in folders:
        if os.lstat(top).st_uid == uid:
            continue
        for folder, _, files in os.walk(top, topdown=False):
            for name in files:
                os.lchown(os.path.join(folder, name), uid, gid)  # noqa: PTH118 - thousands of names
            os.lchown(folder, uid, gid)


def _die_with(parent: int, signal_number: int) -> None:
    """Have the kernel send this process a signal when its parent ends, however it ends."""
    _call("prctl", _PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _call(name: str, *arguments: Any) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    words = [ctypes.c_ulong(word) if isinstance(word, int) else word for word in arguments]
    if getattr(libc, name)(*words) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


# Guarding --------------------------------------------------------------------------------------


def _guard(plan: dict[str, Any]) -> int:
    os.umask(0o077)
    alive = os.open(plan["alive"], os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return STILL_RUNNING
    launched, report = os.pipe()
    if os.fork() == 0:
        os.close(launched)
        os.setsid()
        _stand_guard(plan, alive, report)
    os.close(report)
    with os.fdopen(launched) as told:
        record = told.read()
    sys.stdout.write(record)
    return 0 if record else 1


def _stand_guard(plan: dict[str, Any], alive: int, report: int) -> NoReturn:
    _redirect(plan["log"])
    os.chdir("/")
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, signal.SIGTERM})
    guardian = os.getpid()
    server = os.fork()
    if server == 0:
        _become_server(plan, alive, guardian)
    with os.fdopen(report, "w") as told:
        told.write(_write_record(plan, server))
    locks = [os.open(plan[name], os.O_RDWR | os.O_CREAT, 0o600) for name in ("control", "users")]
    _wait(plan, server, locks)
    with suppress(OSError):
        Path(plan["record"]).unlink()
    for folder in plan["remove"]:
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


def _become_server(plan: dict[str, Any], alive: int, guardian: int) -> NoReturn:
    try:
        os.setsid()
        if plan["unprivileged"]:
            become_ordinary(plan["owned"])
        _die_with(guardian, signal.Signals[plan["stop"][0][0]])
        os.chdir(plan["folder"])
        os.set_inheritable(alive, True)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD, signal.SIGTERM})
        os.execve(plan["command"][0], plan["command"], plan["environment"])  # noqa: S606
    except OSError as error:
        sys.stderr.write(f"FATAL: {_CANT_RUN} {plan['command'][0]}: {error}\n")
        sys.stderr.flush()
    os._exit(127)


def _redirect(log: str) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    lines = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for target, source in ((0, nothing), (1, lines), (2, lines)):
        os.dup2(source, target)
    os.close(nothing)
    os.close(lines)


def _write_record(plan: dict[str, Any], server: int) -> str:
    record = {name: plan[name] for name in ("facts", "remove")}
    for name, pid in (("guardian", os.getpid()), ("server", server)):
        record[name] = {"pid": pid, "started_ticks": started_ticks(pid)}
    new, text = Path(plan["record"] + ".new"), json.dumps(record)
    new.write_text(text)
    new.rename(plan["record"])
    return text


def _wait(plan: dict[str, Any], server: int, locks: list[int]) -> None:
    """Return when the server has ended: by itself, on request, or as nobody uses it."""
    while True:
        received = signal.sigtimedwait({signal.SIGCHLD, signal.SIGTERM}, POLL_SECONDS)
        if os.waitpid(server, os.WNOHANG)[0]:
            return
        if (received and received.si_signo == signal.SIGTERM) or _unused(plan, locks):
            _stop(plan, server)
            return


def _unused(plan: dict[str, Any], locks: list[int]) -> bool:
    """Whether no command and no pin wants the server; then the locks stay held to the end."""
    try:
        for lock in locks:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not Path(plan["pinned"]).exists():
            return True
    except BlockingIOError:
        pass
    for lock in reversed(locks):
        fcntl.flock(lock, fcntl.LOCK_UN)
    return False


def _stop(plan: dict[str, Any], server: int) -> None:
    for name, seconds in plan["stop"]:
        os.kill(server, signal.Signals[name])
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            signal.sigtimedwait({signal.SIGCHLD}, min(left, POLL_SECONDS))
            if os.waitpid(server, os.WNOHANG)[0]:
                return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
