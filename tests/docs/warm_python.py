"""``python`` without the seconds that PyTorch and Detectron2 take to import.

A server, with all imported, forks for each call and runs the script or module that the call names;
the call, a small client, hands over its arguments, folder, environment and streams.
"""

import atexit
import json
import os
import runpy
import socket
import sys
import traceback
from pathlib import Path

_SIZE = 1 << 20
_NUM_STREAMS = 3


def write_client(folder: Path, address: str) -> None:
    """Write ``folder/python``: what it cannot hand over it gives to the interpreter."""
    client = f"{sys.executable} -S -E {__file__} {address}"
    script = (
        f'case "$1" in\n-c|-m|*.py) exec {client} "$@";;\n*) exec {sys.executable} "$@";;\nesac\n'
    )
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{script}")
    path.chmod(0o755)


def serve(address: str) -> None:
    """Until the process is killed."""
    import train_net  # noqa: F401  all that the commands need

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen()
        while True:
            connection, _ = server.accept()
            if os.fork() == 0:
                server.close()
                if os.fork() == 0:  # the init process waits for it, not the server
                    _run(connection)
                os._exit(0)
            os.wait()
            connection.close()


def _run(connection: socket.socket) -> None:
    message, streams, _, _ = socket.recv_fds(connection, _SIZE, _NUM_STREAMS)
    call = json.loads(message)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.environ.clear()
    os.environ.update(call["environment"])
    os.chdir(call["folder"])
    code = _main(call["arguments"])
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    connection.send(bytes([code]))
    os._exit(0)


def _main(arguments: list[str]) -> int:
    kind = arguments[0]
    sys.argv = arguments[kind == "-m" :]
    try:
        if kind == "-m":
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        elif kind == "-c":
            exec(arguments[1], {"__name__": "__main__"})
        else:
            runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as exit:
        if isinstance(exit.code, str):
            print(exit.code, file=sys.stderr)
            return 1
        return exit.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def call(address: str, arguments: list[str]) -> int:
    """The client: exit code of the call."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        message = {"arguments": arguments, "folder": os.getcwd(), "environment": {**os.environ}}
        data = json.dumps(message).encode()
        socket.send_fds(connection, [data], range(_NUM_STREAMS))
        answer = connection.recv(1)
        return answer[0] if answer else 1


if __name__ == "__main__":
    sys.exit(call(sys.argv[1], sys.argv[2:]))
