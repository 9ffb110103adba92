"""The whole field of an underlying as the outside reads it: copied in a moment, computed off the critical path.

``copy_of`` takes what is needed while nothing moves; ``field_of`` is a pure function of that copy, minutes later or in
another thread, and gives the same record. Neither moves the state: what is published on the main line is the same
whether anybody looks at the field or not.
"""

from dhpe.field.copying import FieldCopy, copy_of
from dhpe.field.record import field_of

__all__ = ["FieldCopy", "copy_of", "field_of"]
