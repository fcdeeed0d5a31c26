"""One TOML file and the command line's overrides -> the options of each stage.

Each stage's options live beside its code; here they are only read, checked and put together. Used
by ``app`` and the faces; the stages never import it.
"""

from meshtrail.config.configuration import Configuration, KeyOptions, LogOptions
from meshtrail.config.reading import make_configuration, read_tables

__all__ = ["Configuration", "KeyOptions", "LogOptions", "make_configuration", "read_tables"]
