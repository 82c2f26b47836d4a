"""What is written about ocid against ocid itself: configuration, manual pages, completion, guides, reasons, links."""

import difflib
import importlib.machinery
import importlib.util
import os
import pathlib
import pty
import re
import select
import shutil
import subprocess
import time

import pytest

from tests.packaging import guide
from tests.testing.daemon import OCICTL, OCID
from tests.testing.fixtures import own_daemon, shared_daemon  # noqa: F401 (fixtures)

DOCS = pathlib.Path("deploy/docs")
OCIRUN = "runtime/cli/ocirun"
COMMAND_LINE_ONLY = {"help", "version", "config", "check-config"}


def load(name, path):
    loader = importlib.machinery.SourceFileLoader(name, str(path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


PAGES = load("pages", pathlib.Path("deploy/man/pages").resolve())
REFERENCE = PAGES.config_reference


def run(*args, **kwargs):
    done = subprocess.run([str(arg) for arg in args], check=False, text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, **kwargs)
    assert done.returncode == 0, f"{args}: exit {done.returncode}\n{done.stdout}"
    return done.stdout


def in_force(text, folder):
    """Lines of --check-config by key, for a configuration file's text."""
    (folder / "ocid.yaml").write_text(text)
    out = run(OCID, "--config", folder / "ocid.yaml", "--check-config")
    return {block.split(":")[0]: block for block in re.split(r"\n(?=[a-z])", out.strip())}


# ---- Configuration

def test_every_option_of_the_daemon_is_in_the_default_configuration():
    said = run(OCID, "--help").split("Options:\n")[1]
    options = set(re.findall(r"^ +(?:-\w,)?--([a-z][a-z-]*)", said, re.MULTILINE))
    documented = [key.name for key in REFERENCE.read()]
    missing = options - COMMAND_LINE_ONLY - set(documented)
    assert not missing, (f"not in deploy/config/ocid.yaml: {', '.join(sorted(missing))}. Describe each there as its "
                         "neighbours are, then run `deploy/man/pages --docs`")
    unknown = set(documented) - options
    assert not unknown, f"in deploy/config/ocid.yaml, and no option of ocid: {', '.join(sorted(unknown))}"
    assert len(documented) == len(set(documented))


def test_the_default_configuration_changes_nothing_and_shows_the_defaults(tmp_path):
    defaults = in_force("{}\n", tmp_path)
    assert in_force(REFERENCE.FILE.read_text(), tmp_path) == defaults, "every key in it is a comment"
    shown = in_force(REFERENCE.everything_set(), tmp_path)
    assert {key: shown[key] for key in defaults} == defaults, "what stands there is not the default"


def test_the_configuration_reference_is_made_from_the_default_configuration():
    have = PAGES.DOCUMENT.read_text()
    want = PAGES.with_table(have)
    diff = "\n".join(difflib.unified_diff(have.splitlines(), want.splitlines(), lineterm=""))
    assert not diff, f"run `deploy/man/pages --docs`:\n{diff}"


def test_a_key_without_description_is_refused_and_so_is_the_reverse():
    with pytest.raises(ValueError, match="root: no `# Value"):
        REFERENCE.read("# ---- Places\n\n# Something.\n#root: /x\n")
    with pytest.raises(ValueError, match="no key below `Something"):
        REFERENCE.read("# ---- Places\n\n# Something.\n# Value: a. Default: b.\n\n"
                       "# Else.\n# Value: c. Default: d.\n#root: /x\n")


# ---- Manual pages

@pytest.fixture(name="pages", scope="module")
def made_pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("man")
    PAGES.make_pages(pathlib.Path(".").resolve(), folder)
    return folder


def test_manual_pages_have_no_fault(pages):
    assert sorted(page.name for page in pages.iterdir()) == ["ocictl.1", "ocid.8", "ocid.yaml.5", "ocirun.8"]
    for page in pages.iterdir():
        found = subprocess.run(["mandoc", "-T", "lint", page], check=False, text=True, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT).stdout.splitlines()
        # Pages that this machine does not have, or whose index is not made, are no fault of these.
        assert [line for line in found if "referenced manual not found" not in line and "mandoc.db" not in line] == []
        said = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", page], check=False, text=True,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE).stderr
        assert said == ""


def test_manual_pages_have_every_option_and_command(pages):
    texts = {page.name: re.sub(r"\\.", "", page.read_text()) for page in pages.iterdir()}
    for key in REFERENCE.read():
        assert f".It Sy {key.name}\n" in texts["ocid.yaml.5"]
        assert f"Fl -{key.name}" in texts["ocid.8"]
    for name in re.findall(r"^  ([a-z]+) {2,}", run(OCICTL, "--help"), re.MULTILINE):
        assert f".Ss {name}\n" in texts["ocictl.1"], name
    for name in re.findall(r"^   ([a-z]+) {2,}", run(OCIRUN, "--help"), re.MULTILINE):
        assert f".Ss {name}\n" in texts["ocirun.8"], name


def test_units_refer_to_pages_that_there_are(pages):
    for unit in pathlib.Path("deploy/systemd").glob("ocid.s*"):
        for name, section in re.findall(r"man:([a-z.]+)\((\d)\)", unit.read_text()):
            assert (pages / f"{name}.{section}").exists(), f"{unit}: {name}({section})"


# ---- Completion

class Typist:
    """An interactive shell on a terminal, and what its screen shows."""

    def __init__(self, command, environment):
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.execvpe(command[0], command, environment)
        self.seen = ""

    def type(self, text):
        os.write(self.terminal, text.encode())

    def expect(self, pattern, seconds=20):
        deadline = time.monotonic() + seconds
        while not re.search(pattern, self.seen):
            ready, _, _ = select.select([self.terminal], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"no {pattern!r} in {self.seen!r}"
            self.seen += os.read(self.terminal, 4096).decode(errors="replace")
        self.seen = ""

    def close(self):
        os.kill(self.pid, 9)
        os.waitpid(self.pid, 0)
        os.close(self.terminal)


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_shell_completes_commands_options_and_containers(daemon, tmp_path, shell):
    if not shutil.which(shell):
        pytest.skip(f"no {shell}: root installs it with deploy/install-dependencies --tests")
    daemon.ctl("create", "--bundle", daemon.bundle("true"), "very-long-name-of-a-container")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/ocictl").symlink_to(pathlib.Path(OCICTL).resolve())
    environment = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "HOME": str(tmp_path), "TERM": "dumb", "PS1": "prompt> ",
                   "LC_ALL": "C.UTF-8", "OCID_ADDRESS": f"unix://{daemon.socket}"}
    # As the packages have them: found by the command's name.
    script = run(OCICTL, "completion", shell)
    if shell == "bash":
        place = tmp_path / ".local/share/bash-completion/completions/ocictl"
        (tmp_path / ".bashrc").write_text(". /usr/share/bash-completion/bash_completion\nPS1='prompt> '\n")
        command = ["bash", "--noprofile", "--rcfile", str(tmp_path / ".bashrc"), "-i"]
    else:
        place = tmp_path / "functions/_ocictl"
        (tmp_path / ".zshrc").write_text(f"fpath=({place.parent} $fpath)\nautoload -Uz compinit\ncompinit -u -D\n"
                                         "PS1='prompt> '\nunsetopt zle_bracketed_paste\n")
        command = ["zsh", "-i"]
    place.parent.mkdir(parents=True)
    place.write_text(script)
    typist = Typist(command, environment)
    try:
        typist.expect("prompt> ")
        typist.type("ocictl insp\t")
        typist.expect("inspect ")
        typist.type("very\t")
        typist.expect("very-long-name-of-a-container")
        typist.type("\x15ocictl run --memory-res\t")
        typist.expect("--memory-reservation")
        typist.type("\x15ocictl spec bl\t")
        typist.expect("blame ")
    finally:
        typist.close()
        daemon.ctl("delete", "very-long-name-of-a-container")


# ---- Documents

def test_every_error_reason_is_in_the_troubleshooting_guide():
    proto = pathlib.Path("proto/ocid/v1/error_reason.proto").read_text()
    reasons = re.findall(r"^  ERROR_REASON_([A-Z_]+) = [1-9]", proto, re.MULTILINE)
    described = re.findall(r"^- \*\*([A-Z_]+)\*\*: ", (DOCS / "troubleshooting.md").read_text(), re.MULTILINE)
    assert len(reasons) > 40
    missing = [reason for reason in reasons if reason not in described]
    assert not missing, f"deploy/docs/troubleshooting.md, Reasons: no `- **REASON**: cause and cure` of {missing}"
    assert sorted(described) == sorted(reasons), "in the guide, and no reason of the API"


def test_links_lead_somewhere():
    broken = []
    for document in [pathlib.Path("README.md"), *sorted(DOCS.glob("*.md"))]:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text()):
            if not re.match(r"[a-z]+:", target) and not (document.parent / target).exists():
                broken.append(f"{document}: {target}")
    assert not broken


@pytest.mark.skipif(not shutil.which("umoci"), reason="needs umoci")
def test_the_guide_for_beginners_is_true(fresh_daemon, tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "ocictl").symlink_to(pathlib.Path(OCICTL).resolve())
    (fresh_daemon.folder / "cdi").mkdir(exist_ok=True)
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8",
                   "OCID_ADDRESS": f"unix://{fresh_daemon.socket}"}
    (tmp_path / "work").mkdir()
    session = guide.Session(tmp_path / "work", environment)
    try:
        wrong = list(guide.check((DOCS / "getting-started.md").read_text(), session,
                                 {"/etc/cdi": str(fresh_daemon.folder / "cdi")}))
    finally:
        session.close()
    assert not wrong, "\n\n".join(wrong)
    assert fresh_daemon.ctl("list", "-q").stdout == ""


def test_the_python_of_the_api_guide_is_true(daemon, tmp_path):
    text = (DOCS / "api.md").read_text().split("## With Python")[1]
    generate, = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    program, = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    daemon.ctl("create", "--bundle", daemon.bundle("true"), "listed")
    run("bash", "-ec", generate.replace("/usr/share/ocid", str(pathlib.Path(".").resolve())), cwd=tmp_path)
    program = program.replace("/run/ocid/ocid.sock", str(daemon.socket))
    said = run("/usr/bin/python3", "-c", program, cwd=tmp_path)
    daemon.ctl("delete", "listed")
    assert said == "listed CONTAINER_STATE_CREATED\n"
