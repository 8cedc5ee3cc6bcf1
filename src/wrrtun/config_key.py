"""What is said of one key of the configuration."""

from dataclasses import dataclass


def one_of(words: tuple[str, ...]) -> str:
    """List what may be chosen, for a sentence."""
    quoted = [f'"{word}"' for word in words]
    return ", ".join(quoted[:-1]) + " or " + quoted[-1]


@dataclass(frozen=True)
class Key:
    """One key of a table.

    `allowed` completes "... is not". `metavar` is what the option's help calls the value; None: the
    key is no option. A key without `default` must be given if `needed`, and else may be left out.
    """

    name: str
    text: str
    allowed: str = "text in quotes"
    metavar: str | None = None
    default: str = ""
    needed: bool = False
    repeated: bool = False
    flag: bool = False
    choices: tuple[str, ...] = ()
    span: tuple[int, int] | None = None
    secret: bool = False  # what is given by mistake may be a key: never shown

    @property
    def option(self) -> str:
        """The name on the command line."""
        return "--" + self.name.replace("_", "-")
