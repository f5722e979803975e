"""Several servers, one room: the room is a log, which every server reads in the same order.

`records` are the words in the log, `replica` is what the log comes to, `node` is what one server
does about it: all three are pure. docs/CLUSTER.md tells the design.
"""
