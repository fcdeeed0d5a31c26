"""One TOML file and the command line's overrides -> the options of each stage.

Each stage's options live beside its code; here they are only read, checked and put together. Those
of the serve process live here. Used by ``app`` and the faces; the stages never import it.
"""

from meshtrail.config.configuration import Configuration, KeyOptions, LogOptions
from meshtrail.config.reading import make_configuration, read_tables
from meshtrail.config.serve import ServeOptions

__all__ = [
    "Configuration",
    "KeyOptions",
    "LogOptions",
    "ServeOptions",
    "make_configuration",
    "read_tables",
]
