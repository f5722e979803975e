"""What both programs share: their start, and flags and limits on the command line."""
