"""Fail where a kernel that the service uses was not compiled into the image, and would be compiled at every start."""

import sys

from numba.core.dispatcher import Dispatcher

from dhpe.parameters import Parameters
from dhpe.warm import warm

warm(Parameters())
kernels = {
    f"{module.__name__}.{name}": kernel
    for module in list(sys.modules.values())
    if module.__name__.startswith("dhpe.")
    for name, kernel in vars(module).items()
    if isinstance(kernel, Dispatcher)
}
missed = sorted(name for name, kernel in kernels.items() if kernel.stats.cache_misses)
if missed or not kernels:
    sys.exit(f"not compiled into the image: {', '.join(missed) or 'any kernel'}")
