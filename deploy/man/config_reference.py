"""The keys of ocid.yaml, as deploy/config/ocid.yaml documents them.

    # ---- Section
    #
    # What the key is for, in sentences.
    # Value: what may stand there. Default: what stands there where nothing does.
    #key: example

The manual page ocid.yaml(5) and the table of deploy/docs/configuration.md are made from it.
"""

import dataclasses
import pathlib
import re

FILE = pathlib.Path(__file__).resolve().parents[1] / "config/ocid.yaml"


@dataclasses.dataclass
class Key:
    name: str
    section: str
    text: str  # sentences, one line
    value: str
    default: str
    yaml: str  # the lines that set it, without the comment signs


def _key(name, section, comment, yaml):
    found = re.fullmatch(r"(.*?)Value: (.*?) Default: (.*)", " ".join(comment))
    if found is None:
        raise ValueError(f"{FILE.name}: {name}: no `# Value: ... Default: ...` above it")
    text, value, default = (part.strip() for part in found.groups())
    return Key(name, section, text, value, default, "\n".join(yaml))


def read(text=None):
    """Every key, in the order of the file. ValueError says which one is not documented."""
    keys, section, comment, name, yaml = [], None, [], None, []
    for line in (text if text is not None else FILE.read_text()).splitlines() + [""]:
        starts_key = re.match(r"#([a-z][a-z0-9-]*):", line)
        if name is not None and not (line.startswith("#  ") and not starts_key):
            keys.append(_key(name, section, comment, yaml))
            name, comment, yaml = None, [], []
        if starts_key:
            name, yaml = starts_key.group(1), [line[1:]]
        elif name is not None:
            yaml.append(line[1:])
        elif line.startswith("# ---- "):
            section, comment = line.removeprefix("# ---- "), []
        elif section is not None and line.startswith("# "):
            comment.append(line[2:])
        elif any(words.startswith("Value: ") for words in comment):
            raise ValueError(f"{FILE.name}: no key below `{comment[0]}`")
    return keys


def everything_set(text=None):
    """The file with every key in force."""
    return "\n".join(key.yaml for key in read(text)) + "\n"
