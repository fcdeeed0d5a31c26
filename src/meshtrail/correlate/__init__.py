"""Events joined to what they are about: calls, and later pairs, inventories, graphs.

Tables and rows in, tables and trees out. Used by the faces and by everything above; reads no files.
"""
