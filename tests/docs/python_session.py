"""The Python blocks of one page: each line of stdin is one, as JSON; answered by a line of JSON."""

import contextlib
import io
import json
import sys
import traceback


def main() -> None:
    namespace = {"__name__": "__main__"}
    sys.path.insert(0, "")
    for line in sys.stdin:
        name, code = json.loads(line)
        output, ended_well = io.StringIO(), True
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            try:
                exec(compile(code, name, "exec"), namespace)
            except BaseException:
                traceback.print_exc()
                ended_well = False
        print(json.dumps([ended_well, output.getvalue()]), flush=True)


if __name__ == "__main__":
    main()
