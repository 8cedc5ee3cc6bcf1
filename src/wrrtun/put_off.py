"""Put off what a module runs when it is imported, until it is asked for something.

So a library's import of what is hardly ever used costs nothing. And so parts of a package can be
had without it: `import package.part` runs the package's `__init__` first, whatever that imports.
"""

import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from typing import Any


def put_off(name: str) -> None:
    """Have a module, or a package without its `__init__`, until more of it is needed.

    One that was imported stays what it is.
    """
    spec = None if name in sys.modules else find_spec(name)
    if spec is None or spec.loader is None:
        return
    loader, module = spec.loader, module_from_spec(spec)
    has_parts = spec.submodule_search_locations is not None

    def find(attribute: str) -> Any:
        """Return what the module does not have (PEP 562)."""
        part = f"{name}.{attribute}"
        if has_parts and find_spec(part) is not None:
            return import_module(part)
        del vars(module)["__getattr__"]
        loader.exec_module(module)
        return getattr(module, attribute)

    vars(module)["__getattr__"] = find
    sys.modules[name] = module
