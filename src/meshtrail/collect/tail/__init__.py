"""Files that are read as they grow: every complete line becomes one record, in the file's order.

In: the paths and patterns that the operator names. Out: frames of lines in the journal ``collect``,
each batch with the position behind its last line, so that neither a crash nor a rotation makes a
line come twice or not at all; what is lost all the same is a gap. ``collect.collector`` runs it.
"""

from meshtrail.collect.tail.figures import TailFigures
from meshtrail.collect.tail.options import TailOptions
from meshtrail.collect.tail.tail import Tail

__all__ = ["Tail", "TailFigures", "TailOptions"]
