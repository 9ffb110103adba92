"""Pure kernels: functions of numbers and arrays, compiled by numba, without I/O, clock or log."""
