"""Put off what a package runs when it is imported, so that parts of it can be had without it.

`import package.part` runs the package's `__init__` first, whatever that imports. After `put_off`,
it runs when the package is asked for anything but a part: then it is what it always was.
"""

import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from typing import Any


def put_off(package: str) -> None:
    """Have the package without its `__init__` until that is needed, unless it was imported."""
    spec = None if package in sys.modules else find_spec(package)
    if spec is None or spec.loader is None:
        return
    loader, module = spec.loader, module_from_spec(spec)

    def find(name: str) -> Any:
        """Return what the module does not have (PEP 562)."""
        part = f"{package}.{name}"
        if find_spec(part) is not None:
            return import_module(part)
        del vars(module)["__getattr__"]
        loader.exec_module(module)
        return getattr(module, name)

    vars(module)["__getattr__"] = find
    sys.modules[package] = module
