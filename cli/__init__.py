"""What both programs share on the command line: flags and limits."""
