"""Machine code for loops that NumPy cannot do at the speed of the memory: functions of arrays, which know nothing else.

Its modules import Numba, which takes a while: import them where a loop begins, never at the top of another module.
Machine code is kept on disk, so that a machine compiles it once. Whatever is here has a twin in NumPy or runs as
Python, so that the library works without Numba.
"""
