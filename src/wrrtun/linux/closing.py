"""What is open until it is closed, or until the `with` block that holds it ends."""

from typing import Self


class Closing:
    """Base of whatever owns a descriptor."""

    def close(self) -> None:
        """Give the descriptor back; twice is harmless."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()
