"""The commands of a guide: what its ```console blocks have behind `$ ` and `> `, and the output below them."""

import re
import secrets
import subprocess


def commands(text):
    """(command, expected lines) in order; a command has the lines of its here-documents."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            elif line.startswith(">") and not found[-1][1]:
                found[-1] = (found[-1][0] + "\n" + line[2:], [])
            else:
                found[-1][1].append(line)
    return found


def _shape(line):
    """A line without what differs from run to run: numbers, digests, times, and how wide columns are."""
    line = re.sub(r"\b\d{4}-\d\d-\d\dT[\d:.]+Z", "N", line)
    line = re.sub(r"\b[A-Z][a-z]{2} +\d+ \d\d:\d\d\b", "N", line)
    line = re.sub(r"\b[0-9a-f]{12,64}\b", "N", line)
    line = re.sub(r"\b\d+(\.\d+)?\s?(ns|us|µs|ms|s|m|h|B|KiB|MiB|GiB)\b", "N", line)
    # Short ones say something: exit codes, generations.
    line = re.sub(r"\b\d+(\.\d+)+\b|\b\d{3,}\b", "N", line)
    return re.sub(r"\s+", " ", line).strip()


def same(expected, actual):
    """Whether the lines are the same but for such things; a line `...` stands for any lines."""
    if not expected:
        return not actual
    if expected[0].strip() == "...":
        return any(same(expected[1:], actual[skip:]) for skip in range(len(actual) + 1))
    return bool(actual) and _shape(expected[0]) == _shape(actual[0]) and same(expected[1:], actual[1:])


class Session:
    """A shell that commands are typed into, one after the other; what they print, both streams."""

    def __init__(self, folder, environment):
        self.shell = subprocess.Popen(["bash", "--norc", "-s"], cwd=folder, env=environment, text=True, bufsize=1,
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def run(self, command):
        mark = f"end-of-command-{secrets.token_hex(8)}"
        # Commands must not read what is typed next.
        self.shell.stdin.write(f"{{\n{command}\n}} < /dev/null\necho\necho {mark}\n")
        lines = []
        for line in self.shell.stdout:
            if line.rstrip("\n") == mark:
                break
            lines.append(line.rstrip("\n"))
        else:
            raise AssertionError(f"the shell ended: {lines}")
        # One newline is ours; output without one at its end has none more.
        return lines[:-1] if lines[-1:] == [""] else lines

    def close(self):
        self.shell.stdin.close()
        self.shell.wait(timeout=30)
        self.shell.stdout.close()


def check(text, session, places):
    """Runs a guide. `places` are paths of the guide and what stands for them here. Yields what is wrong."""
    for command, expected in commands(text):
        here, back = command, {there: place for place, there in places.items()}
        for place, there in places.items():
            here = here.replace(place, there)
        actual = session.run(here)
        for there, place in back.items():
            actual = [line.replace(there, place) for line in actual]
        if not same(expected, actual):
            yield f"$ {command}\n" + "\n".join(actual) + "\n--- the guide has\n" + "\n".join(expected)
